"""What a question costs the store: the blocks that its statement reads, and how."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event

from infra.db.engine import PostgresDatabase


async def blocks_read(database: PostgresDatabase, marker: str, ask: Callable[[], Awaitable[object]]) -> int:
    """Blocks of the store that the one statement with ``marker`` reads; it must not sort, nor walk a table."""
    engine = database._engine
    sent: list[tuple[str, tuple[Any, ...]]] = []

    def keep(_conn: Any, _cursor: Any, statement: str, parameters: tuple[Any, ...], *_: Any) -> None:
        if marker in statement:
            sent.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", keep)
    try:
        await ask()
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", keep)
    ((statement, parameters),) = sent
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        plan = json.loads(await driver.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *parameters))
    assert "Sort" not in json.dumps(plan)
    assert "Seq Scan" not in json.dumps(plan)
    return int(plan[0]["Plan"]["Shared Hit Blocks"]) + int(plan[0]["Plan"]["Shared Read Blocks"])
