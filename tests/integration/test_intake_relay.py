from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats.errors
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import PubAck

from infra.db.engine import PostgresDatabase
from infra.db.leader import Leadership
from infra.messaging.nats import EVENTS_STREAM, ensure_streams, open_nats
from infra.messaging.relay import EventRelay
from services.contracts.events import EventType
from services.intake.inbox import Inbox
from tests.intake_events import PROJECT, NoAssets, add_project, created, event, manifest, structured
from tests.nats_server import OwnNats, own_nats

pytestmark = pytest.mark.servers


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
async def relaying(database: PostgresDatabase, *clients: Any) -> AsyncIterator[None]:
    """Run a relay on each connection; all must end by themselves when they are told to."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(EventRelay(database, client).run(stop)) for client in clients]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await fact():  # noqa: ASYNC110 - the fact is made by servers, which set no event of ours
            await asyncio.sleep(0.02)


async def all_published(database: PostgresDatabase) -> bool:
    async with database.transaction() as tx:
        return not (await tx.outbox.backlog()).get("event")


async def stored(client: Client) -> list[Msg]:
    """Everything in the stream, in its order."""
    js = client.jetstream()
    count = (await js.stream_info(EVENTS_STREAM)).state.messages
    subscription = await js.subscribe("concord.events.>", ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=10) for _ in range(count)]
    await subscription.unsubscribe()
    return messages


async def make_history(inbox: Inbox, sample_id: str, updates: int) -> None:
    """Two events out for each update, one for the creation."""
    await inbox.receive(created(sample_id), via="http", projects=None)
    for number in range(updates):
        message = structured(event(manifest(sample_id), EventType.SAMPLE_UPDATED, id=f"{sample_id}-{number}"))
        await inbox.receive(message, via="http", projects=None)


class FaultyStream:
    """JetStream whose publishing fails now and then: before the event is stored, or after, with the answer lost."""

    def __init__(self, client: Client, seed: int) -> None:
        self._js = client.jetstream()
        self._chance = random.Random(seed)  # noqa: S311 - the same faults in every run
        self.faults: Counter[str] = Counter()

    async def publish(self, *args: Any, **options: Any) -> PubAck:
        fate = self._chance.random()
        if fate < 0.15:
            self.faults["not stored"] += 1
            raise nats.errors.TimeoutError
        answer = await self._js.publish(*args, **options)
        if fate > 0.85:
            self.faults["answer lost"] += 1
            raise nats.errors.TimeoutError
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._js, name)


class FaultyClient:
    """A connection whose JetStream is faulty."""

    def __init__(self, client: Client, seed: int) -> None:
        self.stream = FaultyStream(client, seed)

    def jetstream(self) -> FaultyStream:
        return self.stream


async def test_events_go_out_once_and_in_order_per_sample_whatever_fails(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    first, second = FaultyClient(client, 1), FaultyClient(client, 2)
    async with relaying(database, first, second):
        await asyncio.gather(*(make_history(inbox, f"s-{number}", updates=4) for number in range(8)))
        await until(lambda: all_published(database))
    sequences: dict[str, list[int]] = defaultdict(list)
    for message in await stored(client):
        data = json.loads(message.data)["data"]
        sequences[data["sample_id"]].append(data["sequence"])
    assert sequences == {f"s-{number}": list(range(1, 10)) for number in range(8)}
    faults = first.stream.faults + second.stream.faults
    assert faults["not stored"] > 0
    assert faults["answer lost"] > 0


async def test_an_event_that_the_server_refuses_holds_back_its_own_sample_only(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    await asyncio.gather(make_history(inbox, "bad", updates=1), make_history(inbox, "good", updates=1))
    js = client.jetstream()

    class Refusing(FaultyClient):
        def __init__(self) -> None:
            self.refuse = True

        def jetstream(self) -> Any:
            return self

        async def publish(self, subject: str, payload: bytes, **options: Any) -> PubAck:
            if self.refuse and b'"sample_id":"bad","sequence":2' in payload:
                raise nats.errors.MaxPayloadError
            return await js.publish(subject, payload, **options)

    refusing = Refusing()
    async with relaying(database, refusing):

        async def good_is_out() -> bool:
            return len(await stored(client)) == 4

        await until(good_is_out)
        refusing.refuse = False
        await until(lambda: all_published(database))
    bad = [json.loads(message.data) for message in await stored(client)]
    assert [item["sequence"] for item in bad if item["data"]["sample_id"] == "bad"] == ["1", "2", "3"]


async def test_an_event_out_is_a_cloud_event_with_a_lasting_id(
    database: PostgresDatabase, client: Client, inbox: Inbox
) -> None:
    await make_history(inbox, "s-1", updates=0)
    async with relaying(database, client):
        await until(lambda: all_published(database))
    [message] = await stored(client)
    assert message.subject == f"concord.events.{PROJECT}.concord.sample.received.v1"
    assert message.headers is not None
    assert message.headers["content-type"] == "application/cloudevents+json"
    assert message.headers["Nats-Msg-Id"] == f"{PROJECT}/s-1/1"
    read = from_structured_event(HTTPMessage(headers=dict(message.headers), body=message.data))
    assert (read.get_source(), read.get_id()) == ("/concord", f"{PROJECT}/s-1/1")
    assert read.get_subject() == "samples/s-1/revisions/1"
    assert read.get_time() is not None


async def test_events_wait_for_a_server_that_is_away(
    database: PostgresDatabase, server: OwnNats, client: Client, inbox: Inbox
) -> None:
    async with relaying(database, client):
        await make_history(inbox, "before", updates=1)
        await until(lambda: all_published(database))
        server.kill()
        await make_history(inbox, "meanwhile", updates=1)
        await server.start()
        await until(lambda: all_published(database))
    seen = [json.loads(message.data)["id"] for message in await stored(client)]
    assert seen == [f"{PROJECT}/{name}/{number}" for name in ("before", "meanwhile") for number in (1, 2, 3)]


async def test_another_relay_takes_over_when_the_leader_loses_its_connection(
    database: PostgresDatabase, database_url: str, client: Client, inbox: Inbox
) -> None:
    async with Leadership(database_url, "event-relay") as leader, relaying(database, client):
        # The relay may lead already; ending its session lets us lead, and then the other way round.
        connection = await asyncpg.connect(database_url)
        end_leader = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'concord-leads-event-relay' AND datname = current_database()
        """

        async def we_lead() -> bool:
            await connection.fetchval(end_leader)
            return await leader.acquire()

        await until(we_lead)
        await make_history(inbox, "s-1", updates=1)
        await connection.fetchval(end_leader)
        await connection.close()
        await until(lambda: all_published(database))
    assert len(await stored(client)) == 3


async def test_one_leads_at_a_time(database_url: str, database: PostgresDatabase) -> None:
    async with Leadership(database_url, "x") as first, database.leadership("x") as second:
        assert await first.acquire()
        assert await first.acquire()
        assert not await second.acquire()
        async with database.leadership("y") as other:
            assert await other.acquire()
    async with database.leadership("x") as third:
        await until(third.acquire)
