"""Every stage change, written once and in full: the stage, the timeline, the event out, the audit entry."""

from __future__ import annotations

from typing import Any

from services.contracts.canonical import time_text
from services.contracts.escalation import TaskCause
from services.contracts.events import StageChanged, stage_event_id, stage_event_type
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef, Stage, ensure_transition, workflow_id_of
from services.contracts.records import SampleRevision, StageChange
from services.contracts.review import Decision
from services.ports.database import Transaction


def subject_of(ref: RevisionRef) -> str:
    """Return how the audit trail and outgoing events name a sample revision."""
    return f"samples/{ref.sample_id}/revisions/{ref.revision}"


async def record_stage(
    tx: Transaction,
    ref: RevisionRef,
    before: Stage | None,
    after: Stage,
    *,
    actor: str,
    reason: str | None = None,
    content_sha256: str | None = None,
) -> StageChange:
    """Move a revision to ``after`` and tell everybody, in the caller's transaction.

    The caller holds the lock on the revision (or has just created it), which is what keeps the sample's sequence
    free of gaps.

    Args:
        tx: The transaction.
        ref: The revision.
        before: Its stage now; None when it was just created.
        after: The stage it reaches.
        actor: Who caused it.
        reason: A sentence for people.
        content_sha256: Hash of the ground truth, when that is what happened.

    Raises:
        StageConflictError: The lifecycle does not allow the step.
    """
    if before is not None:
        ensure_transition(before, after)
    at = await tx.now()
    sequence = await tx.samples.next_sequence(ref.project, ref.sample_id)
    change = StageChange(
        ref=ref, sequence=sequence, stage=after, previous_stage=before, actor=actor, reason=reason, at=at
    )
    await tx.samples.set_stage(change)
    await tell_stage(tx, change, content_sha256=content_sha256)
    return change


async def tell_stage(tx: Transaction, change: StageChange, *, content_sha256: str | None = None) -> None:
    """Tell everybody of a stage change that the caller's transaction keeps: the event out, the audit entry.

    Args:
        tx: The transaction.
        change: What was kept.
        content_sha256: Hash of the ground truth, when that is what happened.
    """
    ref = change.ref
    data = StageChanged(
        project=ref.project,
        sample_id=ref.sample_id,
        revision=ref.revision,
        sequence=change.sequence,
        stage=change.stage,
        previous_stage=change.previous_stage,
        at=change.at,
        actor=change.actor,
        reason=change.reason,
        content_sha256=content_sha256,
    )
    await tx.outbox.add(
        "event",
        ref,
        data.model_dump(mode="json", exclude_none=True),
        sequence=change.sequence,
        event_type=stage_event_type(change.stage),
        event_id=stage_event_id(data),
    )
    tx.audit.append(
        ref.project,
        actor=change.actor,
        action=f"sample.{change.stage.value}",
        subject=subject_of(ref),
        body={
            "sequence": change.sequence,
            "before": change.previous_stage,
            "content_sha256": content_sha256,
            "at": time_text(change.at),
        },
        personal={"reason": change.reason},
    )


async def move(tx: Transaction, revision: SampleRevision, *path: Stage, actor: str, reason: str | None = None) -> Stage:
    """Walk a locked revision along ``path``, leaving out steps to where it already is; return the last stage."""
    stage = revision.stage
    for after in path:
        if after != stage:
            await record_stage(tx, revision.ref, stage, after, actor=actor, reason=reason)
            stage = after
    return stage


def told_of_cause(name: str, cause: TaskCause | None) -> dict[str, Any]:
    """Return a cause under its name; nothing where there is none, so that what was told before keeps its hash."""
    return {} if cause is None else {name: cause.model_dump(mode="json", exclude_none=True)}


def told_of_decision(decision: Decision) -> dict[str, Any]:
    """Return what the audit trail says about a decision, so that a verifier can compare all of it."""
    return {
        "task_id": str(decision.task_id),
        "decision_id": str(decision.decision_id),
        "task_kind": decision.task_kind.value,
        "fence": decision.fence,
        "reason_code": decision.reason_code,
        "finding_ids": list(decision.finding_ids),
        "label_version_before": decision.label_version_before,
        "label_version_after": decision.label_version_after,
        "content_sha256": decision.content_sha256,
        "decided_at": time_text(decision.decided_at),
        **told_of_cause("caused_by", decision.caused_by),
        **told_of_cause("escalated_by", decision.escalated_by),
    }


async def tell_workflow(tx: Transaction, revision: SampleRevision, signal: str, message_id: str, reason: str) -> None:
    """Tell the revision's workflow a past fact, through the outbox, unless the workflow has ended.

    Args:
        tx: The transaction that made the fact true.
        revision: The revision, locked.
        signal: ``decision_recorded`` or ``withdrawal_recorded``.
        message_id: Names the fact; the workflow counts it once.
        reason: A sentence for people; empty for decisions.
    """
    if revision.stage in FINAL_STAGES:
        return
    body = {"workflow_id": workflow_id_of(revision.ref), "signal": signal, "message_id": message_id, "reason": reason}
    await tx.outbox.add("workflow_signal", revision.ref, body)
