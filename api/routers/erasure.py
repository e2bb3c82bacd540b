"""Retention, legal holds and erasure."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, TimeKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath, RevisionQuery, SamplePath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.erasure import (
    ApplyRequest,
    Erasure,
    ErasureCounts,
    ErasureRequest,
    LegalHold,
    NewHold,
    PreviewRequest,
    Tombstone,
)
from services.erasure.desk import ErasureDesk
from services.ports.database import Database

router = APIRouter(prefix="/v1/projects/{project}", tags=["erasure"])

_SUBJECT = {"subject": {"kind": "context", "field": "patient", "value": "4711"}}
_ORDER = {**_SUBJECT, "reason": "The patient asked for it on 3 March."}
_HOLD = {"sample_id": "visit-17", "reason": "Case 12/2026."}

MayRead = Annotated[Principal, Depends(requires(Permission.AUDIT_READ))]
MayManage = Annotated[Principal, Depends(requires(Permission.ERASURES_MANAGE))]


@router.post("/erasures/preview", response_model=ErasureCounts)
async def preview_erasure(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    given: Annotated[PreviewRequest, Depends(json_body(PreviewRequest, what="preview", example=_SUBJECT))],
) -> Response:
    """Count what an erasure would meet. Nothing is changed; an Idempotency-Key is not needed."""
    return reply(await ErasureDesk(services.database).preview(principal, project, given.subject))


@router.post("/erasures", response_model=Erasure, status_code=201)
async def order_erasure(
    principal: MayManage,
    project: ProjectPath,
    given: Annotated[ErasureRequest, Depends(json_body(ErasureRequest, what="erasure", example=_ORDER))],
    once: Idempotent,
) -> Response:
    """Order an erasure of what its subject is now; ``apply`` then erases it, in batches."""

    async def call(database: Database) -> Response:
        return reply(await ErasureDesk(database).order(principal, project, given), status=201)

    return await once.run(principal, call)


@router.post("/erasures/{erasure_id}/apply", response_model=Erasure)
async def apply_erasure(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    erasure_id: UUID,
    given: Annotated[ApplyRequest, Depends(json_body(ApplyRequest, what="application", optional=True))],
) -> Response:
    """Erase the next hundred revisions; call it until ``finished_at`` is set.

    Each goes in a transaction of its own, so that a call that broke off is simply made again.
    """
    desk = ErasureDesk(services.database)
    return reply(await desk.apply(principal, project, erasure_id, retry=given.retry))


@router.get("/erasures", response_model=Page[Erasure])
async def list_erasures(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List erasures with how far each is, newest first."""
    found = await ErasureDesk(services.database).list(
        principal, project, before=decode_cursor("erasures", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(*cut_page(found, "erasures", lambda item: (item.requested_at, item.erasure_id), limit=limit))


@router.get("/erasures/{erasure_id}", response_model=Erasure)
async def get_erasure(principal: MayRead, services: Services, project: ProjectPath, erasure_id: UUID) -> Response:
    """Return an erasure with how far it is."""
    return reply(await ErasureDesk(services.database).get(principal, project, erasure_id))


@router.get("/samples/{sample_id}/tombstone", response_model=Tombstone)
async def get_tombstone(
    principal: MayRead, services: Services, project: ProjectPath, sample_id: SamplePath, revision: RevisionQuery = None
) -> Response:
    """Return who erased a revision's content, when, in which erasure, and the hashes of what stood there."""
    return reply(await ErasureDesk(services.database).tombstone(principal, project, sample_id, revision))


@router.post("/legal-holds", response_model=LegalHold, status_code=201)
async def place_hold(
    principal: MayManage,
    project: ProjectPath,
    given: Annotated[NewHold, Depends(json_body(NewHold, what="legal hold", example=_HOLD))],
    once: Idempotent,
) -> Response:
    """Let nothing of a sample, or of the whole project, be erased until the hold is released."""

    async def call(database: Database) -> Response:
        return reply(await ErasureDesk(database).place_hold(principal, project, given), status=201)

    return await once.run(principal, call)


@router.get("/legal-holds", response_model=Page[LegalHold])
async def list_holds(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List legal holds, released ones too, newest first."""
    found = await ErasureDesk(services.database).holds(
        principal, project, before=decode_cursor("legal-holds", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(*cut_page(found, "legal-holds", lambda item: (item.placed_at, item.hold_id), limit=limit))


@router.post("/legal-holds/{hold_id}/release", response_model=LegalHold)
async def release_hold(principal: MayManage, project: ProjectPath, hold_id: UUID, once: Idempotent) -> Response:
    """Release a legal hold; one that was released before stays as it was."""

    async def call(database: Database) -> Response:
        return reply(await ErasureDesk(database).release_hold(principal, project, hold_id))

    return await once.run(principal, call)
