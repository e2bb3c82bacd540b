"""How long people really worked, by person and by task, and the lists behind it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply
from api.paging import (
    ActivityKey,
    LabelKey,
    PageQuery,
    TimeKey,
    decode_cursor,
    encode_cursor,
    selected,
)
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.active_time import (
    AcceptedLabel,
    ActivitySelection,
    LabelSelection,
    PersonTime,
    TaskTime,
    WorkedTime,
)
from services.operations.reading import OperationsReader

router = APIRouter(prefix="/v1/projects/{project}/operations", tags=["operations"])

MayRead = Annotated[Principal, Depends(requires(Permission.OPERATIONS_READ))]


class ActivityList(ActivitySelection, PageQuery):
    """A page of selected work."""


class LabelList(LabelSelection, PageQuery):
    """A page of selected labels."""


@router.get("/active-time/people", response_model=Page[PersonTime])
async def list_people_times(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[ActivitySelection, Query()]
) -> Response:
    """Return the active time of each person on the tasks that are selected, by person; all in one page."""
    return page_reply(await OperationsReader(services.database).people_times(principal, project, wanted))


@router.get("/active-time/tasks", response_model=Page[TaskTime])
async def list_task_times(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[ActivityList, Query()]
) -> Response:
    """Return the tasks that are selected with the active time on each, oldest first."""
    after = decode_cursor("operations.task_times", TimeKey, wanted.cursor)
    found, more = await OperationsReader(services.database).task_times(
        principal,
        project,
        selected(ActivitySelection, wanted),
        after=None if after is None else (after.at, after.id),
        limit=wanted.limit,
    )
    cursor = encode_cursor("operations.task_times", (found[-1].created_at, found[-1].task_id)) if more else None
    return page_reply(found, cursor)


@router.get("/activity", response_model=Page[WorkedTime])
async def list_activity(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[ActivityList, Query()]
) -> Response:
    """Return who worked how long on what, by the age of the tasks: the list behind every active time."""
    after = decode_cursor("operations.activity", ActivityKey, wanted.cursor)
    found, more = await OperationsReader(services.database).activity(
        principal, project, selected(ActivitySelection, wanted), after=after, limit=wanted.limit
    )
    last = found[-1] if more else None
    key = None if last is None else (last.opened_at, last.task_id, last.actor_id)
    return page_reply(found, None if key is None else encode_cursor("operations.activity", key))


@router.get("/labels", response_model=Page[AcceptedLabel])
async def list_labels(
    principal: MayRead, services: Services, project: ProjectPath, wanted: Annotated[LabelList, Query()]
) -> Response:
    """Return the labels of the samples that became ground truth in a window, by sample."""
    after = decode_cursor("operations.labels", LabelKey, wanted.cursor)
    found, more = await OperationsReader(services.database).labels(
        principal, project, selected(LabelSelection, wanted), after=after, limit=wanted.limit
    )
    last = found[-1] if more else None
    key = None if last is None else (last.ref.sample_id, last.ref.revision, last.place)
    return page_reply(found, None if key is None else encode_cursor("operations.labels", key))
