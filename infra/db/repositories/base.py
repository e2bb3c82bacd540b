"""What the repositories share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import TextClause

from infra.db.session import Row, Session

OF_REVISION = "project = :project AND sample_id = :sample_id AND revision = :revision"
"""The condition of every statement about one revision; its parameters are a RevisionRef's fields."""

BEFORE_REVISION = "project = :project AND sample_id = :sample_id AND revision < :revision"
"""The same of every statement about the revisions of its sample before it."""

GONE = "EXISTS (SELECT FROM tombstones AS gone WHERE (gone.project, gone.sample_id, gone.revision) = \
(it.project, it.sample_id, it.revision))"
"""The condition that the revision ``it`` was erased."""


class Repository:
    """Runs statements in a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def _run(self, statement: TextClause, **parameters: Any) -> Sequence[Row]:
        return await self._session.rows(statement, parameters)

    async def _first(self, statement: TextClause, **parameters: Any) -> Row | None:
        rows = await self._session.rows(statement, parameters)
        return rows[0] if rows else None

    async def _count(self, statement: TextClause, **parameters: Any) -> int:
        return await self._session.count(statement, parameters)
