"""One connection of the pool in one transaction: statements go to the driver as they are.

SQLAlchemy keeps the pool and makes the tables, and here reads the names of a statement's parameters. Its execution of
a statement costs as much again as a short statement itself.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from infra.db.errors import CONNECTION_FAULTS

_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]  # it has no annotations
_STATUS = re.compile(r"(?:SELECT|UPDATE|DELETE|INSERT \d+) (\d+)")


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement as the driver was given it."""

    sql: str
    arguments: tuple[Any, ...]


_watched: list[list[Sent]] = []


@contextmanager
def statements_sent() -> Iterator[list[Sent]]:
    """Collect the statements that this process's transactions send while the block runs."""
    sent: list[Sent] = []
    _watched.append(sent)
    try:
        yield sent
    finally:
        _watched[:] = [watching for watching in _watched if watching is not sent]


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg ships no types
    """A row of a result; each of its columns is an attribute."""

    def __getattr__(self, name: str) -> Any:
        """Return the value of a column."""
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"the result has no column {name!r}") from error


class Session:
    """Runs the statements of one transaction.

    Args:
        driver: A connection that nobody else uses meanwhile.

    Attributes:
        fault: What the last statement that failed raised; after it the transaction can not be committed.
    """

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver
        self.fault: Exception | None = None

    async def begin(self) -> None:
        """Begin the transaction."""
        await self._driver.execute("BEGIN")

    async def commit(self) -> None:
        """Make what was done last.

        Raises:
            asyncpg.PostgresError: A constraint that is looked at last refuses it; nothing was kept.
        """
        with self._fault_noted():
            await self._driver.execute("COMMIT")

    async def end(self) -> None:
        """Take back what was not committed; a connection that can not be told so is closed, which does the same."""
        if self._driver.is_closed() or not self._driver.is_in_transaction():
            return
        try:
            await self._driver.execute("ROLLBACK")
        except (asyncpg.PostgresError, *CONNECTION_FAULTS):
            self._driver.terminate()
        except BaseException:
            self._driver.terminate()
            raise

    async def rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Row]:
        """Run a statement; return its rows."""
        sent = _sent(statement, parameters)
        with self._fault_noted():
            rows: list[Row] = await self._driver.fetch(sent.sql, *sent.arguments, record_class=Row)
        return rows

    async def count(self, statement: TextClause, parameters: Mapping[str, Any]) -> int:
        """Run a statement; return how many rows it changed or found."""
        sent = _sent(statement, parameters)
        with self._fault_noted():
            status = await self._driver.execute(sent.sql, *sent.arguments)
        found = _STATUS.match(status)
        return int(found[1]) if found else 0

    async def pages(
        self, statement: TextClause, parameters: Mapping[str, Any], *, page: int
    ) -> AsyncIterator[list[Row]]:
        """Yield the rows of a statement, ``page`` at a time, all as of this moment."""
        sent = _sent(statement, parameters)
        with self._fault_noted():
            cursor = await self._driver.cursor(sent.sql, *sent.arguments, record_class=Row)
            while rows := await cursor.fetch(page):
                yield rows

    @contextmanager
    def _fault_noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.fault = error
            raise


def _sent(statement: TextClause, parameters: Mapping[str, Any]) -> Sent:
    sql, names = _positional(statement.text)
    sent = Sent(sql, tuple([parameters[name] for name in names]))
    for watching in _watched:
        watching.append(sent)
    return sent


@lru_cache(maxsize=4_096)
def _positional(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement as the driver takes it, and the names of its parameters by position."""
    compiled = TextClause(text).compile(dialect=_DIALECT)
    return str(compiled), tuple(getattr(compiled, "positiontup", None) or ())
