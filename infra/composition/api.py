"""The HTTP API's process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.app import create_app
from api.services import ApiServices
from infra.composition.shared import asset_reader, open_store, webhook_http
from infra.settings import Settings
from services.intake.inbox import Inbox


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[FastAPI]:
    """Open the HTTP application."""
    async with open_store(settings) as database:
        yield create_app(
            ApiServices(
                database=database,
                inbox=Inbox(database, asset_reader(settings)),
                body_max_bytes=settings.event_max_bytes,
                webhook_targets=webhook_http(settings),
            )
        )
