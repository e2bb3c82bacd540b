"""What the product keeps: samples, label sets, check runs, ground truth, the audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.annotations import Annotations
from services.contracts.base import Contract, Identifier, LongText, Name, ProjectId, Sha256, Text, UtcDatetime
from services.contracts.calibration import EarnedSkill, GoldPolicy, SecondOpinions
from services.contracts.deadlines import DeadlinePolicy
from services.contracts.erasure import Retention
from services.contracts.events import IncomingEvent
from services.contracts.findings import CheckReport, RuleReference
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import RISKS, Context, Risk, SampleManifest
from services.contracts.overlap import Overlap
from services.contracts.pre_label import PreLabelSources
from services.contracts.review import LabelOrigin
from services.contracts.taxonomies import TaxonomyReference


class ProjectSettings(Contract):
    """What is set for a project, beside its rules."""

    taxonomy: TaxonomyReference | None = Field(
        default=None,
        description="The stored version that labels are held to and carried over to; none: what the rule set says.",
    )
    risk: Risk = Field(
        default="low", description="How risky an error is: no sample counts for less, whatever it says of itself."
    )
    annotate: Literal["when_missing", "always", "never"] = Field(
        default="when_missing", description="When people label a sample before it is checked."
    )
    overlap: Overlap | None = Field(
        default=None, description="How many people label the same sample, where people label; none: one."
    )
    pre_label: PreLabelSources = ()
    annotate_within_s: Annotated[int, Field(ge=1, le=31_536_000)] = 7 * 86_400
    review_within_s: Annotated[int, Field(ge=1, le=31_536_000)] = 2 * 86_400
    deadlines: DeadlinePolicy | None = Field(
        default=None, description="Limits by kind, queue and risk, in working time, with reminders."
    )
    cost_per_hour: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="What an hour of a person's active time costs."
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        default=None, description="Of cost_per_hour, by ISO 4217."
    )
    retention: Retention | None = Field(default=None, description="How long content is kept; none: for ever.")
    lease_s: Annotated[int, Field(ge=1, le=86_400)] = Field(default=900, description="Lease of a claim.")
    max_review_rounds: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="After so many reviews of one finding an expert decides."
    )
    people_see: Literal["own_tasks"] | None = Field(
        default=None,
        description="own_tasks: people at work see tasks they hold and the evidence of these, no lists of samples, "
        "tasks or ground truth and no counts of queues; none: all of these.",
    )
    gold: GoldPolicy | None = Field(
        default=None, description="Mixes known answers into reviews; told to managers only. Needs people_see own_tasks."
    )
    second_opinions: SecondOpinions | None = Field(
        default=None, description="Has adjudications decided twice; told to managers only. Needs people_see own_tasks."
    )
    earned_skills: Annotated[tuple[EarnedSkill, ...], Field(max_length=100)] = Field(
        default=(), description="Skills that people have by how often they are right."
    )

    @model_validator(mode="after")
    def _unseen(self) -> Self:
        hidden = self.gold is not None or self.second_opinions is not None
        if hidden and self.people_see != "own_tasks":
            raise ValueError(
                "people_see must be own_tasks where gold or second_opinions is set: next to a list of everything, "
                "what is given would tell what it is"
            )
        return self


class ProjectConfig(ProjectSettings):
    """What is set for a project."""

    rule_set: RuleReference = Field(default_factory=lambda: RuleReference(id="default", version=1))

    def risk_of(self, context: Context) -> Risk:
        """Return the risk of a sample: what it says, and no less than the project's."""
        return max(self.risk, context.risk, key=RISKS.index)


class Project(Contract):
    """A use case: what is labelled, for what, under which rules."""

    id: ProjectId
    name: Name
    purpose: Text = ""
    decision: Text = Field(default="", description="The decision that rests on the labels, and what an error costs.")
    domain: Name = "general"
    config: ProjectConfig = Field(default_factory=ProjectConfig)


class SampleRevision(Contract):
    """One revision of a sample as it is stored."""

    ref: RevisionRef
    stage: Stage
    risk: Risk
    manifest: SampleManifest
    manifest_sha256: Sha256
    label_version: Annotated[int, Field(ge=0)]
    event_source: str | None = None
    event_id: str | None = None
    created_at: UtcDatetime
    updated_at: UtcDatetime


class SampleSummary(Contract):
    """A sample in a list."""

    ref: RevisionRef
    stage: Stage
    risk: Risk
    label_version: int
    created_at: UtcDatetime
    updated_at: UtcDatetime


class LabelSet(Contract):
    """An immutable version of all labels of a sample revision. Predictions have versions of their own."""

    ref: RevisionRef
    version: Annotated[int, Field(ge=1)]
    origin: LabelOrigin
    author: Author
    annotations: Annotations
    sha256: Sha256
    decision_id: UUID | None = None
    incident_id: UUID | None = Field(default=None, description="The incident whose fix made it.")
    created_at: UtcDatetime


class AssetRecord(Contract):
    """An asset as it was when it was read."""

    stream: Identifier
    uri: Text
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    role: Literal["stream", "label_file"] = "stream"


class CheckRun(Contract):
    """One run of the checks over one label set."""

    run_id: UUID
    ref: RevisionRef
    label_version: int
    rule: RuleReference
    rule_sha256: Sha256
    report: CheckReport
    seconds: Annotated[float, Field(ge=0)]
    created_at: UtcDatetime
    taxonomy: TaxonomyReference | None = Field(default=None, description="The project's taxonomy version then.")


class GroundTruth(Contract):
    """A committed record. ``body`` is what was decided, ``lineage`` why it is believed."""

    ref: RevisionRef
    content_sha256: Sha256 = Field(description="Of the canonical form of body.")
    lineage_sha256: Sha256 = Field(description="Of the canonical form of lineage.")
    body: dict[str, Any]
    lineage: dict[str, Any]
    committed_at: UtcDatetime

    @property
    def is_erased(self) -> bool:
        """Whether body and lineage were erased; their hashes stand for them."""
        return not self.body


class PersonalText(Contract):
    """Personal text of an audit entry, which commits to it; both are None once it was erased."""

    name: Name = Field(description="The member of the entry's body that commits to it.")
    salt: Name | None = None
    value: LongText | None = None
    erasure_id: UUID | None = Field(default=None, description="The erasure that removed it.")


class AuditEntry(Contract):
    """One link of a project's audit chain."""

    project: ProjectId
    sequence: Annotated[int, Field(ge=1)]
    at: UtcDatetime
    actor: Identifier
    action: Name
    subject: Text
    body: dict[str, Any]
    previous_sha256: Sha256
    sha256: Sha256
    personal: tuple[PersonalText, ...] = Field(
        default=(), description="Beside the chain: what body commits to, as the SHA-256 of [salt, value]."
    )


class StageChange(Contract):
    """One step of a sample revision's timeline."""

    ref: RevisionRef
    sequence: Annotated[int, Field(ge=1)]
    stage: Stage
    previous_stage: Stage | None = None
    actor: Identifier
    reason: Text | None = None
    at: UtcDatetime


class DeadLetter(Contract):
    """An event that could not be handled, kept with its reason."""

    dead_letter_id: UUID
    source: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    project: str | None = None
    via: Literal["http", "nats"]
    reason_code: str
    reason: str
    places: tuple[tuple[str, str], ...] = ()
    raw_sha256: Sha256
    received_at: UtcDatetime
    replayed_at: UtcDatetime | None = None
    replay_outcome: str | None = None


class StoredEvent(Contract):
    """An event in the inbox, with what it led to."""

    event: IncomingEvent
    led_to: RevisionRef | TaxonomyReference = Field(description="A sample revision, or a taxonomy version.")
    received_at: UtcDatetime


class OutboxMessage(Contract):
    """Something to tell the outside, written in the transaction that made it true.

    It is about a sample, or about what ``subject`` names in its project.
    """

    message_id: int
    topic: Literal["event", "workflow_start", "workflow_signal"]
    project: ProjectId
    sample_id: Identifier | None = None
    subject: Text | None = None
    event_type: str | None = Field(default=None, description="Of events; none where it was not kept yet.")
    sequence: int | None = Field(default=None, description="Per sample, for events.")
    body: dict[str, Any]
    created_at: UtcDatetime
    attempts: int = 0

    @property
    def lane(self) -> tuple[str, str | None, str | None]:
        """What messages that must keep their order have in common."""
        return self.project, self.sample_id, self.subject
