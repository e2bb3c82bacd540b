"""What becomes of a queue: when the next deadline will be missed, when it is empty, how many people it needs.

A queue is taken as a fluid (G. F. Newell, Applications of Queueing Theory, 1982) that is served at the rate at which
work was completed in the window, in the order of deadlines. A deadline is missed where more work is due by then than
can be done by then (the processor demand of S. K. Baruah et al., 1990). Work that is overdue already is done first;
it is no breach to come. Both rates are counts over a time and so uncertain; the pessimistic end takes the upper 95 %
limit of the arrivals and the lower one of the completions, each count being Poisson (square-root limits).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from services.contracts.operations import Measured, QueueForecast
from services.review.working_time import WorkingTime

_Z = 1.96
_SECOND = timedelta(seconds=1)
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """What is known of a queue's work of one risk.

    Attributes:
        open: Tasks open now.
        arrived: Tasks opened in the window.
        first: How long a new task has until its first deadline, in working time.
        finish: How long it may take altogether, in working time.
    """

    open: int
    arrived: int
    first: timedelta
    finish: timedelta


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What is known of a queue.

    Attributes:
        risks: Its work by risk.
        overdue: Open tasks that have missed a deadline.
        deadlines: The first deadlines of the other open tasks, the soonest first; the later ones may be left out.
        completed: Tasks completed in the window.
        window: Length of the window, in working time.
        handling_s: Median active time of a task with its list, if known.
    """

    risks: Sequence[RiskFacts]
    overdue: int
    deadlines: Sequence[datetime]
    completed: int
    window: timedelta
    handling_s: Measured | None = None

    @property
    def open(self) -> int:
        """Tasks open now."""
        return sum(risk.open for risk in self.risks)


def forecast(facts: QueueFacts, now: datetime, work: WorkingTime) -> QueueForecast:
    """Return what becomes of a queue if work comes and goes as it did in the window.

    Args:
        facts: What is known of it.
        now: The moment of the facts.
        work: The project's working time, in which both rates are counted.
    """
    seconds = max(facts.window / _SECOND, 1.0)
    expected = _Rates(tuple(risk.arrived / seconds for risk in facts.risks), facts.completed / seconds)
    worst = _Rates(tuple(_upper(risk.arrived) / seconds for risk in facts.risks), _lower(facts.completed) / seconds)
    breach = _first_breach(facts, expected, now, work)
    return QueueForecast(
        arrivals_per_h=expected.arrival * 3_600,
        completions_per_h=expected.completion * 3_600,
        breach_at=breach,
        breach_at_earliest=_first_breach(facts, worst, now, work),
        breach_in_s=None if breach is None else (breach - now) / _SECOND,
        clear_in_s=_until_clear(facts, expected, now, work),
        handling_s=facts.handling_s,
        people=_people(facts, expected),
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Tasks per second of working time; the arrivals by risk."""

    arrivals: tuple[float, ...]
    completion: float

    @property
    def arrival(self) -> float:
        """All arrivals."""
        return sum(self.arrivals)


def _upper(count: int) -> float:
    return (sqrt(count) + _Z / 2) ** 2


def _lower(count: int) -> float:
    return max(sqrt(count) - _Z / 2, 0.0) ** 2


@dataclass(frozen=True, slots=True)
class _Due:
    """A moment, in seconds of working time from now, at which the work that is due by then grows.

    Attributes:
        at_s: The moment.
        deadline: Of an open task that is due then.
        arrival: Tasks per second that will have come and be due from then on.
    """

    at_s: float
    deadline: datetime | None = None
    arrival: float = 0.0


def _dues(facts: QueueFacts, rates: _Rates, now: datetime, work: WorkingTime) -> Iterator[_Due]:
    for deadline in facts.deadlines:
        yield _Due(work.between(now, deadline) / _SECOND, deadline=deadline)
    for risk, arrival in zip(facts.risks, rates.arrivals, strict=True):
        if arrival:
            yield _Due(risk.first / _SECOND, arrival=arrival)


def _first_breach(facts: QueueFacts, rates: _Rates, now: datetime, work: WorkingTime) -> datetime | None:
    """Return the next deadline that is missed, of an open task or of one that is still to come."""
    due, arriving, since_s = float(facts.overdue), 0.0, 0.0
    for step in sorted(_dues(facts, rates, now, work), key=lambda step: step.at_s):
        behind_s = _behind_from(due, arriving, since_s, rates.completion)
        if behind_s is not None and behind_s < step.at_s:
            return _after(work, now, behind_s)
        due += arriving * (step.at_s - since_s)
        arriving, since_s = arriving + step.arrival, step.at_s
        if step.deadline is not None:
            due += 1
            if due > rates.completion * since_s * (1 + _ROUNDING):
                return step.deadline
    behind_s = _behind_from(due, arriving, since_s, rates.completion)
    return None if behind_s is None else _after(work, now, behind_s)


def _behind_from(due: float, arriving: float, since_s: float, completion: float) -> float | None:
    """Return from when on tasks that come are late: more of them and what went before is due than can be done.

    Args:
        due: Tasks due by ``since_s``.
        arriving: By how many that grows every second from then on.
        since_s: Seconds from now.
        completion: Tasks done a second.
    """
    if not arriving:
        return None
    room = completion * since_s - due
    if room < 0:
        return since_s
    return since_s + room / (arriving - completion) if arriving > completion else None


def _until_clear(facts: QueueFacts, rates: _Rates, now: datetime, work: WorkingTime) -> float | None:
    if not facts.open:
        return 0.0
    if rates.completion <= rates.arrival:
        return None
    at = _after(work, now, facts.open / (rates.completion - rates.arrival))
    return None if at is None else (at - now) / _SECOND


def _after(work: WorkingTime, now: datetime, seconds: float) -> datetime | None:
    try:
        return work.after(now, timedelta(seconds=seconds))
    except OverflowError:
        return None


def _people(facts: QueueFacts, rates: _Rates) -> float | None:
    """Return how many people keep up with the arrivals and clear the backlog in the time that its tasks are allowed."""
    if facts.handling_s is None:
        return None
    backlog = sum(risk.open / max(risk.finish / _SECOND, 1.0) for risk in facts.risks)
    return facts.handling_s.value * (rates.arrival + backlog)
