"""``concord api``: the HTTP API's process."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

import uvicorn

from infra.cli.serving import sign_of_life, start_process
from infra.composition.api import open_api
from infra.settings import Settings

_FINISH_WITHIN_S = 30


def api() -> None:
    """Serve the HTTP API; settings come from the environment (CONCORD_…)."""
    asyncio.run(_serve_http(start_process("api")))


async def _serve_http(settings: Settings) -> None:
    async with open_api(settings) as app, sign_of_life(settings):
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=settings.api_host,
                port=settings.api_port,
                log_config=None,
                access_log=False,
                server_header=False,
                # Whom to believe about a client's address is for whoever puts a proxy before it to say.
                proxy_headers=False,
                timeout_graceful_shutdown=_FINISH_WITHIN_S,
            )
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            # The server hears them itself and raises them once more when it is done, which would end the process
            # before what it uses is closed.
            signal.signal(number, _heard_already)
        await server.serve()


def _heard_already(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""
