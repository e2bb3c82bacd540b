from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from infra.db.repositories.webhook_sending import CLAIM_SQL
from services.contracts.lifecycle import Stage
from services.contracts.webhooks import (
    DeliveryState,
    EndpointState,
    NextStep,
    RedeliverRange,
    WebhookAttempt,
    WebhookSettings,
)
from services.ports.webhooks import ClaimedDelivery
from services.webhooks.signing import new_signing_secret
from tests.integration.db_samples import PROJECT, a_sample, put_project
from tests.integration.webhook_world import add_endpoint, deliveries_of, delivery_now, endpoint_now, walk, walk_on

KEY = "pk_webhook_deliveries"
DELIVERED = NextStep(delivery=DeliveryState.DELIVERED)


async def claim(database: PostgresDatabase, *, limit: int = 100, lease_s: float = 60) -> list[ClaimedDelivery]:
    async with database.transaction() as tx:
        return list(await tx.webhooks.claim(limit=limit, per_endpoint=100, lease_s=lease_s))


def attempt(claimed: ClaimedDelivery, *, error: str | None = None, status: int | None = 200) -> WebhookAttempt:
    return WebhookAttempt(
        number=claimed.fence, started_at=claimed.claimed_at, latency_ms=1.5, status=status, error=error, excerpt="ok"
    )


async def record(
    database: PostgresDatabase, claimed: ClaimedDelivery, step: NextStep = DELIVERED, error: str | None = None
) -> bool:
    async with database.transaction() as tx:
        await tx.webhooks.endpoint(claimed.project, claimed.endpoint_id, lock=True)
        return await tx.webhooks.record(claimed, attempt(claimed, error=error), step)


def told(claimed: list[ClaimedDelivery]) -> list[tuple[str | None, int | None]]:
    return [(item.message.sample_id, item.message.sequence) for item in claimed if item.message is not None]


def again_in(hours: float) -> NextStep:
    return NextStep(delivery=DeliveryState.WAITING, next_attempt_at=datetime.now(UTC) + timedelta(hours=hours))


async def test_every_event_of_the_project_becomes_one_delivery_for_each_endpoint_that_wants_it(
    database: PostgresDatabase,
) -> None:
    everything = await add_endpoint(database)
    some = await add_endpoint(database, event_types=("concord.sample.annotating.v1",))
    paused = await add_endpoint(database, state=EndpointState.PAUSED)
    disabled = await add_endpoint(database, state=EndpointState.DISABLED)
    await put_project(database, "other")
    foreign = await add_endpoint(database, project="other")
    await walk(database, "s1", steps=2)
    kept = await deliveries_of(database, everything)
    assert [item.event_id for item in kept] == [f"{PROJECT}/s1/{n}" for n in (1, 2, 3)]
    assert [item.event_type for item in kept] == [
        f"concord.sample.{s}.v1" for s in ("received", "pre_labeling", "annotating")
    ]
    assert {item.state for item in kept} == {DeliveryState.WAITING}
    assert [item.event_id for item in await deliveries_of(database, some)] == [f"{PROJECT}/s1/3"]
    assert len(await deliveries_of(database, paused)) == 3
    assert await deliveries_of(database, disabled) == []
    assert await deliveries_of(database, foreign) == []


async def test_event_that_is_rolled_back_leaves_no_delivery(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)

    async def change_mind() -> None:
        async with database.transaction() as tx:
            await tx.samples.lock_sample(PROJECT, "s1")
            raise RuntimeError("changed its mind")

    with pytest.raises(RuntimeError):
        await change_mind()
    assert await deliveries_of(database, endpoint) == []


async def test_only_the_oldest_waiting_event_of_a_sample_is_claimed(database: PostgresDatabase) -> None:
    await add_endpoint(database)
    for name in ("s1", "s2"):
        await walk(database, name, steps=2)
    first = await claim(database)
    assert told(first) == [("s1", 1), ("s2", 1)]
    assert await claim(database) == [], "what is leased hides what is behind it"
    assert await record(database, first[0])
    assert told(await claim(database)) == [("s1", 2)]
    assert await record(database, first[1], again_in(1), error="HTTP status 500")
    assert await claim(database) == [], "a failed event holds back its own sample's later ones"


async def test_held_back_sample_of_one_endpoint_does_not_hold_it_back_at_another(database: PostgresDatabase) -> None:
    one, two = await add_endpoint(database), await add_endpoint(database)
    await walk(database, "s1", steps=1)
    first = {item.endpoint_id: item for item in await claim(database)}
    await record(database, first[one.endpoint_id], again_in(1), error="HTTP status 500")
    await record(database, first[two.endpoint_id])
    second = await claim(database)
    assert [(item.endpoint_id, told([item])) for item in second] == [(two.endpoint_id, [("s1", 2)])]


async def test_given_up_event_lets_the_later_ones_go_on(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    await walk(database, "s1", steps=1)
    [first] = await claim(database)
    await record(database, first, NextStep(delivery=DeliveryState.FAILED), error="HTTP status 400")
    assert told(await claim(database)) == [("s1", 2)]
    [failed] = await deliveries_of(database, endpoint, DeliveryState.FAILED)
    assert failed.last_error == "HTTP status 400"
    assert failed.finished_at is not None


async def test_claims_at_once_share_the_work(database: PostgresDatabase) -> None:
    await add_endpoint(database)
    for number in range(20):
        await walk(database, f"s{number}")
    shares = await asyncio.gather(*(claim(database, limit=10) for _ in range(4)))
    taken = [item.delivery_id for share in shares for item in share]
    rest = [item.delivery_id for item in await claim(database)]
    assert len(set(taken)) == len(taken), "nothing is held twice"
    assert len(set(taken) | set(rest)) == 20


async def test_one_endpoint_has_only_so_many_under_way(database: PostgresDatabase) -> None:
    one, two = await add_endpoint(database), await add_endpoint(database)
    for number in range(5):
        await walk(database, f"s{number}")
    async with database.transaction() as tx:
        first = await tx.webhooks.claim(limit=100, per_endpoint=3, lease_s=60)
        second = await tx.webhooks.claim(limit=100, per_endpoint=3, lease_s=60)
    for endpoint in (one, two):
        assert sum(item.endpoint_id == endpoint.endpoint_id for item in first) == 3
    assert second == ()


async def test_lapsed_lease_is_claimed_again_and_the_late_record_dropped(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    await walk(database, "s1")
    [early] = await claim(database, lease_s=0)
    [late] = await claim(database)
    assert (late.delivery_id, late.fence, late.attempts) == (early.delivery_id, early.fence + 1, 2)
    assert not await record(database, early, NextStep(delivery=DeliveryState.FAILED), error="too late")
    assert await record(database, late)
    async with database.transaction() as tx:
        attempts = await tx.webhooks.attempts(late.delivery_id)
    assert [item.number for item in attempts] == [2], "the first was begun and never heard of again"
    assert (await delivery_now(database, endpoint, late.delivery_id)).state is DeliveryState.DELIVERED


async def test_run_of_failures_is_counted_and_ends_with_a_success(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    for name in ("s1", "s2"):
        await walk(database, name)
    first, second = await claim(database)
    await record(database, first, again_in(0), error="HTTP status 500")
    failing = await endpoint_now(database, endpoint)
    assert failing.failures == 1
    assert failing.failing_since == first.claimed_at == first.first_attempt_at
    [again] = await claim(database)
    await record(database, again, again_in(1), error="HTTP status 500")
    twice = await endpoint_now(database, endpoint)
    assert (twice.failures, twice.failing_since) == (2, failing.failing_since)
    await record(database, second)
    well = await endpoint_now(database, endpoint)
    assert (well.failures, well.failing_since) == (0, None)


async def test_disabled_endpoint_drops_what_waits_and_enabled_it_starts_with_what_comes(
    database: PostgresDatabase,
) -> None:
    endpoint = await add_endpoint(database)
    ref = await walk(database, "s1", steps=1)
    [claimed] = await claim(database)
    async with database.transaction() as tx:
        await tx.webhooks.set_state(endpoint.endpoint_id, EndpointState.DISABLED, "moved")
    states = [item.state for item in await deliveries_of(database, endpoint)]
    assert states == [DeliveryState.CANCELLED] * 2
    await record(database, claimed)
    assert [item.state for item in await deliveries_of(database, endpoint)] == [
        DeliveryState.DELIVERED,
        DeliveryState.CANCELLED,
    ], "what was under way arrived"
    await walk_on(database, ref, (Stage.PRE_LABELING, Stage.ANNOTATING))
    async with database.transaction() as tx:
        await tx.webhooks.set_state(endpoint.endpoint_id, EndpointState.ACTIVE, None)
    await walk_on(database, ref, (Stage.ANNOTATING, Stage.CHECKING))
    assert told(await claim(database)) == [("s1", 4)]


async def test_paused_endpoint_keeps_its_events_in_order_until_it_is_enabled(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    ref = await walk(database, "s1")
    [claimed] = await claim(database)
    await record(database, claimed, again_in(5), error="HTTP status 500")
    async with database.transaction() as tx:
        assert await tx.webhooks.stop(claimed, EndpointState.PAUSED, "nothing succeeded")
        assert not await tx.webhooks.stop(claimed, EndpointState.PAUSED, "again")
    await walk_on(database, ref, (Stage.RECEIVED, Stage.PRE_LABELING))
    assert await claim(database) == []
    paused = await endpoint_now(database, endpoint)
    assert (paused.state, paused.reason) == (EndpointState.PAUSED, "nothing succeeded")
    async with database.transaction() as tx:
        await tx.webhooks.set_state(endpoint.endpoint_id, EndpointState.ACTIVE, None)
    [first] = await claim(database)
    assert told([first]) == [("s1", 1)]
    assert first.attempts == 1, "its attempts begin anew"
    assert (await endpoint_now(database, endpoint)).failures == 0


async def test_both_secrets_are_claimed_until_the_overlap_ends(database: PostgresDatabase, database_url: str) -> None:
    old, new = new_signing_secret(), new_signing_secret()
    endpoint = await add_endpoint(database, secret=old)
    await walk(database, "s1")
    async with database.transaction() as tx:
        await tx.webhooks.rotate(endpoint.endpoint_id, new, overlap_s=3600)
    rotated = await endpoint_now(database, endpoint)
    assert rotated.version == endpoint.version + 1
    assert rotated.old_secret_until is not None
    assert [item.secrets for item in await claim(database, lease_s=0)] == [(new, old)]
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE webhook_endpoints SET old_secret_until = clock_timestamp()")
    await connection.close()
    assert [item.secrets for item in await claim(database, lease_s=0)] == [(new,)]
    assert (await endpoint_now(database, endpoint)).old_secret_until is None
    async with database.transaction() as tx:
        await tx.webhooks.rotate(endpoint.endpoint_id, old, overlap_s=0)
    assert [item.secrets for item in await claim(database, lease_s=0)] == [(old,)]


async def test_change_counts_up_the_version_and_concerns_later_events(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    wanted = ("concord.sample.committed.v1",)
    async with database.transaction() as tx:
        await tx.webhooks.change(
            endpoint.endpoint_id, WebhookSettings(url="https://new.example/", event_types=wanted, description="d")
        )
    changed = await endpoint_now(database, endpoint)
    assert (changed.url, changed.event_types, changed.version) == ("https://new.example/", wanted, 2)
    await walk(database, "s1", steps=1)
    assert await deliveries_of(database, endpoint) == []


async def test_one_delivery_is_begun_again(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    await walk(database, "s1")
    [claimed] = await claim(database)
    await record(database, claimed)
    async with database.transaction() as tx:
        await tx.webhooks.begin_again(claimed.delivery_id)
    [again] = await claim(database)
    assert (again.delivery_id, again.attempts, again.fence) == (claimed.delivery_id, 1, 2)
    assert (await deliveries_of(database, endpoint))[0].webhook_id == f"msg_{claimed.delivery_id.hex}"


async def test_span_of_failed_deliveries_is_begun_again_oldest_first(
    database: PostgresDatabase, database_url: str
) -> None:
    endpoint = await add_endpoint(database)
    for number in range(5):
        await walk(database, f"s{number}")
    for claimed in await claim(database):
        failed = NextStep(delivery=DeliveryState.FAILED)
        await record(database, claimed, DELIVERED if told([claimed])[0][0] == "s4" else failed, error="no")
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE webhook_deliveries SET created_at = '2026-01-01Z' WHERE sample_id = 's0'")
    await connection.close()
    span = RedeliverRange(since=datetime(2026, 2, 1, tzinfo=UTC))
    async with database.transaction() as tx:
        some = await tx.webhooks.begin_range_again(endpoint.endpoint_id, span, limit=2)
    assert (some.count, some.more) == (2, True)
    assert told(await claim(database)) == [("s1", 1), ("s2", 1)]
    async with database.transaction() as tx:
        rest = await tx.webhooks.begin_range_again(endpoint.endpoint_id, span, limit=2)
        none = await tx.webhooks.begin_range_again(
            endpoint.endpoint_id, span.model_copy(update={"until": span.since}), limit=2
        )
    assert (rest.count, rest.more) == (1, False)
    assert (none.count, none.more) == (0, False)
    assert told(await claim(database)) == [("s3", 1)]


async def test_pings_wait_behind_nothing(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    ids = [uuid4(), uuid4()]
    async with database.transaction() as tx:
        for delivery_id in ids:
            await tx.webhooks.add_ping(
                endpoint.endpoint_id, delivery_id, event_type="ping", event_id=str(delivery_id), body={"n": 1}
            )
    claimed = await claim(database)
    assert [(item.delivery_id, item.body, item.message) for item in claimed] == [(one, {"n": 1}, None) for one in ids]


async def test_finished_deliveries_are_removed_after_their_time(database: PostgresDatabase, database_url: str) -> None:
    endpoint = await add_endpoint(database)
    for name in ("s1", "s2", "s3"):
        await walk(database, name)
    for claimed in (await claim(database))[:2]:
        await record(database, claimed)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE webhook_deliveries SET finished_at = '2026-01-01Z' WHERE sample_id = 's1'")
    async with database.transaction() as tx:
        assert await tx.webhooks.prune(older_than_s=86_400, limit=10) == 1
    assert [item.sample_id for item in await deliveries_of(database, endpoint)] == ["s2", "s3"]
    assert await connection.fetchval("SELECT count(*) FROM webhook_attempts") == 1
    await connection.close()


async def test_lists_are_read_newest_first_by_position(database: PostgresDatabase) -> None:
    endpoint = await add_endpoint(database)
    await walk(database, "s1", steps=4)
    everything = await deliveries_of(database, endpoint)
    async with database.transaction() as tx:
        page = await tx.webhooks.deliveries(endpoint.endpoint_id, state=None, before=None, limit=2)
        rest = await tx.webhooks.deliveries(endpoint.endpoint_id, state=None, before=page[-1].position, limit=9)
        assert await tx.webhooks.delivery(uuid4(), page[0].delivery_id) is None
        assert await tx.webhooks.endpoint("nowhere", endpoint.endpoint_id) is None
        assert [e.endpoint_id for e in await tx.webhooks.endpoints(PROJECT)] == [endpoint.endpoint_id]
    assert [*page, *rest] == everything[::-1]


@pytest.mark.parametrize("broken", ["duplicate", "finished"])
async def test_store_refuses_what_must_not_be(database: PostgresDatabase, database_url: str, broken: str) -> None:
    await add_endpoint(database)
    await walk(database, "s1")
    statement = {
        "duplicate": """
            INSERT INTO webhook_deliveries (endpoint_id, message_id, event_type, event_id, state, attempts, fence)
            SELECT endpoint_id, message_id, event_type, event_id, state, 0, 0 FROM webhook_deliveries
        """,
        "finished": "UPDATE webhook_deliveries SET state = 'delivered'",
    }[broken]
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises((asyncpg.UniqueViolationError, asyncpg.CheckViolationError)):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_claim_reads_only_what_waits_among_a_hundred_thousand_told_deliveries(
    database: PostgresDatabase, database_url: str
) -> None:
    await add_endpoint(database)
    await a_sample(database, "s1")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            """
            INSERT INTO webhook_deliveries
                (endpoint_id, body, event_type, event_id, sample_id, state, attempts, fence, finished_at)
            SELECT endpoint_id, '{}', event_type, event_id, 'old-' || n % 1000, 'delivered', 1, 1, clock_timestamp()
            FROM webhook_deliveries, generate_series(1, 100000) AS n
            """
        )
        await connection.execute("VACUUM ANALYZE webhook_deliveries")
        sql = CLAIM_SQL.replace(":per_endpoint", "8").replace(":limit", "64").replace(":lease_s", "60")
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}")
    finally:
        await connection.close()
    used = [
        node["Index Name"]
        for node in _nodes(json.loads(plan))
        if node.get("Relation Name") == "webhook_deliveries" and node["Node Type"] != "ModifyTable"
    ]
    assert used
    assert set(used) <= {
        *(f"ix_webhook_deliveries_{name}" for name in ("due", "order", "subjects", "leased", "state")),
        KEY,
    }, plan
    assert told(await claim(database)) == [("s1", 1)]


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, list):
        for item in plan:
            yield from _nodes(item)
    elif isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        for value in plan.values():
            yield from _nodes(value)
