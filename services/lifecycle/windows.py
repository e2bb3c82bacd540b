"""The arithmetic of deadlines. A task that stays open has one after another, a window apart, counted from 1."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.records import ProjectConfig
from services.contracts.review import LABELLING_KINDS, ReviewTask, TaskKind, TaskState
from services.ports.database import Transaction

_AT_ONCE = timedelta(0)


def window_of(kind: TaskKind, config: ProjectConfig) -> timedelta:
    """Return how long a task of this kind may take, which is also how far its further deadlines are apart."""
    return timedelta(seconds=config.annotate_within_s if kind in LABELLING_KINDS else config.review_within_s)


def deadline_number(due_at: datetime, window: timedelta, now: datetime) -> int:
    """Return how many deadlines of a task have passed: 0 before it is due, 1 from ``due_at`` on, and so on."""
    return 0 if now < due_at else 1 + (now - due_at) // window


def deadline_key(task: ReviewTask, number: int) -> str:
    """Return the name under which it is kept that this deadline was acted on."""
    return f"deadline/{task.task_id}/{number}"


def is_held(task: ReviewTask, now: datetime) -> bool:
    """Whether somebody holds the task under a live lease."""
    return task.state is TaskState.CLAIMED and task.lease_expires_at is not None and task.lease_expires_at > now


async def missed_deadline(tx: Transaction, task: ReviewTask, window: timedelta, now: datetime) -> int | None:
    """Return the number of the task's newest deadline if it has passed and was not acted on, else None."""
    if task.due_at is None:
        return None
    number = deadline_number(task.due_at, window, now)
    if number == 0 or await tx.idempotency.lock(SYSTEM_ACTOR, deadline_key(task, number)) is not None:
        return None
    return number


async def until_next_deadline(
    tx: Transaction, tasks: Iterable[ReviewTask], config: ProjectConfig, now: datetime
) -> timedelta | None:
    """Return how long until one of these open tasks must be looked at; None if none is ever due."""
    waits = [
        wait for task in tasks if (wait := await _wait_of(tx, task, window_of(task.kind, config), now)) is not None
    ]
    return min(waits, default=None)


async def _wait_of(tx: Transaction, task: ReviewTask, window: timedelta, now: datetime) -> timedelta | None:
    if task.due_at is None:
        return None
    if await missed_deadline(tx, task, window, now) is None:
        return task.due_at + deadline_number(task.due_at, window, now) * window - now
    # Missed, but in somebody's hands: looked at again when the lease ends.
    return task.lease_expires_at - now if is_held(task, now) and task.lease_expires_at is not None else _AT_ONCE
