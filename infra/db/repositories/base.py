"""What the repositories share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable, Row, TextClause
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from infra.db.tables import Table

RowT = TypeVar("RowT", bound=Table)

OF_REVISION = "project = :project AND sample_id = :sample_id AND revision = :revision"
"""The condition of every statement about one revision; its parameters are a RevisionRef's fields."""


class Repository:
    """Runs statements in the transaction of its session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def _entities(self, statement: SelectOfScalar[RowT]) -> Sequence[RowT]:
        result = await self._session.exec(statement, execution_options={"populate_existing": True})
        return result.all()

    async def _entity(self, statement: SelectOfScalar[RowT]) -> RowT | None:
        result = await self._session.exec(statement, execution_options={"populate_existing": True})
        return result.one_or_none()

    async def _run(self, statement: TextClause | Executable, **parameters: Any) -> Sequence[Row[Any]]:
        connection = await self._session.connection()
        return (await connection.execute(statement, parameters)).all()

    async def _first(self, statement: TextClause | Executable, **parameters: Any) -> Row[Any] | None:
        connection = await self._session.connection()
        return (await connection.execute(statement, parameters)).first()

    async def _count(self, statement: TextClause | Executable, **parameters: Any) -> int:
        connection = await self._session.connection()
        return (await connection.execute(statement, parameters)).rowcount
