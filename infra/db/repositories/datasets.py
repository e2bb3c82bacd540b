"""Datasets, their versions and members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import text

from infra.db.documents import body_of, model_text
from infra.db.repositories.base import Repository
from infra.db.repositories.ground_truth import record_of
from services.contracts.datasets import (
    Dataset,
    DatasetVersion,
    DependentVersion,
    Member,
    MemberRecord,
    MemberView,
    Selection,
    SplitPolicy,
    Standing,
    StandingCounts,
    VersionContent,
)
from services.contracts.lifecycle import Stage
from services.datasets.selection import Candidate
from services.errors import IntegrityError

_ADD = text("""
    INSERT INTO datasets (project, name, description, selection, split, created_by, created_at)
    VALUES (:project, :name, :description, :selection, :split, :created_by, :created_at)
""")
_GET = "SELECT * FROM datasets WHERE project = :project AND name = :name"
_GET_ONE = text(_GET)
# Not the row itself: who may not change what is append-only may not lock it either.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:project || '/' || :name, 16))")
_LIST = text("SELECT * FROM datasets WHERE project = :project AND name > :after ORDER BY name LIMIT :limit")
_STAGES = """
    ARRAY(SELECT DISTINCT change.stage FROM stage_changes AS change
          WHERE change.project = truth.project AND change.sample_id = truth.sample_id
            AND change.revision = truth.revision)
"""
_CANDIDATE = f"""
    truth.sample_id, truth.revision, truth.content_sha256, truth.committed_at, truth.body, truth.lineage,
    truth.lineage -> 'migration' IS NOT NULL AS migrated, {_STAGES} AS stages
"""
# What migrations made records of, whatever their number: the stages that a sample passed are told of the oldest too,
# but not that the migration opened it again.
_BEFORE = text(f"""
    WITH RECURSIVE way AS (
        SELECT given.sample_id, given.revision AS newest, given.revision
        FROM unnest(CAST(:samples AS text[]), CAST(:revisions AS integer[])) AS given (sample_id, revision)
        UNION
        SELECT way.sample_id, way.newest, CAST(step.carried ->> 'revision_before' AS integer)
        FROM way JOIN taxonomy_migration_samples AS step ON step.project = :project
            AND step.sample_id = way.sample_id AND step.revision = way.revision
    )
    SELECT way.sample_id, way.newest, truth.lineage, {_STAGES} AS stages
    FROM way JOIN ground_truth AS truth ON truth.project = :project AND truth.sample_id = way.sample_id
        AND truth.revision = way.revision
    WHERE way.revision < way.newest
    ORDER BY way.sample_id, way.newest, way.revision
""")  # noqa: S608 - a constant
_CANDIDATES = """
    SELECT {what}
    FROM ground_truth AS truth
    JOIN sample_revisions AS own USING (project, sample_id, revision)
    WHERE truth.project = :project AND {conditions}
      AND NOT EXISTS (SELECT FROM tombstones AS erased
                      WHERE erased.project = truth.project AND erased.sample_id = truth.sample_id
                        AND erased.revision = truth.revision)
"""
_BY_SAMPLE = 'ORDER BY truth.sample_id COLLATE "C"'
_COMMITTED = "own.stage = 'committed'"
# Of a sample that was opened again, the record that was the newest until then; unless it was then withdrawn.
_OR_REOPENED = """
    (own.stage = 'committed' OR own.stage = 'reopened'
     AND NOT EXISTS (SELECT FROM ground_truth AS later
                     WHERE later.project = truth.project AND later.sample_id = truth.sample_id
                       AND later.revision > truth.revision)
     AND EXISTS (SELECT FROM samples AS sample JOIN sample_revisions AS newest
                     ON newest.project = sample.project AND newest.sample_id = sample.sample_id
                    AND newest.revision = sample.current_revision
                 WHERE sample.project = truth.project AND sample.sample_id = truth.sample_id
                   AND newest.stage <> 'withdrawn'))
"""
_NEWEST = text("SELECT max(version) FROM dataset_versions WHERE project = :project AND dataset = :name")
_ADD_GROUPS = text("""
    INSERT INTO dataset_groups (project, dataset, group_key, split)
    SELECT DISTINCT :project, :name, group_key, split
    FROM unnest(CAST(:groups AS text[]), CAST(:splits AS text[])) AS given (group_key, split)
    ON CONFLICT DO NOTHING
""")
_ADD_MEMBERS = text("""
    INSERT INTO dataset_members
        (project, dataset, version, position, sample_id, revision, content_sha256, split, group_key, labels)
    SELECT :project, :name, :version, given.*
    FROM unnest(
        CAST(:positions AS integer[]), CAST(:samples AS text[]), CAST(:revisions AS integer[]),
        CAST(:hashes AS text[]), CAST(:splits AS text[]), CAST(:groups AS text[]), CAST(:labels AS integer[])
    ) AS given
""")
_OF_VERSION = "project = :project AND dataset = :name AND version = :version"
_GROUP_COUNTS = text(f"""
    SELECT split, count(DISTINCT group_key) AS groups FROM dataset_members WHERE {_OF_VERSION} GROUP BY split
""")  # noqa: S608 - a constant
_LEAKS = text(f"""
    SELECT group_key FROM dataset_members WHERE {_OF_VERSION}
    GROUP BY group_key HAVING count(DISTINCT split) > 1 ORDER BY group_key LIMIT 100
""")  # noqa: S608 - a constant
_ADD_VERSION = text("""
    INSERT INTO dataset_versions (project, dataset, version, content, manifest_sha256, created_by, created_at)
    VALUES (:project, :name, :version, :content, :manifest_sha256, :created_by, :created_at)
""")
_VERSION = text(f"SELECT * FROM dataset_versions WHERE {_OF_VERSION}")  # noqa: S608 - a constant
_VERSIONS = text("""
    SELECT * FROM dataset_versions WHERE project = :project AND dataset = :name AND version < :before
    ORDER BY version DESC LIMIT :limit
""")
_NUMBERS = text("""
    SELECT version FROM dataset_versions WHERE project = :project AND dataset = :name AND version > :after
    ORDER BY version LIMIT :limit
""")
_STANDING = """
    SELECT member.*,
           CASE WHEN sample.current_revision = member.revision THEN 'current'
                WHEN EXISTS (SELECT FROM ground_truth AS later
                             WHERE later.project = member.project AND later.sample_id = member.sample_id
                               AND later.revision > member.revision) THEN 'superseded'
                WHEN newest.stage = 'withdrawn' THEN 'withdrawn'
                ELSE 'reopened' END AS standing
    FROM dataset_members AS member
    JOIN samples AS sample ON sample.project = member.project AND sample.sample_id = member.sample_id
    JOIN sample_revisions AS newest ON newest.project = sample.project AND newest.sample_id = sample.sample_id
        AND newest.revision = sample.current_revision
    WHERE {conditions}
"""
_OF_MEMBER_VERSION = "member.project = :project AND member.dataset = :name AND member.version = :version"
_GONE_ON = _STANDING.format(conditions=f"{_OF_MEMBER_VERSION} AND sample.current_revision > member.revision")
_STANDING_COUNTS = text(f"SELECT standing, count(*) AS members FROM ({_GONE_ON}) AS told GROUP BY standing")  # noqa: S608
_MEMBERS = "SELECT * FROM ({told}) AS told {standing} ORDER BY position LIMIT :limit"
_MEMBER = text(f"SELECT * FROM dataset_members WHERE {_OF_VERSION} AND sample_id = :sample_id")  # noqa: S608 - a constant
_RECORDS = """
    SELECT member.position, member.split, member.group_key, member.labels,
           member.content_sha256 AS member_sha256, truth.*
    FROM dataset_members AS member JOIN ground_truth AS truth USING (project, sample_id, revision)
    WHERE member.project = :project AND member.dataset = :name AND member.version = :version
      AND member.position > :after {conditions}
    ORDER BY member.position LIMIT :limit
"""
_OF_SPLIT = "AND member.split = :split"
_GROUPS = text("""
    SELECT group_key, split FROM dataset_groups
    WHERE project = :project AND dataset = :name AND group_key > :after
    ORDER BY group_key LIMIT :limit
""")
_COUNT_MEMBERS = text("SELECT count(*) AS members FROM dataset_members WHERE project = :project")
_LACKING = """
    SELECT DISTINCT dataset, version, '{what}' AS lacks FROM dataset_members
    WHERE project = :project AND NOT EXISTS (SELECT FROM {table} AS other WHERE {same})
"""
_DANGLING = text(
    " UNION ALL ".join(
        _LACKING.format(
            what=what, table=table, same=" AND ".join(f"other.{name} = dataset_members.{name}" for name in names)
        )
        for what, table, names in (
            ("version", "dataset_versions", ("project", "dataset", "version")),
            ("group", "dataset_groups", ("project", "dataset", "group_key", "split")),
            ("record", "ground_truth", ("project", "sample_id", "revision")),
        )
    )
    + " ORDER BY dataset, version, lacks LIMIT :limit"
)
_OF_SAMPLE = _STANDING.format(conditions="member.project = :project AND member.sample_id = :sample_id")
_DEPENDENTS = text(f"SELECT * FROM ({_OF_SAMPLE}) AS told ORDER BY dataset, version")  # noqa: S608 - a constant


def _dataset_of(row: Any) -> Dataset:
    return Dataset(
        project=row.project,
        name=row.name,
        description=row.description,
        selection=Selection.model_validate_json(row.selection),
        split=SplitPolicy.model_validate_json(row.split),
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _version_of(row: Any) -> DatasetVersion:
    content = VersionContent.model_validate_json(row.content)
    if (content.project, content.dataset, content.version) != (row.project, row.dataset, row.version):
        raise IntegrityError(f"version {row.version} of {row.dataset} says that it is another")
    return DatasetVersion(
        content=content,
        manifest_sha256=row.manifest_sha256,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _member_of(row: Any, content_sha256: str) -> Member:
    return Member(
        position=row.position,
        sample_id=row.sample_id,
        revision=row.revision,
        content_sha256=content_sha256,
        split=row.split,
        group=row.group_key,
        labels=row.labels,
    )


def _candidates_of(rows: Sequence[Any], before: Sequence[Any]) -> list[Candidate]:
    older: dict[tuple[str, int], list[Any]] = {}
    for row in before:
        older.setdefault((row.sample_id, row.newest), []).append(row)
    return [_candidate_of(row, older.get((row.sample_id, row.revision), ())) for row in rows]


def _candidate_of(row: Any, before: Sequence[Any]) -> Candidate:
    passed = frozenset(Stage(stage) for older in before for stage in older.stages) - {Stage.REOPENED}
    return Candidate(
        revision=row.revision,
        content_sha256=row.content_sha256,
        committed_at=row.committed_at,
        stages=passed.union(Stage(stage) for stage in row.stages),
        body=body_of(row.body),
        lineage=body_of(row.lineage),
        before=tuple(body_of(older.lineage) for older in before),
    )


def _chosen(project: str, selection: Selection) -> tuple[str, dict[str, Any]]:
    """Return the conditions that the store can ask of candidates, and their values."""
    values: dict[str, Any] = {"project": project}
    conditions = [_COMMITTED if selection.reopened == "leave_out" else _OR_REOPENED]
    for name, condition, value in (
        ("samples", "truth.sample_id = ANY (CAST(:samples AS text[]))", [*selection.sample_ids] or None),
        ("risks", "own.risk = ANY (CAST(:risks AS text[]))", [*selection.risks] or None),
        ("first", "truth.committed_at >= :first", selection.committed_from),
        ("end", "truth.committed_at < :end", selection.committed_before),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    return " AND ".join(conditions), values


class PostgresDatasets(Repository):
    """Implements :class:`services.ports.datasets.DatasetRepository`."""

    async def add(self, dataset: Dataset) -> None:
        """Keep a dataset; raises AlreadyExistsError for a second one of the name."""
        await self._count(
            _ADD,
            **dataset.model_dump(include={"project", "name", "description", "created_by", "created_at"}),
            selection=model_text(dataset.selection),
            split=model_text(dataset.split),
        )

    async def get(self, project: str, name: str, *, lock: bool = False) -> Dataset | None:
        """Return a dataset; with ``lock`` nobody else makes a version of it until this transaction ends."""
        if lock:
            await self._run(_LOCK, project=project, name=name)
        row = await self._first(_GET_ONE, project=project, name=name)
        return None if row is None else _dataset_of(row)

    async def list(self, project: str, *, after: str | None, limit: int) -> Sequence[Dataset]:
        """Return the datasets of a project by name after the cursor."""
        rows = await self._run(_LIST, project=project, after=after or "", limit=limit)
        return tuple(_dataset_of(row) for row in rows)

    async def candidates(self, project: str, selection: Selection, *, page: int) -> AsyncIterator[Sequence[Candidate]]:
        """Yield the newest committed record of each sample, by sample id, some at a time.

        A cursor of the server reads them, so all are of the moment at which it was opened.
        """
        chosen, values = _chosen(project, selection)
        statement = text(f"{_CANDIDATES.format(what=_CANDIDATE, conditions=chosen)} {_BY_SAMPLE}")
        async for rows in self._session.pages(statement, values, page=page):
            yield await asyncio.to_thread(_candidates_of, rows, await self._before(project, rows))

    async def _before(self, project: str, rows: Sequence[Any]) -> Sequence[Any]:
        migrated = [row for row in rows if row.migrated]
        if not migrated:
            return ()
        samples, revisions = [row.sample_id for row in migrated], [row.revision for row in migrated]
        return await self._run(_BEFORE, project=project, samples=samples, revisions=revisions)

    async def count_candidates(self, project: str, selection: Selection) -> int:
        """Return how many records :meth:`candidates` would yield now."""
        chosen, values = _chosen(project, selection)
        row = await self._first(text(_CANDIDATES.format(what="count(*) AS records", conditions=chosen)), **values)
        return 0 if row is None else int(row.records)

    async def newest(self, project: str, name: str) -> int:
        """Return the number of the newest version; 0 if there is none."""
        row = await self._first(_NEWEST, project=project, name=name)
        return 0 if row is None else row[0] or 0

    async def add_members(self, project: str, name: str, version: int, members: Sequence[Member]) -> None:
        """Keep members of a version that is being made, and the split of each group."""
        groups, splits = [one.group for one in members], [one.split for one in members]
        await self._count(_ADD_GROUPS, project=project, name=name, groups=groups, splits=splits)
        await self._count(
            _ADD_MEMBERS,
            project=project,
            name=name,
            version=version,
            positions=[one.position for one in members],
            samples=[one.sample_id for one in members],
            revisions=[one.revision for one in members],
            hashes=[one.content_sha256 for one in members],
            splits=splits,
            groups=groups,
            labels=[one.labels for one in members],
        )

    async def group_counts(self, project: str, name: str, version: int) -> dict[str, int]:
        """Return how many groups each split of a version has."""
        rows = await self._run(_GROUP_COUNTS, project=project, name=name, version=version)
        return {row.split: row.groups for row in rows}

    async def leaking_groups(self, project: str, name: str, version: int) -> Sequence[str]:
        """Return groups that are in several splits of a version; never any."""
        return [row.group_key for row in await self._run(_LEAKS, project=project, name=name, version=version)]

    async def add_version(self, version: DatasetVersion) -> None:
        """Keep a version; no member is added to it afterwards."""
        content = version.content
        await self._count(
            _ADD_VERSION,
            project=content.project,
            name=content.dataset,
            version=content.version,
            content=model_text(content),
            **version.model_dump(include={"manifest_sha256", "created_by", "created_at"}),
        )

    async def version(self, project: str, name: str, version: int) -> DatasetVersion | None:
        """Return a version."""
        row = await self._first(_VERSION, project=project, name=name, version=version)
        return None if row is None else _version_of(row)

    async def versions(self, project: str, name: str, *, before: int | None, limit: int) -> Sequence[DatasetVersion]:
        """Return the versions of a dataset, newest first, below the cursor."""
        rows = await self._run(_VERSIONS, project=project, name=name, before=before or 2**31 - 1, limit=limit)
        return tuple(_version_of(row) for row in rows)

    async def standing(self, project: str, name: str, version: int) -> StandingCounts:
        """Return how many members' samples went on since."""
        rows = await self._run(_STANDING_COUNTS, project=project, name=name, version=version)
        return StandingCounts(**{row.standing: row.members for row in rows})

    async def members(
        self,
        project: str,
        name: str,
        version: int,
        *,
        split: str | None = None,
        standing: Standing | None = None,
        after: int | None,
        limit: int,
    ) -> Sequence[MemberView]:
        """Return members by position after the cursor."""
        values: dict[str, Any] = {"project": project, "name": name, "version": version, "limit": limit}
        values["after"] = -1 if after is None else after
        if split is not None:
            values["split"] = split
        if standing is not None:
            values["standing"] = standing
        conditions = f"{_OF_MEMBER_VERSION} AND member.position > :after {'' if split is None else _OF_SPLIT}"
        statement = _MEMBERS.format(
            told=_STANDING.format(conditions=conditions),
            standing="" if standing is None else "WHERE standing = :standing",
        )
        rows = await self._run(text(statement), **values)
        return [MemberView(**dict(_member_of(row, row.content_sha256)), standing=row.standing) for row in rows]

    async def member(self, project: str, name: str, version: int, sample_id: str) -> Member | None:
        """Return the member of a sample."""
        row = await self._first(_MEMBER, project=project, name=name, version=version, sample_id=sample_id)
        return None if row is None else _member_of(row, row.content_sha256)

    async def records(
        self, project: str, name: str, version: int, *, split: str | None, after: int | None, limit: int
    ) -> Sequence[MemberRecord]:
        """Return members with their records, by position after the cursor."""
        values: dict[str, Any] = {"project": project, "name": name, "version": version, "limit": limit}
        values["after"] = -1 if after is None else after
        if split is not None:
            values["split"] = split
        rows = await self._run(text(_RECORDS.format(conditions="" if split is None else _OF_SPLIT)), **values)
        return [MemberRecord(member=_member_of(row, row.member_sha256), record=record_of(row)) for row in rows]

    async def dependents(self, project: str, sample_id: str) -> Sequence[DependentVersion]:
        """Return every version that holds a record of a sample, by dataset and version."""
        rows = await self._run(_DEPENDENTS, project=project, sample_id=sample_id)
        return [
            DependentVersion(dataset=row.dataset, version=row.version, revision=row.revision, standing=row.standing)
            for row in rows
        ]

    async def groups(self, project: str, name: str, *, after: str | None, limit: int) -> Sequence[tuple[str, str]]:
        """Return the groups of a dataset with the split each is kept in, by group after the cursor."""
        rows = await self._run(_GROUPS, project=project, name=name, after=after or "", limit=limit)
        return [(row.group_key, row.split) for row in rows]

    async def count_members(self, project: str) -> int:
        """Return how many members all versions of a project have together."""
        row = await self._first(_COUNT_MEMBERS, project=project)
        return 0 if row is None else int(row.members)

    async def dangling(self, project: str, *, limit: int) -> Sequence[tuple[str, int, str]]:
        """Return (dataset, version, what) where members lack their version, group or record; never any."""
        rows = await self._run(_DANGLING, project=project, limit=limit)
        return [(row.dataset, row.version, row.lacks) for row in rows]

    async def version_numbers(self, project: str, name: str, *, after: int, limit: int) -> Sequence[int]:
        """Return the numbers of a dataset's versions, ascending, above the cursor."""
        rows = await self._run(_NUMBERS, project=project, name=name, after=after, limit=limit)
        return [row.version for row in rows]
