"""Samples, their revisions, label sets, assets and check runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import annotations_of, annotations_text, model_text
from infra.db.repositories.base import BEFORE_REVISION, GONE, OF_REVISION, Repository
from infra.db.repositories.inbox import event_key
from services.contracts.annotations import Annotations, annotations_sha256
from services.contracts.canonical import content_sha256
from services.contracts.events import IncomingEvent
from services.contracts.findings import CheckReport, RuleReference
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Risk, SampleManifest
from services.contracts.records import (
    AssetRecord,
    CheckRun,
    LabelSet,
    SampleRevision,
    SampleSummary,
    StageChange,
)
from services.errors import AlreadyExistsError, IntegrityError, NotFoundError, StageConflictError

# FOR NO KEY UPDATE: rows that refer to a sample or a revision can be written meanwhile.
_LOCK_SAMPLE = text("""
    SELECT current_revision FROM samples WHERE project = :project AND sample_id = :sample_id FOR NO KEY UPDATE
""")
_ADD_SAMPLE = text("""
    INSERT INTO samples (project, sample_id, current_revision, event_sequence)
    VALUES (:project, :sample_id, 0, 0) ON CONFLICT DO NOTHING
""")
_ADD_REVISION = text("""
    WITH newest AS (
        UPDATE samples SET current_revision = :revision
        WHERE project = :project AND sample_id = :sample_id AND current_revision < :revision
        RETURNING project, sample_id
    )
    INSERT INTO sample_revisions (project, sample_id, revision, stage, risk, manifest, manifest_sha256,
                                  label_version, prediction_version, event_key, event_source, event_id)
    SELECT project, sample_id, :revision, 'received', :risk, CAST(:manifest AS json), :manifest_sha256,
           0, 0, CAST(:event_key AS text), CAST(:event_source AS text), CAST(:event_id AS text)
    FROM newest
""")
_GET = f"SELECT * FROM sample_revisions WHERE {OF_REVISION}"  # noqa: S608 - a constant
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(f"{_GET} FOR NO KEY UPDATE")
_NEWEST = text("SELECT current_revision FROM samples WHERE project = :project AND sample_id = :sample_id")
_SUMMARIES = """
    SELECT project, sample_id, revision, stage, risk, label_version, created_at, updated_at
    FROM sample_revisions WHERE project = :project {conditions}
    ORDER BY created_at DESC, sample_id DESC, revision DESC LIMIT :limit
"""
_OF_STAGE = "AND stage = :stage"
_AFTER = """AND (created_at, sample_id, revision) <
    (CAST(:after_created_at AS timestamptz), :after_sample, CAST(:after_revision AS integer))"""
_RISK_RANK = "CASE WHEN NOT :riskiest THEN 0 WHEN {}.risk = 'high' THEN 1 WHEN {}.risk = 'medium' THEN 2 ELSE 3 END"
_CHECKED = text(f"""
    SELECT it.project, it.sample_id, it.revision
    FROM sample_revisions AS it
    JOIN samples AS newest ON (newest.project, newest.sample_id, newest.current_revision)
        = (it.project, it.sample_id, it.revision)
    CROSS JOIN LATERAL (
        SELECT rule_sha256 FROM check_runs AS run
        WHERE (run.project, run.sample_id, run.revision) = (it.project, it.sample_id, it.revision)
        ORDER BY run.created_at DESC, run.run_id DESC LIMIT 1) AS last
    LEFT JOIN sample_revisions AS before ON (before.project, before.sample_id, before.revision)
        = (:project, CAST(:after_sample AS text), CAST(:after_revision AS integer))
    WHERE it.project = :project AND it.stage = ANY(:stages) AND NOT {GONE}
      AND last.rule_sha256 IS DISTINCT FROM CAST(:but_by AS text)
      AND (NOT :asked OR EXISTS (
          SELECT FROM review_tasks AS task
          WHERE (task.project, task.sample_id, task.revision) = (it.project, it.sample_id, it.revision)
            AND task.state IN ('open', 'claimed')))
      AND (before.sample_id IS NULL OR {_RISK_RANK.format("it", "it")} > {_RISK_RANK.format("before", "before")}
           OR {_RISK_RANK.format("it", "it")} = {_RISK_RANK.format("before", "before")}
           AND (it.created_at, it.sample_id) < (before.created_at, before.sample_id))
    ORDER BY {_RISK_RANK.format("it", "it")}, it.created_at DESC, it.sample_id DESC
    LIMIT :limit
""")  # noqa: S608
_COUNT_BY_STAGE = text("SELECT stage, count(*) AS n FROM sample_revisions WHERE project = :project GROUP BY stage")
_SET_STAGE = text(f"""
    WITH moved AS (
        UPDATE sample_revisions SET stage = :stage, updated_at = :at
        WHERE {OF_REVISION} AND stage = :expected
        RETURNING project, sample_id, revision
    )
    INSERT INTO stage_changes (project, sample_id, sequence, revision, stage, previous_stage, actor, reason, at)
    SELECT project, sample_id, :sequence, revision, :stage, CAST(:previous_stage AS text), :actor,
           CAST(:reason AS text), :at
    FROM moved
""")  # noqa: S608
_NEXT_SEQUENCE = text("""
    UPDATE samples SET event_sequence = event_sequence + 1
    WHERE project = :project AND sample_id = :sample_id RETURNING event_sequence
""")
_TIMELINE = text("SELECT * FROM stage_changes WHERE project = :project AND sample_id = :sample_id ORDER BY sequence")
_NEXT_LABEL_VERSION = text(f"""
    UPDATE sample_revisions SET label_version = label_version + 1, updated_at = clock_timestamp()
    WHERE {OF_REVISION} RETURNING label_version AS version
""")  # noqa: S608
_NEXT_PREDICTION_VERSION = text(f"""
    UPDATE sample_revisions SET prediction_version = prediction_version + 1
    WHERE {OF_REVISION} RETURNING prediction_version AS version
""")  # noqa: S608
_ADD_LABEL_SET = text("""
    INSERT INTO label_sets (project, sample_id, revision, prediction, version, origin, author, annotations, sha256,
                            decision_id, incident_id)
    VALUES (:project, :sample_id, :revision, :prediction, :version, :origin, :author, :annotations, :sha256,
            :decision_id, :incident_id)
    RETURNING created_at
""")
_LABEL_SET = text(f"""
    SELECT * FROM label_sets
    WHERE {OF_REVISION} AND NOT prediction
      AND (CAST(:version AS integer) IS NULL OR version = CAST(:version AS integer))
    ORDER BY version DESC LIMIT 1
""")  # noqa: S608
_LABEL_SETS = text(f"""
    SELECT * FROM label_sets WHERE {OF_REVISION} ORDER BY created_at, prediction, version
""")  # noqa: S608
_LABEL_SETS_BEFORE = text(f"""
    SELECT * FROM label_sets WHERE {BEFORE_REVISION} AND NOT prediction ORDER BY revision, version
""")  # noqa: S608
_PUT_ASSET = text("""
    INSERT INTO assets (project, sample_id, revision, stream, role, uri_sha256, uri, sha256, size_bytes)
    VALUES (:project, :sample_id, :revision, :stream, :role, :uri_sha256, :uri, :sha256, :size_bytes)
    ON CONFLICT (project, sample_id, revision, stream, role, uri_sha256)
    DO UPDATE SET sha256 = EXCLUDED.sha256, size_bytes = EXCLUDED.size_bytes
    WHERE (assets.sha256, assets.size_bytes) <> (EXCLUDED.sha256, EXCLUDED.size_bytes)
""")
_ASSETS = text(f"SELECT * FROM assets WHERE {OF_REVISION} ORDER BY role DESC, stream, uri")  # noqa: S608
_ADD_CHECK_RUN = text("""
    INSERT INTO check_runs (run_id, project, sample_id, revision, label_version, rule_id, rule_version, rule_sha256,
                            report, seconds, created_at, taxonomy)
    VALUES (:run_id, :project, :sample_id, :revision, :label_version, :rule_id, :rule_version, :rule_sha256,
            :report, :seconds, :created_at, :taxonomy)
""")
_CHECK_RUNS = text(f"SELECT * FROM check_runs WHERE {OF_REVISION} ORDER BY created_at, run_id")  # noqa: S608
_LAST_CHECK_RUN = text(f"""
    SELECT * FROM check_runs WHERE {OF_REVISION} ORDER BY created_at DESC, run_id DESC LIMIT 1
""")  # noqa: S608


def ref_of(row: Any) -> RevisionRef:
    """Return the revision that a row belongs to."""
    return RevisionRef(project=row.project, sample_id=row.sample_id, revision=row.revision)


def _revision_of(row: Any) -> SampleRevision:
    return SampleRevision(
        ref=ref_of(row),
        stage=Stage(row.stage),
        risk=row.risk,
        manifest=SampleManifest.model_validate_json(row.manifest),
        manifest_sha256=row.manifest_sha256,
        label_version=row.label_version,
        event_source=row.event_source,
        event_id=row.event_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _label_set_of(row: Any) -> LabelSet:
    return LabelSet(
        ref=ref_of(row),
        version=row.version,
        origin=row.origin,
        author=Author.model_validate_json(row.author),
        annotations=annotations_of(row.annotations),
        sha256=row.sha256,
        decision_id=row.decision_id,
        incident_id=row.incident_id,
        created_at=row.created_at,
    )


def _check_run_of(row: Any) -> CheckRun:
    return CheckRun(
        run_id=row.run_id,
        ref=ref_of(row),
        label_version=row.label_version,
        rule=RuleReference(id=row.rule_id, version=row.rule_version),
        rule_sha256=row.rule_sha256,
        report=CheckReport.model_validate_json(row.report),
        seconds=row.seconds,
        created_at=row.created_at,
        taxonomy=row.taxonomy,
    )


def summary_of(row: Any) -> SampleSummary:
    """Return a revision as it stands in a list."""
    return SampleSummary(
        ref=ref_of(row),
        stage=Stage(row.stage),
        risk=row.risk,
        label_version=row.label_version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


class PostgresSamples(Repository):
    """Implements :class:`services.ports.database.SampleRepository`."""

    async def lock_sample(self, project: str, sample_id: str) -> int:
        """Lock the sample for this transaction and return its newest revision, 0 if there is none yet.

        Raises:
            NotFoundError: There is no such project (as the transaction ends).
        """
        row = await self._first(_LOCK_SAMPLE, project=project, sample_id=sample_id)
        while row is None:
            await self._count(_ADD_SAMPLE, project=project, sample_id=sample_id)
            row = await self._first(_LOCK_SAMPLE, project=project, sample_id=sample_id)
        revision: int = row.current_revision
        return revision

    async def add_revision(
        self,
        ref: RevisionRef,
        manifest: SampleManifest,
        *,
        manifest_sha256: str,
        risk: Risk,
        event: IncomingEvent | None,
    ) -> None:
        """Keep a new revision at stage ``received`` with label version 0.

        Raises:
            AlreadyExistsError: The sample has this revision, or a newer one.
        """
        newest = await self.lock_sample(ref.project, ref.sample_id)
        added = await self._count(
            _ADD_REVISION,
            **ref.model_dump(),
            risk=risk,
            manifest=model_text(manifest),
            manifest_sha256=manifest_sha256,
            event_key=None if event is None else event_key(event.source, event.id),
            event_source=None if event is None else event.source,
            event_id=None if event is None else event.id,
        )
        if not added:
            raise AlreadyExistsError(f"{ref.sample_id} is at revision {newest}; {ref.revision} is not its next")

    async def get(self, ref: RevisionRef, *, lock: bool = False) -> SampleRevision | None:
        """Return a revision; with ``lock`` no other transaction changes it until this one ends."""
        row = await self._first(_GET_LOCKED if lock else _GET_PLAIN, **ref.model_dump())
        return None if row is None else _revision_of(row)

    async def newest(self, project: str, sample_id: str) -> RevisionRef | None:
        """Return the newest revision of a sample."""
        row = await self._first(_NEWEST, project=project, sample_id=sample_id)
        if row is None or row.current_revision == 0:
            return None
        return RevisionRef(project=project, sample_id=sample_id, revision=row.current_revision)

    async def list(
        self, project: str, *, stage: Stage | None, after: tuple[datetime, str, int] | None, limit: int
    ) -> tuple[SampleSummary, ...]:
        """Return revisions, newest first, by (created_at, sample id, revision) after the cursor."""
        parameters: dict[str, Any] = {"project": project, "limit": limit}
        conditions = ""
        if stage is not None:
            conditions += _OF_STAGE
            parameters["stage"] = stage.value
        if after is not None:
            conditions += " " + _AFTER
            parameters |= dict(zip(("after_created_at", "after_sample", "after_revision"), after, strict=True))
        rows = await self._run(text(_SUMMARIES.format(conditions=conditions)), **parameters)
        return tuple(summary_of(row) for row in rows)

    async def checked(
        self,
        project: str,
        *,
        stages: Sequence[Stage],
        riskiest: bool,
        limit: int,
        but_by: str | None = None,
        asked: bool = False,
        after: RevisionRef | None = None,
    ) -> tuple[RevisionRef, ...]:
        """Return the newest revisions of samples at these stages that were checked and not erased, newest first.

        Args:
            project: The project.
            stages: Where the samples are.
            riskiest: Those of a higher risk come before all others.
            limit: At most so many.
            but_by: Leaves out what was checked last by the rule set of this hash.
            asked: Leaves out what has no task that waits for an answer.
            after: Begins behind this one in the same order.
        """
        rows = await self._run(
            _CHECKED,
            project=project,
            stages=[stage.value for stage in stages],
            riskiest=riskiest,
            limit=limit,
            but_by=but_by,
            asked=asked,
            after_sample=None if after is None else after.sample_id,
            after_revision=None if after is None else after.revision,
        )
        return tuple(ref_of(row) for row in rows)

    async def count_by_stage(self, project: str) -> dict[Stage, int]:
        """Return how many revisions are at each stage."""
        return {Stage(row.stage): row.n for row in await self._run(_COUNT_BY_STAGE, project=project)}

    async def set_stage(self, change: StageChange) -> None:
        """Set the stage and keep the change in the timeline.

        Raises:
            StageConflictError: The revision is not at the stage that the change starts from.
        """
        expected = change.previous_stage or Stage.RECEIVED
        moved = await self._count(
            _SET_STAGE,
            **change.ref.model_dump(),
            expected=expected.value,
            stage=change.stage.value,
            previous_stage=None if change.previous_stage is None else change.previous_stage.value,
            sequence=change.sequence,
            actor=change.actor,
            reason=change.reason,
            at=change.at,
        )
        if not moved:
            raise StageConflictError(f"revision {change.ref.revision} of {change.ref.sample_id} is not at {expected}")

    async def next_sequence(self, project: str, sample_id: str) -> int:
        """Return the next number of the sample's sequence of events, from 1 without gaps.

        Raises:
            NotFoundError: There is no such sample.
        """
        row = await self._first(_NEXT_SEQUENCE, project=project, sample_id=sample_id)
        if row is None:
            raise NotFoundError(f"there is no sample {sample_id} in project {project}")
        sequence: int = row.event_sequence
        return sequence

    async def timeline(self, project: str, sample_id: str) -> tuple[StageChange, ...]:
        """Return every stage change of all revisions of a sample, in order."""
        rows = await self._run(_TIMELINE, project=project, sample_id=sample_id)
        return tuple(
            StageChange(
                ref=ref_of(row),
                sequence=row.sequence,
                stage=Stage(row.stage),
                previous_stage=None if row.previous_stage is None else Stage(row.previous_stage),
                actor=row.actor,
                reason=row.reason,
                at=row.at,
            )
            for row in rows
        )

    async def add_label_set(
        self,
        ref: RevisionRef,
        annotations: Annotations,
        *,
        origin: str,
        author: Author,
        decision_id: UUID | None = None,
        incident_id: UUID | None = None,
    ) -> LabelSet:
        """Keep the next version of the labels; origin ``prediction`` leaves the label version as it is.

        Its hash is of the canonical form of the list of labels.

        Raises:
            NotFoundError: There is no such revision.
        """
        prediction = origin == "prediction"
        counter = _NEXT_PREDICTION_VERSION if prediction else _NEXT_LABEL_VERSION
        counted = await self._first(counter, **ref.model_dump())
        if counted is None:
            raise NotFoundError(f"there is no revision {ref.revision} of {ref.sample_id}")
        sha256 = annotations_sha256(annotations)
        added = await self._first(
            _ADD_LABEL_SET,
            **ref.model_dump(),
            prediction=prediction,
            version=counted.version,
            origin=origin,
            author=model_text(author),
            annotations=annotations_text(annotations),
            sha256=sha256,
            decision_id=decision_id,
            incident_id=incident_id,
        )
        if added is None:
            raise IntegrityError("a label set was not kept")
        return LabelSet.model_validate(
            {
                "ref": ref,
                "version": counted.version,
                "origin": origin,
                "author": author,
                "annotations": annotations,
                "sha256": sha256,
                "decision_id": decision_id,
                "incident_id": incident_id,
                "created_at": added.created_at,
            }
        )

    async def label_set(self, ref: RevisionRef, version: int | None = None) -> LabelSet | None:
        """Return a version of the labels, the newest by default, predictions left out."""
        row = await self._first(_LABEL_SET, **ref.model_dump(), version=version)
        return None if row is None else _label_set_of(row)

    async def label_sets(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        """Return all versions of the labels and all predictions, in order."""
        return tuple(_label_set_of(row) for row in await self._run(_LABEL_SETS, **ref.model_dump()))

    async def label_sets_before(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        """Return all versions of the labels of the sample's earlier revisions, in order; predictions left out."""
        return tuple(_label_set_of(row) for row in await self._run(_LABEL_SETS_BEFORE, **ref.model_dump()))

    async def put_assets(self, ref: RevisionRef, assets: tuple[AssetRecord, ...]) -> None:
        """Keep what was read, by stream, role and address; the same again changes nothing."""
        for asset in assets:
            await self._count(
                _PUT_ASSET, **ref.model_dump(), **asset.model_dump(), uri_sha256=content_sha256(asset.uri)
            )

    async def assets(self, ref: RevisionRef) -> tuple[AssetRecord, ...]:
        """Return the assets as read: streams first, then label files."""
        rows = await self._run(_ASSETS, **ref.model_dump())
        return tuple(
            AssetRecord(stream=row.stream, uri=row.uri, sha256=row.sha256, size_bytes=row.size_bytes, role=row.role)
            for row in rows
        )

    async def add_check_run(self, run: CheckRun) -> None:
        """Keep a check run; its rule set must be known."""
        await self._count(
            _ADD_CHECK_RUN,
            run_id=run.run_id,
            **run.ref.model_dump(),
            label_version=run.label_version,
            rule_id=run.rule.id,
            rule_version=run.rule.version,
            rule_sha256=run.rule_sha256,
            report=model_text(run.report),
            seconds=run.seconds,
            created_at=run.created_at,
            taxonomy=run.taxonomy,
        )

    async def last_check_run(self, ref: RevisionRef) -> CheckRun | None:
        """Return the newest check run."""
        row = await self._first(_LAST_CHECK_RUN, **ref.model_dump())
        return None if row is None else _check_run_of(row)

    async def check_runs(self, ref: RevisionRef) -> tuple[CheckRun, ...]:
        """Return all check runs, oldest first."""
        return tuple(_check_run_of(row) for row in await self._run(_CHECK_RUNS, **ref.model_dump()))
