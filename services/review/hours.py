"""A person's working hours: whether they are at work, and when they are next."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.contracts.people import ReviewerProfile
from services.review.working_time import WorkingTime

_AN_INSTANT = timedelta(microseconds=1)


def next_at_work(profile: ReviewerProfile, now: datetime) -> datetime:
    """Return when the person is at work next, in UTC: ``now`` if they are, or if no hours are set for them."""
    return WorkingTime(profile.calendar).after(now, _AN_INSTANT) - _AN_INSTANT


def at_work(profile: ReviewerProfile, now: datetime) -> bool:
    """Whether ``now`` lies in the person's working hours."""
    return next_at_work(profile, now) == now


def told_hours(profile: ReviewerProfile) -> str:
    """Return the hours as a person reads them, such as ``mon 08:00-16:30, tue 08:00-12:00 (Europe/Berlin)``."""
    if profile.calendar is None:
        return "at any time"
    parts = [f"{hours.day} {hours.opens}-{hours.closes}" for hours in profile.calendar.hours]
    return f"{', '.join(parts)} ({profile.calendar.time_zone})"
