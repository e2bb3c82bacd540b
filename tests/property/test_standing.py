"""Pauses and earned skills: monotone, bounded, and steady when asked again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.calibration import EarnedSkill, GoldPolicy
from services.quality.mixing import drawn, is_gold_turn
from services.quality.standing import earned_level, figures_of, is_below_bar

COUNTS = st.integers(0, 300).flatmap(lambda judged: st.tuples(st.just(judged), st.integers(0, judged)))
RULES = st.lists(
    st.builds(
        lambda level, grant, gap, enough: EarnedSkill(
            skill="s", level=level, min_answers=enough, grant_above=grant, revoke_below=grant * gap
        ),
        st.integers(1, 5),
        st.floats(0, 1),
        st.floats(0, 1),
        st.integers(5, 100),
    ),
    max_size=5,
)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 10**9), st.floats(0.001, 0.5))
def test_a_turn_of_a_smaller_rate_is_one_of_a_greater(secret: str, actor: str, turn: int, rate: float) -> None:
    assert 0 <= drawn(secret, "turn", actor, str(turn)) < 1
    if is_gold_turn(secret, actor, turn, rate / 2):
        assert is_gold_turn(secret, actor, turn, rate)


@given(COUNTS, st.floats(0, 1), st.integers(5, 100))
def test_one_more_right_answer_never_pauses(counts: tuple[int, int], bar: float, enough: int) -> None:
    judged, right = counts
    policy = GoldPolicy(rate=0.1, bar=bar, min_answers=enough)
    if right < judged and is_below_bar(figures_of(judged, right + 1), policy):
        assert is_below_bar(figures_of(judged, right), policy)


@given(COUNTS, RULES, st.integers(0, 5))
def test_what_is_earned_stays_when_it_is_counted_again(
    counts: tuple[int, int], rules: list[EarnedSkill], held: int
) -> None:
    seen = [(rule, figures_of(*counts)) for rule in rules]
    level, figures = earned_level(held, seen)
    assert level == 0 or level in {rule.level for rule in rules}
    assert (figures is None) == (level == 0)
    assert earned_level(level, seen)[0] == level, "the same answers again change nothing"
