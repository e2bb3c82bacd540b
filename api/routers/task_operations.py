"""Operations on many tasks: re-route, re-prioritise, hold, release, assign, and take back."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, IdKey, Limit, TimeKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.task_operations import (
    OperationItem,
    OperationPreview,
    OperationRequest,
    Outcome,
    TaskOperation,
)
from services.ports.database import Database
from services.review.operations import TaskOperations

router = APIRouter(prefix="/v1/projects/{project}/task-operations", tags=["task operations"])

_REQUEST = {
    "filter": {"queues": ["general"], "checks": ["lidar_camera"], "risks": ["high"]},
    "change": {"action": "reroute", "queue": "spatial"},
    "note": "The night shift takes these.",
}

MayManage = Annotated[Principal, Depends(requires(Permission.QUEUES_MANAGE))]


Change = Annotated[OperationRequest, Depends(json_body(OperationRequest, what="operation", example=_REQUEST))]


@router.post("", status_code=201, response_model=TaskOperation)
async def run_task_operation(principal: MayManage, project: ProjectPath, request: Change, once: Idempotent) -> Response:
    """Change all unfinished tasks that the filter names and that allow it; the outcomes count them."""

    async def call(database: Database) -> Response:
        return reply(await TaskOperations(database).run(principal, project, request), status=201)

    return await once.run(principal, call)


@router.post("/preview", response_model=OperationPreview)
async def preview_task_operation(
    principal: MayManage, services: Services, project: ProjectPath, request: Change
) -> Response:
    """Count what would become of the tasks; nothing is changed."""
    return reply(await TaskOperations(services.database).preview(principal, project, request))


@router.get("", response_model=Page[TaskOperation])
async def list_task_operations(
    principal: MayManage, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the operations of a project, oldest first."""
    found = await TaskOperations(services.database).list(
        principal, project, after=decode_cursor("task-operations", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(*cut_page(found, "task-operations", lambda one: (one.created_at, one.operation_id), limit=limit))


@router.get("/{operation_id}", response_model=TaskOperation)
async def get_task_operation(
    principal: MayManage, services: Services, project: ProjectPath, operation_id: UUID
) -> Response:
    """Return an operation with its outcomes."""
    return reply(await TaskOperations(services.database).get(principal, project, operation_id))


@router.get("/{operation_id}/items", response_model=Page[OperationItem])
async def list_task_operation_items(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    operation_id: UUID,
    outcome: Annotated[Outcome | None, Query(description="Only tasks with this outcome.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List what an operation did with each task, by task id."""
    after = decode_cursor("task-operation-items", IdKey, cursor)
    found = await TaskOperations(services.database).items(
        principal,
        project,
        operation_id,
        outcomes=() if outcome is None else (outcome,),
        after=None if after is None else after.id,
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "task-operation-items", lambda item: (item.task_id,), limit=limit))


@router.post("/{operation_id}/undo", status_code=201, response_model=TaskOperation)
async def undo_task_operation(
    principal: MayManage, project: ProjectPath, operation_id: UUID, once: Idempotent
) -> Response:
    """Restore what an operation changed, where that has not been changed since; the outcomes say where it was not."""

    async def call(database: Database) -> Response:
        return reply(await TaskOperations(database).undo(principal, project, operation_id), status=201)

    return await once.run(principal, call)
