from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.records import DeadLetter
from services.errors import IntegrityError, NotFoundError
from tests.integration.db_samples import a_ref, a_sample, an_event


def a_letter(raw: bytes, **changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "dead_letter_id": uuid4(),
        "via": "nats",
        "reason_code": "invalid-input",
        "reason": "The sample manifest is not valid.",
        "raw_sha256": hashlib.sha256(raw).hexdigest(),
        "received_at": datetime.now(UTC),
    }
    return DeadLetter(**values | changes)


async def test_event_comes_back_under_its_pair_with_what_it_led_to(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    event = an_event(data={"a": [1, 2.5, None, {"b": True}], "deep": "é"}, source="s" * 1_000, event_id="i" * 500)
    async with database.transaction() as tx:
        assert await tx.inbox.lock(event.source, event.id) is None
        await tx.inbox.add(event, ref, via="nats")
    async with database.transaction() as tx:
        stored = await tx.inbox.lock(event.source, event.id)
        assert await tx.inbox.lock(event.source, event.id + "x") is None
        assert stored is not None
        assert (stored.event, stored.led_to) == (event, ref)
        assert await tx.inbox.events_of(ref) == (stored,)
        assert await tx.inbox.events_of(a_ref("other")) == ()


async def test_same_pair_is_refused_twice_by_the_database(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    async with database.transaction() as tx:
        await tx.inbox.add(an_event(), ref, via="http")
    with pytest.raises(IntegrityError, match="pk_inbox"):
        async with database.transaction() as tx:
            await tx.inbox.add(an_event(data={"other": 1}), ref, via="http")


async def test_event_about_an_unknown_revision_does_not_commit(database: PostgresDatabase) -> None:
    with pytest.raises(IntegrityError, match="fk_inbox_sample_revisions"):
        async with database.transaction() as tx:
            await tx.inbox.add(an_event(), a_ref(), via="http")


async def test_handlers_of_the_same_pair_go_one_after_the_other(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    inside = 0
    accepted: list[bool] = []

    async def handle() -> None:
        nonlocal inside
        async with database.transaction() as tx:
            known = await tx.inbox.lock("/up", "e1")
            inside += 1
            assert inside == 1
            await tx.now()  # gives the others the time to come in, if they could
            if known is None:
                await tx.inbox.add(an_event("e1", "/up"), ref, via="http")
            accepted.append(known is None)
            inside -= 1

    await asyncio.gather(*(handle() for _ in range(12)))
    assert sorted(accepted) == [False] * 11 + [True]


async def test_handlers_of_other_pairs_do_not_wait(database: PostgresDatabase) -> None:
    async with database.transaction() as first:
        await first.inbox.lock("/up", "e1")
        async with asyncio.timeout(30), database.transaction() as second:
            await second.inbox.lock("/up", "e2")


async def test_poison_is_kept_once_per_bytes_and_reason(database: PostgresDatabase) -> None:
    raw = b'{"broken": \xff\x00'
    letter = a_letter(raw, places=(("/data", "is not JSON"),), source="/up", event_id="e", event_type="t")
    async with database.transaction() as tx:
        assert await tx.inbox.add_dead_letter(letter, raw) == letter
    async with database.transaction() as tx:
        assert await tx.inbox.add_dead_letter(a_letter(raw), raw) == letter
        other = a_letter(raw, reason_code="event-conflict")
        assert await tx.inbox.add_dead_letter(other, raw) == other
        assert await tx.inbox.dead_letter(letter.dead_letter_id) == (letter, raw)
        assert await tx.inbox.dead_letter(uuid4()) is None


async def test_characters_that_can_not_be_stored_do_not_keep_poison_out(database: PostgresDatabase) -> None:
    letter = a_letter(b"x", reason="has \x00 and \ud800", source="/u\x00p", places=(("/\x00", "half \udc00"),))
    async with database.transaction() as tx:
        await tx.inbox.add_dead_letter(letter, b"x")
        stored = await tx.inbox.dead_letter(letter.dead_letter_id)
    assert stored is not None
    assert stored[0].reason == "has \ufffd and ?"
    assert stored[0].source == "/u\ufffdp"


async def test_dead_letters_are_listed_newest_first_within_the_projects(database: PostgresDatabase) -> None:
    start = datetime.now(UTC)
    letters = [
        a_letter(bytes([n]), project=("a", "b", None)[n % 3], received_at=start + timedelta(milliseconds=n // 2))
        for n in range(9)
    ]
    async with database.transaction() as tx:
        for letter in letters:
            await tx.inbox.add_dead_letter(letter, b"")
        everything = await tx.inbox.list_dead_letters(projects=None, after=None, limit=100)
        assert {item.dead_letter_id for item in everything} == {item.dead_letter_id for item in letters}
        assert [item.received_at for item in everything] == sorted((item.received_at for item in letters), reverse=True)
        paged: list[DeadLetter] = []
        after = None
        while page := await tx.inbox.list_dead_letters(projects=None, after=after, limit=2):
            paged += page
            after = page[-1].dead_letter_id
        assert tuple(paged) == everything
        of_a = await tx.inbox.list_dead_letters(projects=("a",), after=None, limit=100)
        assert {item.project for item in of_a} == {"a"}
        assert await tx.inbox.list_dead_letters(projects=(), after=None, limit=100) == ()


async def test_replay_is_noted(database: PostgresDatabase) -> None:
    letter = a_letter(b"x")
    async with database.transaction() as tx:
        await tx.inbox.add_dead_letter(letter, b"x")
        await tx.inbox.mark_replayed(letter.dead_letter_id, "accepted")
        stored = await tx.inbox.dead_letter(letter.dead_letter_id)
        with pytest.raises(NotFoundError):
            await tx.inbox.mark_replayed(uuid4(), "accepted")
    assert stored is not None
    assert stored[0].replay_outcome == "accepted"
    assert stored[0].replayed_at is not None


async def test_reply_is_kept_by_caller_and_key_and_calls_with_it_serialise(database: PostgresDatabase) -> None:
    ran: list[int] = []

    async def call(n: int) -> tuple[str, int, bytes]:
        async with database.transaction() as tx:
            known = await tx.idempotency.lock("ann", "k")
            if known is not None:
                return known
            ran.append(n)
            await tx.idempotency.add("ann", "k", "ff", 201, b'{"n": %d}' % n)
            return "ff", 201, b'{"n": %d}' % n

    replies = await asyncio.gather(*(call(n) for n in range(10)))
    assert len(ran) == 1
    assert set(replies) == {("ff", 201, b'{"n": %d}' % ran[0])}
    async with database.transaction() as tx:
        assert await tx.idempotency.lock("bob", "k") is None
        assert await tx.idempotency.lock("ann", "k2") is None


async def test_second_reply_under_a_key_is_refused_by_the_database(database: PostgresDatabase) -> None:
    async with database.transaction() as tx:
        await tx.idempotency.add("ann", "k", "ff", 201, b"1")
    with pytest.raises(IntegrityError, match="pk_idempotency_replies"):
        async with database.transaction() as tx:
            await tx.idempotency.add("ann", "k", "ff", 201, b"2")
