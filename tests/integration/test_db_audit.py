from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.chain import GENESIS_SHA256, recomputed
from services.contracts.lifecycle import Stage
from services.contracts.records import AuditEntry
from services.errors import InvalidInputError
from tests.integration.db_samples import PROJECT


async def append(database: PostgresDatabase, project: str, *subjects: str, fail: bool = False) -> None:
    async with database.transaction() as tx:
        for subject in subjects:
            tx.audit.append(project, actor="ann", action="test.done", subject=subject, body={"subject": subject})
        if fail:
            raise RuntimeError("changed its mind")


async def chain(database: PostgresDatabase, project: str) -> tuple[Sequence[AuditEntry], tuple[int, str]]:
    async with database.transaction() as tx:
        return await tx.audit.list(project, after=0, limit=10_000), await tx.audit.head(project)


def assert_chained(entries: Sequence[AuditEntry], head: tuple[int, str]) -> None:
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert all(recomputed(entry) == entry for entry in entries)
    hashes = [GENESIS_SHA256, *(entry.sha256 for entry in entries)]
    assert [entry.previous_sha256 for entry in entries] == hashes[:-1]
    assert head == (len(entries), hashes[-1])


async def test_chain_begins_with_zeros_and_its_entries_come_back_as_hashed(database: PostgresDatabase) -> None:
    assert await chain(database, PROJECT) == ((), (0, GENESIS_SHA256))
    body = {"none": None, "stage": Stage.CHECKING, "x": [-0.0, 1e16, 1e-9, 0.1 + 0.2, 2**53, True], "text": "é\u2028"}
    async with database.transaction() as tx:
        tx.audit.append(PROJECT, actor="ann", action="test.done", subject="one", body=body)
        assert await tx.audit.list(PROJECT, after=0, limit=10) == (), "entries are written at the end"
    entries, head = await chain(database, PROJECT)
    assert_chained(entries, head)
    assert entries[0].body == {**body, "stage": "checking"}


async def test_entries_are_listed_by_sequence_and_by_subject(database: PostgresDatabase) -> None:
    await append(database, PROJECT, "a", "b", "c", "a")
    await append(database, "elsewhere", "a")
    async with database.transaction() as tx:
        assert [entry.subject for entry in await tx.audit.list(PROJECT, after=1, limit=2)] == ["b", "c"]
        assert [entry.sequence for entry in await tx.audit.of_subjects(PROJECT, ("a", "c"))] == [1, 3, 4]
        assert await tx.audit.of_subjects(PROJECT, ()) == ()


async def test_rolled_back_transaction_leaves_no_gap(database: PostgresDatabase) -> None:
    await append(database, PROJECT, "a")
    with pytest.raises(RuntimeError):
        await append(database, PROJECT, "b", fail=True)
    await append(database, PROJECT, "c")
    entries, head = await chain(database, PROJECT)
    assert_chained(entries, head)
    assert [entry.subject for entry in entries] == ["a", "c"]


async def test_chain_under_concurrent_transactions_has_no_gap_and_verifies(database: PostgresDatabase) -> None:
    projects = ("one", "two", "three")

    async def work(n: int) -> None:
        async with database.transaction() as tx:
            # Each transaction names its projects in another order; the chains are locked in one.
            for project in itertools.islice(itertools.cycle(projects), n % 3, n % 3 + 4):
                tx.audit.append(project, actor="ann", action="test.done", subject=f"t{n}", body={"n": n})
            await tx.now()
            if n % 5 == 0:
                raise RuntimeError("changed its mind")

    await asyncio.gather(*(work(n) for n in range(60)), return_exceptions=True)
    total = 0
    for project in projects:
        entries, head = await chain(database, project)
        assert_chained(entries, head)
        times = [entry.at for entry in entries]
        assert times == sorted(times)
        total += len(entries)
    assert total == 48 * 4


async def test_body_that_is_no_json_is_refused_at_once(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        for value in (float("nan"), "\ud800"):
            with pytest.raises(InvalidInputError):
                tx.audit.append(PROJECT, actor="ann", action="test.done", subject="one", body={"x": value})


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_entries SET actor = 'somebody'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries CASCADE",
        "TRUNCATE audit_heads",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET sequence = 0",
        "UPDATE audit_heads SET sha256 = repeat('0', 64)",
        "UPDATE audit_heads SET project = 'other', sequence = sequence + 1",
    ],
)
async def test_database_refuses_to_change_the_chain(
    database: PostgresDatabase, database_url: str, tampering: str
) -> None:
    await append(database, PROJECT, "a", "b")
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(tampering)
    finally:
        await connection.close()
    assert_chained(*await chain(database, PROJECT))
