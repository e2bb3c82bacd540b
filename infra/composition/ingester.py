"""The process that moves messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from infra.anchors import AnchorKeeper
from infra.composition.shared import Service, asset_reader, open_store, webhook_http
from infra.db.engine import PostgresDatabase
from infra.messaging.ingester import Ingester
from infra.messaging.nats import open_nats
from infra.messaging.relay import EventRelay
from infra.rule_timer import RuleTimer
from infra.settings import Settings
from infra.temporal.client import connect_temporal
from infra.temporal.dispatcher import WorkflowDispatcher
from infra.upkeep import Chore, Upkeep
from infra.webhooks.sender import WebhookSender
from services.audit.telling import AnchorTeller
from services.erasure.retention import RetentionKeeper
from services.errors import UnavailableError
from services.intake.inbox import Inbox
from services.quality.rejudging import StandingKeeper

_LOOK_FOR_ANCHORS_EVERY_S = 300.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_ingester(settings: Settings) -> AsyncIterator[Service]:
    """Open what moves messages: events in, events out over NATS and webhooks, and what Temporal is told.

    Rule sets that were scheduled are activated here too.

    They work side by side: while Temporal is away events still come in.
    """
    async with (
        open_store(settings) as database,
        open_nats(settings.nats_url.get_secret_value(), name="concord-ingester") as nats,
    ):
        ingester = Ingester(nats, Inbox(database, asset_reader(settings)))
        relay = EventRelay(database, nats)
        webhooks = WebhookSender(database, webhook_http(settings))

        upkeep = Upkeep(
            database,
            (
                Chore("retention", settings.retention_every_s, RetentionKeeper(database).step),
                Chore("standing", settings.standing_every_s, StandingKeeper(database).step),
                # Looked at more often than told: the distance is kept over restarts, by when it was told last.
                Chore(
                    "anchors",
                    min(settings.anchor_every_s, _LOOK_FOR_ANCHORS_EVERY_S),
                    AnchorTeller(database, settings.anchor_every_s).step,
                ),
            ),
        )

        async def run(stop: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(ingester.run(stop), name="ingester")
                group.create_task(relay.run(stop), name="event-relay")
                group.create_task(webhooks.run(stop), name="webhook-sender")
                group.create_task(RuleTimer(database).run(stop), name="rule-timer")
                group.create_task(upkeep.run(stop), name="upkeep")
                if settings.anchor_file is not None:
                    keeper = AnchorKeeper(database, settings.anchor_file, settings.anchor_every_s)
                    group.create_task(keeper.run(stop), name="anchor-keeper")
                group.create_task(_dispatch(settings, database, stop), name="workflow-dispatcher")

        yield run


async def _dispatch(settings: Settings, database: PostgresDatabase, stop: asyncio.Event) -> None:
    """Run the dispatcher, waiting for a Temporal that is not up yet for as long as it takes."""
    while not stop.is_set():
        connecting = asyncio.create_task(connect_temporal(settings.temporal_address, settings.temporal_namespace))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return
            client = connecting.result()
        except UnavailableError as error:
            _log.warning("dispatcher_waits", reason=error.detail)
            continue
        finally:
            connecting.cancel()
            stopping.cancel()
        await WorkflowDispatcher(database, client, settings.temporal_task_queue).run(stop)
