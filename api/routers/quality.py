"""Known answers, and how often people are right. For managers: nothing here is seen by who works on tasks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NameKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath, SamplePath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.quality import AnnotatorQuality, GoldAnswer, QualityReport, StoredGoldAnswer
from services.errors import InvalidInputError
from services.ports.database import Database
from services.quality.desk import MAX_SAMPLES, QualityDesk
from services.quality.report import MIN_JUDGED

router = APIRouter(prefix="/v1/projects/{project}", tags=["quality"])

_GOLD = {"sample_id": "kitti-000008", "verdict": "approve", "note": "The van stands behind the sign; seen on site."}
_MAX_LISTED = 10_000

MayManage = Annotated[Principal, Depends(requires(Permission.QUALITY_MANAGE))]


@router.get("/quality", response_model=QualityReport)
async def get_quality(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    samples: Annotated[int, Query(ge=1, le=MAX_SAMPLES, description="Most revisions to read, the newest.")] = 10_000,
    listed: Annotated[int, Query(ge=0, le=_MAX_LISTED, description="Most wrong verdicts to list, the newest.")] = 100,
    bar: Annotated[float, Query(ge=0, le=1, description="Share below which accuracy is too low.")] = 0.8,
    min_judged: Annotated[
        int, Query(ge=1, le=100_000, description="Fewer verdicts say nothing about the bar.")
    ] = MIN_JUDGED,
) -> Response:
    """Say how often each person was right, by check and by class, and which verdicts were wrong."""
    desk = QualityDesk(services.database)
    return reply(
        await desk.report(principal, project, max_samples=samples, max_listed=listed, bar=bar, min_judged=min_judged)
    )


@router.get("/quality/annotators", response_model=AnnotatorQuality)
async def get_annotator_quality(principal: MayManage, services: Services, project: ProjectPath) -> Response:
    """Say how often each annotator is right about each class, as learned from answers to the same samples."""
    return reply(await QualityDesk(services.database).annotators(principal, project))


@router.post("/quality/annotators/learn", response_model=AnnotatorQuality)
async def learn_annotator_quality(
    principal: MayManage, services: Services, project: ProjectPath, once: Idempotent
) -> Response:
    """Learn it anew from what is known now, such as new known answers and decisions of experts."""

    async def call(database: Database) -> Response:
        return reply(await QualityDesk(database).learn(principal, project))

    return await once.run(principal, call)


@router.get("/gold", response_model=Page[StoredGoldAnswer])
async def list_gold(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List known answers by sample id."""
    after = decode_cursor("gold", NameKey, cursor)
    found = await QualityDesk(services.database).list_gold(
        principal, project, after=None if after is None else after[0], limit=limit + 1
    )
    return page_reply(*cut_page(found, "gold", lambda item: (item.answer.sample_id,), limit=limit))


@router.put("/gold/{sample_id}", response_model=StoredGoldAnswer)
async def put_gold(
    principal: MayManage,
    project: ProjectPath,
    sample_id: SamplePath,
    answer: Annotated[GoldAnswer, Depends(json_body(GoldAnswer, what="answer", example=_GOLD))],
    once: Idempotent,
) -> Response:
    """Keep the known answer of a sample, which need not have come yet."""
    if answer.sample_id != sample_id:
        sentence = f"must be {sample_id!r}, as in the address"
        raise InvalidInputError(f"The answer is not valid: /sample_id {sentence}", places=(("/sample_id", sentence),))

    async def call(database: Database) -> Response:
        return reply(await QualityDesk(database).put_gold(principal, project, answer))

    return await once.run(principal, call)


@router.delete("/gold/{sample_id}", status_code=204, response_model=None)
async def drop_gold(principal: MayManage, project: ProjectPath, sample_id: SamplePath, once: Idempotent) -> Response:
    """Forget a known answer."""

    async def call(database: Database) -> Response:
        await QualityDesk(database).drop_gold(principal, project, sample_id)
        return Response(status_code=204)

    return await once.run(principal, call)
