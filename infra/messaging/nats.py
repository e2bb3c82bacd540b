"""The connection to NATS and the two JetStream streams that Concord keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from services.contracts.events import INCOMING_SUBJECT_PREFIX, OUTGOING_SUBJECT_PREFIX

INGEST_STREAM = "CONCORD_INGEST"
EVENTS_STREAM = "CONCORD_EVENTS"

_DAY_S = 86_400.0
_CONNECT_TIMEOUT_S = 5
_RECONNECT_WAIT_S = 1
_FLUSH_WITHIN_S = 5
_MAX_AGE_S = 30 * _DAY_S
_DUPLICATE_WINDOW_S = 600.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_nats(url: str, *, name: str) -> AsyncIterator[Client]:
    """Connect, waiting for the server as long as it takes, and stay connected until the block ends.

    Args:
        url: ``nats://user:password@host:port``.
        name: How the server's monitoring names this connection.
    """

    async def report(error: Exception) -> None:
        _log.warning("nats_error", connection=name, error=type(error).__name__, detail=str(error)[:200])

    closing = False

    async def disconnected() -> None:
        if not closing:
            _log.warning("nats_disconnected", connection=name)

    async def reconnected() -> None:
        _log.info("nats_reconnected", connection=name)

    client = await nats.connect(
        url,
        name=name,
        error_cb=report,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        connect_timeout=_CONNECT_TIMEOUT_S,
        reconnect_time_wait=_RECONNECT_WAIT_S,
        max_reconnect_attempts=-1,
    )
    try:
        yield client
    finally:
        closing = True
        try:
            await client.flush(_FLUSH_WITHIN_S)
        except (nats.errors.Error, TimeoutError, OSError):
            _log.warning("nats_not_flushed", connection=name)
        await client.close()


async def ensure_streams(client: Client) -> None:
    """Create the streams that are missing; limits that an operator has set on existing ones stay."""
    js = client.jetstream()
    for stream, prefix in ((INGEST_STREAM, INCOMING_SUBJECT_PREFIX), (EVENTS_STREAM, OUTGOING_SUBJECT_PREFIX)):
        subject = f"{prefix}.>"
        try:
            config = (await js.stream_info(stream)).config
        except NotFoundError:
            await js.add_stream(
                StreamConfig(
                    name=stream,
                    subjects=[subject],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    max_age=_MAX_AGE_S,
                    duplicate_window=_DUPLICATE_WINDOW_S,
                )
            )
        else:
            if subject not in (config.subjects or []):
                await js.update_stream(config, subjects=[*(config.subjects or []), subject])
