"""Many people at one queue at once. ``concord bench crowd`` does the same with 64 people and 5,000 tasks."""

from __future__ import annotations

from sqlalchemy.pool import NullPool

from infra.bench.queue.crowd import run_crowd
from infra.bench.queue.fill import fill
from infra.bench.queue.plan import claim_plan, lanes_for
from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase
from tests.integration.db_samples import a_person


async def test_short_leases_and_many_people_break_no_promise(database: PostgresDatabase, database_url: str) -> None:
    people, tasks, answers = 16, 240, 2
    await fill(database_url, tasks=tasks, queues=4, people=people, answers=answers, some_held=False, lease_s=1)
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    report = await run_crowd(database, engine, people=people, tasks=tasks, answers=answers, lease_s=1)
    await engine.dispose()
    assert report.holds, report
    assert report.laid_aside, "some claims were laid aside, or the leases had nothing to do"


async def test_claim_among_many_tasks_reads_the_heads_of_its_lanes_only(
    database: PostgresDatabase, database_url: str
) -> None:
    await fill(database_url, tasks=8_000, queues=20)
    lanes = await lanes_for(database, a_person("rev", skills=("spatial",)))
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    async with engine.connect() as connection:
        whole = await claim_plan(connection, lanes, "rev", 8_000)
        single = await claim_plan(connection, lanes[:1], "rev", 8_000)
    await engine.dispose()
    assert len(lanes) == 20
    assert whole.holds, whole
    assert single.holds, single
