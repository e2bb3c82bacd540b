"""Committed records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from infra.db.documents import body_of, body_text
from infra.db.repositories.base import OF_REVISION, Repository
from services.contracts.lifecycle import RevisionRef
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
