"""Migrations of samples from one taxonomy version to another."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import body_of, model_text
from infra.db.repositories.base import OF_REVISION, Repository
from infra.db.repositories.samples import ref_of
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef, Stage
from services.contracts.taxonomies import CarriedOver, TaxonomyMigration
from services.errors import AlreadyExistsError, MigrationConflictError, NotFoundError
from services.ports.taxonomies import LabelledSample
from services.taxonomy.migrating import LabelUse

_ADD = text("""
    INSERT INTO taxonomy_migrations (migration_id, project, state, migration, started_at, change, told)
    VALUES (:migration_id, :project, :state, :migration, :started_at, 0, 0)
    ON CONFLICT (project) WHERE state IN ('running', 'paused') DO NOTHING
""")
_GET = "SELECT migration FROM taxonomy_migrations WHERE project = :project AND migration_id = :migration_id"
_PUT = text("""
    UPDATE taxonomy_migrations SET state = :state, migration = :migration WHERE migration_id = :migration_id
""")
_LIST = text("""
    SELECT migration FROM taxonomy_migrations
    WHERE project = :project
      AND (CAST(:after_id AS uuid) IS NULL
           OR (started_at, migration_id) < (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid)))
    ORDER BY started_at DESC, migration_id DESC LIMIT :limit
""")
_TELL = text("UPDATE taxonomy_migrations SET change = change + 1 WHERE migration_id = :migration_id")
_UNTOLD = text("SELECT migration, change FROM taxonomy_migrations WHERE told < change ORDER BY migration_id")
_TOLD = text("UPDATE taxonomy_migrations SET told = greatest(told, :change) WHERE migration_id = :migration_id")
_RUNNING = text("SELECT migration FROM taxonomy_migrations WHERE state = 'running' ORDER BY migration_id")
_LIVE = text("SELECT migration FROM taxonomy_migrations WHERE project = :project AND state IN ('running', 'paused')")
_COUNT_REOPENED = text("""
    SELECT count(*) AS samples
    FROM taxonomy_migration_samples AS opened JOIN sample_revisions AS its USING (project, sample_id, revision)
    WHERE opened.project = :project AND opened.outcome = 'reopened' AND its.stage <> ALL (CAST(:over AS text[]))
""")
# Locked in the order of their ids; whoever else locks samples locks one at a time.
_LOCK_SAMPLES = text("""
    SELECT sample_id FROM samples WHERE project = :project AND sample_id > :after
    ORDER BY sample_id LIMIT :limit FOR NO KEY UPDATE
""")
_PAGE = text("""
    SELECT sample.project, sample.sample_id, revision.revision, revision.stage,
           (SELECT json_agg(json_build_array(stream ->> 'id', stream ->> 'modality'))
            FROM json_array_elements(revision.manifest -> 'streams') AS stream) AS streams,
           (SELECT json_agg(json_build_array(
                       annotation ->> 'id', annotation ->> 'label', annotation ->> 'type', annotation ->> 'stream',
                       annotation ->> 'taxonomy_version', annotation -> 'attributes'))
            FROM json_array_elements(labels.annotations) AS annotation) AS uses
    FROM samples AS sample
    JOIN sample_revisions AS revision ON revision.project = sample.project
        AND revision.sample_id = sample.sample_id AND revision.revision = sample.current_revision
    LEFT JOIN label_sets AS labels ON labels.project = revision.project AND labels.sample_id = revision.sample_id
        AND labels.revision = revision.revision AND NOT labels.prediction AND labels.version = revision.label_version
    WHERE sample.project = :project AND sample.sample_id > :after
    ORDER BY sample.sample_id LIMIT :limit
""")
_ADD_CARRIED = text("""
    INSERT INTO taxonomy_migration_samples (migration_id, sample_id, project, revision, outcome, carried)
    VALUES (:migration_id, :sample_id, :project, :revision, :outcome, :carried)
    ON CONFLICT (migration_id, sample_id) DO NOTHING
""")
_CARRIED = text(f"SELECT carried FROM taxonomy_migration_samples WHERE {OF_REVISION}")  # noqa: S608 - a constant

_WAY = text(f"""
    WITH RECURSIVE way AS (
        SELECT project, sample_id, revision, CAST(carried AS text) AS carried FROM taxonomy_migration_samples
        WHERE {OF_REVISION}
        UNION
        SELECT step.project, step.sample_id, step.revision, CAST(step.carried AS text)
        FROM way JOIN taxonomy_migration_samples AS step ON step.project = way.project
            AND step.sample_id = way.sample_id
            AND step.revision = CAST(CAST(way.carried AS json) ->> 'revision_before' AS integer)
    )
    SELECT * FROM way ORDER BY revision
""")  # noqa: S608 - a constant


def _migration_of(row: Any) -> TaxonomyMigration:
    return TaxonomyMigration.model_validate_json(row.migration)


def _sample_of(row: Any) -> LabelledSample:
    modalities = dict(body_of(row.streams)) if row.streams is not None else {}
    uses = body_of(row.uses) if row.uses is not None else ()
    return LabelledSample(
        ref=ref_of(row),
        stage=Stage(row.stage),
        uses=tuple(
            LabelUse(annotation_id, label, kind, modalities.get(stream), version, attributes or {})
            for annotation_id, label, kind, stream, version, attributes in uses
        ),
    )


class PostgresTaxonomyMigrations(Repository):
    """Implements :class:`services.ports.taxonomies.TaxonomyMigrationRepository`."""

    async def add(self, migration: TaxonomyMigration) -> None:
        """Keep a new migration.

        Raises:
            MigrationConflictError: The project has one that is running or paused.
        """
        added = await self._count(
            _ADD,
            migration_id=migration.migration_id,
            project=migration.project,
            state=migration.state.value,
            migration=model_text(migration),
            started_at=migration.started_at,
        )
        if not added:
            raise MigrationConflictError(
                f"project {migration.project} has a migration that is not over; let it end, or cancel it"
            )

    async def get(self, project: str, migration_id: UUID, *, lock: bool = False) -> TaxonomyMigration | None:
        """Return a migration; with ``lock`` nobody else changes it until the transaction ends."""
        statement = text(f"{_GET} FOR UPDATE" if lock else _GET)
        row = await self._first(statement, project=project, migration_id=migration_id)
        return None if row is None else _migration_of(row)

    async def put(self, migration: TaxonomyMigration) -> None:
        """Replace what may change of a migration: its state and how far it is.

        Raises:
            NotFoundError: There is no such migration.
        """
        changed = await self._count(
            _PUT,
            migration_id=migration.migration_id,
            state=migration.state.value,
            migration=model_text(migration),
        )
        if not changed:
            raise NotFoundError(f"there is no migration {migration.migration_id}")

    async def list(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[TaxonomyMigration, ...]:
        """Return migrations, newest first, after the cursor."""
        after_at, after_id = after or (None, None)
        rows = await self._run(_LIST, project=project, after_at=after_at, after_id=after_id, limit=limit)
        return tuple(_migration_of(row) for row in rows)

    async def tell(self, migration_id: UUID) -> None:
        """Have the migration's workflow told that something changed, when the transaction commits."""
        await self._count(_TELL, migration_id=migration_id)

    async def untold(self) -> tuple[tuple[TaxonomyMigration, int], ...]:
        """Return migrations whose workflow is still to be told, each with the number of the newest change."""
        return tuple((_migration_of(row), row.change) for row in await self._run(_UNTOLD))

    async def told(self, migration_id: UUID, change: int) -> None:
        """Note that the workflow was told of every change up to this one."""
        await self._count(_TOLD, migration_id=migration_id, change=change)

    async def running(self) -> tuple[TaxonomyMigration, ...]:
        """Return the running migrations of all projects."""
        return tuple(_migration_of(row) for row in await self._run(_RUNNING))

    async def live(self, project: str) -> TaxonomyMigration | None:
        """Return the project's migration that is not over; there is one at most."""
        row = await self._first(_LIVE, project=project)
        return None if row is None else _migration_of(row)

    async def count_reopened(self, project: str) -> int:
        """Count samples that migrations have opened for people, and that are neither committed nor closed."""
        row = await self._first(_COUNT_REOPENED, project=project, over=[stage.value for stage in FINAL_STAGES])
        return 0 if row is None else int(row.samples)

    async def page(self, project: str, *, after: str | None, limit: int, lock: bool) -> tuple[LabelledSample, ...]:
        """Return the newest revisions of samples by sample id after the cursor.

        With ``lock`` nobody else changes these samples until the transaction ends.
        """
        place = {"project": project, "after": after or "", "limit": limit}
        if lock:
            await self._run(_LOCK_SAMPLES, **place)
        return tuple(_sample_of(row) for row in await self._run(_PAGE, **place))

    async def add_carried(self, ref: RevisionRef, carried: CarriedOver) -> None:
        """Note that a migration opened a revision.

        Raises:
            AlreadyExistsError: It has opened one of the sample before.
        """
        added = await self._count(
            _ADD_CARRIED,
            **ref.model_dump(),
            migration_id=carried.migration_id,
            outcome=carried.outcome,
            carried=model_text(carried),
        )
        if not added:
            raise AlreadyExistsError(f"migration {carried.migration_id} has carried {ref.sample_id} over before")

    async def carried(self, ref: RevisionRef) -> CarriedOver | None:
        """Return what a revision was made of, where a migration opened it."""
        row = await self._first(_CARRIED, **ref.model_dump())
        return None if row is None else CarriedOver.model_validate_json(row.carried)

    async def way(self, ref: RevisionRef) -> tuple[tuple[RevisionRef, CarriedOver], ...]:
        """Return the migrations that led to a revision, the oldest first, each with the revision that it opened."""
        rows = await self._run(_WAY, **ref.model_dump())
        return tuple((ref_of(row), CarriedOver.model_validate_json(row.carried)) for row in rows)
