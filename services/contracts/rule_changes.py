"""A change of a project's rule set: what it would change for past samples, and what it does to open ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, Text, UtcDatetime
from services.contracts.findings import RuleReference, Severity
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Risk
from services.contracts.review import TaskKind
from services.rules.rule_set import RuleSet

MAX_SAMPLES = 1_000
"""Samples that one dry run checks."""

MAX_BUDGET = 200
"""Samples that one activation has checked again: it holds their tasks until it is done."""

Order = Literal["newest", "riskiest"]
Count = Annotated[int, Field(ge=0)]
Samples = Annotated[int, Field(ge=1, le=MAX_SAMPLES)]
Truth = Literal["true", "false", "exempt"]


class DryRunRequest(Contract):
    """Which rules are tried, and over how many samples."""

    rules: RuleSet | None = Field(default=None, description="The rule set, whole; it needs not be stored.")
    rule_set: RuleReference | None = Field(default=None, description="Or a stored version.")
    samples: Samples = 50
    order: Order = Field(default="newest", description="Which samples come first: of the riskiest, the newest.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rules is None) == (self.rule_set is None):
            raise ValueError("give one of the two: rules, or rule_set")
        return self


class FindingChange(Contract):
    """A finding that the two rule sets do not have alike."""

    finding_id: Identifier
    check: Name
    kind: Name
    before: Severity | None = Field(default=None, description="None: not found by the rules of the stored check run.")
    after: Severity | None = Field(default=None, description="None: not found, or folded under a cause.")
    folded: bool = Field(default=False, description="It is not gone: a cause that is found now explains it.")
    blocks_before: bool
    blocks_after: bool
    message: Text


class PlannedTask(Contract):
    """A task that findings lead to."""

    queue: Identifier
    kind: TaskKind
    finding_ids: tuple[Identifier, ...]


class JudgedFinding(Contract):
    """A finding on which people have decided, and whether each rule set asks people about it."""

    finding_id: Identifier
    check: Name
    kind: Name
    truth: Truth = Field(description="true: fixed or rejected; false: approved; exempt: a conflict that was accepted.")
    before: bool
    after: bool


class SampleTrial(Contract):
    """What a rule set changes for one sample."""

    ref: RevisionRef
    stage: Stage
    risk: Risk
    label_version: Count = Field(description="The labels that were checked: those first checked, once it has ended.")
    rule_before: RuleReference = Field(description="The rules of the stored check run.")
    rechecked: bool = Field(description="Whether activation has it checked again, if its budget lasts.")
    changes: Annotated[tuple[FindingChange, ...], Field(max_length=100_000)] = ()
    same: Count = 0
    blocking_before: Count = 0
    blocking_after: Count = 0
    tasks_before: tuple[PlannedTask, ...] = Field(
        default=(), description="Open tasks, where it would be checked again; else what its stored check run leads to."
    )
    tasks_after: tuple[PlannedTask, ...] = ()
    judged: tuple[JudgedFinding, ...] = ()


class SkippedSample(Contract):
    """A sample that was not tried."""

    ref: RevisionRef
    reason: Text


class Share(Contract):
    """A share with its interval (Wilson, 95 %)."""

    hits: Count
    of: Count
    value: float
    low: float
    high: float


class Accuracy(Contract):
    """How right the findings of a kind are, by what people decided; a share of nothing is none."""

    precision: Share | None = Field(
        default=None, description="Of the judged findings that ask people, those that were true."
    )
    recall: Share | None = Field(
        default=None, description="Of the true findings that people judged, those that ask people."
    )


class KindAccuracy(Contract):
    """A kind of finding under both rule sets."""

    check: Name
    kind: Name
    true: Count
    false: Count
    exempt: Count
    before: Accuracy
    after: Accuracy


class QueueChange(Contract):
    """The work of a queue under both rule sets."""

    queue: Identifier
    kind: TaskKind
    before: Count
    after: Count
    median_active_s: float | None = Field(
        default=None, description="Of the queue's finished tasks; none: nothing was measured."
    )
    hours: float | None = Field(
        default=None, description="More (or, below zero, less) active time; none: nothing was measured."
    )


class DryRunCounts(Contract):
    """The numbers of a dry run; each is counted from its samples."""

    samples: Count = 0
    skipped: Count = 0
    differ: Count = 0
    rechecked: Count = 0
    appear: Count = 0
    disappear: Count = 0
    folded: Count = 0
    severity_changed: Count = 0
    blocking_before: Count = 0
    blocking_after: Count = 0
    tasks_before: Count = 0
    tasks_after: Count = 0
    escalations_before: Count = 0
    escalations_after: Count = 0
    hours: float | None = Field(default=None, description="Over the queues that were measured; none: none was.")
    tasks_not_measured: int = Field(default=0, description="More (or less) tasks of queues that were not measured.")


class DryRun(Contract):
    """What a rule set would change, by the samples that were tried."""

    dry_run_id: UUID
    project: ProjectId
    against: RuleReference = Field(description="What the project goes by now.")
    rule_set: RuleReference
    rule_sha256: Sha256
    order: Order
    counts: DryRunCounts
    kinds: tuple[KindAccuracy, ...]
    queues: tuple[QueueChange, ...]
    samples: Annotated[tuple[SampleTrial, ...], Field(max_length=MAX_SAMPLES)]
    skipped: Annotated[tuple[SkippedSample, ...], Field(max_length=MAX_SAMPLES)] = ()
    made_at: UtcDatetime


class Recheck(Contract):
    """Which open samples are checked again when a project goes over to other rules, and on what that rests."""

    budget: Annotated[int, Field(ge=0, le=MAX_BUDGET)] = Field(
        default=50, description="So many open samples are checked again now."
    )
    order: Order = "newest"
    dry_run_id: UUID | None = Field(
        default=None, description="The dry run that it rests on; it must be of these rules."
    )


class ActivationRequest(Recheck):
    """Which stored rule set a project goes by from now on."""

    rule_set: RuleReference


class ScheduleRequest(ActivationRequest):
    """Which stored rule set a project goes by from a moment on."""

    effective_at: UtcDatetime = Field(description="From when on; it lies ahead.")


class Activation(Contract):
    """What an activation did."""

    activation_id: UUID
    project: ProjectId
    before: RuleReference
    rule_set: RuleReference
    rechecked: Annotated[tuple[RevisionRef, ...], Field(max_length=MAX_BUDGET)] = Field(
        description="Their tasks were taken back, and their workflows told to check them."
    )
    left: Count = Field(description="Other samples in review: checked under the new rules when their tasks are done.")


class ActivationState(StrEnum):
    """Where an activation is."""

    SCHEDULED = "scheduled"
    ACTIVATED = "activated"
    CANCELLED = "cancelled"


class RuleActivation(Contract):
    """From when on a project goes, or was to go, by a rule set."""

    activation_id: UUID
    project: ProjectId
    rule_set: RuleReference
    rule_sha256: Sha256
    state: ActivationState
    effective_at: UtcDatetime = Field(description="From when on.")
    recheck: Recheck
    requested_by: Identifier
    requested_at: UtcDatetime
    before: RuleReference | None = Field(default=None, description="What the project went by until then.")
    activated_at: UtcDatetime | None = Field(
        default=None, description="When it was done: of what was scheduled a moment after `effective_at`."
    )
    rechecked: Count | None = Field(default=None, description="Samples that were checked again at once.")
    left: Count | None = None
    cancelled_by: Identifier | None = None
    cancelled_at: UtcDatetime | None = None
    failures: Count = Field(default=0, description="How often it was tried in vain since its moment came.")
    fault: Name | None = Field(default=None, description="Code of the error of the last try; `defect` if unforeseen.")
    try_again_at: UtcDatetime | None = Field(
        default=None, description="When it is tried again; until then the project goes by the rules before."
    )


class OwnersRequest(Contract):
    """Who owns a rule set from now on."""

    owners: Annotated[tuple[Identifier, ...], Field(max_length=100)] = Field(
        description="People, by the actor of their keys; none: whoever may change rule sets at all."
    )


class RuleSetOwners(OwnersRequest):
    """Who may publish versions of a rule set, and let projects go by them."""

    rule_set_id: Identifier
    changed_by: Identifier | None = None
    changed_at: UtcDatetime | None = None


class ListedRuleSet(RuleReference):
    """A rule set version with those who own the rule set."""

    owners: tuple[Identifier, ...] = ()
