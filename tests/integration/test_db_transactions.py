from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from infra.db import connect, engine
from infra.db.engine import PostgresDatabase, open_database
from infra.db.migrate import migrate
from services.contracts.records import Project
from services.errors import ConcordError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from services.ports.database import Transaction
from tests.databases import with_name
from tests.integration.db_samples import PROJECT, a_ref, a_sample, put_project, put_revision

Work = Callable[[Transaction], Awaitable[object]]


async def run(database: PostgresDatabase, *work: Work) -> None:
    async with database.transaction() as tx:
        for step in work:
            await step(tx)


def add_project(name: str) -> Work:
    async def add(tx: Transaction) -> None:
        await tx.projects.add(Project(id=name, name=name))

    return add


def fail_with(error: BaseException) -> Work:
    async def fail(_tx: Transaction) -> None:
        raise error

    return fail


async def projects(database: PostgresDatabase) -> list[str]:
    async with database.transaction() as tx:
        return [project.id for project in await tx.projects.list()]


async def administrate(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def kill_backends(url: str) -> None:
    """End every other session of the database and wait until they are gone."""
    await administrate(
        url,
        "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


async def test_block_that_ends_commits_and_one_that_raises_leaves_nothing(database: PostgresDatabase) -> None:
    await run(database, add_project("kept"))
    with pytest.raises(RuntimeError):
        await run(database, add_project("dropped"), fail_with(RuntimeError("no")))
    with pytest.raises(NotFoundError):
        await run(database, add_project("dropped"), fail_with(NotFoundError("no")))
    assert await projects(database) == ["kept"]


async def test_commit_that_fails_raises_and_leaves_nothing(database: PostgresDatabase) -> None:
    await put_project(database)

    async def dangling(tx: Transaction) -> None:
        # The reference is looked at as late as the commit itself.
        await put_revision(tx, a_ref())
        await tx.outbox.add("workflow_start", a_ref("missing"), {})

    with pytest.raises(IntegrityError, match="fk_outbox_sample_revisions"):
        await run(database, dangling)
    async with database.transaction() as tx:
        assert await tx.samples.newest(PROJECT, "s1") is None
        assert await tx.audit.head(PROJECT) == (0, "0" * 64)
        assert await tx.outbox.backlog() == {}


async def test_failed_statement_that_the_block_hides_is_no_success(database: PostgresDatabase) -> None:
    async def hide(tx: Transaction) -> None:
        with contextlib.suppress(Exception):
            await tx.samples.lock_sample("no-such-project", "s1")

    with pytest.raises(NotFoundError):
        await run(database, add_project("lost"), hide)
    with pytest.raises(NotFoundError):
        await run(database, hide)
    assert await projects(database) == []


async def test_connection_killed_in_a_transaction_is_unavailable_and_the_next_one_works(
    database: PostgresDatabase, database_url: str
) -> None:
    async def kill(_tx: Transaction) -> None:
        await kill_backends(database_url)

    async def read(tx: Transaction) -> None:
        await tx.now()

    async def hide(tx: Transaction) -> None:
        with contextlib.suppress(Exception):
            await tx.now()

    async def log(tx: Transaction) -> None:
        tx.audit.append(PROJECT, actor="ann", action="test.done", subject="x", body={})

    for after in ((read,), (), (hide,), (hide, log), (log,), (add_project("never"),)):
        with pytest.raises(UnavailableError):
            await run(database, add_project("lost"), kill, *after)
        assert await projects(database) == []


async def test_idle_connections_killed_are_replaced_unnoticed(database: PostgresDatabase, database_url: str) -> None:
    await asyncio.gather(*(projects(database) for _ in range(10)))
    await kill_backends(database_url)
    assert await asyncio.gather(*(projects(database) for _ in range(10))) == [[]] * 10


async def test_connection_that_died_silently_while_idle_is_replaced_unnoticed(
    database: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_TRUSTED_S", -1.0)
    # The driver is made to believe in its connections, so that only asking them tells.
    monkeypatch.setattr(connect, "_known_closed", lambda _driver: False)
    await asyncio.gather(*(projects(database) for _ in range(5)))
    await kill_backends(database_url)
    assert await asyncio.gather(*(projects(database) for _ in range(5))) == [[]] * 5


async def test_database_that_is_not_there_is_unavailable(database_url: str) -> None:
    nowhere = "postgresql://concord:x@127.0.0.1:1/concord"
    wrong_password = database_url.replace("postgresql://concord:", "postgresql://concord:x")
    missing = with_name(database_url, "no_such_database")
    async with open_database(nowhere) as down:
        with pytest.raises(UnavailableError):
            await projects(down)
        with pytest.raises(UnavailableError):
            await down.ping()
    with pytest.raises(UnavailableError):
        await migrate(nowhere)
    for url in (wrong_password, missing):
        async with open_database(url) as closed:
            with pytest.raises(UnavailableError):
                await closed.ping()


async def test_all_connections_in_use_is_unavailable(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POOL_TIMEOUT_S", 0.2)
    async with open_database(database_url, pool_size=1) as small:
        async with small.transaction():
            with pytest.raises(UnavailableError, match="in use"):
                await projects(small)
        assert await projects(small) == []


async def test_deadlock_ends_one_of_the_two_as_unavailable(database: PostgresDatabase) -> None:
    await a_sample(database, "a")
    await a_sample(database, "b")
    both = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> None:
        async with database.transaction() as tx:
            await tx.samples.lock_sample(PROJECT, first)
            await both.wait()
            await tx.samples.lock_sample(PROJECT, second)

    outcomes = await asyncio.gather(lock("a", "b"), lock("b", "a"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "UnavailableError"]


async def test_statement_that_takes_too_long_is_unavailable(
    database: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_sample(database)
    monkeypatch.setattr(engine, "STATEMENT_TIMEOUT_S", 1)
    server_gives_up, client_gives_up = 15, -0.5
    for grace in (server_gives_up, client_gives_up):
        monkeypatch.setattr(connect, "_CLIENT_GRACE_S", grace)
        async with open_database(database_url) as impatient, database.transaction() as holder:
            await holder.samples.lock_sample(PROJECT, "s1")
            with pytest.raises(UnavailableError):
                await run(impatient, lambda tx: tx.samples.lock_sample(PROJECT, "s1"))
            assert await projects(impatient) == [PROJECT]


async def test_errors_of_the_block_itself_are_not_taken_for_the_databases(database: PostgresDatabase) -> None:
    for error in (TimeoutError("mine"), FileNotFoundError("mine"), ValueError("mine"), ConcordError("mine")):
        with pytest.raises(type(error), match="mine"):
            await run(database, add_project("dropped"), fail_with(error))
    assert await projects(database) == []


async def test_character_that_can_not_be_stored_is_invalid_input(database: PostgresDatabase) -> None:
    with pytest.raises(InvalidInputError, match="NUL"):
        await run(database, lambda tx: tx.idempotency.add("ann", "a\x00b", "ff", 200, b""))


async def test_cancelled_transactions_leave_nothing_and_no_connection(
    database: PostgresDatabase, database_url: str
) -> None:
    await a_sample(database)
    inside = 0

    async def hold_and_wait() -> None:
        nonlocal inside
        async with database.transaction() as tx:
            inside += 1
            await tx.samples.lock_sample(PROJECT, "s1")
            await tx.samples.next_sequence(PROJECT, "s1")
            await asyncio.Event().wait()

    for _ in range(5):
        inside = 0
        tasks = [asyncio.create_task(hold_and_wait()) for _ in range(20)]
        while inside < 20:  # noqa: ASYNC110 - they are all at work, most of them waiting for the lock
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
    assert await asyncio.gather(*(projects(database) for _ in range(20))) == [[PROJECT]] * 20
    async with database.transaction() as tx:
        assert await tx.samples.next_sequence(PROJECT, "s1") == 2
    sessions = await administrate(
        database_url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert isinstance(sessions, int)
    assert sessions <= 21


async def test_clock_is_the_databases_and_moves_within_a_transaction(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        assert await tx.now() < await tx.now()
