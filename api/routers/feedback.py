"""What the decisions of a project teach: models, thresholds, what to label next, corrected samples."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply, reply
from api.paging import Cursor, RevisionKey, decode_cursor, encode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.feedback import CorrectedSample, ModelQuality, NextSamples, ThresholdReport
from services.feedback.reader import MAX_READ, FeedbackReader

router = APIRouter(prefix="/v1/projects/{project}/feedback", tags=["feedback"])

MayReadHistory = Annotated[Principal, Depends(requires(Permission.HISTORY_READ))]
MAX_NEXT, MAX_CORRECTED = 500, 100


@router.get("/models", response_model=ModelQuality)
async def get_models(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    samples: Annotated[int, Query(ge=1, le=MAX_READ, description="Most committed samples to read, by id.")] = 10_000,
) -> Response:
    """Say how good each pre-label model is on each class, by what was committed."""
    return reply(await FeedbackReader(services.database).models(principal, project, max_records=samples))


@router.get("/thresholds", response_model=ThresholdReport)
async def get_thresholds(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    target_precision: Annotated[
        float, Query(gt=0, lt=1, description="Least share of confirmed findings, by its lower bound.")
    ] = 0.9,
    samples: Annotated[int, Query(ge=1, le=MAX_READ, description="Most samples to read, the newest.")] = 10_000,
) -> Response:
    """Say what tighter thresholds would have kept of the findings that people judged; nothing is applied."""
    return reply(
        await FeedbackReader(services.database).thresholds(
            principal, project, target_precision=target_precision, max_samples=samples
        )
    )


@router.get("/next", response_model=NextSamples)
async def get_next(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    limit: Annotated[int, Query(ge=1, le=MAX_NEXT, description="At most so many samples.")] = 50,
    samples: Annotated[
        int, Query(ge=1, le=MAX_READ, description="Most committed samples, and most others, to read.")
    ] = 10_000,
) -> Response:
    """Rank the samples that are not committed by what labelling them would teach."""
    return reply(
        await FeedbackReader(services.database).next_samples(principal, project, limit=limit, max_samples=samples)
    )


@router.get("/corrections", response_model=Page[CorrectedSample])
async def list_corrections(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_CORRECTED, description="Read so many committed samples; uncorrected ones are not told.")
    ] = 50,
) -> Response:
    """List committed samples in which a model was corrected, with the reasons; a page may be empty before the last."""
    found, last = await FeedbackReader(services.database).corrections(
        principal, project, after=decode_cursor("corrections", RevisionKey, cursor), limit=limit
    )
    return page_reply(found, None if last is None else encode_cursor("corrections", last))
