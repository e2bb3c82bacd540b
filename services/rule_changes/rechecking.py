"""Have a sample in review checked again, because its project goes by something else now."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from services.contracts.lifecycle import RevisionRef
from services.lifecycle.journal import tell_workflow
from services.lifecycle.steps import cancel_task, is_live, lock_revision
from services.ports.database import Transaction
from services.rule_changes.facts import OpenSample, read_open_sample


async def check_again(
    tx: Transaction, ref: RevisionRef, may: Callable[[OpenSample], bool], reason: str, cause: str
) -> bool:
    """Take the sample's tasks back and tell its workflow, unless somebody has begun one meanwhile.

    Args:
        tx: The transaction.
        ref: The sample.
        may: Says of the locked sample whether it is checked again.
        reason: What is told of the tasks that are taken back.
        cause: What goes into the id of the message to the workflow.
    """
    revision = await lock_revision(tx, ref)
    tasks = [
        await tx.review.task(task.task_id, lock=True) if is_live(task) else task
        for task in await tx.review.tasks_of(ref)
    ]
    sample = await read_open_sample(tx, revision, tuple(task for task in tasks if task is not None))
    if not may(sample):
        return False
    for task in sample.live_tasks:
        await cancel_task(tx, task, reason)
    await tell_workflow(tx, revision, "decision_recorded", f"{cause}-{uuid4().hex}", "")
    return True
