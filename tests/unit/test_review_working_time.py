"""Working time: weekly hours, holidays, and the two days on which the clock on the wall jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.contracts.deadlines import DeadlineRule, WorkingCalendar, WorkingHours
from services.review.working_time import WorkingTime

HOUR = timedelta(hours=1)
OFFICE = WorkingCalendar(
    time_zone="Europe/Berlin",
    hours=tuple(WorkingHours(day=day, opens="09:00", closes="17:00") for day in ("mon", "tue", "wed", "thu", "fri")),
    holidays=(date(2026, 12, 25),),
)
NIGHTS = WorkingCalendar(
    time_zone="Europe/Berlin",
    hours=tuple(
        WorkingHours(day=day, opens=opens, closes=closes)
        for day in ("sat", "sun")
        for opens, closes in (("00:00", "02:30"), ("02:30", "06:00"))
    ),
)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WorkingTime(OFFICE)._zone)


def test_an_evening_and_a_weekend_do_not_count() -> None:
    # Friday 16:00 and two hours of work: Monday 10:00.
    assert WorkingTime(OFFICE).after(berlin("2026-11-27 16:00"), 2 * HOUR) == berlin("2026-11-30 10:00")
    assert WorkingTime(OFFICE).before(berlin("2026-11-30 10:00"), 2 * HOUR) == berlin("2026-11-27 16:00")
    assert WorkingTime(OFFICE).between(berlin("2026-11-27 16:00"), berlin("2026-11-30 10:00")) == 2 * HOUR


def test_a_holiday_does_not_count() -> None:
    assert WorkingTime(OFFICE).after(berlin("2026-12-24 16:00"), 2 * HOUR) == berlin("2026-12-28 10:00")


def test_work_that_arrives_at_night_begins_in_the_morning() -> None:
    assert WorkingTime(OFFICE).after(berlin("2026-11-30 03:00"), HOUR) == berlin("2026-11-30 10:00")


def test_without_a_calendar_all_time_counts() -> None:
    start = datetime(2026, 11, 28, 3, tzinfo=UTC)
    assert WorkingTime(None).after(start, 30 * HOUR) == start + 30 * HOUR
    assert WorkingTime(None).before(start, 30 * HOUR) == start - 30 * HOUR
    assert WorkingTime(None).between(start, start + HOUR) == HOUR
    assert WorkingTime(None).between(start, start - HOUR) == timedelta(0)


@pytest.mark.parametrize(
    ("start", "end", "worked"),
    [
        ("2026-03-29 00:00", "2026-03-29 07:00", 5 * HOUR),  # 02:00 to 03:00 is left out
        ("2026-10-25 00:00", "2026-10-25 07:00", 7 * HOUR),  # 02:00 to 03:00 comes twice
        ("2026-11-01 00:00", "2026-11-01 07:00", 6 * HOUR),
    ],
    ids=["spring", "autumn", "any other day"],
)
def test_the_hour_that_the_clock_skips_is_not_worked_and_the_one_it_repeats_is_worked_twice(
    start: str, end: str, worked: timedelta
) -> None:
    assert WorkingTime(NIGHTS).between(berlin(start), berlin(end)) == worked


_MINUTES = st.integers(0, 365 * 24 * 60)
_MOMENTS = _MINUTES.map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))
_AMOUNTS = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=20))
_CALENDARS = st.sampled_from([None, OFFICE, NIGHTS])


@given(_CALENDARS, _MOMENTS, _AMOUNTS)
def test_after_and_before_are_the_first_and_the_last_moment_with_so_much_between(
    calendar: WorkingCalendar | None, moment: datetime, amount: timedelta
) -> None:
    work = WorkingTime(calendar)
    end = work.after(moment, amount)
    assert work.between(moment, end) == amount
    assert work.between(moment, end - timedelta(microseconds=1)) < amount
    start = work.before(moment, amount)
    assert work.between(start, moment) == amount
    assert work.between(start + timedelta(microseconds=1), moment) < amount


@given(_CALENDARS, _MOMENTS, _AMOUNTS, _AMOUNTS)
def test_working_time_adds_up(
    calendar: WorkingCalendar | None, moment: datetime, first: timedelta, second: timedelta
) -> None:
    work = WorkingTime(calendar)
    assert work.after(work.after(moment, first), second) == work.after(moment, first + second)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"time_zone": "Mars/Olympus", "hours": []}, "'Mars/Olympus' is no time zone"),
        ({"time_zone": "UTC", "hours": []}, "at least 1 item"),
        ({"hours": [{"day": "mon", "opens": "17:00", "closes": "09:00"}]}, "closes must be later than opens"),
        ({"hours": [{"day": "mon", "opens": "09:00", "closes": "25:00"}]}, "should match pattern"),
        (
            {
                "hours": [
                    {"day": "mon", "opens": "09:00", "closes": "12:00"},
                    {"day": "mon", "opens": "11:00", "closes": "17:00"},
                ]
            },
            "overlap; join them",
        ),
    ],
    ids=["zone", "no hours", "backwards", "no time of day", "overlap"],
)
def test_a_calendar_that_can_not_be_says_what_to_change(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WorkingCalendar.model_validate(given_)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"start_within_s": 10, "finish_within_s": 5}, "start_within_s must not be longer"),
        ({"finish_within_s": 60, "remind_before_s": [60]}, "a reminder must come after the opening"),
    ],
    ids=["start after finish", "reminder before opening"],
)
def test_a_rule_in_the_wrong_order_says_so(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DeadlineRule.model_validate(given_)
