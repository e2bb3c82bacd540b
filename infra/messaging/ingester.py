"""Events in over JetStream: pulled, taken into the inbox, acknowledged only after the inbox has committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import FetchTimeoutError, NotFoundError

from infra.messaging.cloud_events import message_of_nats
from infra.messaging.nats import INGEST_STREAM, ensure_streams
from services.contracts.events import INCOMING_SUBJECT_PREFIX, AnyReceipt
from services.errors import ConcordError, StageConflictError, UnavailableError, UndeliverableError
from services.errors import NotFoundError as UnknownError
from services.intake.arrivals import Arrival
from services.intake.cloud_events import EventMessage
from services.intake.inbox import Inbox

DURABLE = "concord-ingester"
MAX_DELIVERIES = 8
"""Deliveries after which an event that never came to an outcome is put aside.

The server itself delivers without end: it would drop the ninth delivery silently, and an event that was only
unlucky, in an outage of the database, would be lost instead of kept with its reason.
"""

EARLY_DELIVERIES = 4
"""Deliveries over which an event may wait for the one it builds on, such as labels for their sample."""

_BATCH = 64
_LANES_AT_ONCE = 8
_FETCH_S = 1.0
_HEARTBEAT_S = 0.4
_SILENT_FETCHES = 5
_MAX_PAUSE_S = 30.0

# What a message builds on may still be on its way, because senders do not wait for one another.
_EARLY = (UnknownError, StageConflictError)

_log = structlog.get_logger(__name__)


class Ingester:
    """Feeds the inbox from the stream of incoming events.

    Events of one sample are handled in the order they were stored, those of different samples side by side.

    Args:
        nats: The connection.
        inbox: Where events go.
        ack_wait_s: Time after which the server takes a silent ingester for dead and delivers again.
        pause_s: First pause before an event is tried again; it doubles.
    """

    def __init__(self, nats: Client, inbox: Inbox, *, ack_wait_s: float = 60.0, pause_s: float = 1.0) -> None:
        self._nats = nats
        self._inbox = inbox
        self._ack_wait_s = ack_wait_s
        self._pause_s = pause_s

    async def run(self, stop: asyncio.Event) -> None:
        """Take events in until ``stop`` is set; what is in hand then is finished."""
        pause_s = self._pause_s
        while not stop.is_set():
            try:
                await ensure_streams(self._nats)
                subscription = await self._subscribe()
                pause_s = self._pause_s
                await self._pull(subscription, stop)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                _log.warning("ingester_interrupted", error=type(error).__name__, detail=str(error)[:200])
                await _wait(stop, pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        js = self._nats.jetstream()
        return await js.pull_subscribe(
            f"{INCOMING_SUBJECT_PREFIX}.>",
            durable=DURABLE,
            stream=INGEST_STREAM,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._ack_wait_s,
                max_ack_pending=4 * _BATCH,
            ),
        )

    async def _pull(self, subscription: JetStreamContext.PullSubscription, stop: asyncio.Event) -> None:
        silent = 0
        try:
            while not stop.is_set():
                try:
                    messages = await subscription.fetch(_BATCH, timeout=_FETCH_S, heartbeat=_HEARTBEAT_S)
                except FetchTimeoutError:
                    silent = 0  # the server said that it is there and has nothing
                    continue
                except nats.errors.TimeoutError:
                    silent += 1
                    if silent >= _SILENT_FETCHES:
                        await self._look_after(subscription)
                        silent = 0
                    continue
                silent = 0
                if not await self._handle(messages):
                    await self._until_ready(stop)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _look_after(self, subscription: JetStreamContext.PullSubscription) -> None:
        """Notice a consumer that is gone: its fetches time out for ever without an error."""
        try:
            await subscription.consumer_info()
        except NotFoundError:
            _log.warning("ingester_consumer_gone", consumer=DURABLE)
            raise

    async def _until_ready(self, stop: asyncio.Event) -> None:
        """Pull nothing while the inbox can take nothing: every pull would use up a delivery."""
        pause_s = self._pause_s
        while not stop.is_set():
            try:
                await self._inbox.ready()
            except UnavailableError as error:
                _log.warning("ingester_waits", reason=error.detail)
                await _wait(stop, pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            else:
                return

    async def _handle(self, messages: Sequence[Msg]) -> bool:
        """Bring every message to an outcome; False if the inbox could not be reached."""
        unfinished = dict(enumerate(messages))
        beating = asyncio.create_task(_beat(unfinished, self._ack_wait_s / 4))
        reachable = True
        slots = asyncio.Semaphore(_LANES_AT_ONCE)

        async def run_lane(lane: list[tuple[int, Arrival]]) -> None:
            nonlocal reachable
            async with slots:
                for number, arrival in lane:
                    # After a failure the rest waits too, so that a sample's events keep their order.
                    if reachable:
                        reachable = await self._settle(messages[number], self._accept(messages[number], arrival))
                    else:
                        await _nak(messages[number], self._pause_s)
                    del unfinished[number]

        try:
            arrivals: list[tuple[int, Arrival]] = []
            for number, message in enumerate(messages):
                arrival = await self._read(message) if reachable else None
                if isinstance(arrival, Arrival):
                    arrivals.append((number, arrival))
                    continue
                if arrival is None:
                    reachable = False
                    await _nak(message, self._pause_s)
                del unfinished[number]
            taken = (
                await self._inbox.accept_together([arrival for _, arrival in arrivals], via="nats", projects=None)
                if reachable
                else {}
            )
            lanes: dict[tuple[str | int, ...], list[tuple[int, Arrival]]] = {}
            for place, (number, arrival) in enumerate(arrivals):
                if place in taken:
                    await self._settle(messages[number], _acknowledge(messages[number], taken[place]))
                    del unfinished[number]
                else:
                    lanes.setdefault(arrival.lane(number), []).append((number, arrival))
            await asyncio.gather(*(run_lane(lane) for lane in lanes.values()))
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
        return reachable

    async def _read(self, message: Msg) -> Arrival | bool | None:
        """Return what was read; True for a message that found its outcome; None if the inbox was out of reach."""
        arrivals: list[Arrival] = []

        async def read() -> None:
            incoming = message_of_nats(message.headers, message.data)
            deliveries = message.metadata.num_delivered
            if deliveries > MAX_DELIVERIES:
                error = UndeliverableError(f"it was delivered {deliveries - 1} times and never came to an outcome")
                await self._put_aside(message, incoming, error)
                return
            try:
                arrivals.append(await self._inbox.read(incoming, via="nats", projects=None))
            except UnavailableError:
                raise
            except ConcordError as error:
                _log_refused(message, error)
                await message.term()

        reachable = await self._settle(message, read())
        if arrivals:
            return arrivals[0]
        return True if reachable else None

    async def _accept(self, message: Msg, arrival: Arrival) -> None:
        try:
            receipt = await self._inbox.accept(arrival.event, via="nats", projects=None)
        except UnavailableError:
            raise
        except ConcordError as error:
            deliveries = message.metadata.num_delivered
            if isinstance(error, _EARLY) and deliveries <= EARLY_DELIVERIES:
                await _nak(message, self._pause_s * 2.0 ** (deliveries - 1))
                return
            await self._put_aside(message, arrival.message, error)
            return
        await _acknowledge(message, receipt)

    async def _put_aside(self, message: Msg, incoming: EventMessage, error: ConcordError) -> None:
        await self._inbox.refuse(incoming, error, via="nats", projects=None)
        _log_refused(message, error)
        await message.term()

    async def _settle(self, message: Msg, work: Awaitable[None]) -> bool:
        """Do the work on a message; whatever goes wrong, it is delivered again. False if the inbox is out of reach."""
        try:
            await work
        except UnavailableError as error:
            _log.warning("ingester_unavailable", reason=error.detail)
            await _nak(message, self._pause_s)
            return False
        except nats.errors.Error as error:
            # An acknowledgement that got lost: the message comes again and is recognised.
            _log.warning("ingester_not_acknowledged", error=type(error).__name__)
        except Exception as error:  # a fault of ours must not stop the events behind it
            deliveries = message.metadata.num_delivered
            _log.exception("ingester_failed", error=type(error).__name__, deliveries=deliveries)
            await _nak(message, min(self._pause_s * 2.0 ** (deliveries - 1), _MAX_PAUSE_S))
        return True


async def _acknowledge(message: Msg, receipt: AnyReceipt) -> None:
    _log.info("event_taken_in", outcome=receipt.outcome, **receipt.traced)
    await message.ack()


def _log_refused(message: Msg, error: ConcordError) -> None:
    sequence = message.metadata.sequence.stream
    _log.warning("event_refused", reason_code=error.code, stream_sequence=sequence)


async def _nak(message: Msg, delay_s: float) -> None:
    try:
        await message.nak(delay=delay_s)
    except nats.errors.Error as error:
        # Not told, the server delivers it again when the time to acknowledge is over.
        _log.warning("ingester_not_returned", error=type(error).__name__)


async def _beat(unfinished: Mapping[int, Msg], every_s: float) -> None:
    """Tell the server that the messages are being worked on, however long it takes."""
    while True:
        await asyncio.sleep(every_s)
        for message in tuple(unfinished.values()):
            with contextlib.suppress(nats.errors.Error):
                await message.in_progress()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
