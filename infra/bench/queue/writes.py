"""The rows that a decision writes, written by one statement that asks nothing: what any decision costs at least."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_WRITES = text("""
    WITH task AS (
        SELECT * FROM review_tasks WHERE task_id = :task_id
    ), decided AS (
        INSERT INTO decisions (decision_id, task_id, project, sample_id, revision, task_kind, actor_id, verdict,
                               finding_ids, fence, label_version_before, label_version_after, content_sha256, body,
                               decided_at)
        SELECT gen_random_uuid(), task_id, project, sample_id, revision, kind, :actor_id, 'approve', finding_ids, fence,
               1, 1, repeat('0', 64), '{"verdict": "approve"}', clock_timestamp()
        FROM task RETURNING decision_id, task_id
    ), closed AS (
        UPDATE review_tasks
        SET state = 'completed', held_by = NULL, lease_expires_at = NULL, completed_at = clock_timestamp()
        FROM decided WHERE review_tasks.task_id = decided.task_id
    ), settled AS (
        UPDATE findings AS finding
        SET state = 'dismissed', decision_id = decided.decision_id, updated_at = clock_timestamp()
        FROM task, decided
        WHERE finding.project = task.project AND finding.sample_id = task.sample_id
          AND finding.revision = task.revision AND finding.finding_id = ANY (task.finding_ids)
    ), signed AS (
        UPDATE task_activity SET active_s = active_s + 1, active_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE task_id = :task_id AND actor_id = :actor_id
    ), told AS (
        INSERT INTO outbox (topic, project, sample_id, revision, body, attempts)
        SELECT 'workflow_signal', project, sample_id, revision, '{}', 0 FROM task
    ), head AS (
        UPDATE audit_heads AS head SET sequence = head.sequence + 1
        FROM task WHERE head.project = task.project RETURNING head.*
    )
    INSERT INTO audit_entries (project, sequence, at, actor, action, subject, body, previous_sha256, sha256)
    SELECT project, sequence, clock_timestamp(), :actor_id, 'task.approve', 'bench', '{}', sha256, sha256 FROM head
""")


async def write_rows(engine: AsyncEngine, task_id: UUID, actor_id: str) -> None:
    """Decide a task that the person holds without a question; the audit chain does not verify afterwards."""
    async with engine.begin() as connection:
        await connection.execute(_WRITES, {"task_id": task_id, "actor_id": actor_id})
