"""Claim a task for a while, keep it, give it back; the database's clock decides, a fence tells holders apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from services.access.policy import ensure_sees, task_kinds_of
from services.contracts.access import Principal
from services.contracts.base import Contract, Identifier, ProjectId
from services.contracts.people import Reviewer
from services.contracts.queues import Lane
from services.contracts.records import ProjectConfig
from services.contracts.review import Draft, Lease, ReviewTask, TakenTask, TaskKind
from services.errors import (
    CapReachedError,
    ConcordError,
    ForbiddenError,
    NoTaskAvailableError,
    PersonPausedError,
    SelfReviewError,
    StaleFenceError,
    TaskFinishedError,
    TaskHeldError,
    TaskOnHoldError,
)
from services.lifecycle.earlier import read_earlier_work
from services.ports.database import Transaction
from services.quality.dealing import deal, lane_of
from services.quality.probes import room_of
from services.review.active_time import IDLE_AFTER
from services.review.fitting import cap_reached, is_capped, is_full, skills_asked, why_not
from services.review.hours import at_work, told_hours
from services.review.judges import (
    ensure_lease,
    ensure_may_judge,
    ensure_may_take,
    ensure_unfinished,
    folded_of,
    seen_task,
)
from services.review.signs import note_sign

_DEFAULT_LEASE_S = ProjectConfig().lease_s
_REASONS_TOLD = 3
_HELD = "Somebody else holds this task; claim another one."

WORK_REFUSED = (StaleFenceError, TaskFinishedError, ForbiddenError, SelfReviewError)
"""Errors that refuse work which cannot be sent again as it is; whoever has had the task keeps it as a draft."""


class ClaimWish(Contract):
    """Which task a person wants; everything that fits if nothing is said."""

    queue: Identifier | None = None
    project: ProjectId | None = None
    kinds: Annotated[tuple[TaskKind, ...], Field(max_length=10)] | None = Field(
        default=None, description="All kinds of the key's role if left out."
    )


async def claim_next(tx: Transaction, principal: Principal, wish: ClaimWish) -> tuple[Transaction, TakenTask]:
    """Claim the best task that fits the person, whatever the hour; return the transaction it is worked on in, and it.

    What names the person comes first, their rework before everything; see
    :meth:`services.ports.review.ReviewRepository.claim_next` for the rest of the order.

    Raises:
        ForbiddenError: The role does not take a kind that was asked for.
        NotFoundError: The key does not see the project.
        NoTaskAvailableError: Nothing fits now.
        PersonPausedError: All that fits is what the person is given none of for now.
    """
    allowed = task_kinds_of(principal.role)
    kinds = wish.kinds or allowed
    beyond = [kind for kind in kinds if kind not in allowed]
    if beyond or not kinds:
        raise ForbiddenError(f"The role {principal.role} does not take tasks of kind {beyond[0] if beyond else 'any'}.")
    if wish.project is not None:
        ensure_sees(principal, wish.project)
    projects = (wish.project,) if wish.project is not None else principal.projects
    lanes, reviewers = await tx.queues.lanes_in_turn(
        principal.actor_id, kinds=kinds, projects=projects, queue=wish.queue
    )
    limited = _limited(lanes, principal, reviewers)
    if limited:
        # Their other claims wait for this transaction, so that a place counted as free is free.
        await tx.queues.hold(limited)
    if limited or any(is_capped(reviewer) for reviewer in reviewers.values()):
        # Counted anew: another claim may have been made or have ended just before their turn came.
        lanes = await tx.queues.lanes(principal.actor_id, kinds=kinds, projects=projects, queue=wish.queue)
    offer = _offer(lanes, principal, reviewers)
    room, task = await _next(tx, principal, offer)
    if task is None:
        if offer.paused is not None:
            raise PersonPausedError(offer.paused)
        raise NoTaskAvailableError(" ".join(["No open task fits you now; try again later.", *offer.told]))
    return room, await _taken(room, principal, task, reviewers.get(task.ref.project))


async def _next(tx: Transaction, principal: Principal, offer: _Offer) -> tuple[Transaction, ReviewTask | None]:
    """Claim what the person is given now; with it, the transaction in which that is worked on."""
    given = await deal(tx, principal.actor_id, offer.lanes)
    if given is None:
        fits = [skills_asked(lane) for lane in offer.lanes]
        return tx, await tx.review.claim_next(principal.actor_id, offer.lanes, fits, IDLE_AFTER)
    room = await room_of(tx, given)
    looked_at = await seen_task(room, principal, given, lock=True)
    return room, await room.review.claim(given, principal.actor_id, await _lease_of(room, looked_at))


async def claim(tx: Transaction, principal: Principal, task_id: UUID) -> TakenTask:
    """Claim one task; claiming one's own again renews the lease.

    Raises:
        NotFoundError, ForbiddenError, SelfReviewError, TaskFinishedError: The person can not have it.
        TaskHeldError: Somebody else holds it.
        TaskOnHoldError: It is on hold, or its queue is paused.
        CapReachedError: The person, or the queue, holds as many tasks as may be.
        PersonPausedError: The person is given none of these tasks for now.
    """
    reviewers = await tx.people.at_work(principal.actor_id)
    looked_at = await seen_task(tx, principal, task_id)
    # Before its tasks, as who changes a queue does; its claims are counted one after the other.
    await tx.queues.hold([(looked_at.ref.project, looked_at.queue)])
    task = await seen_task(tx, principal, task_id, lock=True)
    if task.queue != looked_at.queue:
        raise TaskHeldError(f"This task was moved to queue {task.queue!r} just now; claim it again.")
    reviewer = reviewers.get(task.ref.project)
    await ensure_may_take(tx, principal, task)
    ensure_unfinished(task)
    case = await tx.review.case_file(task, principal.actor_id)
    folded = await folded_of(tx, task.ref, case.findings)
    ensure_may_judge(principal, task, case, folded, await read_earlier_work(tx, task.ref))
    if task.held_by not in (None, principal.actor_id):
        raise TaskHeldError(_HELD)
    if task.held_by is None:
        await _ensure_given(tx, principal, task, reviewer)
    claimed = await tx.review.claim(task_id, principal.actor_id, await _lease_of(tx, task), IDLE_AFTER)
    if claimed is None:
        raise TaskHeldError(_HELD)
    return await _taken(tx, principal, claimed, reviewer)


@dataclass(frozen=True, slots=True)
class _Offer:
    """The lanes a person may take from now, and sentences on what keeps others from them for the moment."""

    lanes: tuple[Lane, ...]
    told: tuple[str, ...]
    paused: str | None = None


def _limited(
    lanes: Iterable[Lane], principal: Principal, reviewers: Mapping[str, Reviewer]
) -> frozenset[tuple[str, str]]:
    """Return project and name of the queues with a capacity that the person may take from."""
    return frozenset(
        (lane.project, lane.queue)
        for lane in lanes
        if lane.capacity is not None and why_not(lane, principal, reviewers.get(lane.project)) is None
    )


def _offer(lanes: Iterable[Lane], principal: Principal, reviewers: Mapping[str, Reviewer]) -> _Offer:
    given: list[Lane] = []
    told: dict[str, None] = {}
    paused: str | None = None
    for lane in lanes:
        reviewer = reviewers.get(lane.project)
        if why_not(lane, principal, reviewer) is not None:
            continue
        reason = _person_paused(lane) or _why_not_now(lane, reviewer)
        if reason is None:
            given.append(lane)
            continue
        told[reason] = None
        if lane.person_paused:
            paused = paused or reason
    return _Offer(tuple(given), tuple(told)[:_REASONS_TOLD], paused if not given else None)


def _person_paused(lane: Lane) -> str | None:
    if not lane.person_paused:
        return None
    return f"You are given no {lane.kind} tasks of queue {lane.queue!r} for now; ask whoever runs the project."


def _why_not_now(lane: Lane, reviewer: Reviewer | None) -> str | None:
    if lane.paused:
        return f"Queue {lane.queue!r} is paused."
    return cap_reached(lane, reviewer) or (_full(lane) if is_full(lane) else None)


def _full(lane: Lane) -> str:
    return f"Queue {lane.queue!r} has {lane.capacity} tasks in people's hands, which is its capacity."


async def _ensure_given(tx: Transaction, principal: Principal, task: ReviewTask, reviewer: Reviewer | None) -> None:
    if task.on_hold:
        raise TaskOnHoldError(f"This task is on hold: {task.hold_reason or 'no reason was given'}")
    lanes = await tx.queues.lanes(
        principal.actor_id, kinds=(task.kind,), projects=(task.ref.project,), queue=task.queue
    )
    lane = lane_of(task, lanes)
    never = why_not(lane, principal, reviewer)
    if never is not None:
        raise ForbiddenError(never)
    paused = _person_paused(lane)
    if paused is not None:
        raise PersonPausedError(paused)
    reason = _why_not_now(lane, reviewer)
    if reason is not None:
        raise TaskOnHoldError(reason) if lane.paused else CapReachedError(reason)


async def _taken(tx: Transaction, principal: Principal, task: ReviewTask, reviewer: Reviewer | None) -> TakenTask:
    notice = None
    if reviewer is not None and reviewer.profile.calendar is not None and not at_work(reviewer.profile, await tx.now()):
        notice = (
            f"You are outside of your working hours, {told_hours(reviewer.profile)}; the task is yours all the same."
        )
    return TakenTask(**dict(task), notice=notice)


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
    now = await tx.now()
    ensure_lease(principal, task, fence, now)
    lease = await tx.review.renew(task_id, fence, await _lease_of(tx, task))
    if lease is None:
        raise StaleFenceError(f"The lease of fence {fence} has run out; claim the task again.")
    await note_sign(tx, task_id, principal.actor_id, now, visible=visible, idle=idle)
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
        ensure_lease(principal, task, fence, await tx.now())
    await tx.review.release(task_id, fence)


async def save_draft(tx: Transaction, principal: Principal, task_id: UUID, fence: int, body: dict[str, Any]) -> Draft:
    """Keep a person's unfinished work on a task they hold.

    Raises:
        NotFoundError, ForbiddenError, SelfReviewError: The person has no business with the task.
        TaskFinishedError, StaleFenceError: They do not hold it any more.
    """
    task = await seen_task(tx, principal, task_id, lock=True)
    await ensure_may_take(tx, principal, task)
    ensure_unfinished(task)
    now = await tx.now()
    ensure_lease(principal, task, fence, now)
    await note_sign(tx, task_id, principal.actor_id, now)
    return await tx.review.save_draft(task_id, principal.actor_id, body)


def kept(error: ConcordError) -> ConcordError:
    """Return the error with the fact that the work it refuses is kept as the person's draft."""
    return type(error)(
        f"{error.detail} What you sent is kept as your draft.",
        places=error.places,
        facts=error.facts | {"draft_kept": True},
    )


async def _lease_of(tx: Transaction, task: ReviewTask) -> timedelta:
    project = await tx.projects.get(task.ref.project)
    return timedelta(seconds=project.config.lease_s if project is not None else _DEFAULT_LEASE_S)
