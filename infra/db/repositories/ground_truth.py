"""Committed records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from infra.db.documents import body_of, body_text
from infra.db.repositories.base import OF_REVISION, Repository
from infra.db.repositories.samples import ref_of
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.lineage import (
    Dependent,
    DependentsSummary,
    Origin,
    OriginKind,
    RevisionCount,
    VersionOfDependents,
)
from services.contracts.records import GroundTruth
from services.errors import AlreadyExistsError

_ADD = text("""
    INSERT INTO ground_truth
        (project, sample_id, revision, content_sha256, lineage_sha256, body, lineage, committed_at)
    VALUES (:project, :sample_id, :revision, :content_sha256, :lineage_sha256, :body, :lineage, :committed_at)
    ON CONFLICT DO NOTHING
""")
_GET = text(f"SELECT * FROM ground_truth WHERE {OF_REVISION}")  # noqa: S608 - a constant
_LIST = text("""
    SELECT * FROM ground_truth
    WHERE project = :project AND (sample_id, revision) > (:after_sample, CAST(:after_revision AS integer))
    ORDER BY sample_id, revision LIMIT :limit
""")
_ADD_ORIGINS = text("""
    INSERT INTO ground_truth_origins (project, kind, key, sample_id, revision)
    SELECT :project, origin.kind, origin.key, :sample_id, :revision
    FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS text[])) AS origin (kind, key)
""")
_INHERIT_ORIGINS = text(f"""
    INSERT INTO ground_truth_origins (project, kind, key, sample_id, revision)
    SELECT project, kind, key, sample_id, :newer FROM ground_truth_origins
    WHERE {OF_REVISION} AND kind <> '{OriginKind.TAXONOMY.value}'
    ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants
_ORIGINS_BETWEEN = text("""
    SELECT * FROM ground_truth_origins
    WHERE project = :project AND (sample_id, revision) > (:after_sample, CAST(:after_revision AS integer))
      AND (CAST(:until_sample AS text) IS NULL
           OR (sample_id, revision) <= (CAST(:until_sample AS text), CAST(:until_revision AS integer)))
    ORDER BY sample_id, revision LIMIT :limit
""")
_OF_ORIGIN = "project = :project AND kind = :kind AND key = :key"
# The page is cut first: everything else is looked up for its rows alone.
DEPENDENTS = f"""
    SELECT part.sample_id, part.revision, record.project, record.content_sha256, record.committed_at, its.stage
    FROM (SELECT * FROM ground_truth_origins
          WHERE {_OF_ORIGIN} AND (sample_id, revision) > (:after_sample, CAST(:after_revision AS integer))
          ORDER BY sample_id, revision LIMIT :limit) AS part
    JOIN ground_truth AS record USING (project, sample_id, revision)
    JOIN sample_revisions AS its USING (project, sample_id, revision)
    ORDER BY part.sample_id, part.revision
"""  # noqa: S608 - constants
# A member names its record: the version holds that revision, whatever has come after it.
_DEPENDENT_VERSIONS = text("""
    SELECT dataset, version, count(*) AS records, made.manifest_sha256, made.created_at
    FROM ground_truth_origins AS origin
    JOIN dataset_members AS member USING (project, sample_id, revision)
    JOIN dataset_versions AS made USING (project, dataset, version)
    WHERE origin.project = :project AND origin.kind = :kind AND origin.key = :key
      AND (dataset, version) > (:after_dataset, CAST(:after_version AS integer))
    GROUP BY dataset, version, made.manifest_sha256, made.created_at
    ORDER BY dataset, version LIMIT :limit
""")
# From the sixth call on Postgres would plan once for every key, and look a million records up one by one.
_PLAN_FOR_THE_KEY = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
# One pass over the key's stretch of the index; what has a newer revision is few, and stands in a hash beside it.
COUNT_DEPENDENTS = f"""
    SELECT revision, count(*) AS records, count(newer.stage) AS superseded
    FROM ground_truth_origins
    LEFT JOIN (SELECT sample_id, revision, stage FROM sample_revisions
               WHERE project = :project AND stage = '{Stage.REOPENED.value}') AS newer USING (sample_id, revision)
    WHERE {_OF_ORIGIN} GROUP BY revision ORDER BY revision
"""  # noqa: S608


def record_of(row: Any) -> GroundTruth:
    """Return the record of a row."""
    return GroundTruth(
        ref=RevisionRef(project=row.project, sample_id=row.sample_id, revision=row.revision),
        content_sha256=row.content_sha256,
        lineage_sha256=row.lineage_sha256,
        body=body_of(row.body),
        lineage=body_of(row.lineage),
        committed_at=row.committed_at,
    )


class PostgresGroundTruth(Repository):
    """Implements :class:`services.ports.database.GroundTruthRepository`."""

    async def add(self, record: GroundTruth) -> None:
        """Keep a record.

        Raises:
            AlreadyExistsError: The revision has one.
        """
        added = await self._count(
            _ADD,
            **record.ref.model_dump(),
            content_sha256=record.content_sha256,
            lineage_sha256=record.lineage_sha256,
            body=body_text(record.body),
            lineage=body_text(record.lineage),
            committed_at=record.committed_at,
        )
        if not added:
            raise AlreadyExistsError(f"revision {record.ref.revision} of {record.ref.sample_id} has ground truth")

    async def get(self, ref: RevisionRef) -> GroundTruth | None:
        """Return a record."""
        row = await self._first(_GET, **ref.model_dump())
        return None if row is None else record_of(row)

    async def list(self, project: str, *, after: tuple[str, int] | None, limit: int) -> tuple[GroundTruth, ...]:
        """Return records by (sample id, revision) after the cursor."""
        after_sample, after_revision = after or ("", 0)
        rows = await self._run(
            _LIST, project=project, after_sample=after_sample, after_revision=after_revision, limit=limit
        )
        return tuple(record_of(row) for row in rows)

    async def add_origins(self, ref: RevisionRef, origins: frozenset[Origin]) -> None:
        """Keep what a record rests on, so that it is found from there."""
        ordered = sorted(origins, key=lambda origin: (origin.kind, origin.key))
        await self._count(
            _ADD_ORIGINS,
            **ref.model_dump(),
            kinds=[origin.kind.value for origin in ordered],
            keys=[origin.key for origin in ordered],
        )

    async def inherit_origins(self, ref: RevisionRef, older: RevisionRef) -> None:
        """Keep what the record that this one was made of rests on as what this one rests on; all but its taxonomy."""
        await self._count(_INHERIT_ORIGINS, **older.model_dump(), newer=ref.revision)

    async def origins_between(
        self, project: str, *, after: tuple[str, int] | None, until: tuple[str, int] | None, limit: int
    ) -> tuple[tuple[RevisionRef, Origin], ...]:
        """Return the kept origins of records in (after, until], in their order."""
        after_sample, after_revision = after or ("", 0)
        until_sample, until_revision = until or (None, None)
        rows = await self._run(
            _ORIGINS_BETWEEN,
            project=project,
            after_sample=after_sample,
            after_revision=after_revision,
            until_sample=until_sample,
            until_revision=until_revision,
            limit=limit,
        )
        return tuple((ref_of(row), Origin(kind=OriginKind(row.kind), key=row.key)) for row in rows)

    async def dependents(
        self, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[Dependent, ...]:
        """Return the records that rest on something, by (sample id, revision) after the cursor."""
        after_sample, after_revision = after or ("", 0)
        rows = await self._run(
            text(DEPENDENTS),
            **_named(project, origin),
            after_sample=after_sample,
            after_revision=after_revision,
            limit=limit,
        )
        return tuple(
            Dependent(
                ref=ref_of(row), content_sha256=row.content_sha256, committed_at=row.committed_at, stage=row.stage
            )
            for row in rows
        )

    async def dependent_versions(
        self, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[VersionOfDependents, ...]:
        """Return the dataset versions with records that rest on something, by (dataset, version) after the cursor."""
        after_dataset, after_version = after or ("", 0)
        await self._run(_PLAN_FOR_THE_KEY)
        rows = await self._run(
            _DEPENDENT_VERSIONS,
            **_named(project, origin),
            after_dataset=after_dataset,
            after_version=after_version,
            limit=limit,
        )
        return tuple(
            VersionOfDependents(
                dataset=row.dataset,
                version=row.version,
                records=row.records,
                manifest_sha256=row.manifest_sha256,
                created_at=row.created_at,
            )
            for row in rows
        )

    async def count_dependents(self, project: str, origin: Origin) -> DependentsSummary:
        """Count all records that rest on something."""
        await self._run(_PLAN_FOR_THE_KEY)
        rows = await self._run(text(COUNT_DEPENDENTS), **_named(project, origin))
        return DependentsSummary(
            origin=origin,
            records=sum(row.records for row in rows),
            superseded=sum(row.superseded for row in rows),
            revisions=tuple(RevisionCount(revision=row.revision, records=row.records) for row in rows),
        )


def _named(project: str, origin: Origin) -> dict[str, str]:
    return {"project": project, "kind": origin.kind.value, "key": origin.key}
