"""Active time: how long a person really worked on a task, told from signs of life."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.contracts.review import Activity

IDLE_AFTER = timedelta(seconds=60)
_NOTHING = timedelta(0)


def add_sign(activity: Activity, now: datetime, *, visible: bool = True, idle: timedelta = _NOTHING) -> Activity:
    """Return a person's activity on a task after one more sign of life.

    The time between two moments of activity counts, up to :data:`IDLE_AFTER`; a pause longer than that counts as
    much as if the person had left then. While the task is hidden (another tab, a locked screen) nothing counts, and
    what comes after it begins anew.

    Args:
        activity: What is known so far.
        now: The store's clock.
        visible: Whether the task is on the person's screen.
        idle: How long ago they last did something, at most since the last sign.
    """
    if not visible:
        return activity.model_copy(update={"active_at": None})
    moment = now - max(idle, _NOTHING)
    last = activity.active_at
    if last is None:
        return activity.model_copy(update={"active_at": moment})
    if moment <= last:
        return activity
    spent = min(moment - last, IDLE_AFTER)
    return activity.model_copy(
        update={"active_at": moment, "active_s": activity.active_s + spent / timedelta(seconds=1)}
    )
