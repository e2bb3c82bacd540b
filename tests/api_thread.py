"""The API in a thread of its own, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

import uvicorn

from api.app import create_app
from api.services import ApiServices
from infra.db.engine import open_database
from infra.webhooks.http import WebhookHttp
from services.contracts.access import Role
from services.intake.inbox import Inbox
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import WordingRunner
from tests.review_world import ApiWorld, add_projects, add_sample, open_client, open_task


class ApiThread:
    """The application in a thread with an event loop of its own: the generator of requests is not asynchronous."""

    def __init__(self, database_url: str) -> None:
        self.url = ""
        self.secrets: dict[str, str] = {}
        self.document: dict[str, Any] = {}
        self._database_url = database_url
        self._ready = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with open_database(self._database_url, pool_size=5) as database:
            await add_projects(database)
            async with open_client(database) as http:
                world = ApiWorld(database, http)
                for role in (Role.ADMIN, Role.REVIEWER):
                    await world.key(role.value, role)
                self.secrets = world.secrets
            await open_task(database, await add_sample(database, "s1"))
            targets = WebhookHttp(("hooks.example", "training.example.com"), 20)
            services = ApiServices(database, Inbox(database, NoAssets()), 100_000, targets, WordingRunner())
            app = create_app(services)
            self.document = app.openapi()
            config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
            self._server = uvicorn.Server(config)
            task = asyncio.create_task(self._server.serve())
            while not self._server.started:
                assert not task.done()
                await asyncio.sleep(0.01)
            port = self._server.servers[0].sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            self._ready.set()
            await task
