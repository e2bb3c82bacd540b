"""Known answers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.quality import GoldAnswer, StoredGoldAnswer

_PUT = text("""
    INSERT INTO gold_answers (project, sample_id, answer, given_by, given_at)
    VALUES (:project, :sample_id, :answer, :given_by, :given_at)
    ON CONFLICT (project, sample_id) DO UPDATE SET
        answer = EXCLUDED.answer, given_by = EXCLUDED.given_by, given_at = EXCLUDED.given_at
""")
_DROP = text("DELETE FROM gold_answers WHERE project = :project AND sample_id = :sample_id")
_OF_SAMPLES = text("""
    SELECT * FROM gold_answers WHERE project = :project AND sample_id = ANY (CAST(:sample_ids AS text[]))
""")
_LIST = text("""
    SELECT * FROM gold_answers WHERE project = :project AND sample_id > :after ORDER BY sample_id LIMIT :limit
""")


def _gold_of(row: Any) -> StoredGoldAnswer:
    return StoredGoldAnswer(
        project=row.project,
        answer=GoldAnswer.model_validate_json(row.answer),
        given_by=row.given_by,
        given_at=row.given_at,
    )


class PostgresQuality(Repository):
    """Implements :class:`services.ports.quality.QualityRepository`."""

    async def put_gold(self, gold: StoredGoldAnswer) -> None:
        """Keep the known answer of a sample, or replace it."""
        await self._count(
            _PUT,
            project=gold.project,
            sample_id=gold.answer.sample_id,
            answer=model_text(gold.answer),
            given_by=gold.given_by,
            given_at=gold.given_at,
        )

    async def drop_gold(self, project: str, sample_id: str) -> bool:
        """Forget a known answer; False if there is none."""
        return await self._count(_DROP, project=project, sample_id=sample_id) == 1

    async def gold(self, project: str, sample_ids: tuple[str, ...]) -> dict[str, StoredGoldAnswer]:
        """Return the known answers of these samples, by sample id."""
        rows = await self._run(_OF_SAMPLES, project=project, sample_ids=[*sample_ids])
        return {row.sample_id: _gold_of(row) for row in rows}

    async def list_gold(self, project: str, *, after: str | None, limit: int) -> tuple[StoredGoldAnswer, ...]:
        """Return known answers by sample id after the cursor."""
        rows = await self._run(_LIST, project=project, after=after or "", limit=limit)
        return tuple(_gold_of(row) for row in rows)
