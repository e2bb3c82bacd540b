"""A task as its row says it is, of real work and of probes alike."""

from __future__ import annotations

from typing import Any

from infra.db.repositories.samples import ref_of
from infra.db.repositories.verdicts import cause_of
from infra.db.tables.review import ReviewTaskRow
from services.contracts.review import ReviewTask, TaskFacts, TaskKind, TaskState

TASK_COLUMNS = tuple(ReviewTaskRow.model_fields)
"""The columns that :func:`task_of` reads, without the row's ``now``."""


def task_of(row: Any) -> ReviewTask:
    """Return a task as it is at the row's ``now``: a claim whose lease is over is open and held by nobody."""
    over = row.state == TaskState.CLAIMED and row.lease_expires_at <= row.now
    return ReviewTask(
        task_id=row.task_id,
        ref=ref_of(row),
        kind=TaskKind(row.kind),
        queue=row.queue,
        skill=row.skill,
        risk=row.risk,
        priority=row.priority,
        state=TaskState.OPEN if over else TaskState(row.state),
        finding_ids=tuple(row.finding_ids),
        assignee=row.assignee,
        excluded_actors=tuple(row.excluded_actors),
        origin_decision_id=row.origin_decision_id,
        caused_by=cause_of(row.caused_by),
        reason=row.reason,
        facts=TaskFacts(
            check=row.check,
            finding_kind=row.finding_kind,
            severity=row.severity,
            domain=row.domain,
            language=row.language,
            region=row.region,
        ),
        on_hold=row.on_hold,
        hold_reason=row.hold_reason,
        on_hold_since=row.on_hold_since,
        held_by=None if over else row.held_by,
        fence=row.fence,
        tier_fence=row.tier_fence,
        lease_expires_at=None if over else row.lease_expires_at,
        created_at=row.created_at,
        start_by_at=row.start_by_at,
        due_at=row.due_at,
        completed_at=row.completed_at,
    )


def late_at(moment: str) -> str:
    """Return the condition that ``task`` has missed a deadline at a moment; while it is on hold these stand still."""
    at = f"least({moment}, task.on_hold_since)"
    return f"(task.due_at < {at} OR task.fence = task.tier_fence AND task.start_by_at < {at})"
