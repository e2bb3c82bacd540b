"""A project as an operations manager sees it: numbers, the lists behind them, and both as they change."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.auth import Services
from api.bodies import page_reply, reply
from api.live import EVENT_STREAM, live_events
from api.paging import (
    PageQuery,
    SampleKey,
    TimeKey,
    decode_cursor,
    encode_cursor,
    selected,
)
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.lifecycle import RevisionRef
from services.contracts.operations import DecisionSelection, OperationsView, SampleSelection, TaskSelection
from services.contracts.records import SampleSummary
from services.contracts.review import Decision, ReviewTask
from services.operations.reading import OperationsReader
from services.operations.view import MAX_BUCKETS

router = APIRouter(prefix="/v1/projects/{project}/operations", tags=["operations"])

MayRead = Annotated[Principal, Depends(requires(Permission.OPERATIONS_READ))]
WindowS = Annotated[int, Query(ge=60, le=366 * 86_400, description="How far back to look, in seconds.")]
Pieces = Annotated[int, Query(ge=1, le=MAX_BUCKETS, description="In how many equal pieces to show the window.")]
_DAY_S = 86_400


class TaskList(TaskSelection, PageQuery):
    """A page of selected tasks."""


class SampleList(SampleSelection, PageQuery):
    """A page of selected sample revisions."""


class DecisionList(DecisionSelection, PageQuery):
    """A page of selected decisions."""


@router.get("", response_model=OperationsView)
async def get_operations(
    principal: MayRead, services: Services, project: ProjectPath, window_s: WindowS = _DAY_S, pieces: Pieces = 24
) -> Response:
    """Return throughput, backlog, lateness, escalations, load and what is to come; each number with its list."""
    reader = OperationsReader(services.database)
    return reply(await reader.view(principal, project, window=timedelta(seconds=window_s), pieces=pieces))


@router.get(
    "/live",
    response_class=Response,
    responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}, "description": "Server-sent events"}},
)
async def live(
    request: Request,
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    window_s: WindowS = _DAY_S,
    pieces: Pieces = 24,
    every_s: Annotated[float, Query(ge=0.5, le=60, description="Pause between two looks.")] = 2.0,
    for_s: Annotated[float, Query(ge=0, le=3_600, description="The stream ends after so long; open it again.")] = 900.0,
) -> Response:
    """Stream the same whenever it has changed, as server-sent events named ``operations``."""
    reader = OperationsReader(services.database)
    window = timedelta(seconds=window_s)

    async def look() -> OperationsView:
        return await reader.view(principal, project, window=window, pieces=pieces)

    # The first look decides about the answer: a project that the key does not see is a 404 and no stream.
    first = await look()
    events = live_events(first, look, request.is_disconnected, every_s=every_s, for_s=for_s)
    return StreamingResponse(events, media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})


@router.get("/tasks", response_model=Page[ReviewTask])
async def list_tasks(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[TaskList, Query()]
) -> Response:
    """Return the tasks that a number counts, oldest first."""
    after = decode_cursor("operations.tasks", TimeKey, wanted.cursor)
    found, more = await OperationsReader(services.database).tasks(
        principal,
        project,
        selected(TaskSelection, wanted),
        after=None if after is None else (after.at, after.id),
        limit=wanted.limit,
    )
    cursor = encode_cursor("operations.tasks", (found[-1].created_at, found[-1].task_id)) if more else None
    return page_reply(found, cursor)


@router.get("/samples", response_model=Page[SampleSummary])
async def list_samples(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[SampleList, Query()]
) -> Response:
    """Return the sample revisions that a number counts, oldest first."""
    after = decode_cursor("operations.samples", SampleKey, wanted.cursor)
    place = None
    if after is not None:
        place = (after.at, RevisionRef(project=project, sample_id=after.sample_id, revision=after.revision))
    found, more = await OperationsReader(services.database).samples(
        principal, project, selected(SampleSelection, wanted), after=place, limit=wanted.limit
    )
    last = found[-1] if more else None
    key = None if last is None else (last.created_at, last.ref.sample_id, last.ref.revision)
    return page_reply(found, None if key is None else encode_cursor("operations.samples", key))


@router.get("/decisions", response_model=Page[Decision])
async def list_decisions(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[DecisionList, Query()]
) -> Response:
    """Return the decisions that a number counts, oldest first."""
    after = decode_cursor("operations.decisions", TimeKey, wanted.cursor)
    found, more = await OperationsReader(services.database).decisions(
        principal,
        project,
        selected(DecisionSelection, wanted),
        after=None if after is None else (after.at, after.id),
        limit=wanted.limit,
    )
    cursor = encode_cursor("operations.decisions", (found[-1].decided_at, found[-1].decision_id)) if more else None
    return page_reply(found, cursor)
