"""Events out: what the outbox holds for the outside, published to JetStream in order per sample or other subject."""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import Header
from nats.js.errors import APIError, ServerError, ServiceUnavailableError

from infra.db.engine import PostgresDatabase
from infra.messaging.cloud_events import CONTENT_TYPE
from infra.messaging.nats import EVENTS_STREAM, ensure_streams
from services.contracts.records import OutboxMessage
from services.errors import UnavailableError
from services.intake.cloud_events import STRUCTURED_TYPE
from services.lifecycle.outgoing import outgoing

TOPIC = "event"

_LIMIT = 200
_LANES_AT_ONCE = 16
_PUBLISH_WITHIN_S = 10.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0

_log = structlog.get_logger(__name__)


class EventRelay:
    """Publishes outgoing events, at least once and in order per sample or other subject.

    Any number of processes may run it; one at a time publishes. Even if two did, each publishes an event only
    after the one before it is stored, and the stream drops an event whose id it has: the order stays.

    Args:
        database: The store with the outbox.
        nats: The connection.
    """

    def __init__(self, database: PostgresDatabase, nats: Client) -> None:
        self._database = database
        self._nats = nats

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop`` is set; a batch that has begun is finished."""
        pause_s = _FIRST_PAUSE_S
        async with self._database.outbox_listener() as listener, self._database.leadership("event-relay") as leadership:
            while not stop.is_set():
                try:
                    if await leadership.acquire() and await self.relay_once():
                        pause_s = _FIRST_PAUSE_S
                        continue
                except (UnavailableError, nats.errors.Error, TimeoutError, OSError) as error:
                    _log.warning("relay_interrupted", error=type(error).__name__, detail=str(error)[:200])
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                await listener.wait()

    async def relay_once(self) -> bool:
        """Publish what waits, up to a limit; False if nothing waited.

        Raises:
            UnavailableError: The database does not answer.
            nats.errors.Error: The server does not answer, and nothing was published.
        """
        async with self._database.transaction() as tx:
            waiting = await tx.outbox.pending((TOPIC,), limit=_LIMIT)
        if not waiting:
            return False
        lanes: dict[tuple[str, str | None, str | None], list[OutboxMessage]] = {}
        for message in waiting:
            lanes.setdefault(message.lane, []).append(message)
        batch = _Batch(self._nats)
        await asyncio.gather(*(batch.run_lane(lane) for lane in lanes.values()))
        async with self._database.transaction() as tx:
            await tx.outbox.mark_published(tuple(batch.published))
            for message_id, reason in batch.failed.items():
                await tx.outbox.mark_failed(message_id, reason)
        if batch.unreachable is not None and not batch.published:
            await ensure_streams(self._nats)
            raise batch.unreachable
        return True


class _Batch:
    """One pass over the outbox: what was stored, what was refused, and whether the server was there at all."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream()
        self._slots = asyncio.Semaphore(_LANES_AT_ONCE)
        self.published: list[int] = []
        self.failed: dict[int, str] = {}
        self.unreachable: Exception | None = None

    async def run_lane(self, lane: list[OutboxMessage]) -> None:
        """Publish the events of one sample or subject one after the other; behind one that fails, all wait."""
        async with self._slots:
            for message in lane:
                if self.unreachable is not None or not await self._publish(message):
                    return
                self.published.append(message.message_id)

    async def _publish(self, message: OutboxMessage) -> bool:
        try:
            event = outgoing(message)
            headers = {CONTENT_TYPE: STRUCTURED_TYPE, Header.MSG_ID.value: event.id}
            await self._js.publish(
                event.subject, event.body, timeout=_PUBLISH_WITHIN_S, stream=EVENTS_STREAM, headers=headers
            )
        except (ServerError, ServiceUnavailableError) as error:
            self.unreachable = error
            return False
        except (APIError, nats.errors.MaxPayloadError, ValueError) as error:
            # The fault is with this event; those of other lanes go on.
            self.failed[message.message_id] = f"{type(error).__name__}: {error}"
            _log.warning(
                "event_not_published",
                project=message.project,
                sample_id=message.sample_id,
                subject=message.subject,
                error=type(error).__name__,
            )
            return False
        except (nats.errors.Error, TimeoutError, OSError) as error:
            self.unreachable = error
            return False
        return True
