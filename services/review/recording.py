"""What every decision leaves behind, whatever its verdict, in the transaction that takes it."""

from __future__ import annotations

from services.contracts.records import SampleRevision
from services.contracts.review import Decision, DecisionInput, ReviewTask, TaskState
from services.lifecycle.journal import subject_of, tell_workflow, told_of_decision
from services.ports.database import Transaction


async def record_decision(
    tx: Transaction, revision: SampleRevision, task: ReviewTask, decision: Decision, given: DecisionInput
) -> None:
    """Keep a decision, complete its task, and tell the audit trail and the workflow.

    Args:
        tx: The transaction; revision and task are locked in it.
        revision: The revision decided on.
        task: The task decided.
        decision: The decision.
        given: What the person sent.

    Raises:
        TaskFinishedError: The task has a decision already.
    """
    await tx.review.add_decision(decision, given.model_dump(mode="json", exclude_none=True))
    await tx.review.close_task(task.task_id, TaskState.COMPLETED)
    tx.audit.append(
        revision.ref.project,
        actor=decision.actor_id,
        action=f"task.{decision.verdict.value}",
        subject=subject_of(revision.ref),
        body={"queue": task.queue, **told_of_decision(decision)},
    )
    await tell_workflow(tx, revision, "decision_recorded", str(decision.decision_id), "")
