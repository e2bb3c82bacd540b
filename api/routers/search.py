"""Search by words and filters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply
from api.paging import DEFAULT_LIMIT, Cursor, EntryKey, Limit, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier, ProjectId, UtcDatetime
from services.contracts.findings import Severity
from services.contracts.search import HitKind, SearchHit
from services.search.finder import Finder

router = APIRouter(prefix="/v1", tags=["search"])


@router.get("/search", response_model=Page[SearchHit])
async def search(
    services: Services,
    principal: Annotated[Principal, Depends(requires(Permission.SAMPLES_READ))],
    *,
    q: Annotated[str | None, Query(max_length=500, description="Beginnings of words, all of which must occur.")] = None,
    kind: Annotated[list[HitKind] | None, Query(max_length=5, description="Only these kinds; may be repeated.")] = None,
    project: Annotated[ProjectId | None, Query(description="Only what lies in this project.")] = None,
    sample_id: Annotated[Identifier | None, Query(description="Only what is about this sample.")] = None,
    actor: Annotated[Identifier | None, Query(description="Only notes of this person.")] = None,
    severity: Annotated[Severity | None, Query(description="Only findings of this severity.")] = None,
    since: Annotated[UtcDatetime | None, Query(description="Only what came about then or later.")] = None,
    until: Annotated[UtcDatetime | None, Query(description="Only what came about before.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Find samples, findings, notes, tasks and people, newest first, among what the key may read."""
    found = await Finder(services.database).find(
        principal,
        query=q,
        kinds=tuple(kind or ()),
        project=project,
        sample_id=sample_id,
        actor=actor,
        severity=severity,
        since=since,
        until=until,
        before=decode_cursor("search", EntryKey, cursor),
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "search", lambda item: (item.at, item.entry), limit=limit))
