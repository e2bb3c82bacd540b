"""Known answers mixed in, who is paused for what they answered, and skills that accuracy earns."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.annotations import Annotations
from services.contracts.base import Contract, Fraction, Identifier, Name, ProjectId, UtcDatetime
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, TaskKind, Verdict

Count = Annotated[int, Field(ge=0)]
WindowDays = Annotated[int, Field(ge=1, le=365)]
Enough = Annotated[int, Field(ge=5, le=10_000)]
ProbePurpose = Literal["gold", "second_opinion"]


class GoldPolicy(Contract):
    """How known answers are mixed into the reviews and the labelling of a project, and what follows from them."""

    rate: Annotated[float, Field(gt=0, le=0.5)] = Field(
        description="Share of the reviews, and of the samples to label, that a person is given whose answer is known."
    )
    bar: Fraction = Field(
        default=0.7, description="Who is certainly right less often than this is given no more of a queue's tasks."
    )
    labels_right: Fraction = Field(
        default=0.8, description="A labelling is right when at least this share of what is known of its labels is."
    )
    min_answers: Enough = Field(default=20, description="Fewer known answers pause nobody.")
    window_days: WindowDays = Field(default=30, description="Answers that are older say nothing about the bar.")
    max_age_days: Annotated[int, Field(ge=1, le=3_650)] | None = Field(
        default=None, description="Tasks opened longer ago are not given again; none: however old."
    )


class SecondOpinions(Contract):
    """Which share of adjudications a second expert decides again, without knowing the first."""

    share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Share of adjudications, by a hash of the project's secret and the task."
    )


class EarnedSkill(Contract):
    """Who is right often enough has a skill, until they are not."""

    skill: Name
    level: Annotated[int, Field(ge=1, le=5)] = 1
    checks: Annotated[tuple[Name, ...], Field(max_length=100)] = Field(
        default=(), description="Answers about findings of these checks; empty: of all."
    )
    kinds: Annotated[tuple[Name, ...], Field(max_length=300)] = Field(
        default=(), description="Answers about findings of these kinds; empty: of all."
    )
    labels: Annotated[tuple[Name, ...], Field(max_length=300)] = Field(
        default=(), description="Answers about labels of these classes; empty: of all."
    )
    min_answers: Enough = Field(default=20, description="Fewer scored answers earn nothing.")
    grant_above: Fraction = Field(default=0.8, description="The interval's lower end must reach this.")
    revoke_below: Fraction = Field(default=0.8, description="Below this, the interval's upper end takes it back.")
    window_days: WindowDays = 90

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.revoke_below > self.grant_above:
            raise ValueError(f"revoke_below {self.revoke_below} must be at most grant_above {self.grant_above}")
        return self


class Figures(Contract):
    """Of so many answers so many were right; the interval is Wilson's, 95 %."""

    judged: Count
    right: Count
    low: Fraction
    high: Fraction


class PersonPause(Contract):
    """A person who is given no more tasks of a kind from a queue."""

    project: ProjectId
    actor_id: Identifier
    queue: Identifier
    kind: TaskKind
    figures: Figures
    bar: Fraction
    paused_at: UtcDatetime


class PersonPaused(PersonPause):
    """Data of an outgoing event: a person was paused."""


class ResumePerson(Contract):
    """Which pause of a person is to end."""

    queue: Identifier
    kind: TaskKind = TaskKind.REVIEW


class MixedIn(Contract):
    """How many known answers a person was given unannounced."""

    actor_id: Identifier
    turns: Count = Field(description="Reviews and samples to label that the person was given.")
    given: Count = Field(description="Of these, with a known answer.")
    missing: Count = Field(description="A known answer was due, but none was left that fits the person and the queue.")


class ExpertAgreement(Contract):
    """How often a second expert, who did not know the first verdict, said the same."""

    compared: Count
    agreed: Count
    share: Fraction
    low: Fraction
    high: Fraction


class Disagreement(Contract):
    """An adjudication that a second expert decided otherwise. What was committed stays until a sample is reopened."""

    task_id: UUID = Field(description="The adjudication.")
    sample_id: Identifier
    revision: Annotated[int, Field(ge=1)]
    finding_ids: tuple[Identifier, ...]
    first_actor: Identifier
    first_verdict: Verdict
    second_actor: Identifier
    second_verdict: Verdict
    decided_at: UtcDatetime


class ScoredAnswer(Contract):
    """A verdict on one finding that could be held against something, as it is kept."""

    project: ProjectId
    decision_id: UUID
    finding_id: Identifier
    task_id: UUID
    actor_id: Identifier
    queue: Identifier
    kind: TaskKind
    check: Name
    finding_kind: Name
    labels: tuple[Name, ...]
    reference: Literal["gold", "later_verdict"]
    right: bool
    decided_at: UtcDatetime


class Probe(Contract):
    """A finished task that is given again, apart from all real work."""

    task_id: UUID
    purpose: ProbePurpose
    source_task_id: UUID = Field(description="The finished task.")
    ref: RevisionRef
    kind: TaskKind
    queue: Identifier
    label_version: Count = Field(description="Of the labels that the finished task was decided from.")
    shift_s: float = Field(description="How much later than the finished task it seems to have been opened.")


class ProbeAnswer(Contract):
    """What somebody answered to a probe."""

    probe: Probe
    decision: Decision
    labels_after: Annotations = ()
    answered_at: UtcDatetime


PAUSED = "concord.reviewer.paused.v1"


def paused_event_id(told: PersonPaused) -> str:
    """Return the id of the event that tells of a pause."""
    return f"{told.project}/reviewers/{told.actor_id}/{told.queue}/{told.kind}/{told.paused_at.isoformat()}"
