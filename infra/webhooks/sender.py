"""Sends what waits for webhooks: claimed for the length of a lease, signed, recorded; any number of senders at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from infra.db.engine import PostgresDatabase
from infra.webhooks.http import Posted, WebhookHttp
from services.contracts.canonical import canonical_json
from services.contracts.webhooks import DeliveryState, WebhookAttempt
from services.errors import UnavailableError
from services.intake.cloud_events import STRUCTURED_TYPE
from services.lifecycle.outgoing import outgoing
from services.ports.webhooks import ClaimedDelivery
from services.webhooks.registry import record_attempt
from services.webhooks.retries import AttemptOutcome, RetryPolicy, Tried, decide_next
from services.webhooks.signing import signed_headers

KEPT_S = 30 * 86_400.0
"""How long finished deliveries are kept, in seconds; as long as the stream of events keeps them."""

_PRUNE_EVERY_S = 3_600.0
_PRUNED_AT_ONCE = 5_000
_RECORD_AGAIN_S = (0.2, 1.0, 5.0)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 10.0

_log = structlog.get_logger(__name__)


class WebhookSender:
    """Sends deliveries, at least once and in order per sample and endpoint.

    A sender that dies leaves its claims to others when their leases end; what it had sent but not recorded is sent
    again under the same webhook-id.

    Args:
        database: The store with the deliveries.
        http: How requests are made.
        policy: How failed attempts are repeated.
        at_once: Requests under way at once in this process.
        per_endpoint: Requests under way at once for one endpoint, over all senders.
        lease_s: Length of a claim; longer than a request and its record take.
        chance: Gives random numbers in [0, 1), for the pauses.
    """

    def __init__(
        self,
        database: PostgresDatabase,
        http: WebhookHttp,
        *,
        policy: RetryPolicy | None = None,
        at_once: int = 32,
        per_endpoint: int = 8,
        lease_s: float = 60.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._http = http
        self._policy = policy or RetryPolicy()
        self._at_once = at_once
        self._per_endpoint = per_endpoint
        self._lease_s = lease_s
        self._chance = chance
        self._pruned_at = -_PRUNE_EVERY_S

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop`` is set; what is in hand then is finished."""
        in_hand: set[asyncio.Task[None]] = set()
        pause_s = _FIRST_PAUSE_S
        async with self._database.outbox_listener() as listener:

            def done(task: asyncio.Task[None]) -> None:
                in_hand.discard(task)
                # The next event of the sample, and a free slot, are worth a look.
                listener.wake()

            try:
                while not stop.is_set():
                    try:
                        await self._prune()
                        claimed = await self._claim(self._at_once - len(in_hand))
                    except (UnavailableError, OSError) as error:
                        _log.warning("webhooks_interrupted", error=type(error).__name__, detail=str(error)[:200])
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(stop.wait(), pause_s)
                        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                        continue
                    pause_s = _FIRST_PAUSE_S
                    for delivery in claimed:
                        task = asyncio.create_task(self._deliver(delivery), name="webhook")
                        in_hand.add(task)
                        task.add_done_callback(done)
                    if not claimed:
                        await listener.wait()
            finally:
                if in_hand:
                    await asyncio.wait(set(in_hand))

    async def _claim(self, free: int) -> tuple[ClaimedDelivery, ...]:
        if free <= 0:
            return ()
        async with self._database.transaction() as tx:
            return await tx.webhooks.claim(limit=free, per_endpoint=self._per_endpoint, lease_s=self._lease_s)

    async def _prune(self) -> None:
        if time.monotonic() - self._pruned_at < _PRUNE_EVERY_S:
            return
        async with self._database.transaction() as tx:
            removed = await tx.webhooks.prune(older_than_s=KEPT_S, limit=_PRUNED_AT_ONCE)
        if removed < _PRUNED_AT_ONCE:
            self._pruned_at = time.monotonic()

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        posted = await self._post(claimed)
        for pause_s in (*_RECORD_AGAIN_S, None):
            try:
                await self._record(claimed, posted)
            except (UnavailableError, OSError) as error:
                if pause_s is None:
                    # The lease ends by itself, and the event is sent again under its id.
                    _log.warning("webhook_not_recorded", delivery_id=str(claimed.delivery_id), detail=str(error)[:200])
                    return
                await asyncio.sleep(pause_s)
            else:
                return

    async def _post(self, claimed: ClaimedDelivery) -> Posted:
        try:
            body = canonical_json(claimed.body) if claimed.message is None else outgoing(claimed.message).body
            headers = {"content-type": STRUCTURED_TYPE, **signed_headers(claimed, body, datetime.now(UTC))}
        except ValueError as error:
            _log.exception("webhook_not_made", delivery_id=str(claimed.delivery_id))
            return Posted(AttemptOutcome(None, f"the event can not be written: {type(error).__name__}"), 0.0, None)
        return await self._http.post(claimed.url, headers, body)

    async def _record(self, claimed: ClaimedDelivery, posted: Posted) -> None:
        outcome = posted.outcome
        attempt = WebhookAttempt(
            number=claimed.fence,
            started_at=claimed.claimed_at,
            latency_ms=round(posted.latency_ms, 3),
            status=outcome.status,
            error=outcome.error,
            excerpt=posted.excerpt,
        )
        async with self._database.transaction() as tx:
            # Whether others succeed meanwhile decides whose fault a failure is; nobody changes that until the commit.
            endpoint = await tx.webhooks.endpoint(claimed.project, claimed.endpoint_id, lock=True)
            tried = Tried(
                attempts=claimed.attempts,
                first_attempt_at=claimed.first_attempt_at,
                failing_since=None if endpoint is None else endpoint.failing_since,
            )
            step = decide_next(outcome, tried, await tx.now(), self._policy, self._chance)
            kept = await record_attempt(tx, claimed, attempt, step)
        if step.delivery is not DeliveryState.DELIVERED or not kept:
            _log.warning(
                "webhook_failed" if kept else "webhook_lease_lost",
                endpoint_id=str(claimed.endpoint_id),
                delivery_id=str(claimed.delivery_id),
                attempt=claimed.attempts,
                http_status=outcome.status,
                error=outcome.error,
                endpoint_state=step.endpoint,
            )
