"""A project with webhooks, and what the tests of them ask and do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from infra.db.engine import PostgresDatabase
from infra.webhooks.http import WebhookHttp
from infra.webhooks.sender import WebhookSender
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.webhooks import DeliveryState, EndpointState, WebhookDelivery, WebhookEndpoint
from services.lifecycle.journal import record_stage
from services.ports.database import Database
from services.webhooks.retries import RetryPolicy
from services.webhooks.signing import new_signing_secret
from tests.integration.db_samples import PROJECT, a_ref, put_project, put_revision
from tests.webhook_receiver import OK, Received, Receiver

WAY = (Stage.PRE_LABELING, Stage.ANNOTATING, Stage.CHECKING, Stage.ACCEPTED, Stage.COMMITTED)
"""The stages after the first that a sample is walked through."""

EAGER = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.01, max_attempts=1_000)
"""Tries again at once, and for ever."""


async def add_endpoint(database: Database, url: str = "https://receiver.example/", **changes: Any) -> WebhookEndpoint:
    """Keep an active endpoint of the project, which is made if it is not there."""
    async with database.transaction() as tx:
        known = await tx.projects.get(PROJECT)
    if known is None:
        await put_project(database)
    secret = changes.pop("secret", None) or new_signing_secret()
    async with database.transaction() as tx:
        now = await tx.now()
        values: dict[str, Any] = {
            "endpoint_id": uuid4(),
            "project": PROJECT,
            "url": url,
            "event_types": (),
            "description": "",
            "state": EndpointState.ACTIVE,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        endpoint = WebhookEndpoint(**values | changes)
        await tx.webhooks.add(endpoint, secret)
    return endpoint


async def walk(database: Database, sample_id: str, *, steps: int = 0) -> RevisionRef:
    """Keep a new sample and move it so many stages on: one event more than steps."""
    ref = a_ref(sample_id)
    async with database.transaction() as tx:
        await put_revision(tx, ref)
    await walk_on(database, ref, *zip((Stage.RECEIVED, *WAY), WAY[:steps], strict=False))
    return ref


async def walk_on(database: Database, ref: RevisionRef, *steps: tuple[Stage, Stage]) -> None:
    """Move a sample on, each step in a transaction of its own."""
    for before, after in steps:
        async with database.transaction() as tx:
            assert await tx.samples.get(ref, lock=True) is not None
            await record_stage(tx, ref, before, after, actor="concord")


async def endpoint_now(database: Database, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """The endpoint as it is."""
    async with database.transaction() as tx:
        found = await tx.webhooks.endpoint(endpoint.project, endpoint.endpoint_id)
    assert found is not None
    return found


async def deliveries_of(
    database: Database, endpoint: WebhookEndpoint, state: DeliveryState | None = None
) -> list[WebhookDelivery]:
    """The endpoint's deliveries, oldest first."""
    async with database.transaction() as tx:
        found = await tx.webhooks.deliveries(endpoint.endpoint_id, state=state, before=None, limit=1_000)
    return list(reversed(found))


async def delivery_now(database: Database, endpoint: WebhookEndpoint, delivery_id: UUID) -> WebhookDelivery:
    """The delivery as it is."""
    async with database.transaction() as tx:
        found = await tx.webhooks.delivery(endpoint.endpoint_id, delivery_id)
    assert found is not None
    return found


@asynccontextmanager
async def sending(
    database: PostgresDatabase,
    receiver: Receiver,
    *,
    policy: RetryPolicy = EAGER,
    timeout_s: float = 60,
    senders: int = 1,
    lease_s: float = 300,
) -> AsyncIterator[None]:
    """Send until the block ends; the sender must end by itself when it is told to."""
    stop = asyncio.Event()
    http_of = WebhookHttp((receiver.host,), timeout_s)
    tasks = [
        asyncio.create_task(WebhookSender(database, http_of, policy=policy, lease_s=lease_s).run(stop))
        for _ in range(senders)
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await fact():  # noqa: ASYNC110 - the fact is made by servers, which set no event of ours
            await asyncio.sleep(0.02)


async def until_told(database: PostgresDatabase, endpoint: WebhookEndpoint) -> None:
    """Wait until nothing waits."""

    async def nothing_waits() -> bool:
        return not await deliveries_of(database, endpoint, DeliveryState.WAITING)

    await until(nothing_waits)


def failing(times: int, answer: bytes) -> Callable[[Received], Awaitable[bytes | None]]:
    """Answer so for the first times, then 200."""
    left = times

    async def answers(_received: Received) -> bytes | None:
        nonlocal left
        left -= 1
        return answer if left >= 0 else OK

    return answers
