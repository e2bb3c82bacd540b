"""The store of record on Postgres: transactions that commit whole or raise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from infra.db.connect import create_engine, driver_of
from infra.db.errors import business_error, translated
from infra.db.leader import Leadership
from infra.db.listen import OutboxListener
from infra.db.migrate import current_is_head, newest_revision
from infra.db.session import Session
from infra.db.unit_of_work import PostgresTransaction
from services.errors import UnavailableError
from services.ports.database import Transaction

POOL_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_S = 60
_RECYCLE_S = 1800


class PostgresDatabase:
    """Implements :class:`services.ports.database.Database`.

    Args:
        engine: Where connections come from.
        url: The database, for connections outside of the pool.
    """

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self._engine = engine
        self._url = url

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction; it commits when the block ends, and rolls back when it raises.

        A commit that fails, and a block that ends normally after a statement of it failed, raise.

        Raises:
            UnavailableError: No connection, a lost one, a collision with another transaction, or a timeout.
        """
        async with AsyncExitStack() as stack:
            with translated():
                connection = await stack.enter_async_context(self._engine.connect())
                session = Session(driver_of(connection))
                stack.push_async_callback(session.end)
                await session.begin()
            try:
                transaction = PostgresTransaction(session)
                yield transaction
                if session.fault is not None:
                    # Postgres answers COMMIT of a failed transaction with a rollback and no error.
                    raise session.fault
                await transaction.finish()
                await session.commit()
            except Exception as error:
                meaning = business_error(error) if _is_from_database(error, session.fault) else None
                if meaning is None:
                    raise
                raise meaning from error

    async def ping(self) -> None:
        """Raise UnavailableError unless the database answers and has the newest schema."""
        with translated():
            async with self._engine.connect() as connection:
                if not await current_is_head(connection):
                    raise UnavailableError("the database does not have this program's schema; run the migrations")

    def outbox_listener(self, *, poll_interval_s: float = 1.0) -> OutboxListener:
        """Return what tells a relay that there may be new messages; used as ``async with``."""
        return OutboxListener(self._url, poll_interval_s=poll_interval_s)

    def leadership(self, name: str) -> Leadership:
        """Return what lets one process at a time do something; used as ``async with``."""
        return Leadership(self._url, name)


def _as_text(document: str) -> str:
    # Documents cross this border as JSON text in both directions; see infra.db.tables.base.DOCUMENT.
    return document


def _is_from_database(error: Exception, fault: BaseException | None) -> bool:
    # An OSError or TimeoutError of the caller's own, such as of reading a file, is not the database's.
    return error is fault or not isinstance(error, OSError)


@asynccontextmanager
async def open_database(url: str, pool_size: int = 10) -> AsyncIterator[PostgresDatabase]:
    """Open the database; nothing is connected before the first transaction.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        pool_size: The most connections in use at once; more wait up to ten seconds.
    """
    await asyncio.to_thread(newest_revision)
    engine = create_engine(
        url,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=_RECYCLE_S,
        json_serializer=_as_text,
        json_deserializer=_as_text,
    )
    try:
        yield PostgresDatabase(engine, url)
    finally:
        await engine.dispose()
