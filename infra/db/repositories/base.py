"""What the repositories share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

OF_REVISION = "project = :project AND sample_id = :sample_id AND revision = :revision"
"""The condition of every statement about one revision; its parameters are a RevisionRef's fields."""

GONE = "EXISTS (SELECT FROM tombstones AS gone WHERE (gone.project, gone.sample_id, gone.revision) = \
(it.project, it.sample_id, it.revision))"
"""The condition that the revision ``it`` was erased."""


class Repository:
    """Runs statements in the transaction of its connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _run(self, statement: TextClause, **parameters: Any) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement, parameters)).all()

    async def _first(self, statement: TextClause, **parameters: Any) -> Row[Any] | None:
        return (await self._connection.execute(statement, parameters)).first()

    async def _count(self, statement: TextClause, **parameters: Any) -> int:
        return (await self._connection.execute(statement, parameters)).rowcount
