"""What the commands that run one process have in common."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from pydantic import ValidationError

from infra.alive import keep_alive
from infra.composition.shared import Service
from infra.settings import Settings
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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


def start_process(process: str) -> Settings:
    """Read the settings of a process and set up its log."""
    settings = read_settings()
    configure_logging(level=settings.log_level, form=settings.log_format)
    structlog.contextvars.bind_contextvars(process=process)
    _log.info("starting")
    return settings


def serve(settings: Settings, open_service: Callable[[Settings], AbstractAsyncContextManager[Service]]) -> None:
    """Run a service until SIGINT or SIGTERM; what is in hand then is finished."""

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
        async with open_service(settings) as service, sign_of_life(settings):
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
async def sign_of_life(settings: Settings) -> AsyncIterator[None]:
    """Show life inside the block, where the settings ask for it."""
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
