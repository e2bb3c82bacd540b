"""What becomes of a queue: when the first deadline will be missed, when it is empty, how many people it needs.

A queue is taken as a fluid (G. F. Newell, Applications of Queueing Theory, 1982): open work is done in the order of
its deadlines at the rate at which work was completed in the window, and new work waits behind what is there. Both rates
are counts over a time and so uncertain; the pessimistic end takes the upper 95 % limit of the arrivals and the lower
one of the completions, each count being Poisson (square-root limits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from services.contracts.operations import QueueForecast
from services.review.working_time import WorkingTime

_Z = 1.96
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What is known of a queue.

    Attributes:
        open: Tasks open now.
        deadlines: Their first deadlines, the soonest first; the later ones may be left out.
        arrived: Tasks opened in the window.
        completed: Tasks completed in the window.
        window: Length of the window, in working time.
        allowed: How long a new task may take, in working time.
        handling_s: Median active time of a task, if known.
    """

    open: int
    deadlines: Sequence[datetime]
    arrived: int
    completed: int
    window: timedelta
    allowed: timedelta
    handling_s: float | None = None


def forecast(facts: QueueFacts, now: datetime, work: WorkingTime) -> QueueForecast:
    """Return what becomes of a queue if work comes and goes as it did in the window.

    Args:
        facts: What is known of it.
        now: The moment of the facts.
        work: The project's working time, in which both rates are counted.
    """
    seconds = max(facts.window / _SECOND, 1.0)
    expected = _Rates(facts.arrived / seconds, facts.completed / seconds)
    worst = _Rates(_upper(facts.arrived) / seconds, _lower(facts.completed) / seconds)
    breach = _first_breach(facts, expected, now, work)
    return QueueForecast(
        arrivals_per_h=expected.arrival * 3_600,
        completions_per_h=expected.completion * 3_600,
        breach_at=breach,
        breach_at_earliest=_first_breach(facts, worst, now, work),
        breach_in_s=None if breach is None else max((breach - now) / _SECOND, 0.0),
        clear_in_s=_until_clear(facts, expected, now, work),
        handling_s=facts.handling_s,
        people=_people(facts, expected),
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Tasks per second of working time."""

    arrival: float
    completion: float


def _upper(count: int) -> float:
    return (sqrt(count) + _Z / 2) ** 2


def _lower(count: int) -> float:
    return max(sqrt(count) - _Z / 2, 0.0) ** 2


def _first_breach(facts: QueueFacts, rates: _Rates, now: datetime, work: WorkingTime) -> datetime | None:
    """Return the first deadline that is missed: of the open tasks, else of those still to come."""
    for position, deadline in enumerate(facts.deadlines, start=1):
        if deadline <= now or position > rates.completion * (work.between(now, deadline) / _SECOND):
            return deadline
    if rates.arrival <= rates.completion:
        return None
    # A task that arrives after t waits for (open + (arrival - completion) t) / completion.
    allowed = facts.allowed / _SECOND
    room = rates.completion * allowed - facts.open
    return _after(work, now, max(room / (rates.arrival - rates.completion), 0.0) + allowed)


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
    """Return how many people keep up with the arrivals and clear the backlog within one allowed time."""
    if facts.handling_s is None:
        return None
    backlog = facts.open / max(facts.allowed / _SECOND, 1.0)
    return facts.handling_s * (rates.arrival + backlog)
