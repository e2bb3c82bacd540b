"""Bring a database to the newest schema."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from infra.db.connect import create_engine
from infra.db.errors import translated

_MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 0x636F6E636F7264  # the advisory lock of migrations
_LOCK_TIMEOUT = "10s"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return the configuration of alembic, which has no file of its own."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(hour).2d%%(minute).2d_%%(slug)s")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@cache
def newest_revision() -> str | None:
    """Return the newest revision this program knows; reads files once."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


async def migrate(url: str) -> None:
    """Migrate the database to the newest schema, in one transaction; nothing happens if it has it.

    A second process that does the same at the same time waits. Statements that wait for other sessions' locks give
    up after ten seconds instead of holding up everybody behind them.

    Args:
        url: ``postgresql://user:password@host:port/database``.

    Raises:
        UnavailableError: The database does not answer, or its tables stay locked.
    """
    engine = create_engine(url, poolclass=NullPool, statement_timeout_s=0)
    try:
        with translated():
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
                await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


async def current_is_head(connection: AsyncConnection) -> bool:
    """Whether the database behind ``connection`` has the newest schema this program knows."""
    known = await asyncio.to_thread(newest_revision)
    table = await connection.scalar(text("SELECT to_regclass('alembic_version')"))
    if table is None:
        return False
    return bool(await connection.scalar(text("SELECT version_num FROM alembic_version")) == known)
