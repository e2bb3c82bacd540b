"""Deadlines as data: working hours, and how long work may wait and take by kind, queue and risk."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.contracts.base import Contract, Identifier, Tier
from services.contracts.manifest import Risk
from services.contracts.review import TaskKind

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ClockTime = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
WithinS = Annotated[int, Field(ge=1, le=31_536_000)]


def minute_of(clock: str) -> int:
    """Return the minutes since midnight of ``HH:MM``; 24:00 is the end of the day."""
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; use a name of the IANA list, such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_known_zone)]


class WorkingHours(Contract):
    """One stretch of work on a weekday, by the clock on the wall."""

    day: Weekday
    opens: ClockTime
    closes: ClockTime

    @model_validator(mode="after")
    def _closes_after_it_opens(self) -> WorkingHours:
        if minute_of(self.closes) <= minute_of(self.opens):
            raise ValueError("closes must be later than opens; split a night shift at 24:00 and 00:00")
        return self


class WorkingCalendar(Contract):
    """When people work: weekly hours in a time zone, less holidays."""

    time_zone: TimeZone = "UTC"
    hours: Annotated[tuple[WorkingHours, ...], Field(min_length=1, max_length=50)]
    holidays: Annotated[tuple[date, ...], Field(max_length=1_000)] = ()

    @model_validator(mode="after")
    def _no_overlap(self) -> WorkingCalendar:
        ordered = sorted(self.hours, key=lambda one: (one.day, minute_of(one.opens)))
        for before, after in pairwise(ordered):
            if before.day == after.day and minute_of(after.opens) < minute_of(before.closes):
                raise ValueError(
                    f"the hours {before.opens}-{before.closes} and {after.opens}-{after.closes} of {after.day} overlap;"
                    " join them"
                )
        return self


class DeadlineRule(Contract):
    """How long work may wait and take. An empty list means any; what is left out is the project's own limit."""

    kinds: Annotated[tuple[TaskKind, ...], Field(max_length=10)] = ()
    queues: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()
    risks: Annotated[tuple[Risk, ...], Field(max_length=10)] = ()
    start_within_s: WithinS | None = Field(default=None, description="Until somebody claims it for the first time.")
    finish_within_s: WithinS | None = Field(default=None, description="Until it is decided.")
    remind_before_s: Annotated[tuple[WithinS, ...], Field(max_length=5)] = Field(
        default=(), description="How long before it is due a reminder is sent; each is sent once."
    )

    @model_validator(mode="after")
    def _in_order(self) -> DeadlineRule:
        finish = self.finish_within_s
        if finish is None:
            return self
        if self.start_within_s is not None and self.start_within_s > finish:
            raise ValueError("start_within_s must not be longer than finish_within_s")
        if any(before >= finish for before in self.remind_before_s):
            raise ValueError("a reminder must come after the opening: keep remind_before_s below finish_within_s")
        return self


class DeadlinePolicy(Contract):
    """The deadlines of a project. All lengths are working time where there is a calendar, else time."""

    calendar: WorkingCalendar | None = None
    rules: Annotated[tuple[DeadlineRule, ...], Field(max_length=100)] = Field(
        default=(), description="The first that fits counts."
    )
    tiers_above_experts: Annotated[tuple[Tier, ...], Field(max_length=5)] = Field(
        default=(), description="Where what the experts leave overdue goes, one after the other: queue <queue>.<tier>."
    )
