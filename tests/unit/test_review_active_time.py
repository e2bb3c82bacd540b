"""Active time: what counts between two signs of life, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.review import Activity
from services.review.active_time import IDLE_AFTER, add_sign

START = datetime(2026, 11, 30, 9, tzinfo=UTC)
NONE = Activity(task_id=UUID(int=1), actor_id="ann")


def worked(*signs: tuple[float, bool, float]) -> float:
    """Active seconds after signs of (seconds since the start, visible, idle seconds)."""
    activity = NONE
    for at, visible, idle in signs:
        activity = add_sign(activity, START + timedelta(seconds=at), visible=visible, idle=timedelta(seconds=idle))
    return activity.active_s


@pytest.mark.parametrize(
    ("signs", "active_s"),
    [
        ([(0, True, 0)], 0),
        ([(0, True, 0), (30, True, 0), (55, True, 0)], 55),
        ([(0, True, 0), (600, True, 0)], 60),  # a pause counts as far as a minute
        ([(0, True, 0), (30, True, 20)], 10),  # the last movement was at 10 s
        ([(0, True, 0), (30, True, 20), (60, True, 50), (90, True, 80)], 10),  # nobody has moved since
        ([(0, True, 0), (20, False, 0), (50, True, 0), (60, True, 0)], 10),  # hidden, then back
        ([(0, False, 0), (30, False, 0)], 0),
        ([(0, True, 0), (30, True, 0), (20, True, 0)], 30),  # an older sign changes nothing
    ],
    ids=["first", "steady", "pause", "idle", "gone", "hidden", "never seen", "late"],
)
def test_what_counts(signs: list[tuple[float, bool, float]], active_s: float) -> None:
    assert worked(*signs) == pytest.approx(active_s)


@given(st.lists(st.tuples(st.floats(0, 200), st.booleans(), st.floats(0, 300)), max_size=30))
def test_active_time_never_exceeds_the_time_that_passed_nor_a_minute_a_sign(
    steps: list[tuple[float, bool, float]],
) -> None:
    at, activity = 0.0, NONE
    for step, visible, idle in steps:
        at += step
        activity = add_sign(
            activity, START + timedelta(seconds=at), visible=visible, idle=timedelta(seconds=min(idle, at))
        )
    assert activity.active_s <= at + 1e-6
    assert activity.active_s <= len(steps) * IDLE_AFTER.total_seconds()
