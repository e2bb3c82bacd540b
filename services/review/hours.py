"""Working hours: whether a person is at work, and when they are next. Pure arithmetic on the person's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from services.contracts.people import WEEKDAYS, ReviewerProfile

_DAY = timedelta(days=1)
_LOOK_AHEAD_DAYS = 8
"""Hours repeat every week; one day more, as the week may begin in the middle of a stretch."""


def at_work(profile: ReviewerProfile, now: datetime) -> bool:
    """Whether ``now`` lies in the person's working hours; always, if none are set."""
    return not profile.hours or any(start <= now < end for start, end in _stretches(profile, now))


def next_at_work(profile: ReviewerProfile, now: datetime) -> datetime:
    """Return when the person is at work next, in UTC: ``now`` if they are, else when their next stretch begins."""
    if at_work(profile, now):
        return now
    return min(start for start, _ in _stretches(profile, now) if start > now)


def told_hours(profile: ReviewerProfile) -> str:
    """Return the hours as a person reads them, such as ``mon tue wed 08:00-16:30 (Europe/Berlin)``."""
    parts = [f"{' '.join(hours.days)} {hours.start}-{hours.end}" for hours in profile.hours]
    return f"{', '.join(parts)} ({profile.time_zone})"


def _stretches(profile: ReviewerProfile, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the (start, end) of working hours around ``now``, in UTC.

    An hour that a change of the clock leaves out or repeats counts by the rule of :pep:`495`: its first occurrence.
    """
    today = now.astimezone(profile.zone).date()
    for offset in range(-1, _LOOK_AHEAD_DAYS + 1):
        day = today + offset * _DAY
        for hours in profile.hours:
            if WEEKDAYS[day.weekday()] in hours.days:
                yield _moment(profile, day, hours.start), _moment(profile, day, hours.end)


def _moment(profile: ReviewerProfile, day: date, at: str) -> datetime:
    if at == "24:00":
        day, at = day + _DAY, "00:00"
    return datetime.combine(day, time.fromisoformat(at), tzinfo=profile.zone).astimezone(UTC)
