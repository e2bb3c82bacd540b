"""The HTTP API's process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.app import create_app
from api.services import ApiServices
from infra.checks.runner import ProcessCheckRunner
from infra.composition.shared import asset_reader, open_store, reader_config, webhook_http
from infra.settings import Settings
from services.intake.inbox import Inbox


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[FastAPI]:
    """Open the HTTP application."""
    async with (
        open_store(settings) as database,
        # For previews of fixes, of which most days have none.
        ProcessCheckRunner(reader_config(settings), 1, settings.check_timeout_s, late=True) as runner,
    ):
        yield create_app(
            ApiServices(
                database=database,
                inbox=Inbox(database, asset_reader(settings)),
                body_max_bytes=settings.event_max_bytes,
                webhook_targets=webhook_http(settings),
                runner=runner,
            )
        )
