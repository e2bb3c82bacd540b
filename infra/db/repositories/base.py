"""What the repositories share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, column, text
from sqlalchemy.ext.asyncio import AsyncConnection

OF_REVISION = "project = :project AND sample_id = :sample_id AND revision = :revision"
"""The condition of every statement about one revision; its parameters are a RevisionRef's fields."""

GONE = "EXISTS (SELECT FROM tombstones AS gone WHERE (gone.project, gone.sample_id, gone.revision) = \
(it.project, it.sample_id, it.revision))"
"""The condition that the revision ``it`` was erased."""


def reading(statement: str, columns: Sequence[str]) -> Executable:
    """Return a statement that reads these columns, in this order.

    SQLAlchemy keeps what it works out about the columns of a result only if it was told of them beforehand; a wide row
    of a statement that runs often is read in two thirds of the time.
    """
    return text(statement).columns(*map(column, columns))


class Repository:
    """Runs statements in the transaction of its connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _run(self, statement: Executable, **parameters: Any) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement, parameters)).all()

    async def _first(self, statement: Executable, **parameters: Any) -> Row[Any] | None:
        return (await self._connection.execute(statement, parameters)).first()

    async def _count(self, statement: Executable, **parameters: Any) -> int:
        return (await self._connection.execute(statement, parameters)).rowcount
