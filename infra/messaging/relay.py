"""Events out: what the outbox holds for the outside, published to JetStream in order per sample."""

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
from services.contracts.events import (
    OUTGOING_SOURCE,
    OUTGOING_SUBJECT_PREFIX,
    StageChanged,
    TaskDeadline,
    stage_event_type,
    task_event_type,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import OutboxMessage
from services.errors import UnavailableError
from services.intake.cloud_events import STRUCTURED_TYPE, structured_event
from services.lifecycle.journal import subject_of

TOPIC = "event"

_LIMIT = 200
_LANES_AT_ONCE = 16
_PUBLISH_WITHIN_S = 10.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0

_log = structlog.get_logger(__name__)


class EventRelay:
    """Publishes outgoing events, at least once and in order per sample.

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
        lanes: dict[tuple[str, str], list[OutboxMessage]] = {}
        for message in waiting:
            lanes.setdefault((message.project, message.sample_id), []).append(message)
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
        """Publish one sample's events one after the other; behind one that fails, all wait."""
        async with self._slots:
            for message in lane:
                if self.unreachable is not None or not await self._publish(message):
                    return
                self.published.append(message.message_id)

    async def _publish(self, message: OutboxMessage) -> bool:
        try:
            event_id, subject, body = outgoing(message)
            headers = {CONTENT_TYPE: STRUCTURED_TYPE, Header.MSG_ID.value: event_id}
            await self._js.publish(subject, body, timeout=_PUBLISH_WITHIN_S, stream=EVENTS_STREAM, headers=headers)
        except (ServerError, ServiceUnavailableError) as error:
            self.unreachable = error
            return False
        except (APIError, nats.errors.MaxPayloadError, ValueError) as error:
            # The fault is with this event; those of other samples go on.
            self.failed[message.message_id] = f"{type(error).__name__}: {error}"
            _log.warning(
                "event_not_published",
                project=message.project,
                sample_id=message.sample_id,
                error=type(error).__name__,
            )
            return False
        except (nats.errors.Error, TimeoutError, OSError) as error:
            self.unreachable = error
            return False
        return True


def outgoing(message: OutboxMessage) -> tuple[str, str, bytes]:
    """Return (event id, NATS subject, body) of an outbox message; the same each time it is made."""
    if "moment_key" in message.body:
        return _outgoing_deadline(TaskDeadline.model_validate(message.body))
    change = StageChanged.model_validate(message.body)
    event_type = stage_event_type(change.stage)
    event_id = f"{change.project}/{change.sample_id}/{change.sequence}"
    body = structured_event(
        event_id=event_id,
        source=OUTGOING_SOURCE,
        event_type=event_type,
        subject=subject_of(RevisionRef(project=change.project, sample_id=change.sample_id, revision=change.revision)),
        time=change.at,
        data=change,
        extensions={"partitionkey": f"{change.project}/{change.sample_id}", "sequence": str(change.sequence)},
    )
    return event_id, f"{OUTGOING_SUBJECT_PREFIX}.{change.project}.{event_type}", body


def _outgoing_deadline(told: TaskDeadline) -> tuple[str, str, bytes]:
    event_type = task_event_type(told)
    event_id = f"{told.project}/{told.sample_id}/{told.moment_key}"
    body = structured_event(
        event_id=event_id,
        source=OUTGOING_SOURCE,
        event_type=event_type,
        subject=subject_of(RevisionRef(project=told.project, sample_id=told.sample_id, revision=told.revision)),
        time=told.at,
        data=told,
        extensions={"partitionkey": f"{told.project}/{told.sample_id}"},
    )
    return event_id, f"{OUTGOING_SUBJECT_PREFIX}.{told.project}.{event_type}", body
