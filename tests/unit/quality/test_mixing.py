from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.agreement.intervals import wilson_interval
from services.contracts.calibration import EarnedSkill, GoldPolicy
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import ProjectConfig
from services.contracts.review import ReviewTask, TaskKind
from services.quality.mixing import comes_before, is_gold_turn, place_in_line
from services.quality.standing import earned_level, ends_by_itself, figures_of, is_below_bar

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def task(number: int, *, priority: int = 100, waited_h: float = 1.0, assignee: str | None = None) -> ReviewTask:
    return ReviewTask(
        task_id=UUID(int=number),
        ref=RevisionRef(project="p", sample_id="s", revision=1),
        kind=TaskKind.REVIEW,
        queue="q",
        priority=priority,
        assignee=assignee,
        created_at=NOW - timedelta(hours=waited_h),
    )


def before(one: ReviewTask, other: ReviewTask, *, ageing: tuple[float, float] = (0, 0), fits: Any = (0, 0)) -> bool:
    return comes_before(one, other, NOW, ageing=ageing, fits=fits)


def test_turns_are_drawn_at_the_rate_and_the_same_whenever_they_are_asked_for() -> None:
    turns = [is_gold_turn("secret", "rex", turn, 0.1) for turn in range(1, 10_001)]
    assert turns == [is_gold_turn("secret", "rex", turn, 0.1) for turn in range(1, 10_001)]
    low, high = wilson_interval(sum(turns), len(turns), z=4.0)
    assert low < 0.1 < high
    assert turns != [is_gold_turn("secret", "ida", turn, 0.1) for turn in range(1, 10_001)]
    assert turns != [is_gold_turn("another", "rex", turn, 0.1) for turn in range(1, 10_001)]


def test_no_turn_tells_of_the_next() -> None:
    """After a known answer the next one is as likely as after none; a rhythm would show."""
    turns = [is_gold_turn("secret", "rex", turn, 0.2) for turn in range(1, 20_001)]
    after = [now for last, now in pairwise(turns) if last]
    low, high = wilson_interval(sum(after), len(after), z=4.0)
    assert low < 0.2 < high


def test_a_place_in_line_lies_between_two_tasks() -> None:
    places = [place_in_line("secret", "rex", turn) for turn in range(1_000)]
    assert 0 < min(places) < 0.1
    assert 0.9 < max(places) < 1


@pytest.mark.parametrize(
    ("one", "other", "given"),
    [
        (task(1, priority=200), task(2), True),
        (task(1), task(2, priority=200), False),
        (task(1, waited_h=2), task(2), True),
        (task(2), task(1, waited_h=2), False),
        (task(1), task(2, assignee="rex"), False),
        (task(1), task(2), True),
    ],
)
def test_what_waits_is_given_in_the_order_of_a_claim(one: ReviewTask, other: ReviewTask, given: bool) -> None:
    assert before(one, other) is given


def test_ageing_and_skills_decide_as_in_a_claim() -> None:
    assert before(task(1, waited_h=10), task(2, priority=130), ageing=(5.0, 0.0))
    assert not before(task(1, waited_h=1), task(2, priority=130), ageing=(5.0, 0.0))
    assert before(task(2), task(1, waited_h=2), fits=(2, 1)), "of equal points the better fit, then the older"


@pytest.mark.parametrize(
    ("judged", "right", "paused"),
    [(20, 20, False), (20, 10, False), (20, 6, True), (4, 0, False), (5, 0, True), (5, 1, False), (0, 0, False)],
)
def test_a_pause_needs_enough_answers_and_an_interval_below_the_bar(judged: int, right: int, paused: bool) -> None:
    policy = GoldPolicy(rate=0.1, bar=0.6, min_answers=5)
    assert is_below_bar(figures_of(judged, right), policy) is paused


@pytest.mark.parametrize(
    ("judged", "right", "over"),
    [(0, 0, True), (1, 0, False), (4, 4, False), (5, 0, False), (5, 1, True), (20, 6, False), (20, 20, True)],
)
def test_a_pause_ends_by_itself_when_nothing_or_enough_of_another_kind_is_left(
    judged: int, right: int, over: bool
) -> None:
    policy = GoldPolicy(rate=0.1, bar=0.6, min_answers=5)
    assert ends_by_itself(figures_of(judged, right), policy) is over


RULES = tuple(
    EarnedSkill(skill="s", level=level, min_answers=10, grant_above=grant, revoke_below=grant - 0.1)
    for level, grant in ((1, 0.5), (2, 0.7), (3, 0.9))
)


def earned(held: int, judged: int, right: int) -> int:
    level, figures = earned_level(held, [(rule, figures_of(judged, right)) for rule in RULES])
    assert (figures is None) == (level == 0)
    return level


@pytest.mark.parametrize(
    ("held", "judged", "right", "level"),
    [
        (0, 9, 9, 0),  # too few
        (0, 10, 10, 2),  # at least 72 %
        (0, 40, 40, 3),  # at least 91 %
        (0, 40, 30, 1),  # 60 to 86 %
        (3, 40, 30, 3),  # 86 % is not below 80 %: what one has stays
        (3, 40, 20, 2),  # 35 to 65 %: not 3 any more, 2 is not lost at 60 %
        (1, 40, 5, 0),  # at most 26 %
        (0, 40, 5, 0),
    ],
)
def test_a_level_is_earned_at_the_lower_end_and_lost_at_the_upper(
    held: int, judged: int, right: int, level: int
) -> None:
    assert earned(held, judged, right) == level


def test_without_rules_nothing_is_earned() -> None:
    assert earned_level(3, []) == (0, None)


def test_known_answers_need_people_who_see_their_own_tasks_only() -> None:
    policy = GoldPolicy(rate=0.1)
    assert ProjectConfig(gold=policy, people_see="own_tasks").gold == policy
    with pytest.raises(ValidationError, match="people_see must be own_tasks"):
        ProjectConfig(gold=policy)
    with pytest.raises(ValidationError, match="revoke_below"):
        EarnedSkill(skill="s", grant_above=0.5, revoke_below=0.6)
    for rate in (0.0, 0.51, float("nan")):
        with pytest.raises(ValidationError):
            GoldPolicy(rate=rate)
