"""What was found and what was decided: findings with their state, drafts and decisions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import body_of, body_text, model_text
from infra.db.repositories.base import OF_REVISION, Repository
from infra.db.repositories.samples import ref_of
from services.contracts.findings import Finding
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, Draft, FindingState, StoredFinding, TaskKind, Verdict
from services.errors import TaskFinishedError

_FINDINGS = text(f"SELECT * FROM findings WHERE {OF_REVISION} ORDER BY finding_id")  # noqa: S608 - a constant
_PUT_FINDING = text("""
    INSERT INTO findings (project, sample_id, revision, finding_id, "check", kind, severity, finding, state, blocking,
                          labels_sha256, label_version, decision_id, fixed_by_label_version, found_at, updated_at)
    VALUES (:project, :sample_id, :revision, :finding_id, :check, :kind, :severity, :finding, :state, :blocking,
            :labels_sha256, :label_version, :decision_id, :fixed_by_label_version, :found_at, :updated_at)
    ON CONFLICT (project, sample_id, revision, finding_id) DO UPDATE SET
        "check" = EXCLUDED."check", kind = EXCLUDED.kind, severity = EXCLUDED.severity, finding = EXCLUDED.finding,
        state = EXCLUDED.state, blocking = EXCLUDED.blocking, labels_sha256 = EXCLUDED.labels_sha256,
        label_version = EXCLUDED.label_version, decision_id = EXCLUDED.decision_id,
        fixed_by_label_version = EXCLUDED.fixed_by_label_version, found_at = EXCLUDED.found_at,
        updated_at = EXCLUDED.updated_at
""")
_SAVE_DRAFT = text("""
    INSERT INTO drafts (task_id, actor_id, body, saved_at) VALUES (:task_id, :actor_id, :body, clock_timestamp())
    ON CONFLICT (task_id, actor_id) DO UPDATE SET body = EXCLUDED.body, saved_at = EXCLUDED.saved_at
    RETURNING *
""")
_DRAFT = text("SELECT * FROM drafts WHERE task_id = :task_id AND actor_id = :actor_id")
_ADD_DECISION = text("""
    INSERT INTO decisions (decision_id, task_id, project, sample_id, revision, task_kind, actor_id, verdict,
                           reason_code, note, finding_ids, fence, label_version_before, label_version_after,
                           content_sha256, body, decided_at)
    VALUES (:decision_id, :task_id, :project, :sample_id, :revision, :task_kind, :actor_id, :verdict,
            :reason_code, :note, CAST(:finding_ids AS text[]), :fence, :label_version_before, :label_version_after,
            :content_sha256, :body, :decided_at)
    ON CONFLICT (task_id) DO NOTHING
""")
_DECISION_OF_TASK = text("SELECT * FROM decisions WHERE task_id = :task_id")
_DECISIONS = text(f"SELECT * FROM decisions WHERE {OF_REVISION} ORDER BY decided_at, decision_id")  # noqa: S608
_DECISION_BODIES = text(f"SELECT decision_id, body FROM decisions WHERE {OF_REVISION}")  # noqa: S608


def _finding_of(row: Any) -> StoredFinding:
    return StoredFinding(
        ref=ref_of(row),
        finding=Finding.model_validate_json(row.finding),
        state=FindingState(row.state),
        blocking=row.blocking,
        labels_sha256=row.labels_sha256,
        label_version=row.label_version,
        decision_id=row.decision_id,
        fixed_by_label_version=row.fixed_by_label_version,
        found_at=row.found_at,
        updated_at=row.updated_at,
    )


def decision_of(row: Any) -> Decision:
    """Return a stored decision."""
    body = body_of(row.body)
    return Decision(
        decision_id=row.decision_id,
        task_id=row.task_id,
        ref=ref_of(row),
        task_kind=TaskKind(row.task_kind),
        actor_id=row.actor_id,
        verdict=Verdict(row.verdict),
        reason_code=row.reason_code,
        note=row.note,
        finding_ids=tuple(row.finding_ids),
        resolutions=body.get("resolutions"),
        remarks=body.get("remarks"),
        fence=row.fence,
        label_version_before=row.label_version_before,
        label_version_after=row.label_version_after,
        content_sha256=row.content_sha256,
        decided_at=row.decided_at,
    )


def draft_of(row: Any) -> Draft:
    """Return a stored draft."""
    return Draft(task_id=row.task_id, actor_id=row.actor_id, body=body_of(row.body), saved_at=row.saved_at)


class PostgresVerdicts(Repository):
    """The findings, drafts and decisions of :class:`services.ports.database.ReviewRepository`."""

    async def findings(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        """Return all findings of a revision, by finding id."""
        return tuple(_finding_of(row) for row in await self._run(_FINDINGS, **ref.model_dump()))

    async def put_finding(self, finding: StoredFinding) -> None:
        """Insert or replace a finding by (revision, finding id)."""
        await self._count(
            _PUT_FINDING,
            **finding.ref.model_dump(),
            finding_id=finding.finding.finding_id,
            check=finding.finding.check,
            kind=finding.finding.kind,
            severity=finding.finding.severity,
            finding=model_text(finding.finding),
            state=finding.state.value,
            blocking=finding.blocking,
            labels_sha256=finding.labels_sha256,
            label_version=finding.label_version,
            decision_id=finding.decision_id,
            fixed_by_label_version=finding.fixed_by_label_version,
            found_at=finding.found_at,
            updated_at=finding.updated_at,
        )

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        """Keep the person's draft for a task, one per person and task, whatever the lease."""
        row = await self._first(_SAVE_DRAFT, task_id=task_id, actor_id=actor_id, body=body_text(body))
        return draft_of(row)

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        """Return the person's draft."""
        row = await self._first(_DRAFT, task_id=task_id, actor_id=actor_id)
        return None if row is None else draft_of(row)

    async def add_decision(self, decision: Decision, body: dict[str, Any]) -> None:
        """Keep a decision with its whole input.

        Raises:
            TaskFinishedError: The task has a decision.
            SelfReviewError: The task excludes the person (as the transaction ends).
            StaleFenceError: The task was claimed again since (as the transaction ends).
        """
        added = await self._count(
            _ADD_DECISION,
            decision_id=decision.decision_id,
            task_id=decision.task_id,
            **decision.ref.model_dump(),
            task_kind=decision.task_kind.value,
            actor_id=decision.actor_id,
            verdict=decision.verdict.value,
            reason_code=decision.reason_code,
            note=decision.note,
            finding_ids=[*decision.finding_ids],
            fence=decision.fence,
            label_version_before=decision.label_version_before,
            label_version_after=decision.label_version_after,
            content_sha256=decision.content_sha256,
            body=body_text(body),
            decided_at=decision.decided_at,
        )
        if not added:
            raise TaskFinishedError(f"task {decision.task_id} has its decision already")

    async def decision_of_task(self, task_id: UUID) -> Decision | None:
        """Return the decision that finished a task."""
        row = await self._first(_DECISION_OF_TASK, task_id=task_id)
        return None if row is None else decision_of(row)

    async def decisions(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions of a revision, oldest first."""
        return tuple(decision_of(row) for row in await self._run(_DECISIONS, **ref.model_dump()))

    async def decision_bodies(self, ref: RevisionRef) -> dict[UUID, dict[str, Any]]:
        """Return the whole input of each decision of a revision, as :meth:`add_decision` was given it."""
        rows = await self._run(_DECISION_BODIES, **ref.model_dump())
        return {row.decision_id: body_of(row.body) for row in rows}
