"""Reviewers as a project knows them: skills, teams, working hours and how much they hold at once."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.calibration import Figures, PersonPause
from services.contracts.deadlines import WorkingCalendar
from services.contracts.queues import RequiredSkill, SkillLevel

Cap = Annotated[int, Field(ge=1, le=1_000)]


class ReviewerProfile(Contract):
    """What is set for a person by hand."""

    actor_id: Identifier
    skills: Annotated[tuple[RequiredSkill, ...], Field(max_length=100)] = Field(
        default=(), description="Granted by hand. A skill of the person's key counts as level 1 beside them."
    )
    teams: Annotated[tuple[Identifier, ...], Field(max_length=100)] = ()
    calendar: WorkingCalendar | None = Field(
        default=None, description="When the person works; at any time if left out. Who asks for a task gets one anyway."
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


class SkillGrant(Contract):
    """A skill of a person, with where it comes from."""

    name: Name
    level: SkillLevel
    source: Literal["granted", "measured"] = Field(
        description="granted: by somebody, by hand; measured: from the accuracy of decisions."
    )
    set_by: Identifier
    set_at: UtcDatetime
    figures: Figures | None = Field(default=None, description="Of a measured skill, what it was measured by.")


class Reviewer(Contract):
    """A person as a project knows them."""

    profile: ReviewerProfile
    skills: tuple[SkillGrant, ...] = Field(default=(), description="All skills; the highest level of a name counts.")
    paused: tuple[PersonPause, ...] = Field(
        default=(), description="What the person is given none of, because known answers were missed too often."
    )

    @property
    def levels(self) -> dict[str, int]:
        """The level of every skill."""
        found: dict[str, int] = {}
        for skill in self.skills:
            found[skill.name] = max(skill.level, found.get(skill.name, 0))
        return found
