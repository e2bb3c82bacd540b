"""Queues of a project: what goes in, who takes out, and what other queues would do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, etag_of, expected_version
from api.idempotency import Idempotent
from api.paging import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    ListedQueueKey,
    TimeKey,
    decode_cursor,
    encode_cursor,
    slice_page,
)
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.queues import ListedQueue, ReviewQueue
from services.contracts.task_operations import PreviewRequest, RoutingPreview
from services.errors import InvalidInputError
from services.ports.database import Database
from services.review.queues import QueueRegistry, version_of_queue

router = APIRouter(prefix="/v1/projects/{project}", tags=["queues"])

_QUEUE = {
    "name": "spatial-night",
    "position": 10,
    "filter": {"checks": ["lidar_camera"], "min_severity": "major", "regions": ["eu"]},
    "skills": [{"name": "spatial", "level": 3}],
    "base_priority": 200,
    "ageing_per_hour": 5.0,
    "capacity": 20,
}

QueuePath = Annotated[Identifier, Path(description="Name of the queue.", examples=["spatial"])]
MayRead = Annotated[Principal, Depends(requires(Permission.TASKS_READ))]
MayManage = Annotated[Principal, Depends(requires(Permission.QUEUES_MANAGE))]


@router.get("/queues", response_model=Page[ListedQueue])
async def list_project_queues(
    principal: MayRead, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the queues of a project in the order in which they are asked, then all others."""
    listed = await QueueRegistry(services.database).list(principal, project)
    ordered = sorted(listed, key=_key)
    return page_reply(*slice_page(ordered, "project-queues", _key, cursor=cursor, kind=ListedQueueKey, limit=limit))


_SOURCES = ("project", "rule_set", "tasks")


def _key(listed: ListedQueue) -> tuple[int, int, str]:
    return _SOURCES.index(listed.source), listed.queue.position, listed.queue.name


@router.get("/queues/{queue}", response_model=ReviewQueue)
async def get_queue(principal: MayRead, services: Services, project: ProjectPath, queue: QueuePath) -> Response:
    """Return a queue with its ETag."""
    found = await QueueRegistry(services.database).get(principal, project, queue)
    return reply(found, headers={"ETag": etag_of(version_of_queue(found))})


@router.put("/queues/{queue}", response_model=ReviewQueue)
async def put_queue(
    principal: MayManage,
    project: ProjectPath,
    queue: QueuePath,
    content: Annotated[ReviewQueue, Depends(json_body(ReviewQueue, what="queue", example=_QUEUE))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Set a queue up, or change it. Tasks that are open stay in their queues."""
    if content.name != queue:
        sentence = f"must be {queue!r}, as in the address"
        raise InvalidInputError(f"The queue is not valid: /name {sentence}", places=(("/name", sentence),))

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "queue")
        stored = await QueueRegistry(database).put(principal, project, content, expected=expected)
        return reply(stored, headers={"ETag": etag_of(version_of_queue(stored))})

    return await once.run(principal, call)


@router.delete("/queues/{queue}", status_code=204, response_model=None)
async def delete_queue(
    principal: MayManage, project: ProjectPath, queue: QueuePath, once: Idempotent, if_match: IfMatch = None
) -> Response:
    """Remove a queue of the project's own. Its open tasks stay under its name, without its settings."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "queue")
        await QueueRegistry(database).delete(principal, project, queue, expected=expected)
        return Response(status_code=204)

    return await once.run(principal, call)


@router.post("/queues/{queue}/pause", response_model=ReviewQueue)
async def pause_queue(principal: MayManage, project: ProjectPath, queue: QueuePath, once: Idempotent) -> Response:
    """Let a queue give out nothing; who holds one of its tasks finishes it."""
    return await _pause(principal, project, queue, once, paused=True)


@router.post("/queues/{queue}/resume", response_model=ReviewQueue)
async def resume_queue(principal: MayManage, project: ProjectPath, queue: QueuePath, once: Idempotent) -> Response:
    """Let a paused queue give out tasks again."""
    return await _pause(principal, project, queue, once, paused=False)


async def _pause(principal: Principal, project: str, queue: str, once: Idempotent, *, paused: bool) -> Response:
    async def call(database: Database) -> Response:
        stored = await QueueRegistry(database).pause(principal, project, queue, paused=paused)
        return reply(stored, headers={"ETag": etag_of(version_of_queue(stored))})

    return await once.run(principal, call)


@router.post("/routing-preview", response_model=RoutingPreview)
async def preview_routing(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    wanted: Annotated[PreviewRequest, Depends(json_body(PreviewRequest, what="preview", example={"queues": [_QUEUE]}))],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Tell what would be routed where if the project had these queues; nothing is changed.

    With ``moved_only`` a page may be shorter than its limit although ``next_cursor`` leads on.
    """
    preview, following = await QueueRegistry(services.database).preview(
        principal, project, wanted, after=decode_cursor("routing-preview", TimeKey, cursor), limit=limit
    )
    cursor_on = None if following is None else encode_cursor("routing-preview", following)
    return reply(preview.model_copy(update={"next_cursor": cursor_on}))
