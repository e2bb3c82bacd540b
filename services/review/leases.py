"""Claim a task for a while, keep it, give it back; the database's clock decides, a fence tells holders apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from services.access.policy import ensure_sees, task_kinds_of
from services.contracts.access import Principal
from services.contracts.base import Contract, Identifier, ProjectId
from services.contracts.records import ProjectConfig
from services.contracts.review import Draft, Lease, ReviewTask, TaskKind
from services.errors import (
    ForbiddenError,
    IntegrityError,
    NoTaskAvailableError,
    StaleFenceError,
    TaskFinishedError,
    TaskHeldError,
)
from services.ports.database import Transaction
from services.review.active_time import IDLE_AFTER
from services.review.judges import (
    ensure_lease,
    ensure_may_judge,
    ensure_may_take,
    ensure_unfinished,
    seen_task,
)
from services.review.signs import note_sign

_DEFAULT_LEASE_S = ProjectConfig().lease_s
_FIRST_LEASE = timedelta(seconds=1)


class ClaimWish(Contract):
    """Which task a person wants; everything that fits if nothing is said."""

    queue: Identifier | None = None
    project: ProjectId | None = None
    kinds: Annotated[tuple[TaskKind, ...], Field(max_length=10)] | None = Field(
        default=None, description="All kinds of the key's role if left out."
    )


async def claim_next(tx: Transaction, principal: Principal, wish: ClaimWish) -> ReviewTask:
    """Claim the best task that fits the person.

    Raises:
        ForbiddenError: The role does not take a kind that was asked for.
        NotFoundError: The key does not see the project.
        NoTaskAvailableError: Nothing fits now.
    """
    allowed = task_kinds_of(principal.role)
    kinds = wish.kinds or allowed
    beyond = [kind for kind in kinds if kind not in allowed]
    if beyond or not kinds:
        raise ForbiddenError(f"The role {principal.role} does not take tasks of kind {beyond[0] if beyond else 'any'}.")
    if wish.project is not None:
        ensure_sees(principal, wish.project)
    task = await tx.review.claim_next(
        principal, kinds=kinds, queue=wish.queue, project=wish.project, lease=_FIRST_LEASE
    )
    if task is None:
        raise NoTaskAvailableError("No open task fits you now; try again later.")
    # Only now is it known whose project says how long the lease is; nobody else gets at the locked row in between.
    claimed = await tx.review.claim(task.task_id, principal.actor_id, await _lease_of(tx, task))
    if claimed is None:
        raise IntegrityError(f"task {task.task_id} was claimed and is held by somebody else")
    await tx.operations.begin_activity(task.task_id, principal.actor_id, IDLE_AFTER)
    return claimed


async def claim(tx: Transaction, principal: Principal, task_id: UUID) -> ReviewTask:
    """Claim one task; claiming one's own again renews the lease.

    Raises:
        NotFoundError, ForbiddenError, SelfReviewError, TaskFinishedError: The person can not have it.
        TaskHeldError: Somebody else holds it.
    """
    task = await seen_task(tx, principal, task_id, lock=True)
    ensure_may_take(principal, task)
    ensure_unfinished(task)
    await ensure_may_judge(tx, principal, task)
    claimed = await tx.review.claim(task_id, principal.actor_id, await _lease_of(tx, task))
    if claimed is None:
        raise TaskHeldError("Somebody else holds this task; claim another one.")
    await tx.operations.begin_activity(task_id, principal.actor_id, IDLE_AFTER)
    return claimed


async def renew(
    tx: Transaction,
    principal: Principal,
    task_id: UUID,
    fence: int,
    *,
    visible: bool = True,
    idle: timedelta = timedelta(0),
) -> Lease:
    """Extend a live lease, and count the sign of life.

    Args:
        tx: The transaction.
        principal: The holder.
        task_id: The task.
        fence: Of their claim.
        visible: Whether the task is on their screen.
        idle: How long ago they last did something.

    Raises:
        NotFoundError, TaskFinishedError, StaleFenceError: There is no such lease any more.
    """
    task = await seen_task(tx, principal, task_id, lock=True)
    ensure_unfinished(task)
    await ensure_lease(tx, principal, task, fence)
    lease = await tx.review.renew(task_id, fence, await _lease_of(tx, task))
    if lease is None:
        raise StaleFenceError(f"The lease of fence {fence} has run out; claim the task again.")
    await note_sign(tx, task_id, principal.actor_id, visible=visible, idle=idle)
    return lease


async def release(tx: Transaction, principal: Principal, task_id: UUID, fence: int) -> None:
    """Give a task back; the draft stays. Giving back what nobody has claimed since changes nothing.

    Raises:
        NotFoundError, TaskFinishedError, StaleFenceError: The person has no such hold.
    """
    task = await seen_task(tx, principal, task_id, lock=True)
    ensure_unfinished(task)
    if task.fence == fence and task.held_by is None:
        return
    if task.held_by != principal.actor_id or task.fence != fence:
        await ensure_lease(tx, principal, task, fence)
    await tx.review.release(task_id, fence)


async def save_draft(tx: Transaction, principal: Principal, task_id: UUID, fence: int, body: dict[str, Any]) -> Draft:
    """Keep a person's unfinished work on a task they hold.

    Raises:
        NotFoundError, ForbiddenError, SelfReviewError: The person has no business with the task.
        TaskFinishedError, StaleFenceError: They do not hold it any more.
    """
    task = await seen_task(tx, principal, task_id, lock=True)
    ensure_may_take(principal, task)
    ensure_unfinished(task)
    await ensure_lease(tx, principal, task, fence)
    await note_sign(tx, task_id, principal.actor_id)
    return await tx.review.save_draft(task_id, principal.actor_id, body)


def kept(error: StaleFenceError | TaskFinishedError) -> StaleFenceError | TaskFinishedError:
    """Return the error with the fact that the work it refuses is kept as the person's draft."""
    return type(error)(
        f"{error.detail} What you sent is kept as your draft.",
        places=error.places,
        facts=error.facts | {"draft_kept": True},
    )


async def _lease_of(tx: Transaction, task: ReviewTask) -> timedelta:
    project = await tx.projects.get(task.ref.project)
    return timedelta(seconds=project.config.lease_s if project is not None else _DEFAULT_LEASE_S)
