"""The arithmetic of deadlines: when work must be started and finished, and which of those moments have passed.

A task that stays open has one finish deadline after another, a window apart, counted from 1. What was done about each
moment is kept under the moment's key, so that each is acted on once. The key names when the moment is and not its
number: which number a moment has depends on the limits, and those may change while a task waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.deadlines import DeadlinePolicy, DeadlineRule
from services.contracts.manifest import Risk
from services.contracts.records import ProjectConfig
from services.contracts.review import LABELLING_KINDS, NewTask, ReviewTask, TaskKind, TaskState
from services.contracts.task_operations import RELEASE_GRACE
from services.ports.database import Transaction
from services.ports.review import TaskClock
from services.review.working_time import WorkingTime

_AT_ONCE = timedelta(0)
_LOOK_AT_HELD = timedelta(minutes=15)


class MomentKind(StrEnum):
    """What a moment of an open task asks for."""

    REMINDER = "reminder"  # it is due soon
    START = "start"  # nobody has claimed it yet
    FINISH = "finish"  # nobody has decided it yet


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which something happens to a task that is still open.

    Attributes:
        kind: What it asks for.
        at: When it is.
        key: The name under which it is kept that it was acted on.
        number: For finish deadlines, which one, from 1; else 1.
    """

    kind: MomentKind
    at: datetime
    key: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a task may wait and take, in working time.

    Attributes:
        finish: Until it is decided, which is also how far its further deadlines are apart.
        start: Until somebody claims it for the first time in its tier; None where that does not matter.
        reminders: How long before it is due reminders are sent.
        work: The project's working time.
    """

    finish: timedelta
    start: timedelta | None
    reminders: tuple[timedelta, ...]
    work: WorkingTime

    def open(self, task: NewTask, now: datetime) -> NewTask:
        """Return a new task with its deadlines, counted from ``now``."""
        clock = self.clock(now)
        return task.model_copy(update={"due_at": clock.due_at, "start_by_at": clock.start_by_at})

    def clock(self, now: datetime) -> TaskClock:
        """Return the deadlines of work that begins to wait ``now``."""
        start_by = None if self.start is None else self.work.after(now, min(self.start, self.finish))
        return TaskClock(start_by_at=start_by, due_at=self.work.after(now, self.finish))

    def deadline_number(self, due_at: datetime, now: datetime) -> int:
        """Return how many finish deadlines have passed: 0 before the task is due, 1 from ``due_at`` on, and so on."""
        return 0 if now < due_at else 1 + self.work.between(due_at, now) // self.finish

    def deadline(self, due_at: datetime, number: int) -> datetime:
        """Return when finish deadline ``number`` (from 1) is."""
        return self.work.after(due_at, (number - 1) * self.finish)

    def passed(self, task: ReviewTask, now: datetime) -> Iterator[Moment]:
        """Yield the moments of an open task that ask for something now: of each kind the newest, if any."""
        if task.due_at is None:
            return
        number = self.deadline_number(task.due_at, now)
        if number:
            yield _finish(task, self.deadline(task.due_at, number), number)
        else:
            sent = [moment for moment in self._reminders(task) if moment.at <= now]
            yield from sent[-1:]
        start = _start(task)
        if start is not None and start.at <= now:
            yield start

    def next_after(self, task: ReviewTask, now: datetime) -> datetime | None:
        """Return the first moment of an open task that is still to come; None if it is never due."""
        if task.due_at is None:
            return None
        number = self.deadline_number(task.due_at, now)
        start = _start(task)
        coming = [self.deadline(task.due_at, number + 1), *(moment.at for moment in self._reminders(task))]
        if start is not None:
            coming.append(start.at)
        return min(at for at in coming if at > now)

    def _reminders(self, task: ReviewTask) -> tuple[Moment, ...]:
        """Return the task's reminders in the order of time."""
        if task.due_at is None:
            return ()
        return tuple(
            Moment(
                MomentKind.REMINDER,
                self.work.before(task.due_at, before),
                f"{_key(task, task.due_at)}/reminder/{before // timedelta(seconds=1)}",
            )
            for before in sorted(self.reminders, reverse=True)
        )


def limits_of(kind: TaskKind, queue: str, risk: Risk, config: ProjectConfig) -> Limits:
    """Return the limits of work of this kind, queue and risk: those of the first rule that fits, else the project's."""
    policy = config.deadlines or DeadlinePolicy()
    rule = next((rule for rule in policy.rules if _fits(rule, kind, queue, risk)), DeadlineRule())
    whole = config.annotate_within_s if kind in LABELLING_KINDS else config.review_within_s
    finish = rule.finish_within_s or whole
    return Limits(
        finish=timedelta(seconds=finish),
        start=None if rule.start_within_s is None else timedelta(seconds=rule.start_within_s),
        reminders=tuple(timedelta(seconds=before) for before in rule.remind_before_s if before < finish),
        work=WorkingTime(policy.calendar),
    )


def limits_of_task(task: ReviewTask | NewTask, config: ProjectConfig) -> Limits:
    """Return the limits of a task, as the project sets them now."""
    return limits_of(task.kind, task.queue, task.risk, config)


def is_held(task: ReviewTask, now: datetime) -> bool:
    """Whether somebody holds the task under a live lease."""
    return task.state is TaskState.CLAIMED and task.lease_expires_at is not None and task.lease_expires_at > now


def released(task: ReviewTask, now: datetime) -> ReviewTask:
    """Return a task on hold as it would be if it were released ``now``: with the time that it had left.

    The store does the same to the tasks of a release.
    """
    stood = now - (task.on_hold_since or now)

    def later(deadline: datetime | None) -> datetime | None:
        return None if deadline is None else max(deadline + stood, now + RELEASE_GRACE)

    given = {"start_by_at": later(task.start_by_at), "due_at": later(task.due_at)}
    return task.model_copy(update={"on_hold": False, "hold_reason": None, "on_hold_since": None, **given})


async def missed(tx: Transaction, task: ReviewTask, limits: Limits, now: datetime) -> tuple[Moment, ...]:
    """Return the task's moments that have passed and were not acted on; none while it is on hold."""
    if task.on_hold:
        return ()
    return tuple(
        [moment for moment in limits.passed(task, now) if await tx.idempotency.lock(SYSTEM_ACTOR, moment.key) is None]
    )


async def until_next_deadline(
    tx: Transaction, tasks: Iterable[ReviewTask], config: ProjectConfig, now: datetime
) -> timedelta | None:
    """Return how long until one of these open tasks must be looked at; None if none is ever due."""
    waits = [wait for task in tasks if (wait := await _wait_of(tx, task, config, now)) is not None]
    return min(waits, default=None)


async def _wait_of(tx: Transaction, task: ReviewTask, config: ProjectConfig, now: datetime) -> timedelta | None:
    limits = limits_of_task(task, config)
    if task.on_hold:
        # A release wakes nobody, so it is looked at again when there would be something to do, were it released now.
        coming = limits.next_after(released(task, now), now)
        return None if coming is None else max(coming - now, _LOOK_AT_HELD)
    coming = limits.next_after(task, now)
    if coming is None:
        return None
    late = await missed(tx, task, limits, now)
    if not late:
        return coming - now
    if is_held(task, now) and task.lease_expires_at is not None and late[0].kind is not MomentKind.REMINDER:
        # Missed, but in somebody's hands: looked at again when the lease ends.
        return min(task.lease_expires_at, coming) - now
    return _AT_ONCE


def _fits(rule: DeadlineRule, kind: TaskKind, queue: str, risk: Risk) -> bool:
    return (
        (not rule.kinds or kind in rule.kinds)
        and (not rule.queues or queue in rule.queues)
        and (not rule.risks or risk in rule.risks)
    )


def _start(task: ReviewTask) -> Moment | None:
    """Return when the task must first be claimed in its tier; None once it was, or where that does not matter."""
    if task.start_by_at is None or task.fence > task.tier_fence:
        return None
    return Moment(MomentKind.START, task.start_by_at, f"{_key(task, task.start_by_at)}/start")


def _finish(task: ReviewTask, at: datetime, number: int) -> Moment:
    return Moment(MomentKind.FINISH, at, f"{_key(task, at)}/finish", number)


def _key(task: ReviewTask, at: datetime) -> str:
    return f"deadline/{task.task_id}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
