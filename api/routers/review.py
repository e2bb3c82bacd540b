"""Review tasks: claim, look, keep, decide."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.pace import steady
from api.paging import DEFAULT_LIMIT, Cursor, Limit, QueueKey, TimeKey, decode_cursor, encode_cursor, slice_page
from api.policies import requires
from api.schemas import ClaimedTask, DraftRequest, EscalateRequest, HeldRequest, Page
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.lifecycle import trace_ids
from services.contracts.review import (
    Decision,
    DecisionInput,
    Draft,
    Evidence,
    Lease,
    QueueSummary,
    ReviewTask,
    TakenTask,
    TaskState,
)
from services.errors import IntegrityError
from services.ports.database import Database
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish

router = APIRouter(prefix="/v1", tags=["review"], dependencies=[Depends(steady, scope="function")])

_WISH = {"queue": "spatial"}
_DECISION = {
    "verdict": "fix",
    "fence": 3,
    "label_version": 1,
    "note": "The box belongs to the car behind.",
    "patch": {
        "upsert": [
            {
                "type": "box",
                "id": "a1",
                "stream": "cam_left",
                "frame": 0,
                "label": "car",
                "box": [120.0, 80.5, 260.0, 190.0],
            }
        ]
    },
}
_DRAFT = {"fence": 3, "body": {"verdict": "fix", "note": "not sure about the left edge"}}
_ESCALATION = {"fence": 3, "note": "One car or two? The point cloud is too thin to tell."}

MayRead = Annotated[Principal, Depends(requires(Permission.TASKS_READ))]
MayWork = Annotated[Principal, Depends(requires(Permission.TASKS_WORK))]
Held = Annotated[HeldRequest, Depends(json_body(HeldRequest, what="request", example={"fence": 3}))]


@router.get("/queues", response_model=Page[QueueSummary])
async def list_queues(
    principal: MayRead, services: Services, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the queues with their backlog and the age of their oldest item."""
    queues = await ReviewDesk(services.database).queues(principal)
    ordered = sorted(queues, key=_queue_key)
    return page_reply(*slice_page(ordered, "queues", _queue_key, cursor=cursor, kind=QueueKey, limit=limit))


def _queue_key(summary: QueueSummary) -> tuple[str, str, str]:
    return summary.project, summary.queue, summary.kind.value


@router.get("/tasks", response_model=Page[ReviewTask])
async def list_tasks(
    principal: MayRead,
    services: Services,
    queue: Annotated[Identifier | None, Query()] = None,
    state: Annotated[TaskState | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List tasks, oldest first.

    Who works on tasks sees those they could take or hold: a page may be shorter than its limit although
    ``next_cursor`` leads on.
    """
    tasks, following = await ReviewDesk(services.database).list_tasks(
        principal, queue=queue, state=state, after=decode_cursor("tasks", TimeKey, cursor), limit=limit
    )
    return page_reply(tasks, encode_cursor("tasks", following) if following is not None else None)


@router.post("/tasks/claim", response_model=ClaimedTask)
async def claim_next_task(
    principal: MayWork,
    wish: Annotated[ClaimWish, Depends(json_body(ClaimWish, what="request", optional=True, example=_WISH))],
    once: Idempotent,
) -> Response:
    """Claim the best task that fits the person behind the key; 404 ``no-task-available`` when there is none."""

    async def call(database: Database) -> Response:
        return reply(_claimed(await ReviewDesk(database).claim_next(principal, wish)))

    return await once.run(principal, call)


@router.get("/tasks/{task_id}", response_model=Evidence)
async def get_evidence(principal: MayRead, services: Services, task_id: UUID) -> Response:
    """Return a task with everything one needs to decide it."""
    return reply(await ReviewDesk(services.database).evidence(principal, task_id))


@router.post("/tasks/{task_id}/claim", response_model=ClaimedTask)
async def claim_task(principal: MayWork, task_id: UUID, once: Idempotent) -> Response:
    """Claim one task; claiming one's own again renews the lease."""

    async def call(database: Database) -> Response:
        return reply(_claimed(await ReviewDesk(database).claim(principal, task_id)))

    return await once.run(principal, call)


@router.post("/tasks/{task_id}/heartbeat", response_model=Lease)
async def heartbeat(principal: MayWork, task_id: UUID, held: Held, once: Idempotent) -> Response:
    """Extend a live lease."""

    async def call(database: Database) -> Response:
        return reply(await ReviewDesk(database).heartbeat(principal, task_id, held.fence))

    return await once.run(principal, call)


@router.post("/tasks/{task_id}/release", status_code=204, response_model=None)
async def release_task(principal: MayWork, task_id: UUID, held: Held, once: Idempotent) -> Response:
    """Give a task back; the draft stays."""

    async def call(database: Database) -> Response:
        await ReviewDesk(database).release(principal, task_id, held.fence)
        return Response(status_code=204)

    return await once.run(principal, call)


@router.put("/tasks/{task_id}/draft", response_model=Draft)
async def save_draft(
    principal: MayWork,
    task_id: UUID,
    draft: Annotated[DraftRequest, Depends(json_body(DraftRequest, what="draft", example=_DRAFT))],
    once: Idempotent,
) -> Response:
    """Keep unfinished work. On a stale fence it is refused (409) and kept all the same."""

    async def call(database: Database) -> Response:
        return reply(await ReviewDesk(database).save_draft(principal, task_id, draft.fence, draft.body))

    return await once.run(principal, call)


@router.post("/tasks/{task_id}/decide", response_model=Decision)
async def decide_task(
    request: Request,
    principal: MayWork,
    task_id: UUID,
    given: Annotated[DecisionInput, Depends(json_body(DecisionInput, what="decision", example=_DECISION))],
    once: Idempotent,
) -> Response:
    """Decide a task. The same decision again answers the stored one; what comes too late is kept as a draft."""

    async def call(database: Database) -> Response:
        return _decided(request, await ReviewDesk(database).decide(principal, task_id, given))

    return await once.run(principal, call)


@router.post("/tasks/{task_id}/escalate", response_model=Decision)
async def escalate_task(
    request: Request,
    principal: MayWork,
    task_id: UUID,
    given: Annotated[EscalateRequest, Depends(json_body(EscalateRequest, what="escalation", example=_ESCALATION))],
    once: Idempotent,
) -> Response:
    """Hand a task on to an expert, with the reason; short for the verdict ``escalate``."""

    async def call(database: Database) -> Response:
        return _decided(request, await ReviewDesk(database).escalate(principal, task_id, given.fence, given.note))

    return await once.run(principal, call)


def _decided(request: Request, decision: Decision) -> Response:
    # With them the request's log line ties a task to the logs of its sample's workflow.
    request.state.sample = trace_ids(decision.ref)
    return reply(decision)


def _claimed(task: TakenTask) -> ClaimedTask:
    if task.lease_expires_at is None:
        raise IntegrityError(f"task {task.task_id} was claimed without a lease")
    lease = Lease(task_id=task.task_id, fence=task.fence, lease_expires_at=task.lease_expires_at)
    return ClaimedTask(task=task, lease=lease, notice=task.notice)
