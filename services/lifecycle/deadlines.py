"""Deadlines of open tasks: when the next one is, and what happens when one has passed."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef, StepResult
from services.contracts.records import ProjectConfig
from services.contracts.review import ReviewTask, TaskKind
from services.lifecycle.journal import subject_of
from services.lifecycle.settle import settle
from services.lifecycle.steps import is_live, lock_revision, read_project_rules
from services.lifecycle.windows import deadline_key, is_held, missed_deadline, window_of
from services.ports.database import Database, Transaction

OVERDUE_PRIORITY = 50


async def escalate_overdue(database: Database, ref: RevisionRef, deadline_round: int) -> StepResult:
    """Move a sample's overdue work on, and return what the workflow does next.

    A review that nobody holds goes to the experts; other overdue tasks rise in priority. A task that somebody holds
    under a live lease is left to them.

    Idempotent: each deadline of a task has a number that follows from its due time and the database's clock, and
    each number is acted on once, in the transaction that keeps a note of it. A second call for the same deadline,
    a clock of the workflow that runs ahead, or a workflow that was started again therefore changes nothing.

    Args:
        database: The store of record.
        ref: The revision.
        deadline_round: The workflow's count of its deadlines; kept in the audit trail.

    Raises:
        NotFoundError: There is no such revision.
    """
    async with database.transaction() as tx:
        revision = await lock_revision(tx, ref)
        if revision.stage not in FINAL_STAGES:
            config = (await read_project_rules(tx, ref.project)).config
            now = await tx.now()
            for seen in await tx.review.tasks_of(ref):
                # Locked, so that nobody claims it between this look and what follows from it.
                task = await tx.review.task(seen.task_id, lock=True) if is_live(seen) else None
                if task is not None and not is_held(task, now):
                    await _escalate(tx, task, config, now, deadline_round)
        return await settle(tx, revision)


async def _escalate(
    tx: Transaction, task: ReviewTask, config: ProjectConfig, now: datetime, deadline_round: int
) -> None:
    number = await missed_deadline(tx, task, window_of(task.kind, config), now)
    if number is None or task.due_at is None:
        return
    to_experts = task.kind is TaskKind.REVIEW
    if to_experts:
        reason = f"Nobody decided this review before {task.due_at:%Y-%m-%d %H:%M} UTC, so it went to the experts."
        await tx.review.move_to_experts(task.task_id, reason)
    else:
        await tx.review.raise_priority(task.task_id, OVERDUE_PRIORITY)
    body = {
        "task_id": str(task.task_id),
        "deadline": number,
        "deadline_round": deadline_round,
        "to_experts": to_experts,
        "overdue_s": round((now - task.due_at) / timedelta(seconds=1), 3),
    }
    tx.audit.append(
        task.ref.project, actor=SYSTEM_ACTOR, action="task.overdue", subject=subject_of(task.ref), body=body
    )
    await tx.idempotency.add(SYSTEM_ACTOR, deadline_key(task, number), content_sha256(body), 200, b"{}")
