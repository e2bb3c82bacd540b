"""The lifecycle of a sample revision: stages, legal transitions, ids, and the workflow's payloads.

Payloads carry ids and counts only; labels, findings and evidence stay in PostgreSQL.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, Text, Version
from services.errors import StageConflictError


class Stage(StrEnum):
    """Where a sample revision is."""

    RECEIVED = "received"
    PRE_LABELING = "pre_labeling"
    ANNOTATING = "annotating"
    CHECKING = "checking"
    ACCEPTED = "accepted"
    IN_REVIEW = "in_review"
    ADJUDICATING = "adjudicating"
    REWORK = "rework"
    COMMITTED = "committed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    REOPENED = "reopened"


FINAL_STAGES = frozenset({Stage.COMMITTED, Stage.REJECTED, Stage.WITHDRAWN, Stage.REOPENED})

_OPEN_ENDS = frozenset({Stage.REJECTED, Stage.WITHDRAWN})
LEGAL_TRANSITIONS: dict[Stage, frozenset[Stage]] = {
    # Committed at once: what a taxonomy migration makes of ground truth without asking anybody.
    Stage.RECEIVED: frozenset({Stage.PRE_LABELING, Stage.COMMITTED}) | _OPEN_ENDS,
    Stage.PRE_LABELING: frozenset({Stage.ANNOTATING, Stage.CHECKING}) | _OPEN_ENDS,
    Stage.ANNOTATING: frozenset({Stage.CHECKING}) | _OPEN_ENDS,
    Stage.CHECKING: frozenset({Stage.ACCEPTED, Stage.IN_REVIEW, Stage.ADJUDICATING, Stage.REWORK}) | _OPEN_ENDS,
    Stage.ACCEPTED: frozenset({Stage.COMMITTED, Stage.IN_REVIEW}) | _OPEN_ENDS,
    Stage.IN_REVIEW: frozenset({Stage.CHECKING, Stage.ADJUDICATING, Stage.REWORK}) | _OPEN_ENDS,
    Stage.ADJUDICATING: frozenset({Stage.CHECKING, Stage.REWORK, Stage.IN_REVIEW}) | _OPEN_ENDS,
    Stage.REWORK: frozenset({Stage.CHECKING}) | _OPEN_ENDS,
    Stage.COMMITTED: frozenset({Stage.REOPENED}),
    Stage.REJECTED: frozenset({Stage.REOPENED}),
    Stage.WITHDRAWN: frozenset(),
    Stage.REOPENED: frozenset(),
}


def ensure_transition(before: Stage, after: Stage) -> None:
    """Raise :class:`StageConflictError` unless the lifecycle allows ``before`` → ``after``."""
    if after not in LEGAL_TRANSITIONS[before]:
        allowed = ", ".join(sorted(LEGAL_TRANSITIONS[before])) or "nothing"
        raise StageConflictError(f"a sample goes from {before} to {allowed}; not to {after}")


class RevisionRef(Contract):
    """Names one revision of one sample."""

    project: ProjectId
    sample_id: Identifier
    revision: Version


def workflow_id_of(ref: RevisionRef) -> str:
    """Return the Temporal workflow id of a sample revision."""
    return f"sample/{ref.project}/{ref.revision}/{ref.sample_id}"


def trace_ids(ref: RevisionRef) -> dict[str, str]:
    """Return the ids by which a sample revision is followed through the logs of every process."""
    return {"project": ref.project, "sample_id": ref.sample_id, "workflow_id": workflow_id_of(ref)}


def ref_of_workflow_id(workflow_id: str) -> RevisionRef:
    """Return the sample revision of a workflow id, the inverse of :func:`workflow_id_of`.

    Raises:
        ValueError: The id was not made by :func:`workflow_id_of`.
    """
    parts = workflow_id.split("/", 3)
    if len(parts) != 4 or parts[0] != "sample":
        raise ValueError(f"not the id of a sample's workflow: {workflow_id!r}")
    return RevisionRef(project=parts[1], revision=int(parts[2]), sample_id=parts[3])


class NextStep(StrEnum):
    """What the workflow does next; activities decide it from what is stored, the workflow follows."""

    PREPARE = "prepare"
    ANNOTATE = "annotate"  # wait for a person's labels
    CHECK = "check"
    COMMIT = "commit"
    WAIT = "wait"  # wait for review, adjudication or rework
    STOP = "stop"  # committed, rejected or withdrawn


class StepResult(Contract):
    """What an activity answers the workflow."""

    stage: Stage
    next_step: NextStep
    open_tasks: Annotated[int, Field(ge=0)] = 0
    findings: Annotated[int, Field(ge=0)] = 0
    due_in: timedelta | None = Field(
        default=None, description="Until the first deadline of the open tasks, by the database's clock."
    )
    content_sha256: Sha256 | None = Field(default=None, description="Of the ground truth, when committed.")


MAX_SEEN_MESSAGES = 200


class CarriedState(Contract):
    """What a workflow hands to its own continuation when its history has grown long."""

    step: StepResult
    deadline_round: Annotated[int, Field(ge=0)] = 0
    seen: Annotated[tuple[Identifier, ...], Field(max_length=MAX_SEEN_MESSAGES)] = Field(
        default=(), description="Ids of the newest messages, oldest first."
    )
    unread: bool = Field(default=False, description="A message came that no activity has looked at yet.")


class LifecycleInput(Contract):
    """What a sample's workflow starts with."""

    ref: RevisionRef
    annotate_within: timedelta = timedelta(days=7)
    review_within: timedelta = timedelta(days=2)
    carried: CarriedState | None = Field(default=None, description="Set by the workflow itself, never from outside.")


class PrepareInput(Contract):
    """Read and hash the assets, ask the pre-label models, decide whether people must label first."""

    ref: RevisionRef


class CheckInput(Contract):
    """Run the cross-modal checks over the newest labels and route what they find."""

    ref: RevisionRef


class SettleInput(Contract):
    """Apply the decisions stored since the last time: what happens next."""

    ref: RevisionRef


class EscalateInput(Contract):
    """A deadline passed: move the sample's open tasks to the next tier."""

    ref: RevisionRef
    deadline_round: Annotated[int, Field(ge=1)]


class CommitInput(Contract):
    """Commit ground truth."""

    ref: RevisionRef


class LifecycleResult(Contract):
    """How a sample's workflow ended."""

    stage: Stage
    content_sha256: Name | None = None


class DecisionRecorded(Contract):
    """A past fact told to the workflow: a decision, or labels, are in PostgreSQL."""

    message_id: Identifier = Field(description="The id of the decision; seen twice, it counts once.")


class WithdrawalRecorded(Contract):
    """A past fact told to the workflow: upstream withdrew or replaced the revision."""

    message_id: Identifier
    reason: Text


class LifecycleState(Contract):
    """What the workflow's query answers."""

    ref: RevisionRef
    stage: Stage
    next_step: NextStep
    messages_seen: Annotated[int, Field(ge=0)]
    deadline_round: Annotated[int, Field(ge=0)]
    fault: Name | None = Field(default=None, description="Code of the error that holds the sample up, if one does.")
