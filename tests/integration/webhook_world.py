"""A project with webhooks, and what the tests of them ask and do."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.webhooks import DeliveryState, EndpointState, WebhookDelivery, WebhookEndpoint
from services.lifecycle.journal import record_stage
from services.ports.database import Database
from services.webhooks.signing import new_signing_secret
from tests.integration.db_samples import PROJECT, a_ref, put_project, put_revision

WAY = (Stage.PRE_LABELING, Stage.ANNOTATING, Stage.CHECKING, Stage.ACCEPTED, Stage.COMMITTED)
"""The stages after the first that a sample is walked through."""


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
