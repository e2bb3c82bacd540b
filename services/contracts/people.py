"""Reviewers as a project knows them: skills, teams, working hours and how much they hold at once."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.queues import RequiredSkill, SkillLevel

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
"""``HH:MM`` by the person's clock; ``24:00`` ends a day."""

Cap = Annotated[int, Field(ge=1, le=1_000)]


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone of the IANA database; write it like Europe/Berlin") from None
    return value


TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_known_zone)]


class WorkingHours(Contract):
    """A stretch of some days in which a person works. One over midnight is written as two."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)]
    start: TimeOfDay
    end: TimeOfDay

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start} must be before end {self.end}; write hours over midnight as two")
        return self


class ReviewerProfile(Contract):
    """What is set for a person by hand."""

    actor_id: Identifier
    skills: Annotated[tuple[RequiredSkill, ...], Field(max_length=100)] = Field(
        default=(), description="Granted by hand. A skill of the person's key counts as level 1 beside them."
    )
    teams: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()
    time_zone: TimeZone = "UTC"
    hours: Annotated[tuple[WorkingHours, ...], Field(max_length=50)] = Field(
        default=(), description="By the clock of time_zone; empty: at any time."
    )
    max_claims: Cap | None = Field(default=None, description="So many tasks of the project may the person hold.")
    max_claims_of_queue: Annotated[dict[Identifier, Cap], Field(max_length=1_000)] = Field(
        default_factory=dict, description="The same for single queues, by name."
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [skill.name for skill in self.skills]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"skills: {name!r} is there twice; give its level once")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The person's time zone."""
        return ZoneInfo(self.time_zone)


class SkillGrant(Contract):
    """A skill of a person, with where it comes from."""

    name: Name
    level: SkillLevel
    source: Literal["granted", "measured"] = Field(
        description="granted: by somebody, by hand; measured: from the accuracy of decisions."
    )
    set_by: Identifier
    set_at: UtcDatetime


class Reviewer(Contract):
    """A person as a project knows them."""

    profile: ReviewerProfile
    skills: tuple[SkillGrant, ...] = Field(default=(), description="All skills; the highest level of a name counts.")

    @property
    def levels(self) -> dict[str, int]:
        """The level of every skill."""
        found: dict[str, int] = {}
        for skill in self.skills:
            found[skill.name] = max(skill.level, found.get(skill.name, 0))
        return found
