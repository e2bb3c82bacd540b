"""Wait until transactions wait for each other."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from infra.db.engine import PostgresDatabase

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")


async def until_waiting_for_locks(database: PostgresDatabase, transactions: int = 1) -> None:
    """Return once so many of the database's transactions wait for a lock."""
    async with asyncio.timeout(60), database._engine.connect() as connection:
        while (await connection.scalar(_WAITING) or 0) < transactions:
            await connection.rollback()
