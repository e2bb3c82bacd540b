"""The human side: review tasks, leases, decisions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.annotations import Annotation, Annotations
from services.contracts.base import Contract, Identifier, LongText, Name, Sha256, Text, UtcDatetime
from services.contracts.escalation import TaskCause
from services.contracts.findings import Finding, LabelPatch, Severity
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Context, Risk, Stream
from services.contracts.pins import Pin


class TaskKind(StrEnum):
    """What a person is asked to do."""

    ANNOTATE = "annotate"
    REVIEW = "review"
    ADJUDICATE = "adjudicate"
    REWORK = "rework"


class TaskState(StrEnum):
    """Where a review task is. A claimed task whose lease ran out counts as open."""

    OPEN = "open"
    CLAIMED = "claimed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What a person decides."""

    SUBMIT = "submit"  # annotate and rework: these are the labels
    APPROVE = "approve"  # the labels are right as they are
    FIX = "fix"  # the labels were wrong and are corrected with this decision
    REJECT = "reject"  # back to the author, with the reason
    ACCEPT_CONFLICT = "accept_conflict"  # the disagreement is real and stays, for a reason of the rule set
    ESCALATE = "escalate"  # an expert must decide
    DISCARD = "discard"  # the sample is unusable


LABELLING_KINDS = frozenset({TaskKind.ANNOTATE, TaskKind.REWORK})
UPHELD_BY: dict[Verdict, frozenset[Verdict]] = {
    Verdict.APPROVE: frozenset({Verdict.APPROVE}),
    # Labels that a fix has put right are approved by whoever looks next; a second fix says that they were not.
    Verdict.FIX: frozenset({Verdict.APPROVE}),
    Verdict.ACCEPT_CONFLICT: frozenset({Verdict.ACCEPT_CONFLICT}),
}
"""By which later verdicts on the same finding an answer is upheld; all others overturn it."""
JUDGING_KINDS = frozenset({TaskKind.REVIEW, TaskKind.ADJUDICATE})
VERDICTS_OF: dict[TaskKind, frozenset[Verdict]] = {
    TaskKind.ANNOTATE: frozenset({Verdict.SUBMIT, Verdict.ESCALATE}),
    TaskKind.REWORK: frozenset({Verdict.SUBMIT, Verdict.ESCALATE}),
    TaskKind.REVIEW: frozenset(
        {Verdict.APPROVE, Verdict.FIX, Verdict.REJECT, Verdict.ACCEPT_CONFLICT, Verdict.ESCALATE}
    ),
    TaskKind.ADJUDICATE: frozenset(
        {Verdict.APPROVE, Verdict.FIX, Verdict.REJECT, Verdict.ACCEPT_CONFLICT, Verdict.DISCARD}
    ),
}


class TaskFacts(Contract):
    """What a task is about, as far as queues ask; kept when the task is opened.

    A task about findings has the check, kind and severity of the gravest.
    """

    check: Name | None = None
    finding_kind: Name | None = None
    severity: Severity | None = None
    domain: Name | None = None
    language: Name | None = None
    region: Name | None = None


class ReviewTask(Contract):
    """One piece of work for one person."""

    task_id: UUID
    ref: RevisionRef
    kind: TaskKind
    queue: Identifier
    skill: Name | None = None
    risk: Risk = "low"
    priority: int = 100
    state: TaskState = TaskState.OPEN
    finding_ids: tuple[Identifier, ...] = ()
    assignee: Identifier | None = Field(default=None, description="Only this person may claim it.")
    excluded_actors: tuple[Identifier, ...] = Field(
        default=(), description="They made or already judged what is to be judged."
    )
    origin_decision_id: UUID | None = Field(default=None, description="The decision that caused this task.")
    caused_by: TaskCause | None = Field(
        default=None, description="The escalation rule that opened it; hidden from the second of four eyes."
    )
    reason: Text | None = Field(default=None, description="Why the task exists, for the person who gets it.")
    facts: TaskFacts = TaskFacts()
    on_hold: bool = Field(default=False, description="It is given to nobody; who has it already may finish it.")
    hold_reason: Text | None = None
    on_hold_since: UtcDatetime | None = Field(default=None, description="Its deadlines stand still since then.")
    held_by: Identifier | None = None
    fence: Annotated[int, Field(ge=0)] = Field(default=0, description="Rises with every claim.")
    tier_fence: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The fence as it was when the task came to its tier; a higher one was claimed there."
    )
    lease_expires_at: UtcDatetime | None = None
    created_at: UtcDatetime
    start_by_at: UtcDatetime | None = Field(
        default=None, description="When somebody should have claimed it in its tier."
    )
    due_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None


class TakenTask(ReviewTask):
    """A task as the person gets it who has claimed it."""

    notice: Text | None = Field(default=None, description="What the person should know about taking it now.")


class NewTask(Contract):
    """A task to open."""

    ref: RevisionRef
    kind: TaskKind
    queue: Identifier
    skill: Name | None = None
    risk: Risk = "low"
    priority: int = 100
    finding_ids: tuple[Identifier, ...] = ()
    assignee: Identifier | None = None
    excluded_actors: tuple[Identifier, ...] = ()
    origin_decision_id: UUID | None = None
    caused_by: TaskCause | None = None
    reason: Text | None = None
    facts: TaskFacts = TaskFacts()
    worth: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Of an answer, in wrong labels of full weight; what is worth more comes first."
    )
    start_by_at: UtcDatetime | None = None
    due_at: UtcDatetime | None = None


class Lease(Contract):
    """The right to work on a task until a moment; ``fence`` goes with every write."""

    task_id: UUID
    fence: Annotated[int, Field(ge=1)]
    lease_expires_at: UtcDatetime


class Draft(Contract):
    """Unfinished work, kept even when the lease is over."""

    task_id: UUID
    actor_id: Identifier
    body: Annotated[dict[str, Any], Field(max_length=1_000)]
    saved_at: UtcDatetime


class Activity(Contract):
    """How long one person really worked on one task."""

    task_id: UUID
    actor_id: Identifier
    active_s: Annotated[float, Field(ge=0)] = 0.0
    active_at: UtcDatetime | None = Field(default=None, description="The last moment of activity; None while hidden.")


class Remark(Contract):
    """What is wrong, and where: for who makes the labels again."""

    pin: Pin
    text: Text


class FindingResolution(Contract):
    """What a person says about one finding that differs from what they say about the others."""

    finding_id: Identifier
    verdict: Literal[Verdict.APPROVE, Verdict.ACCEPT_CONFLICT] = Field(
        description="The labels are right as they are, or the disagreement is real and stays."
    )
    reason_code: Name | None = Field(default=None, description="Required to accept a conflict.")


class DecisionInput(Contract):
    """What a person sends to decide a task."""

    verdict: Verdict
    fence: Annotated[int, Field(ge=1, le=2**53)] = Field(description="From the claim.")
    reason_code: Name | None = Field(default=None, description="Required to accept a conflict.")
    note: LongText | None = Field(default=None, description="Required to reject, escalate or discard.")
    patch: LabelPatch | None = Field(default=None, description="The correction, for fix and submit.")
    annotations: Annotations | None = Field(
        default=None, description="For submit: the whole label set, instead of a patch."
    )
    resolutions: Annotated[tuple[FindingResolution, ...], Field(min_length=1, max_length=1_000)] | None = Field(
        default=None, description="Findings that are judged otherwise than by the verdict."
    )
    remarks: Annotated[tuple[Remark, ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="What is wrong, pinned to its place; goes with the labels to who makes them again."
    )
    label_version: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None,
        description="The labels the decision was made from; refused if those concerned have changed since.",
    )


class Decision(Contract):
    """A decision as it is stored; it is never changed."""

    decision_id: UUID
    task_id: UUID
    ref: RevisionRef
    task_kind: TaskKind
    actor_id: Identifier
    verdict: Verdict
    reason_code: Name | None = None
    note: LongText | None = None
    finding_ids: tuple[Identifier, ...] = ()
    resolutions: tuple[FindingResolution, ...] | None = None
    remarks: tuple[Remark, ...] | None = None
    fence: int
    label_version_before: int
    label_version_after: int
    content_sha256: Sha256 = Field(description="Of the DecisionInput without its fence.")
    caused_by: TaskCause | None = Field(
        default=None, description="The escalation rule that opened the task; hidden from the second of four eyes."
    )
    escalated_by: TaskCause | None = Field(
        default=None,
        description="The escalation rule that this verdict set off; the task that follows is caused by it.",
    )
    decided_at: UtcDatetime

    @property
    def judged_by_verdict(self) -> tuple[str, ...]:
        """The findings that the verdict itself is about: those without a resolution of their own."""
        own = {resolution.finding_id for resolution in self.resolutions or ()}
        return tuple(name for name in self.finding_ids if name not in own)

    def verdict_on(self, finding_id: str) -> Verdict:
        """Return what the decision says about one of its findings."""
        own = (Verdict(item.verdict) for item in self.resolutions or () if item.finding_id == finding_id)
        return next(own, self.verdict)


class FindingState(StrEnum):
    """What became of a finding."""

    OPEN = "open"  # needs a decision
    NOTED = "noted"  # below the blocking severity; kept, asks nobody
    DISMISSED = "dismissed"  # a person approved the labels as they are
    ACCEPTED = "accepted"  # a person accepted the conflict, with a reason code
    FIXED = "fixed"  # a decision changed the labels; the next check confirms it or opens it again
    RESOLVED = "resolved"  # the checks no longer find it


class StoredFinding(Contract):
    """A finding with what became of it."""

    ref: RevisionRef
    finding: Finding
    state: FindingState
    blocking: bool
    labels_sha256: Sha256 = Field(description="Of the labels concerned, when the state was last set.")
    label_version: int = Field(description="The label set it was last found in.")
    decision_id: UUID | None = Field(default=None, description="The decision that closed it.")
    decision_revision: int | None = Field(
        default=None,
        description="The earlier revision of the sample that this decision was made on, where it is not the finding's.",
    )
    fixed_by_label_version: int | None = Field(default=None, description="The label set that fixed it.")
    found_at: UtcDatetime
    updated_at: UtcDatetime


class GivenAnswer(Contract):
    """What one person said of a label in dispute, without who it was."""

    annotation_id: Identifier = Field(description="The label in dispute.")
    label: Annotation | None = Field(default=None, description="What they gave; none: they labelled nothing there.")


class Evidence(Contract):
    """What a person sees beside a task."""

    task: ReviewTask
    stage: Stage
    context: Context
    streams: tuple[Stream, ...]
    findings: tuple[StoredFinding, ...]
    folded: tuple[Finding, ...] = Field(default=(), description="Symptoms that the findings explain.")
    label_version: int
    annotations: Annotations = Field(description="All labels as they are now; the findings name those they concern.")
    predictions: Annotations = ()
    answers: tuple[GivenAnswer, ...] = Field(
        default=(), description="What people said of each label in dispute, in an order that tells nothing of them."
    )
    decisions: tuple[Decision, ...] = Field(default=(), description="Earlier decisions; none for a blind second look.")
    draft: Draft | None = None


class QueueSummary(Contract):
    """The state of one queue."""

    project: str
    queue: str
    kind: TaskKind
    open: int
    claimed: int
    oldest_created_at: UtcDatetime | None = None
    overdue: int = 0


LabelOrigin = Literal[
    "manifest",
    "label_files",
    "prediction",
    "pre_label",
    "annotator",
    "external",
    "reviewer",
    "adjudicator",
    "rework",
    "consensus",
    "incident",
    "migration",
]
