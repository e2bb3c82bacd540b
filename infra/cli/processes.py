"""``concord api``, ``ingester``, ``worker`` and ``migrate``: the parts one by one, for a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
import uvicorn
from pydantic import ValidationError

from infra.alive import keep_alive
from infra.cli.console import output
from infra.composition import Service, open_api, open_ingester, open_worker
from infra.first_start import prepare_store
from infra.settings import Settings
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FINISH_WITHIN_S = 30
_log = structlog.get_logger(__name__)


def read_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidInputError: A variable is missing or wrong; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        places = tuple(
            (f"CONCORD_{'_'.join(str(part) for part in item['loc']).upper()}", item["msg"])
            for item in error.errors(include_url=False, include_input=False)
        )
        named = "; ".join(f"{name}: {what}" for name, what in places)
        raise InvalidInputError(f"the environment is not complete: {named}") from error


def api() -> None:
    """Serve the HTTP API; settings come from the environment (CONCORD_…)."""
    settings = _start("api")
    asyncio.run(_serve_http(settings))


def ingester() -> None:
    """Take events in from NATS, publish events, and tell Temporal; settings come from the environment."""
    _serve(_start("ingester"), open_ingester)


def worker() -> None:
    """Run workflows and activities; settings come from the environment."""
    _serve(_start("worker"), open_worker)


def migrate() -> None:
    """Bring the database to the newest schema, with the built-in rules and CONCORD_BOOTSTRAP_KEY if it is set."""
    settings = read_settings()
    key = settings.bootstrap_key.get_secret_value() if settings.bootstrap_key is not None else None
    asyncio.run(prepare_store(settings.database_url.get_secret_value(), bootstrap_key=key))
    output().print("The database has the newest schema.")


def _start(process: str) -> Settings:
    settings = read_settings()
    configure_logging(level=settings.log_level, form=settings.log_format)
    structlog.contextvars.bind_contextvars(process=process)
    _log.info("starting")
    return settings


async def _serve_http(settings: Settings) -> None:
    async with open_api(settings) as app, _sign_of_life(settings):
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
        await server.serve()


def _serve(settings: Settings, open_service: Callable[[Settings], AbstractAsyncContextManager[Service]]) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        opening = asyncio.create_task(_until_stopped(settings, open_service, stop))
        await opening
        _log.info("stopped")

    asyncio.run(run())


async def _until_stopped(
    settings: Settings,
    open_service: Callable[[Settings], AbstractAsyncContextManager[Service]],
    stop: asyncio.Event,
) -> None:
    """Open and run a service; a signal during the opening ends it, later it lets the work in hand finish."""
    opened = False

    async def end_opening() -> None:
        await stop.wait()
        if not opened:
            task.cancel()

    async def work() -> None:
        nonlocal opened
        async with open_service(settings) as service, _sign_of_life(settings):
            opened = True
            _log.info("ready")
            await service(stop)

    task = asyncio.create_task(work())
    watcher = asyncio.create_task(end_opening())
    try:
        await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        watcher.cancel()


@asynccontextmanager
async def _sign_of_life(settings: Settings) -> AsyncIterator[None]:
    if settings.alive_file is None:
        yield
        return
    beating = asyncio.create_task(keep_alive(settings.alive_file))
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
