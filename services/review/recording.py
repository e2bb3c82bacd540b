"""What every decision leaves behind, whatever its verdict, in the transaction that takes it."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.records import SampleRevision
from services.contracts.review import Activity, Decision, DecisionInput, ReviewTask, StoredFinding
from services.lifecycle.journal import subject_of, tell_workflow, told_of_decision
from services.ports.database import Transaction


async def record_decision(
    tx: Transaction,
    revision: SampleRevision,
    task: ReviewTask,
    decision: Decision,
    given: DecisionInput,
    *,
    settled: Sequence[StoredFinding] = (),
    activity: Activity | None = None,
) -> None:
    """Keep a decision, complete its task, and tell the audit trail and the workflow.

    Args:
        tx: The transaction; revision and task are locked in it.
        revision: The revision decided on.
        task: The task decided.
        decision: The decision.
        given: What the person sent.
        settled: Findings of the task as they are after it.
        activity: The person's on the task after it.

    Raises:
        TaskFinishedError: The task has a decision already.
    """
    body = given.model_dump(mode="json", exclude_none=True)
    await tx.review.add_decision(decision, body, settled=settled, activity=activity)
    tx.audit.append(
        revision.ref.project,
        actor=decision.actor_id,
        action=f"task.{decision.verdict.value}",
        subject=subject_of(revision.ref),
        body={"queue": task.queue, **told_of_decision(decision)},
    )
    await tell_workflow(tx, revision, "decision_recorded", str(decision.decision_id), "")
