"""What a question costs the store: the blocks that its statement reads, and how."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from infra.db.connect import driver_of
from infra.db.engine import PostgresDatabase
from infra.db.session import statements_sent


async def blocks_read(database: PostgresDatabase, marker: str, ask: Callable[[], Awaitable[object]]) -> int:
    """Blocks of the store that the one statement with ``marker`` reads; it must not sort, nor walk a table."""
    with statements_sent() as sent:
        await ask()
    (one,) = [item for item in sent if marker in item.sql]
    async with database._engine.connect() as connection:
        explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {one.sql}"
        plan = json.loads(await driver_of(connection).fetchval(explained, *one.arguments))
    assert "Sort" not in json.dumps(plan)
    assert "Seq Scan" not in json.dumps(plan)
    return int(plan[0]["Plan"]["Shared Hit Blocks"]) + int(plan[0]["Plan"]["Shared Read Blocks"])
