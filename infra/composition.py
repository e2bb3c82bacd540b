"""The one place that wires: what each process is made of, opened and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI

from activities.registry import all_activities
from api.app import create_app
from api.services import ApiServices
from infra.checks.child import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.db.engine import PostgresDatabase, open_database
from infra.messaging.ingester import Ingester
from infra.messaging.nats import open_nats
from infra.messaging.relay import EventRelay
from infra.pre_label.registry import build_pre_labelers
from infra.settings import Settings
from infra.storage.assets import FileAssetReader
from infra.temporal.client import connect_temporal
from infra.temporal.dispatcher import WorkflowDispatcher
from infra.temporal.worker import build_worker
from services.errors import UnavailableError
from services.intake.inbox import Inbox

Service = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set; what is in hand then is finished."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PostgresDatabase]:
    """Open the store of record."""
    async with open_database(settings.database_url.get_secret_value(), settings.database_pool_size) as database:
        yield database


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[FastAPI]:
    """Open the HTTP application."""
    async with open_store(settings) as database:
        yield create_app(
            ApiServices(
                database=database,
                inbox=Inbox(database, _assets(settings)),
                body_max_bytes=settings.event_max_bytes,
            )
        )


@asynccontextmanager
async def open_ingester(settings: Settings) -> AsyncIterator[Service]:
    """Open what moves messages: events in, events out, and what Temporal is told.

    The three work side by side: while Temporal is away events still come in.
    """
    async with (
        open_store(settings) as database,
        open_nats(settings.nats_url.get_secret_value(), name="concord-ingester") as nats,
    ):
        ingester = Ingester(nats, Inbox(database, _assets(settings)))
        relay = EventRelay(database, nats)

        async def run(stop: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(ingester.run(stop), name="ingester")
                group.create_task(relay.run(stop), name="event-relay")
                group.create_task(_dispatch(settings, database, stop), name="workflow-dispatcher")

        yield run


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Service]:
    """Open the Temporal worker with everything its activities need."""
    reader = ReaderConfig(
        roots=settings.asset_roots, max_bytes=settings.asset_max_bytes, timeout_s=settings.asset_timeout_s
    )
    async with (
        open_store(settings) as database,
        ProcessCheckRunner(reader, settings.check_processes, settings.check_timeout_s) as runner,
    ):
        client = await connect_temporal(settings.temporal_address, settings.temporal_namespace)
        pre_labelers_for = partial(build_pre_labelers, allowed_hosts=settings.pre_label_hosts)
        activities = all_activities(database, _assets(settings), pre_labelers_for, runner)
        worker = build_worker(client, settings.temporal_task_queue, activities)

        async def run(stop: asyncio.Event) -> None:
            working = asyncio.create_task(worker.run(), name="worker")
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    await worker.shutdown()
                await working
            finally:
                stopping.cancel()

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


def _assets(settings: Settings) -> FileAssetReader:
    return FileAssetReader(settings.asset_roots, settings.asset_max_bytes, settings.asset_timeout_s)
