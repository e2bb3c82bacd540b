"""Moments of a task: never early, in order, a window apart, and something to wait for as long as it is open."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.deadlines import DeadlinePolicy, DeadlineRule, WorkingCalendar, WorkingHours
from services.contracts.records import ProjectConfig
from services.contracts.review import NewTask, ReviewTask, TaskKind
from services.lifecycle.windows import Limits, MomentKind, limits_of_task
from tests.review_cases import AT, REF, a_task

_SHIFTS = WorkingCalendar(
    time_zone="America/New_York",
    hours=(
        WorkingHours(day="mon", opens="08:00", closes="12:00"),
        WorkingHours(day="mon", opens="13:00", closes="17:00"),
        WorkingHours(day="sun", opens="00:00", closes="24:00"),
    ),
)


@st.composite
def open_tasks(draw: st.DrawFn) -> tuple[ReviewTask, Limits]:
    finish = draw(st.integers(60, 400_000))
    rule = DeadlineRule(
        finish_within_s=finish,
        start_within_s=draw(st.one_of(st.none(), st.integers(1, finish))),
        remind_before_s=tuple(draw(st.lists(st.integers(1, finish - 1), max_size=3, unique=True))),
    )
    policy = DeadlinePolicy(calendar=draw(st.sampled_from([None, _SHIFTS])), rules=(rule,))
    task = NewTask(ref=REF, kind=TaskKind.REVIEW, queue="words")
    limits = limits_of_task(task, ProjectConfig(deadlines=policy))
    opened = limits.open(task, AT)
    fence, tier_fence = draw(st.sampled_from([(0, 0), (1, 0), (3, 3)]))
    waiting = a_task(due_at=opened.due_at, start_by_at=opened.start_by_at, fence=fence, tier_fence=tier_fence)
    return waiting, limits


@given(open_tasks(), st.timedeltas(timedelta(0), timedelta(days=90)))
def test_no_moment_passes_early_and_the_next_is_always_ahead(case: tuple[ReviewTask, Limits], after: timedelta) -> None:
    task, limits = case
    now = AT + after
    passed = list(limits.passed(task, now))
    assert all(moment.at <= now for moment in passed)
    assert len({moment.kind for moment in passed}) == len(passed)
    coming = limits.next_after(task, now)
    assert coming is not None
    assert coming > now
    # Nothing new passes before the next moment, and something does at it.
    just_before = coming - timedelta(microseconds=1)
    assert [moment.key for moment in limits.passed(task, max(now, just_before))] == [moment.key for moment in passed]
    assert [moment.key for moment in limits.passed(task, coming)] != [moment.key for moment in passed]


@given(open_tasks(), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_finish_deadlines_are_a_window_of_working_time_apart(case: tuple[ReviewTask, Limits], after: timedelta) -> None:
    task, limits = case
    assert task.due_at is not None
    now = task.due_at + after
    number = limits.deadline_number(task.due_at, now)
    assert number >= 1
    assert limits.deadline(task.due_at, number) <= now < limits.deadline(task.due_at, number + 1)
    assert limits.work.between(task.due_at, limits.deadline(task.due_at, number)) == (number - 1) * limits.finish


@given(open_tasks())
def test_work_that_was_started_has_no_start_moment(case: tuple[ReviewTask, Limits]) -> None:
    task, limits = case
    assert task.due_at is not None
    kinds = {moment.kind for moment in limits.passed(task, task.due_at)}
    assert (MomentKind.START in kinds) == (task.start_by_at is not None and task.fence == task.tier_fence)
