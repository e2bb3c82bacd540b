from __future__ import annotations

import asyncio

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from infra.db.listen import OutboxListener
from infra.db.repositories.outbox import _PENDING
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import OutboxMessage
from services.errors import IntegrityError
from tests.integration.db_samples import a_ref, a_sample

EVENTS = ("event",)
WORKFLOWS = ("workflow_start", "workflow_signal")


@pytest.fixture
async def refs(database: PostgresDatabase) -> tuple[RevisionRef, RevisionRef]:
    """Two samples of which nothing waits to be told."""
    refs = await a_sample(database, "s1"), await a_sample(database, "s2")
    await publish_all(database)
    return refs


async def publish_all(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        waiting = await tx.outbox.pending((*EVENTS, *WORKFLOWS), limit=1_000)
        await tx.outbox.mark_published(tuple(message.message_id for message in waiting))


async def add_event(database: PostgresDatabase, ref: RevisionRef) -> None:
    async with database.transaction() as tx:
        sequence = await tx.samples.next_sequence(ref.project, ref.sample_id)
        await tx.outbox.add("event", ref, {"n": sequence}, sequence=sequence)


async def change_mind(database: PostgresDatabase, ref: RevisionRef) -> None:
    async with database.transaction() as tx:
        await tx.outbox.add("workflow_start", ref, {})
        raise RuntimeError("changed its mind")


async def pending(
    database: PostgresDatabase, topics: tuple[str, ...] = EVENTS, limit: int = 100
) -> list[OutboxMessage]:
    async with database.transaction() as tx:
        return list(await tx.outbox.pending(topics, limit=limit))


async def end_pauses(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE outbox SET next_attempt_at = clock_timestamp() WHERE published_at IS NULL")
    await connection.close()


def told(messages: list[OutboxMessage]) -> list[tuple[str | None, int | None]]:
    return [(message.sample_id, message.sequence) for message in messages]


async def test_messages_wait_in_order_until_they_are_published(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    one, two = refs
    for ref in (one, two, one):
        await add_event(database, ref)
    waiting = await pending(database)
    assert told(waiting) == [("s1", 2), ("s2", 2), ("s1", 3)]
    assert waiting[0].body == {"n": 2}
    assert told(await pending(database, limit=1)) == [("s1", 2)]
    assert await pending(database, WORKFLOWS) == []
    async with database.transaction() as tx:
        assert await tx.outbox.backlog() == {"event": 3}
        await tx.outbox.mark_published((waiting[0].message_id, waiting[1].message_id))
    assert told(await pending(database)) == [("s1", 3)]


async def test_rolled_back_message_is_never_told(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    with pytest.raises(RuntimeError):
        await change_mind(database, refs[0])
    assert await pending(database, WORKFLOWS) == []


async def test_failed_message_pauses_and_its_samples_later_ones_wait_behind_it(
    database: PostgresDatabase, database_url: str, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    one, two = refs
    for ref in (one, two, one, two):
        await add_event(database, ref)
    async with database.transaction() as tx:
        await tx.outbox.add("workflow_signal", one, {})
    first = (await pending(database))[0]
    async with database.transaction() as tx:
        await tx.outbox.mark_failed(first.message_id, "no stream \x00")
    assert told(await pending(database)) == [("s2", 2), ("s2", 3)]
    assert len(await pending(database, WORKFLOWS)) == 1
    await end_pauses(database_url)
    assert told(await pending(database)) == [("s1", 2), ("s2", 2), ("s1", 3), ("s2", 3)]
    assert (await pending(database))[0].attempts == 1


async def test_pauses_grow_up_to_a_minute(
    database: PostgresDatabase, database_url: str, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    await add_event(database, refs[0])
    message = (await pending(database))[0]
    connection = await asyncpg.connect(database_url)
    pauses = []
    for _ in range(40):
        async with database.transaction() as tx:
            before = await tx.now()
            await tx.outbox.mark_failed(message.message_id, "no stream")
        pauses.append((await connection.fetchval("SELECT max(next_attempt_at) FROM outbox") - before).total_seconds())
    await connection.close()
    assert [round(pause) for pause in pauses[1:8]] == [1, 2, 4, 8, 16, 32, 60]
    assert 59 < pauses[-1] < 70


async def test_signal_waits_behind_the_start_of_its_own_revision_only(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    one = refs[0]
    async with database.transaction() as tx:
        await tx.outbox.add("workflow_start", one, {"is": "start"})
    async with database.transaction() as tx:
        await tx.outbox.add("workflow_signal", one, {"is": "signal"})
        await tx.outbox.add("workflow_start", refs[1], {"is": "other"})
    waiting = await pending(database, WORKFLOWS)
    assert [message.body["is"] for message in waiting] == ["start", "signal", "other"]
    async with database.transaction() as tx:
        await tx.outbox.mark_failed(waiting[0].message_id, "Temporal is away")
    assert [message.body["is"] for message in await pending(database, WORKFLOWS)] == ["other"]
    assert await pending(database, ("workflow_signal",)) == []


async def test_message_committed_late_is_not_skipped(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    one, two = refs
    added, published = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as tx:
            await tx.outbox.add("workflow_start", one, {})
            added.set()
            await published.wait()

    async def quick() -> None:
        await added.wait()
        async with database.transaction() as tx:
            await tx.outbox.add("workflow_start", two, {})
        await publish_all(database)
        published.set()

    await asyncio.gather(slow(), quick())
    assert told(await pending(database, WORKFLOWS)) == [("s1", None)]


async def test_sequence_of_a_sample_is_told_once(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    with pytest.raises(IntegrityError, match="uq_outbox_sequence"):
        async with database.transaction() as tx:
            await tx.outbox.add("event", refs[0], {}, sequence=1)
    with pytest.raises(IntegrityError, match="ck_outbox_sequence"):
        async with database.transaction() as tx:
            await tx.outbox.add("workflow_start", refs[0], {}, sequence=2)


async def test_message_about_an_unknown_revision_does_not_commit(database: PostgresDatabase) -> None:
    with pytest.raises(IntegrityError, match="fk_outbox_sample_revisions"):
        async with database.transaction() as tx:
            await tx.outbox.add("workflow_start", a_ref(), {})


async def test_commit_wakes_the_listener_and_a_rollback_does_not(
    database: PostgresDatabase, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    async with database.outbox_listener(poll_interval_s=120) as listener:
        await listener.listening()
        assert await listener.wait()  # the connection itself: something may have come before it
        waiter = asyncio.create_task(listener.wait())
        with pytest.raises(RuntimeError):
            await change_mind(database, refs[0])
        async with database.transaction() as tx:
            await tx.now()
        assert not waiter.done()
        await add_event(database, refs[0])
        assert await asyncio.wait_for(waiter, 60)


async def test_listener_returns_at_its_poll_interval_and_listens_again_after_its_connection_was_killed(
    database: PostgresDatabase, database_url: str, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    async with OutboxListener(database_url, poll_interval_s=0.05) as listener:
        await listener.listening()
        assert await listener.wait()
        assert not await listener.wait()
    connection = await asyncpg.connect(database_url)
    kill = "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'concord-listen'"
    async with OutboxListener(database_url, poll_interval_s=120) as listener:
        await listener.listening()
        assert await listener.wait()
        assert await connection.fetchval(kill)
        assert await asyncio.wait_for(listener.wait(), 60), "it comes back and says that something may have come"
        await add_event(database, refs[0])
        assert await asyncio.wait_for(listener.wait(), 60)
        listener.wake()
        assert await asyncio.wait_for(listener.wait(), 60)
    await connection.close()


async def test_pending_reads_only_what_waits_among_a_hundred_thousand_told_messages(
    database: PostgresDatabase, database_url: str, refs: tuple[RevisionRef, RevisionRef]
) -> None:
    await add_event(database, refs[0])
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            """
            INSERT INTO outbox (topic, project, sample_id, revision, sequence, body, attempts, published_at)
            SELECT topic, project, sample_id, revision, 1000 + n, '{}', 0, clock_timestamp()
            FROM outbox, generate_series(1, 100000) AS n WHERE published_at IS NULL
            """
        )
        await connection.execute("VACUUM ANALYZE outbox")
        sql = str(_PENDING).replace(":topics", "'{event}'").replace(":limit", "200")
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
    finally:
        await connection.close()
    assert "Seq Scan" not in plan
    assert "ix_outbox_unpublished" in plan or "ix_outbox_waiting" in plan
    assert told(await pending(database)) == [("s1", 2)]
