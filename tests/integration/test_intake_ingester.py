from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from infra.db.engine import PostgresDatabase
from infra.messaging.ingester import DURABLE, MAX_DELIVERIES, Ingester
from infra.messaging.nats import INGEST_STREAM, ensure_streams, open_nats
from services.contracts.access import Principal, Role
from services.contracts.canonical import canonical_json
from services.contracts.events import AnyReceipt, EventType, IncomingEvent
from services.contracts.records import DeadLetter
from services.errors import UnavailableError
from services.intake.arrivals import Arrival
from services.intake.cloud_events import STRUCTURED_TYPE, EventMessage
from services.intake.inbox import Inbox, Projects, Via
from tests.intake_events import PROJECT, NoAssets, add_project, created, event, manifest, structured
from tests.nats_server import OwnNats, own_nats
from tests.taxonomy_events import published

pytestmark = pytest.mark.servers

OPERATOR = Principal(actor_id="op", key_id="k", role=Role.OPERATIONS, projects=None)
SUBJECT = "concord.ingest.test"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OwnNats]:
    async with own_nats(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: OwnNats) -> AsyncIterator[Client]:
    async with open_nats(server.url, name="test") as connected:
        await ensure_streams(connected)
        yield connected


@pytest.fixture
async def inbox(database: PostgresDatabase) -> Inbox:
    await add_project(database)
    return Inbox(database, NoAssets())


@asynccontextmanager
async def ingesting(client: Client, inbox: Inbox) -> AsyncIterator[asyncio.Task[None]]:
    """Run an ingester with short pauses; it must end by itself when it is told to."""
    stop = asyncio.Event()
    task = asyncio.create_task(Ingester(client, inbox, ack_wait_s=1.0, pause_s=0.02).run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 30)


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await fact():  # noqa: ASYNC110 - the fact is made by servers, which set no event of ours
            await asyncio.sleep(0.02)


async def publish(client: Client, message: EventMessage, **headers: str) -> None:
    content = {"content-type": message.content_type} if message.content_type else {}
    attributes = {f"ce-{name}": value for name, value in message.attributes.items()}
    await client.jetstream().publish(SUBJECT, message.body, headers={**content, **attributes, **headers} or None)


async def settled(client: Client) -> bool:
    """Whether every stored message has found its outcome."""
    js = client.jetstream()
    try:
        info = await js.consumer_info(INGEST_STREAM, DURABLE)
    except NotFoundError:
        return False  # the ingester has not begun
    # What is pending is 0 for a moment also before the first delivery; the floor rises with outcomes only.
    floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
    return floor >= (await js.stream_info(INGEST_STREAM)).state.last_seq


async def letters(inbox: Inbox) -> tuple[DeadLetter, ...]:
    return await inbox.dead_letters(OPERATOR, after=None, limit=100)


async def newest(database: PostgresDatabase, sample_id: str) -> int:
    async with database.transaction() as tx:
        ref = await tx.samples.newest(PROJECT, sample_id)
    return ref.revision if ref else 0


async def test_poison_in_the_middle_is_put_aside_once_and_blocks_nothing(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    poison = [
        EventMessage(content_type=STRUCTURED_TYPE, body=b"{"),
        EventMessage(content_type=STRUCTURED_TYPE, body=b'{"id": "\\u0000"}'),
        EventMessage(content_type=STRUCTURED_TYPE, body=b"[" * 10_000),
        EventMessage(content_type=STRUCTURED_TYPE, body=b"\xff\xfe"),
        EventMessage(content_type="application/cloudevents+avro", body=b"x"),
        EventMessage(content_type=None, body=b""),
        EventMessage(content_type="application/json", attributes={"id": "%C0%A0"}, body=b"{}"),
        structured(event(manifest(), "concord.sample.exploded.v1")),
        structured(event(manifest("p-1", colour="red"))),
    ]
    for number, bad in enumerate(poison):
        await publish(client, created(f"good-{number}"))
        await publish(client, bad)
    await publish(client, created("last"))
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert [await newest(database, f"good-{number}") for number in range(len(poison))] == [1] * len(poison)
    assert await newest(database, "last") == 1
    kept = await letters(inbox)
    assert len(kept) == len(poison)
    assert {letter.reason_code for letter in kept} == {
        "malformed-json", "unsupported-media-type", "unknown-event-type", "invalid-input",
    }  # fmt: skip
    assert {letter.via for letter in kept} == {"nats"}


async def test_binary_mode_reads_percent_encoded_headers(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    attributes = {
        "specversion": "1.0",
        "id": "Euro%20%E2%82%AC%20%f0%9f%98%80",
        "source": SUBJECT,
        "type": EventType.SAMPLE_CREATED.value,
        "datacontenttype": "application/json",
    }
    message = EventMessage(content_type=None, attributes=attributes, body=canonical_json(manifest()))
    await publish(client, message)
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert await letters(inbox) == ()
    async with database.transaction() as tx:
        stored = await tx.inbox.lock(SUBJECT, "Euro € 😀")
    assert stored is not None


async def test_duplicates_in_any_order_give_what_each_event_once_in_order_gives(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same order in every run
    copies: list[EventMessage] = []
    for number in range(12):
        copies += [created(f"s-{number}")] * chance.randint(1, 5)
    chance.shuffle(copies)
    for message in copies:
        await publish(client, message)
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert [await newest(database, f"s-{number}") for number in range(12)] == [1] * 12
    assert await letters(inbox) == ()
    async with database.transaction() as tx:
        assert len(await tx.outbox.pending(("workflow_start",), limit=100)) == 12


async def test_events_of_one_sample_keep_their_order(database: PostgresDatabase, client: Client, inbox: Inbox) -> None:
    for revision in range(1, 6):
        for number in range(6):
            event_type = EventType.SAMPLE_CREATED if revision == 1 else EventType.SAMPLE_UPDATED
            data = manifest(f"s-{number}", captured_at=f"2024-01-0{revision}T00:00:00Z")
            await publish(client, structured(event(data, event_type, id=f"{number}-{revision}")))
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert await letters(inbox) == ()
    async with database.transaction() as tx:
        for number in range(6):
            ref = await tx.samples.newest(PROJECT, f"s-{number}")
            assert ref is not None
            assert ref.revision == 5
            stored = await tx.samples.get(ref)
            assert stored is not None
            assert stored.event_id == f"{number}-5"


async def test_taxonomies_are_published_in_their_order_once_and_bad_ones_put_aside(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    late = published(1, "tram", event_id="late")
    for message in (published(1), published(1), published(2), late, published(3, classes=[]), published(3)):
        await publish(client, message)
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    async with database.transaction() as tx:
        kept = await tx.taxonomies.list()
    assert [(item.version, item.published_by) for item in kept] == [
        (number, "source:cameras-fleet-7") for number in (1, 2, 3)
    ]
    by_reason = {letter.reason_code: letter for letter in await letters(inbox)}
    assert by_reason.keys() == {"already-exists", "invalid-input"}
    assert ("/data/classes",) in {place[:1] for place in by_reason["invalid-input"].places}
    assert {letter.via for letter in by_reason.values()} == {"nats"}


async def test_an_event_before_the_one_it_builds_on_waits_for_it(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    await publish(client, structured(event(manifest(), EventType.SAMPLE_UPDATED, id="update")))
    await publish(client, created())
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert await newest(database, "s-1") == 2
    assert await letters(inbox) == ()


async def test_an_event_that_waits_in_vain_is_put_aside(client: Client, inbox: Inbox) -> None:
    await publish(client, structured(event(manifest(), EventType.SAMPLE_UPDATED)))
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert [letter.reason_code for letter in await letters(inbox)] == ["not-found"]


class Troubled(Inbox):
    """An inbox whose ``accept`` does something else first."""

    def __init__(self, database: PostgresDatabase, trouble: Callable[[Troubled, IncomingEvent], Awaitable[None]]):
        super().__init__(database, NoAssets())
        self._trouble = trouble
        self.calls = 0
        self.away = False

    async def ready(self) -> None:
        if self.away:
            raise UnavailableError("the database is away")

    async def accept_together(
        self, arrivals: Sequence[Arrival], *, via: Via, projects: Projects
    ) -> dict[int, AnyReceipt]:
        return {}

    async def accept(self, event: IncomingEvent, *, via: Via, projects: Projects) -> AnyReceipt:
        self.calls += 1
        await self._trouble(self, event)
        return await super().accept(event, via=via, projects=projects)


class DiesAfterCommit(Inbox):
    """An inbox whose process dies after the commit of an event, the first time."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database, NoAssets())
        self.died = asyncio.Event()

    async def accept_together(
        self, arrivals: Sequence[Arrival], *, via: Via, projects: Projects
    ) -> dict[int, AnyReceipt]:
        receipts = await super().accept_together(arrivals, via=via, projects=projects)
        if receipts:
            await self._die()
        return receipts

    async def accept(self, event: IncomingEvent, *, via: Via, projects: Projects) -> AnyReceipt:
        receipt = await super().accept(event, via=via, projects=projects)
        await self._die()
        return receipt

    async def _die(self) -> None:
        if not self.died.is_set():
            self.died.set()
            await asyncio.Event().wait()


async def test_a_crash_between_commit_and_ack_changes_nothing(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    dying = DiesAfterCommit(database)
    await publish(client, created())
    stop = asyncio.Event()
    task = asyncio.create_task(Ingester(client, dying, ack_wait_s=1.0).run(stop))
    await asyncio.wait_for(dying.died.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await newest(database, "s-1") == 1
    assert not await settled(client)
    async with ingesting(client, inbox):
        await until(lambda: settled(client))
    assert await newest(database, "s-1") == 1
    assert await letters(inbox) == ()
    async with database.transaction() as tx:
        assert len(await tx.outbox.pending(("workflow_start",), limit=10)) == 1


async def test_an_outage_of_the_database_loses_nothing_and_blames_nobody(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    async def trouble(troubled: Troubled, _event: IncomingEvent) -> None:
        if troubled.calls <= 3:
            troubled.away = True
            asyncio.get_running_loop().call_later(0.2, setattr, troubled, "away", False)
            raise UnavailableError("the database is away")

    for number in range(5):
        await publish(client, created(f"s-{number}"))
    async with ingesting(client, Troubled(database, trouble)):
        await until(lambda: settled(client))
    assert [await newest(database, f"s-{number}") for number in range(5)] == [1] * 5
    assert await letters(inbox) == ()


async def test_an_event_that_never_comes_to_an_outcome_is_put_aside_and_others_pass(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    async def trouble(_troubled: Troubled, event: IncomingEvent) -> None:
        if event.id == "created-bad":
            raise RuntimeError("a fault of ours")

    for sample_id in ("a", "bad", "b"):
        await publish(client, created(sample_id))
    troubled = Troubled(database, trouble)
    async with ingesting(client, troubled):
        await until(lambda: settled(client))
    assert troubled.calls == 2 + MAX_DELIVERIES
    assert [await newest(database, sample_id) for sample_id in ("a", "bad", "b")] == [1, 0, 1]
    [letter] = await letters(inbox)
    assert (letter.reason_code, letter.event_id) == ("undeliverable", "created-bad")
    receipt = await inbox.replay(letter.dead_letter_id, OPERATOR)
    assert receipt.outcome == "accepted"


async def test_the_server_may_be_killed_and_the_consumer_deleted(
    database: PostgresDatabase, server: OwnNats, client: Client, inbox: Inbox
) -> None:
    async def arrived(sample_id: str) -> bool:
        return await newest(database, sample_id) == 1

    async with ingesting(client, inbox):
        await publish(client, created("before"))
        await until(lambda: arrived("before"))
        server.kill()
        await server.start()
        await until(lambda: is_stored(client, "after"))
        await until(lambda: arrived("after"))
        await client.jetstream().delete_consumer(INGEST_STREAM, DURABLE)
        await publish(client, created("without"))
        await until(lambda: arrived("without"))
    assert await letters(inbox) == ()


async def is_stored(client: Client, sample_id: str) -> bool:
    try:
        await publish(client, created(sample_id))
    except Exception:  # the connection is not back yet
        return False
    return True


async def test_declaring_the_streams_again_keeps_an_operators_limits(client: Client) -> None:
    js = client.jetstream()
    config: Any = (await js.stream_info(INGEST_STREAM)).config
    await js.update_stream(config, max_age=3_600)
    await ensure_streams(client)
    assert (await js.stream_info(INGEST_STREAM)).config.max_age == 3_600
