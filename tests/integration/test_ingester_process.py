"""The ingester's process as it is wired: what comes in, what goes out, and what is done without anybody asking."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from pydantic import SecretStr

from infra.composition.ingester import open_ingester
from infra.db.engine import PostgresDatabase
from infra.messaging.nats import EVENTS_STREAM, ensure_streams, open_nats
from infra.settings import Settings
from services.contracts.erasure import Retention
from services.contracts.records import ProjectConfig
from tests.expired import expired_samples, set_retention
from tests.intake_events import PROJECT, add_project
from tests.nats_server import own_nats
from tests.taxonomy_events import published

pytestmark = pytest.mark.servers

WANTED = {
    "concord.subject.erased.v1": PROJECT,
    "concord.audit.anchored.v1": PROJECT,
    "concord.taxonomy.published.v1": "road",
}


async def test_it_erases_anchors_and_publishes_while_temporal_is_away(
    database: PostgresDatabase, database_url: str, tmp_path: Path
) -> None:
    await set_retention(database, Retention(keep_days=30, when_expired="erase"))
    await expired_samples(database, database_url, ("s-1", "s-2"))
    await add_project(database, "road", ProjectConfig(taxonomy="av@1"))
    async with own_nats(tmp_path) as server, open_nats(server.url, name="test") as client:
        await ensure_streams(client)
        settings = Settings(
            database_url=SecretStr(database_url),
            nats_url=SecretStr(server.url),
            temporal_address="127.0.0.1:9",
            anchor_every_s=1.0,
        )
        stop = asyncio.Event()
        async with open_ingester(settings) as run:
            running = asyncio.ensure_future(run(stop))
            message = published()
            await client.jetstream().publish(
                "concord.ingest.test", message.body, headers={"content-type": str(message.content_type)}
            )
            told = await asyncio.wait_for(_told(client), 120)
            stop.set()
            await asyncio.wait_for(running, 60)
    assert {kind: event["data"]["project"] for kind, event in told.items()} == WANTED
    erased = told["concord.subject.erased.v1"]["data"]
    assert [ref["sample_id"] for ref in erased["revisions"]] == ["s-1", "s-2"]
    assert told["concord.taxonomy.published.v1"]["data"]["taxonomy"] == "av@1"


async def _told(client: Any) -> dict[str, dict[str, Any]]:
    """The last event of each type that is waited for, once all are there."""
    subscription = await client.jetstream().pull_subscribe("concord.events.>", durable="test", stream=EVENTS_STREAM)
    told: dict[str, dict[str, Any]] = {}
    while told.keys() != WANTED.keys():
        try:
            messages = await subscription.fetch(50, timeout=1)
        except nats.errors.TimeoutError:
            continue
        for message in messages:
            event = json.loads(message.data)
            if event["type"] in WANTED and event["data"]["project"] == WANTED[event["type"]]:
                told[event["type"]] = event
            await message.ack()
    return told
