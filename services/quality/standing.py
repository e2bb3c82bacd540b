"""Who is paused, and which skills are earned, by how often somebody was right. Pure functions.

Both look at the ends of Wilson's interval, so that few answers decide nothing: a person is paused when even the upper
end is below the bar, and has a skill when even the lower end is above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.agreement.intervals import wilson_interval
from services.contracts.calibration import EarnedSkill, Figures, GoldPolicy


def figures_of(judged: int, right: int) -> Figures:
    """Return a count with its interval."""
    low, high = wilson_interval(right, judged)
    return Figures(judged=judged, right=right, low=low, high=high)


def is_below_bar(figures: Figures, policy: GoldPolicy) -> bool:
    """Whether so many answers say that a person is right too seldom."""
    return figures.judged >= policy.min_answers and figures.high < policy.bar


def ends_by_itself(figures: Figures, policy: GoldPolicy) -> bool:
    """Whether a pause ends without anybody ending it, by the known answers that are within its window now.

    It does when none is left, and when enough are left that do not say any more what they said: others are held
    against them, or the bar is lower. Fewer than enough end nothing: a pause would be over as soon as the oldest of
    the answers that led to it grew old, and would come back with the next one.
    """
    return figures.judged == 0 or (figures.judged >= policy.min_answers and not is_below_bar(figures, policy))


def earned_level(held: int, rules: Sequence[tuple[EarnedSkill, Figures]]) -> tuple[int, Figures | None]:
    """Return the level of a skill that a person has earned, and the figures that say so.

    A level is given when the lower end reaches its rule's ``grant_above`` over enough answers. Who has it keeps it
    until the upper end is below ``revoke_below``: between the two nothing changes, so that no level flickers.

    Args:
        held: The level that the person has earned so far; 0 for none.
        rules: All rules about the skill, with what each counts.
    """
    best: tuple[int, Figures | None] = (0, None)
    for rule, figures in rules:
        earned = figures.judged >= rule.min_answers and figures.low >= rule.grant_above
        kept = held >= rule.level and figures.high >= rule.revoke_below
        if (earned or kept) and rule.level > best[0]:
            best = (rule.level, figures)
    return best
