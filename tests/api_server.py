"""The application behind a real HTTP server, in the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from api.app import create_app
from api.services import ApiServices
from infra.db.engine import PostgresDatabase
from services.intake.inbox import Inbox
from tests.intake_events import NoAssets


@asynccontextmanager
async def served(database: PostgresDatabase) -> AsyncIterator[int]:
    """The port of a server for the application."""
    app = create_app(ApiServices(database, Inbox(database, NoAssets()), body_max_bytes=1_000_000))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    # Signals belong to the test run.
    task = asyncio.create_task(server._serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task
