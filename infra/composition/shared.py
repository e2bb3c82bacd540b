"""What several processes are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from infra.checks.process import ReaderConfig
from infra.db.engine import PostgresDatabase, open_database
from infra.settings import Settings
from infra.storage.asset_reader import open_asset_reader
from infra.webhooks.http import WebhookHttp
from services.ports.assets import AssetReader

Service = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set; what is in hand then is finished."""


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PostgresDatabase]:
    """Open the store of record."""
    async with open_database(settings.database_url.get_secret_value(), settings.database_pool_size) as database:
        yield database


def reader_config(settings: Settings) -> ReaderConfig:
    """Return how the processes of the checks read assets: as everybody else here does."""
    return ReaderConfig(
        roots=settings.asset_roots,
        max_bytes=settings.asset_max_bytes,
        timeout_s=settings.asset_timeout_s,
        hosts=settings.asset_hosts,
    )


def asset_reader(settings: Settings) -> AssetReader:
    """Return what reads assets, from the allowed folders and hosts only."""
    return open_asset_reader(
        settings.asset_roots, settings.asset_hosts, settings.asset_max_bytes, settings.asset_timeout_s
    )


def webhook_http(settings: Settings) -> WebhookHttp:
    """Return what posts webhooks, to the allowed hosts only."""
    return WebhookHttp(settings.webhook_hosts, settings.webhook_timeout_s)
