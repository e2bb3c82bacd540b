"""What becomes of a queue: the first missed deadline, the empty queue, the people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.deadlines import WorkingCalendar, WorkingHours
from services.operations.forecast import QueueFacts, forecast
from services.review.working_time import WorkingTime

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
ALWAYS = WorkingTime(None)


def facts(**changes: Any) -> QueueFacts:
    values: dict[str, Any] = {
        "open": 10, "deadlines": [NOW + 20 * HOUR] * 10, "arrived": 24, "completed": 24, "window": 24 * HOUR,
        "allowed": 20 * HOUR,
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


def test_what_is_late_already_is_late_now() -> None:
    told = forecast(facts(deadlines=[NOW - HOUR]), NOW, ALWAYS)
    assert (told.breach_at, told.breach_in_s) == (NOW - HOUR, 0)


def test_a_queue_that_grows_is_late_when_its_wait_exceeds_what_is_allowed() -> None:
    # Two come and one goes an hour: after t hours a newcomer waits 10 + t hours, and twenty are allowed.
    told = forecast(facts(arrived=48), NOW, ALWAYS)
    assert told.breach_at == NOW + 10 * HOUR + 20 * HOUR


def test_a_queue_that_shrinks_is_empty_when_its_surplus_is_done() -> None:
    told = forecast(facts(completed=48), NOW, ALWAYS)
    assert told.clear_in_s == pytest.approx(10 * 3_600)
    assert forecast(facts(open=0, deadlines=[]), NOW, ALWAYS).clear_in_s == 0


def test_nights_do_not_count() -> None:
    office = WorkingTime(WorkingCalendar(hours=(WorkingHours(day="mon", opens="09:00", closes="17:00"),)))
    # Eight hours of work a week: of nine tasks at one an hour the last can not be done on Monday.
    deadlines = [NOW + timedelta(days=1)] * 9
    told = forecast(facts(deadlines=deadlines, window=24 * HOUR), NOW, office)
    assert told.breach_at == deadlines[8]
    assert forecast(facts(deadlines=deadlines[:8]), NOW, office).breach_at is None


def test_people_follow_from_handling_time_arrivals_and_backlog() -> None:
    assert forecast(facts(), NOW, ALWAYS).people is None
    told = forecast(facts(handling_s=1_800), NOW, ALWAYS)
    # An hour brings one task, and half of one of the backlog: 1.5 tasks of half an hour.
    assert told.people == pytest.approx(0.75)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 300))
def test_the_pessimistic_end_is_never_later(arrived: int, completed: int, open_: int) -> None:
    told = forecast(
        facts(arrived=arrived, completed=completed, open=open_, deadlines=[NOW + 20 * HOUR] * open_), NOW, ALWAYS
    )
    if told.breach_at is not None:
        assert told.breach_at_earliest is not None
        assert told.breach_at_earliest <= told.breach_at
