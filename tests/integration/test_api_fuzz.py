"""Requests generated from the OpenAPI document: no fault, and every answer as the document says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.services import ApiServices
from infra.db.engine import open_database
from services.contracts.access import Role
from services.intake.inbox import Inbox
from tests.intake_events import NoAssets
from tests.review_world import ApiWorld, add_projects, add_sample, open_client, open_task

EXAMPLES = 12
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


class _Server:
    """The application in a thread with an event loop of its own: the generator of requests is not asynchronous."""

    def __init__(self, database_url: str) -> None:
        self.url = ""
        self.secrets: dict[str, str] = {}
        self.document: dict[str, Any] = {}
        self._database_url = database_url
        self._ready = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Server:
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
            app = create_app(ApiServices(database, Inbox(database, NoAssets()), body_max_bytes=100_000))
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


@pytest.fixture
def server(database_url: str) -> Iterator[_Server]:
    with _Server(database_url) as running:
        yield running


@pytest.mark.parametrize("role", ["admin", "reviewer"])
def test_generated_requests_find_no_fault(server: _Server, role: str) -> None:
    schema = schemathesis.openapi.from_dict(server.document)
    failures = []
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.path == "/v1/events":
            continue  # its document is CloudEvents' own; the intake's tests try it
        if operation.path.endswith("/live"):
            continue  # it streams for as long as it is asked to; the operations' tests read it

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def run(case: Any) -> None:
            case.call_and_validate(
                base_url=server.url, headers={"Authorization": f"Bearer {server.secrets[role]}"}, checks=CHECKS
            )

        try:
            given(case=operation.as_strategy())(run)()
        except (Exception, BaseExceptionGroup) as error:
            failures.append(f"{operation.method} {operation.path}: {error}")
        tried += 1
    assert not failures, "\n\n".join(failures)
    assert tried > 30
