"""Whether a person may take from a lane now, and how well they fit. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.access import Principal
from services.contracts.people import Reviewer
from services.contracts.queues import Lane

GRANTED_BY_KEY = 1
"""The level at which a skill counts that stands on a person's key only."""


def levels_of(principal: Principal, reviewer: Reviewer | None) -> dict[str, int]:
    """Return a person's skills with the level that counts: of the key, of grants, of what was measured."""
    levels = dict.fromkeys(principal.skills, GRANTED_BY_KEY)
    for name, level in (reviewer.levels if reviewer is not None else {}).items():
        levels[name] = max(level, levels.get(name, 0))
    return levels


def missing_skill(lane: Lane, levels: Mapping[str, int]) -> str | None:
    """Return what a person lacks to take from a lane, such as ``'spatial' at level 3``; None if nothing."""
    if lane.skill is not None and lane.skill not in levels:
        return f"{lane.skill!r}"
    for needed in lane.skills:
        if levels.get(needed.name, 0) < needed.level:
            return f"{needed.name!r} at level {needed.level}"
    return None


def skills_asked(lane: Lane) -> int:
    """Return how many different skills a lane asks for: who has them fits better there than where none is asked."""
    names = {needed.name for needed in lane.skills}
    return len(names if lane.skill is None else names | {lane.skill})


def why_not(lane: Lane, principal: Principal, reviewer: Reviewer | None) -> str | None:
    """Return the sentence why this person may never take from a lane as it is set up; None if they may."""
    lacks = missing_skill(lane, levels_of(principal, reviewer))
    if lacks is not None:
        return f"Queue {lane.queue!r} needs the skill {lacks}, which you do not have."
    if lane.teams and (reviewer is None or not set(lane.teams) & set(reviewer.profile.teams)):
        return f"Queue {lane.queue!r} is for the teams {', '.join(lane.teams)}; you are in none of them."
    return None


def cap_reached(lane: Lane, reviewer: Reviewer | None) -> str | None:
    """Return the sentence that the person holds as much as they may; None if they may have one more."""
    if reviewer is None:
        return None
    most = reviewer.profile.max_claims
    if most is not None and lane.mine_in_project >= most:
        return (
            f"You hold {lane.mine_in_project} of at most {most} tasks of project {lane.project!r}; "
            "decide or release one first."
        )
    most = reviewer.profile.max_claims_of_queue.get(lane.queue)
    if most is not None and lane.mine >= most:
        return f"You hold {lane.mine} of at most {most} tasks of queue {lane.queue!r}; decide or release one first."
    return None


def is_capped(reviewer: Reviewer) -> bool:
    """Whether how much a person holds at once is limited."""
    return reviewer.profile.max_claims is not None or bool(reviewer.profile.max_claims_of_queue)


def is_full(lane: Lane) -> bool:
    """Whether so many of the queue's tasks are in people's hands as may be."""
    return lane.capacity is not None and lane.claimed >= lane.capacity
