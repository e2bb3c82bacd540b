"""What was found and what was decided: findings with their state, drafts and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import body_of, body_text, model_text
from infra.db.repositories.base import BEFORE_REVISION, OF_REVISION, Repository
from infra.db.repositories.projects import parsed_rules
from infra.db.repositories.samples import ref_of
from services.contracts.escalation import TaskCause
from services.contracts.findings import Finding
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import ProjectConfig
from services.contracts.review import (
    Activity,
    Decision,
    Draft,
    FindingState,
    ReviewTask,
    StoredFinding,
    TaskKind,
    Verdict,
)
from services.errors import IntegrityError, TaskFinishedError
from services.review.case_file import CaseFile

_FINDINGS = text(f"SELECT * FROM findings WHERE {OF_REVISION} ORDER BY finding_id")  # noqa: S608 - a constant
_FINDINGS_BEFORE = text(f"""
    SELECT DISTINCT ON (finding_id) * FROM findings WHERE {BEFORE_REVISION} ORDER BY finding_id, revision DESC
""")  # noqa: S608 - a constant
_PUT_FINDING = text("""
    INSERT INTO findings (project, sample_id, revision, finding_id, "check", kind, severity, finding, state, blocking,
                          labels_sha256, label_version, decision_id, decision_revision, fixed_by_label_version,
                          found_at, updated_at)
    VALUES (:project, :sample_id, :revision, :finding_id, :check, :kind, :severity, :finding, :state, :blocking,
            :labels_sha256, :label_version, :decision_id, :decision_revision, :fixed_by_label_version, :found_at,
            :updated_at)
    ON CONFLICT (project, sample_id, revision, finding_id) DO UPDATE SET
        "check" = EXCLUDED."check", kind = EXCLUDED.kind, severity = EXCLUDED.severity, finding = EXCLUDED.finding,
        state = EXCLUDED.state, blocking = EXCLUDED.blocking, labels_sha256 = EXCLUDED.labels_sha256,
        label_version = EXCLUDED.label_version, decision_id = EXCLUDED.decision_id,
        decision_revision = EXCLUDED.decision_revision,
        fixed_by_label_version = EXCLUDED.fixed_by_label_version, found_at = EXCLUDED.found_at,
        updated_at = EXCLUDED.updated_at
""")
_SAVE_DRAFT = text("""
    INSERT INTO drafts (task_id, actor_id, body, saved_at) VALUES (:task_id, :actor_id, :body, clock_timestamp())
    ON CONFLICT (task_id, actor_id) DO UPDATE SET body = EXCLUDED.body, saved_at = EXCLUDED.saved_at
    RETURNING *
""")
_DRAFT = text("SELECT * FROM drafts WHERE task_id = :task_id AND actor_id = :actor_id")
# One statement for all that a decision leaves behind in these tables. The task is closed after the decision is in,
# whose trigger compares it with the task as it stands.
_ADD_DECISION = text("""
    WITH added AS (
        INSERT INTO decisions (decision_id, task_id, project, sample_id, revision, task_kind, actor_id, verdict,
                               reason_code, note, finding_ids, fence, label_version_before, label_version_after,
                               content_sha256, body, caused_by, escalated_by, decided_at)
        VALUES (:decision_id, :task_id, :project, :sample_id, :revision, :task_kind, :actor_id, :verdict,
                :reason_code, :note, CAST(:finding_ids AS text[]), :fence, :label_version_before, :label_version_after,
                :content_sha256, :body, CAST(:caused_by AS json), CAST(:escalated_by AS json), :decided_at)
        ON CONFLICT (task_id) DO NOTHING
        RETURNING task_id
    ), closed AS (
        UPDATE review_tasks AS task
        SET state = 'completed', held_by = NULL, lease_expires_at = NULL, completed_at = clock_timestamp()
        FROM added WHERE task.task_id = added.task_id AND task.state IN ('open', 'claimed')
        RETURNING task.task_id
    ), settled AS (
        UPDATE findings AS finding
        SET state = given.state, labels_sha256 = given.labels_sha256, decision_id = given.decision_id,
            decision_revision = NULL, fixed_by_label_version = given.fixed_by, updated_at = given.updated_at
        FROM unnest(CAST(:settled AS text[]), CAST(:states AS text[]), CAST(:hashes AS text[]),
                    CAST(:closers AS uuid[]), CAST(:fixers AS int[]), CAST(:moments AS timestamptz[]))
             AS given (finding_id, state, labels_sha256, decision_id, fixed_by, updated_at)
        WHERE finding.project = :project AND finding.sample_id = :sample_id AND finding.revision = :revision
          AND finding.finding_id = given.finding_id
    ), signed AS (
        INSERT INTO task_activity (task_id, actor_id, active_s, active_at, updated_at)
        SELECT :task_id, :actor_id, active_s, :active_at, clock_timestamp()
        FROM (SELECT CAST(:active_s AS double precision) AS active_s) AS activity WHERE active_s IS NOT NULL
        ON CONFLICT (task_id, actor_id) DO UPDATE
        SET active_s = EXCLUDED.active_s, active_at = EXCLUDED.active_at, updated_at = EXCLUDED.updated_at
    )
    SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM closed) AS closed
""")
_REF = "json_build_object('project', project, 'sample_id', sample_id, 'revision', revision)"
# In the form of the contract, so that one parser reads all of it; documents stand in it letter by letter. The findings
# are not looked up by their ids: the best plan for that hangs on how many ids there are, so it would be made each time.
_CASE_FILE = text(f"""
    SELECT json_build_object(
        'at', clock_timestamp(),
        'findings', coalesce((
            SELECT json_agg(json_build_object(
                'ref', {_REF}, 'finding', finding, 'state', state, 'blocking', blocking,
                'labels_sha256', labels_sha256, 'label_version', label_version, 'decision_id', decision_id,
                'decision_revision', decision_revision,
                'fixed_by_label_version', fixed_by_label_version, 'found_at', found_at, 'updated_at', updated_at
            ) ORDER BY finding_id)
            FROM findings
            WHERE {OF_REVISION} AND array_position(CAST(:finding_ids AS text[]), finding_id) IS NOT NULL), '[]'),
        'decisions', coalesce((
            SELECT json_agg(json_build_object(
                'decision_id', decision_id, 'task_id', task_id, 'ref', {_REF}, 'task_kind', task_kind,
                'actor_id', actor_id, 'verdict', verdict, 'reason_code', reason_code, 'note', note,
                'finding_ids', finding_ids, 'resolutions', body -> 'resolutions', 'remarks', body -> 'remarks',
                'fence', fence, 'label_version_before', label_version_before,
                'label_version_after', label_version_after, 'content_sha256', content_sha256, 'caused_by', caused_by,
                'escalated_by', escalated_by, 'decided_at', decided_at
            ) ORDER BY decided_at, decision_id)
            FROM decisions WHERE {OF_REVISION}), '[]'),
        'label_sets', coalesce((
            SELECT json_agg(json_build_object(
                'ref', {_REF}, 'version', version, 'origin', origin, 'author', author, 'annotations', annotations,
                'sha256', sha256, 'decision_id', decision_id, 'incident_id', incident_id, 'created_at', created_at
            ) ORDER BY created_at, prediction, version)
            FROM label_sets WHERE {OF_REVISION}), '[]'),
        'activity', (
            SELECT json_build_object('task_id', task_id, 'actor_id', actor_id, 'active_s', active_s,
                                     'active_at', active_at)
            FROM task_activity WHERE task_id = :task_id AND actor_id = :actor_id),
        'rule_set', project.rule_set, 'scored', project.scored
    ) AS document, rules.document AS rules
    FROM (
        SELECT coalesce(config -> 'rule_set', CAST(:rule_set AS json)) AS rule_set,
               coalesce(config ->> 'gold', '') <> '' OR coalesce(config ->> 'earned_skills', '[]') <> '[]' AS scored
        FROM projects WHERE id = :project
    ) AS project
    LEFT JOIN rule_sets AS rules
      ON rules.id = project.rule_set ->> 'id' AND rules.version = CAST(project.rule_set ->> 'version' AS integer)
""")  # noqa: S608 - constants
_DECISION_OF_TASK = text("SELECT * FROM decisions WHERE task_id = :task_id")
_DECISIONS = text(f"SELECT * FROM decisions WHERE {OF_REVISION} ORDER BY decided_at, decision_id")  # noqa: S608
_DECISIONS_BEFORE = text(f"""
    SELECT * FROM decisions WHERE {BEFORE_REVISION} ORDER BY decided_at, decision_id
""")  # noqa: S608
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
        decision_revision=row.decision_revision,
        fixed_by_label_version=row.fixed_by_label_version,
        found_at=row.found_at,
        updated_at=row.updated_at,
    )


def cause_of(document: str | None) -> TaskCause | None:
    """Return a stored cause, None where a row has none."""
    return None if document is None else TaskCause.model_validate_json(document)


def cause_text(cause: TaskCause | None) -> str | None:
    """Return a cause as JSON text."""
    return None if cause is None else model_text(cause)


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
        caused_by=cause_of(row.caused_by),
        escalated_by=cause_of(row.escalated_by),
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

    async def findings_before(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        """Return the findings of the sample's earlier revisions, each as the newest of them has it, by finding id."""
        return tuple(_finding_of(row) for row in await self._run(_FINDINGS_BEFORE, **ref.model_dump()))

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
            decision_revision=finding.decision_revision,
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

    async def case_file(self, task: ReviewTask, actor_id: str) -> CaseFile:
        """Return what this person's answer to the task is judged by, as one statement sees it."""
        row = await self._first(
            _CASE_FILE,
            **task.ref.model_dump(),
            task_id=task.task_id,
            finding_ids=[*task.finding_ids],
            actor_id=actor_id,
            rule_set=model_text(ProjectConfig().rule_set),
        )
        if row is None:
            raise IntegrityError(f"task {task.task_id} belongs to a project that is not stored")
        file = CaseFile.model_validate_json(row.document)
        return file if row.rules is None else file.model_copy(update={"rules": parsed_rules(row.rules)})

    async def add_decision(
        self,
        decision: Decision,
        body: dict[str, Any],
        *,
        settled: Sequence[StoredFinding] = (),
        activity: Activity | None = None,
    ) -> None:
        """Keep a decision with its whole input and complete its task, in one statement with what goes with it.

        Args:
            decision: The decision.
            body: Its whole input.
            settled: Findings of its revision; their state, and what goes with it, is kept.
            activity: The person's on the task, with the sign of life that the decision is.

        Raises:
            TaskFinishedError: The task has a decision, or was cancelled.
            SelfReviewError: The task excludes the person (as the transaction ends).
            StaleFenceError: The task was claimed again since (as the transaction ends).
        """
        row = await self._first(
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
            caused_by=cause_text(decision.caused_by),
            escalated_by=cause_text(decision.escalated_by),
            decided_at=decision.decided_at,
            settled=[item.finding.finding_id for item in settled],
            states=[item.state.value for item in settled],
            hashes=[item.labels_sha256 for item in settled],
            closers=[item.decision_id for item in settled],
            fixers=[item.fixed_by_label_version for item in settled],
            moments=[item.updated_at for item in settled],
            active_s=None if activity is None else activity.active_s,
            active_at=None if activity is None else activity.active_at,
        )
        if row is None or not row.added:
            raise TaskFinishedError(f"task {decision.task_id} has its decision already")
        if not row.closed:
            raise TaskFinishedError(f"task {decision.task_id} is finished already")

    async def decision_of_task(self, task_id: UUID) -> Decision | None:
        """Return the decision that finished a task."""
        row = await self._first(_DECISION_OF_TASK, task_id=task_id)
        return None if row is None else decision_of(row)

    async def decisions(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions of a revision, oldest first."""
        return tuple(decision_of(row) for row in await self._run(_DECISIONS, **ref.model_dump()))

    async def decisions_before(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions on the sample's earlier revisions, oldest first."""
        return tuple(decision_of(row) for row in await self._run(_DECISIONS_BEFORE, **ref.model_dump()))

    async def decision_bodies(self, ref: RevisionRef) -> dict[UUID, dict[str, Any]]:
        """Return the whole input of each decision of a revision, as :meth:`add_decision` was given it."""
        rows = await self._run(_DECISION_BODIES, **ref.model_dump())
        return {row.decision_id: body_of(row.body) for row in rows}
