"""When a person is given a known answer, and what is given first. Pure functions.

Every turn is drawn for itself. A rhythm, such as one in twenty, could be counted by the person who is given the tasks;
draws that hang on a secret can not be foretold by anybody, and are the same whenever they are made again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from fractions import Fraction

from services.contracts.review import ReviewTask

_WHOLE = 2**64


def drawn(secret: str, *names: str) -> Fraction:
    """Return a number from 0 to below 1 that hangs on nothing but what is given."""
    digest = hashlib.sha256("\x1f".join((secret, *names)).encode()).digest()
    return Fraction(int.from_bytes(digest[:8]), _WHOLE)


def is_gold_turn(secret: str, actor_id: str, turn: int, rate: float) -> bool:
    """Whether a person's task of this number is one with a known answer."""
    return drawn(secret, "turn", actor_id, str(turn)) < Fraction(rate)


def place_in_line(secret: str, actor_id: str, turn: int) -> float:
    """Return where between two tasks in line a probe seems to have been opened, from 0.02 to 0.98."""
    return 0.02 + 0.96 * float(drawn(secret, "place", actor_id, str(turn)))


def comes_before(
    task: ReviewTask, other: ReviewTask, now: datetime, *, ageing: tuple[float, float], fits: tuple[int, int]
) -> bool:
    """Whether a task that waits is given before another one, by the order of a claim.

    Args:
        task: The one.
        other: The other.
        now: When.
        ageing: Points an hour that each gains.
        fits: How many of the person's skills each one's lane asks for.
    """
    return _rank(task, now, ageing[0], fits[0]) < _rank(other, now, ageing[1], fits[1])


def _rank(task: ReviewTask, now: datetime, ageing: float, fit: int) -> tuple[bool, int, int, datetime, int]:
    waited_h = (now - task.created_at) / timedelta(hours=1)
    effective = round(task.priority + ageing * waited_h)
    return task.assignee is None, -effective, -fit, task.created_at, task.task_id.int
