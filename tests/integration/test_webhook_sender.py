"""The sender against a real database and a real receiver."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.db.engine import PostgresDatabase
from infra.webhooks.http import WebhookHttp
from infra.webhooks.sender import WebhookSender
from services.contracts.lifecycle import Stage
from services.contracts.webhooks import DeliveryState, EndpointState, RedeliverRange, WebhookAttempt, WebhookEndpoint
from services.lifecycle.outgoing import outgoing
from services.webhooks.retries import RetryPolicy
from services.webhooks.signing import new_signing_secret
from tests.http_server import answering, http, serving
from tests.integration.db_samples import PROJECT
from tests.integration.webhook_world import (
    EAGER,
    add_endpoint,
    deliveries_of,
    endpoint_now,
    failing,
    sending,
    until,
    until_told,
    walk,
    walk_on,
)
from tests.webhook_receiver import OK, Received, Receiver, receiving

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def attempts_of(database: PostgresDatabase, endpoint: WebhookEndpoint, number: int = 0) -> list[WebhookAttempt]:
    delivery = (await deliveries_of(database, endpoint))[number]
    async with database.transaction() as tx:
        return list(await tx.webhooks.attempts(delivery.delivery_id))


async def test_events_arrive_signed_in_order_and_in_the_envelope_of_the_stream(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    secret = new_signing_secret()
    endpoint = await add_endpoint(database, receiver.url, secret=secret)
    for name in ("s1", "s2"):
        await walk(database, name, steps=3)
    async with database.transaction() as tx:
        published = {outgoing(message).body for message in await tx.outbox.pending(("event",), limit=100)}
    async with sending(database, receiver):
        await until_told(database, endpoint)
    assert receiver.sequences("s1") == receiver.sequences("s2") == [1, 2, 3, 4]
    assert {item.body for item in receiver.received} == published
    for item in receiver.received:
        item.verify(secret)
        assert item.headers["content-type"] == "application/cloudevents+json"
    kept = await deliveries_of(database, endpoint)
    assert {item.webhook_id for item in kept} == {item.webhook_id for item in receiver.received}
    [attempt] = await attempts_of(database, endpoint)
    assert (attempt.number, attempt.status, attempt.error, attempt.excerpt) == (1, 200, None, "taken")
    assert attempt.latency_ms > 0


async def test_failed_attempts_are_repeated_under_the_same_id_and_each_is_logged(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    receiver.answer = failing(2, http(b"broken \x00" + b"x" * 5_000, "500 Internal Server Error"))
    await walk(database, "s1")
    async with sending(database, receiver):
        await until_told(database, endpoint)
    assert len({item.webhook_id for item in receiver.received}) == 1
    attempts = await attempts_of(database, endpoint)
    assert [item.status for item in attempts] == [500, 500, 200]
    assert attempts[0].error == "HTTP status 500"
    assert attempts[0].excerpt is not None
    assert attempts[0].excerpt.startswith("broken \ufffdxx")
    assert len(attempts[0].excerpt) == 1_000
    assert [item.started_at for item in attempts] == sorted(item.started_at for item in attempts)
    assert (await endpoint_now(database, endpoint)).failures == 0


async def test_gone_disables_the_endpoint_and_later_events_pass_it_by(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    receiver.answer = failing(1_000, http(b"", "410 Gone"))
    ref = await walk(database, "s1", steps=1)

    async def disabled() -> bool:
        return (await endpoint_now(database, endpoint)).state is EndpointState.DISABLED

    async with sending(database, receiver):
        await until(disabled)
        await walk_on(database, ref, (Stage.PRE_LABELING, Stage.ANNOTATING))
    assert [item.state for item in await deliveries_of(database, endpoint)] == [DeliveryState.CANCELLED] * 2
    assert len(receiver.received) == 1
    reason = (await endpoint_now(database, endpoint)).reason
    assert reason is not None
    assert "410" in reason
    async with database.transaction() as tx:
        [entry] = await tx.audit.of_subjects(PROJECT, (f"webhooks/{endpoint.endpoint_id}",))
    assert (entry.action, entry.actor) == ("webhook.disabled", "concord")


async def test_receiver_that_is_silent_fails_the_attempt_and_is_asked_again(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    silent = True

    async def answers(_received: Received) -> bytes | None:
        return None if silent else OK

    receiver.answer = answers
    await walk(database, "s1")
    async with sending(database, receiver, timeout_s=0.5):

        async def failed() -> bool:
            return bool(await attempts_of(database, endpoint))

        await until(failed)
        silent = False
        await until_told(database, endpoint)
    first, *_, last = await attempts_of(database, endpoint)
    assert (first.status, first.error) == (None, "no whole answer within 0.5 s")
    assert last.status == 200


async def test_receiver_that_is_not_there_is_asked_again(database: PostgresDatabase) -> None:
    async with receiving() as gone:
        endpoint = await add_endpoint(database, gone.url)
    await walk(database, "s1")
    async with sending(database, gone):

        async def failed() -> bool:
            return len(await attempts_of(database, endpoint)) >= 2

        await until(failed)
    assert (await attempts_of(database, endpoint))[0].status is None
    assert (await endpoint_now(database, endpoint)).failing_since is not None


async def test_redirect_is_not_followed_wherever_it_leads(database: PostgresDatabase, receiver: Receiver) -> None:
    async with serving(answering(OK)) as inside:
        endpoint = await add_endpoint(database, receiver.url)
        to = f"location: http://127.0.0.1:{inside.port}/latest/meta-data/"
        receiver.answer = failing(1, http(b"", "307 Temporary Redirect", to))
        await walk(database, "s1")
        async with sending(database, receiver):
            await until_told(database, endpoint)
        assert inside.heads == []
    first, second = await attempts_of(database, endpoint)
    assert first.status == 307
    assert first.error is not None
    assert "redirect" in first.error
    assert second.status == 200


async def test_name_that_leads_inside_is_never_asked(database: PostgresDatabase, receiver: Receiver) -> None:
    async def here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    endpoint = await add_endpoint(database, f"https://hooks.example:{receiver.served.port}/")
    await walk(database, "s1")
    stop = asyncio.Event()
    sender = WebhookSender(database, WebhookHttp(("hooks.example",), 20, resolve=here), policy=EAGER)
    task = asyncio.create_task(sender.run(stop))

    async def refused() -> bool:
        return bool(await attempts_of(database, endpoint))

    await until(refused)
    stop.set()
    await asyncio.wait_for(task, 60)
    assert receiver.served.heads == []
    error = (await attempts_of(database, endpoint))[0].error
    assert error is not None
    assert error.startswith("not sent: hooks.example leads to 127.0.0.1, an address inside")


async def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_only(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    old, new = new_signing_secret(), new_signing_secret()
    endpoint = await add_endpoint(database, receiver.url, secret=old)
    async with database.transaction() as tx:
        await tx.webhooks.rotate(endpoint.endpoint_id, new, overlap_s=3_600)
    await walk(database, "s1")
    async with sending(database, receiver):
        await until_told(database, endpoint)
        async with database.transaction() as tx:
            await tx.webhooks.rotate(endpoint.endpoint_id, new, overlap_s=0)
        await walk(database, "s2")
        await until_told(database, endpoint)
    during, after = receiver.received
    for secret in (old, new):
        during.verify(secret)
    after.verify(new)
    assert len(after.headers["webhook-signature"].split(" ")) == 1


async def test_failed_event_holds_back_its_own_sample_only(database: PostgresDatabase, receiver: Receiver) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    broken = True

    async def answers(received: Received) -> bytes | None:
        data = received.event["data"]
        return http(b"", "500 No") if broken and (data["sample_id"], data["sequence"]) == ("bad", 2) else OK

    receiver.answer = answers
    await asyncio.gather(walk(database, "bad", steps=3), walk(database, "good", steps=3))
    async with sending(database, receiver):

        async def good_is_through() -> bool:
            return receiver.sequences("good") == [1, 2, 3, 4] and len(receiver.sequences("bad")) > 3

        await until(good_is_through)
        assert set(receiver.sequences("bad")) == {1, 2}
        broken = False
        await until_told(database, endpoint)
    assert list(dict.fromkeys(receiver.sequences("bad"))) == [1, 2, 3, 4]


async def test_event_that_alone_never_succeeds_is_given_up_and_redelivered_by_hand(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    broken, refused = True, 0

    async def well() -> bool:
        return (await endpoint_now(database, endpoint)).failures == 0

    async def answers(received: Received) -> bytes | None:
        nonlocal refused
        data = received.event["data"]
        if not broken or (data["sample_id"], data["sequence"]) != ("bad", 1):
            return OK
        refused += 1
        if refused == 2:
            # What others send meanwhile arrives, so the fault is the event's.
            await walk(database, "good")
            await until(well)
        return http(b"", "400 Bad Request")

    receiver.answer = answers
    policy = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.01, max_attempts=3)
    await walk(database, "bad", steps=1)
    async with sending(database, receiver, policy=policy):
        await until_told(database, endpoint)
        assert receiver.sequences("bad") == [1, 1, 1, 2], "what is given up holds back nothing"
        [failed] = await deliveries_of(database, endpoint, DeliveryState.FAILED)
        assert (failed.last_status, failed.attempts) == (400, 3)
        broken = False
        span = RedeliverRange(since=datetime.now(UTC) - timedelta(hours=1))
        async with database.transaction() as tx:
            assert (await tx.webhooks.begin_range_again(endpoint.endpoint_id, span, limit=1_000)).count == 1
        await until_told(database, endpoint)
    assert receiver.sequences("bad") == [1, 1, 1, 2, 1]
    assert receiver.received[-1].webhook_id == failed.webhook_id
    assert (await endpoint_now(database, endpoint)).state is EndpointState.ACTIVE


async def test_endpoint_at_which_nothing_succeeds_is_paused_and_goes_on_where_it_stopped(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    broken = True

    async def answers(_received: Received) -> bytes | None:
        return http(b"", "503 Away") if broken else OK

    receiver.answer = answers
    ref = await walk(database, "s1", steps=1)

    async def paused() -> bool:
        return (await endpoint_now(database, endpoint)).state is EndpointState.PAUSED

    policy = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.01, max_attempts=3)
    async with sending(database, receiver, policy=policy):
        await until(paused)
        stopped = await endpoint_now(database, endpoint)
        await walk_on(database, ref, (Stage.PRE_LABELING, Stage.ANNOTATING))
        broken = False
        assert receiver.sequences("s1") == [1, 1, 1]
        async with database.transaction() as tx:
            await tx.webhooks.set_state(endpoint.endpoint_id, EndpointState.ACTIVE, None)
        await until_told(database, endpoint)
    assert stopped.failures == 3
    assert stopped.reason is not None
    assert "HTTP status 503" in stopped.reason
    assert receiver.sequences("s1") == [1, 1, 1, 1, 2, 3]


async def test_one_event_is_redelivered_under_the_same_id(database: PostgresDatabase, receiver: Receiver) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    await walk(database, "s1", steps=1)
    async with sending(database, receiver):
        await until_told(database, endpoint)
        delivery = (await deliveries_of(database, endpoint))[0]
        async with database.transaction() as tx:
            await tx.webhooks.begin_again(delivery.delivery_id)
        await until_told(database, endpoint)
    assert receiver.sequences("s1") == [1, 2, 1]
    assert receiver.received[0].webhook_id == receiver.received[2].webhook_id
    assert [item.number for item in await attempts_of(database, endpoint)] == [1, 2]


async def test_two_senders_at_once_send_each_event_once_and_in_order(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url)
    names = [f"s{number}" for number in range(12)]
    async with sending(database, receiver, senders=2):
        await asyncio.gather(*(walk(database, name, steps=4) for name in names))
        await until_told(database, endpoint)
    assert {name: receiver.sequences(name) for name in names} == {name: [1, 2, 3, 4, 5] for name in names}
    assert len({item.webhook_id for item in receiver.received}) == len(receiver.received) == 60


async def test_sender_killed_between_sending_and_recording_leaves_a_duplicate_with_the_same_id(
    database: PostgresDatabase, database_url: str, receiver: Receiver
) -> None:
    secret = new_signing_secret()
    endpoint = await add_endpoint(database, receiver.url, secret=secret)
    await walk(database, "s1", steps=1)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.webhook_sender_child",
        database_url,
        receiver.host,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    killed = asyncio.Event()

    async def kills(_received: Received) -> bytes | None:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
            await child.wait()
            killed.set()
        return OK

    receiver.answer = kills
    await asyncio.wait_for(killed.wait(), 60)
    assert len(await deliveries_of(database, endpoint, DeliveryState.WAITING)) == 2, "nothing was recorded"
    async with sending(database, receiver):
        await until_told(database, endpoint)
    *again, last = receiver.sequences("s1")
    assert (set(again), last) == ({1}, 2), "at least once, and in order all the same"
    assert len(again) >= 2
    assert len({(item.webhook_id, item.body) for item in receiver.received[:-1]}) == 1
    receiver.received[-2].verify(secret)
    [recorded] = await attempts_of(database, endpoint)
    assert recorded.number > 1, "what the killed sender began is missing from the log"
