"""What becomes of a queue: the first missed deadline, the empty queue, the people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.deadlines import WorkingCalendar, WorkingHours
from services.contracts.operations import Measured
from services.operations.forecast import QueueFacts, RiskFacts, forecast
from services.review.working_time import WorkingTime

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
ALWAYS = WorkingTime(None)


def of_risk(
    open_: int = 0, arrived: int = 0, first: timedelta = 20 * HOUR, finish: timedelta | None = None
) -> RiskFacts:
    return RiskFacts(open_, arrived, first, finish or first)


def facts(**changes: Any) -> QueueFacts:
    values: dict[str, Any] = {
        "risks": [of_risk(10, 24)], "overdue": 0, "deadlines": [NOW + 20 * HOUR] * 10, "completed": 24,
        "window": 24 * HOUR,
    }  # fmt: skip
    return QueueFacts(**values | changes)


def test_a_queue_in_balance_misses_nothing() -> None:
    told = forecast(facts(), NOW, ALWAYS)
    assert [told.arrivals_per_h, told.completions_per_h] == pytest.approx([1, 1])
    assert told.breach_at is None
    assert told.clear_in_s is None  # it stays as long as it is


def test_the_task_that_can_not_be_reached_in_time_is_the_first_to_be_late() -> None:
    # One an hour: the fourth, due in three hours, is reached after four.
    deadlines = [NOW + hours * HOUR for hours in (1, 2, 3, 3)]
    told = forecast(facts(deadlines=deadlines), NOW, ALWAYS)
    assert told.breach_at == deadlines[3]
    assert told.breach_in_s == pytest.approx(3 * 3_600)


def test_what_is_overdue_is_no_breach_to_come_but_is_done_first() -> None:
    deadlines = [NOW + 2 * HOUR, NOW + 3 * HOUR]
    assert forecast(facts(overdue=1, deadlines=deadlines), NOW, ALWAYS).breach_at is None
    told = forecast(facts(overdue=2, deadlines=deadlines), NOW, ALWAYS)
    assert told.breach_at == deadlines[0]
    assert told.breach_in_s == pytest.approx(2 * 3_600)
    assert forecast(facts(overdue=10, deadlines=[]), NOW, ALWAYS).breach_at is None


def test_a_queue_that_grows_is_late_when_its_wait_exceeds_what_is_allowed() -> None:
    # Two come and one goes an hour: after t hours a newcomer waits 10 + t hours, and twenty are allowed.
    told = forecast(facts(risks=[of_risk(10, 48)]), NOW, ALWAYS)
    assert told.breach_at == NOW + 10 * HOUR + 20 * HOUR


def test_each_risk_has_its_own_time() -> None:
    # One an hour is done. Of the urgent ones two come an hour and have two hours, so the first is late from then on.
    urgent, calm = of_risk(0, 48, 2 * HOUR), of_risk(10, 0, 100 * HOUR)
    late = NOW + 100 * HOUR
    told = forecast(facts(risks=[urgent, calm], deadlines=[late] * 10), NOW, ALWAYS)
    assert told.breach_at == NOW + 4 * HOUR
    # Calm ones that come as fast wait for their own time, and urgent ones go before them.
    calm = of_risk(10, 48, 100 * HOUR)
    told = forecast(facts(risks=[of_risk(0, 12, 2 * HOUR), calm], deadlines=[late] * 10), NOW, ALWAYS)
    # Half a task an hour is urgent: 49 of them and the 10 are due in 100 hours, then 2.5 an hour where one is done.
    assert told.breach_at is not None
    assert (told.breach_at - NOW) / HOUR == pytest.approx(100 + (100 - 49 - 10) / 1.5)


def test_tasks_that_come_are_late_from_their_first_deadline_on_where_nobody_works() -> None:
    told = forecast(facts(risks=[of_risk(0, 5, HOUR, 20 * HOUR)], deadlines=[], completed=0), NOW, ALWAYS)
    assert told.breach_at == NOW + HOUR
    assert forecast(facts(risks=[], deadlines=[], completed=0), NOW, ALWAYS).breach_at is None


def test_a_queue_that_shrinks_is_empty_when_its_surplus_is_done() -> None:
    told = forecast(facts(completed=48), NOW, ALWAYS)
    assert told.clear_in_s == pytest.approx(10 * 3_600)
    assert forecast(facts(risks=[of_risk(0, 24)], deadlines=[]), NOW, ALWAYS).clear_in_s == 0


def test_nights_do_not_count() -> None:
    office = WorkingTime(WorkingCalendar(hours=(WorkingHours(day="mon", opens="09:00", closes="17:00"),)))
    # Eight hours of work a week: of nine tasks at one an hour the last can not be done on Monday.
    deadlines = [NOW + timedelta(days=1)] * 9
    told = forecast(facts(deadlines=deadlines, window=24 * HOUR), NOW, office)
    assert told.breach_at == deadlines[8]
    assert forecast(facts(deadlines=deadlines[:8]), NOW, office).breach_at is None


def test_people_follow_from_handling_time_arrivals_and_backlog() -> None:
    assert forecast(facts(), NOW, ALWAYS).people is None
    told = forecast(facts(handling_s=Measured(value=1_800, list="/")), NOW, ALWAYS)
    # An hour brings one task, and half of one of the backlog: 1.5 tasks of half an hour.
    assert told.people == pytest.approx(0.75)

    # Half of it urgent, with two hours each: five halves of a task an hour of backlog.
    told = forecast(
        facts(risks=[of_risk(5, 0, 2 * HOUR), of_risk(5, 24)], handling_s=Measured(value=1_800, list="/")), NOW, ALWAYS
    )
    assert told.people == pytest.approx((1 + 2.5 + 0.25) / 2)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 300), st.integers(0, 50))
def test_the_pessimistic_end_is_never_later(arrived: int, completed: int, open_: int, overdue: int) -> None:
    risks = [of_risk(open_ + overdue, arrived), of_risk(0, arrived, 5 * HOUR)]
    deadlines = [NOW + 20 * HOUR] * open_
    told = forecast(facts(risks=risks, completed=completed, overdue=overdue, deadlines=deadlines), NOW, ALWAYS)
    if told.breach_at is not None:
        assert told.breach_at > NOW
        assert told.breach_at_earliest is not None
        assert told.breach_at_earliest <= told.breach_at
