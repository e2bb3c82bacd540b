"""How connections to Postgres are made."""

from __future__ import annotations

import math
import time
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from infra.db.errors import CONNECTION_FAULTS

CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 20
_CLIENT_GRACE_S = 15
_TRUSTED_S = 1.0
_STATEMENTS_KEPT = 500
_IDLE_SINCE = "concord_idle_since"


def create_engine(url: str, *, statement_timeout_s: int, **options: Any) -> AsyncEngine:
    """Return an engine on the asyncpg driver.

    Args:
        url: A libpq URL, ``postgresql://user:password@host:port/database``; asyncpg reads it, options included.
        statement_timeout_s: The server ends a statement after this time; 0 never. Where the server itself does not
            answer, the client gives up 15 s later.
        options: Further arguments of SQLAlchemy's ``create_async_engine``.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s + _CLIENT_GRACE_S if statement_timeout_s else None,
            server_settings={
                "application_name": "concord",
                "statement_timeout": str(statement_timeout_s * 1000),
                "lock_timeout": str(LOCK_TIMEOUT_S * 1000),
                "idle_in_transaction_session_timeout": str(max(statement_timeout_s, 60) * 1000),
                # Every statement here is short; compiling one costs more than running it.
                "jit": "off",
                "timezone": "UTC",
            },
            # A statement is planned once a connection, however long that lives.
            statement_cache_size=_STATEMENTS_KEPT,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, hide_parameters=True, **options)
    event.listen(engine.sync_engine, "checkin", _note_idle)
    event.listen(engine.sync_engine, "checkout", _refuse_dead)
    return engine


def driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    """Return the driver's connection of one that was taken from the pool."""
    taken = connection.sync_connection
    assert taken is not None  # noqa: S101 - it is open
    return taken.connection.driver_connection


def _note_idle(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _refuse_dead(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """Have the pool replace a connection that ended while it lay idle.

    SQLAlchemy's own pre-ping takes three round trips on this driver, as many as a short transaction. The driver
    knows of a closed connection without any; only one that lay idle for a while is asked, with one.
    """
    driver: asyncpg.Connection = connection.driver_connection
    if _known_closed(driver):
        raise DisconnectionError
    if time.monotonic() - record.info.get(_IDLE_SINCE, math.inf) > _TRUSTED_S:
        try:
            connection.run_async(_ask)
        except (asyncpg.PostgresError, *CONNECTION_FAULTS) as error:
            raise DisconnectionError from error


def _known_closed(driver: asyncpg.Connection) -> bool:
    return bool(driver.is_closed())


async def _ask(driver: asyncpg.Connection) -> None:
    await driver.execute("SELECT 1", timeout=CONNECT_TIMEOUT_S)
