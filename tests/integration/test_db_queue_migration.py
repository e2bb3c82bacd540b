"""Tasks that were there before queues were rows get their lane, their place in it, and what they are about."""

from __future__ import annotations

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase
from infra.db.migrate import alembic_config, migrate
from services.contracts.review import TaskFacts, TaskState
from tests.integration.db_samples import a_decision, a_finding, a_person, a_sample, claim_next, open_task, task_now

_BEFORE = "20261129_0900"


def _take_back(connection: Connection) -> None:
    config = alembic_config(connection)
    command.downgrade(config, _BEFORE)
    command.downgrade(config, "-1")


async def test_tasks_of_the_old_schema_are_placed_and_claimed_as_before(
    database: PostgresDatabase, database_url: str
) -> None:
    ref = await a_sample(database)
    async with database.transaction() as tx:
        await tx.review.put_finding(a_finding(ref, "f-1"))
    finished = await open_task(database, ref, finding_ids=("f-9",))
    async with database.transaction() as tx:
        claimed = await claim_next(tx, a_person("other"))
        assert claimed is not None
        await tx.review.add_decision(a_decision(claimed, "other"), {})
        await tx.review.close_task(claimed.task_id, TaskState.COMPLETED)
    low = await open_task(database, ref, priority=50, finding_ids=("f-1",), skill="spatial")
    high = await open_task(database, ref, priority=300, finding_ids=("f-2",))
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    async with engine.begin() as connection:
        await connection.run_sync(_take_back)
    await engine.dispose()
    await migrate(database_url)
    assert (await task_now(database, finished.task_id)).state is TaskState.COMPLETED
    placed = await task_now(database, low.task_id)
    assert placed.facts == TaskFacts(
        check="lidar_camera", finding_kind="low_overlap", severity="major", domain="general"
    )
    order = []
    for _ in range(2):
        async with database.transaction() as tx:
            task = await claim_next(tx, a_person("rev", skills=("spatial",)))
        assert task is not None
        order.append(task.task_id)
    assert order == [high.task_id, low.task_id]
    raw = await asyncpg.connect(database_url)
    try:
        lanes = await raw.fetch("SELECT queue, kind, skill, ageing_per_hour FROM review_lanes ORDER BY skill")
    finally:
        await raw.close()
    assert [tuple(row) for row in lanes] == [("spatial", "review", "", 0.0), ("spatial", "review", "spatial", 0.0)]
