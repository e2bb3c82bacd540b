"""Outgoing webhooks: the statements by which senders find what is due and keep what came of it."""

from __future__ import annotations

from sqlalchemy import text

from infra.db.documents import body_of
from infra.db.repositories.base import Repository
from services.contracts.records import OutboxMessage
from services.contracts.webhooks import DeliveryState, EndpointState, NextStep, WebhookAttempt
from services.ports.webhooks import ClaimedDelivery

# Events of a sample, or of another subject, are written under its lock: their positions rise as they became true. One
# that waits hides those behind it, whether it is due, leased or in its pause.
CLAIM_SQL = """
    WITH due AS MATERIALIZED (
        SELECT head.delivery_id
        FROM webhook_endpoints AS endpoint
        CROSS JOIN LATERAL (
            SELECT delivery.delivery_id, delivery.next_attempt_at, delivery.position
            FROM webhook_deliveries AS delivery
            WHERE delivery.endpoint_id = endpoint.endpoint_id AND delivery.state = 'waiting'
              AND delivery.next_attempt_at <= clock_timestamp()
              AND (delivery.leased_until IS NULL OR delivery.leased_until <= clock_timestamp())
              AND NOT EXISTS (
                  SELECT FROM webhook_deliveries AS earlier
                  WHERE earlier.endpoint_id = delivery.endpoint_id AND earlier.sample_id = delivery.sample_id
                    AND earlier.state = 'waiting' AND earlier.position < delivery.position)
              AND NOT EXISTS (
                  SELECT FROM webhook_deliveries AS earlier
                  WHERE earlier.endpoint_id = delivery.endpoint_id AND earlier.subject = delivery.subject
                    AND earlier.state = 'waiting' AND earlier.position < delivery.position)
            ORDER BY delivery.next_attempt_at, delivery.position
            LIMIT greatest(0, :per_endpoint - (
                SELECT count(*) FROM webhook_deliveries AS held
                WHERE held.endpoint_id = endpoint.endpoint_id AND held.state = 'waiting'
                  AND held.leased_until > clock_timestamp()))
            FOR UPDATE SKIP LOCKED
        ) AS head
        WHERE endpoint.state = 'active'
        ORDER BY head.next_attempt_at, head.position LIMIT :limit
    ), claimed AS (
        UPDATE webhook_deliveries AS delivery
        SET fence = fence + 1, attempts = attempts + 1,
            first_attempt_at = coalesce(first_attempt_at, statement_timestamp()),
            leased_until = clock_timestamp() + make_interval(secs => :lease_s)
        FROM due WHERE delivery.delivery_id = due.delivery_id
        RETURNING delivery.*
    )
    SELECT claimed.delivery_id, claimed.endpoint_id, claimed.fence, claimed.attempts, claimed.first_attempt_at,
           claimed.body, endpoint.project, endpoint.url, endpoint.secret, statement_timestamp() AS claimed_at,
           CASE WHEN endpoint.old_secret_until > clock_timestamp() THEN endpoint.old_secret END AS old_secret,
           message.message_id, message.sample_id, message.subject, message.event_type, message.sequence,
           message.body AS told,
           message.created_at AS told_at
    FROM claimed JOIN webhook_endpoints AS endpoint USING (endpoint_id)
    LEFT JOIN outbox AS message USING (message_id)
    ORDER BY claimed.position
"""
_CLAIM = text(CLAIM_SQL)
# A person may have disabled the endpoint, or begun the delivery again, while the request was on its way.
_RECORD = text("""
    WITH kept AS (
        UPDATE webhook_deliveries
        SET state = CASE WHEN state = 'waiting' OR :state = 'delivered' THEN :state ELSE state END,
            finished_at = CASE WHEN state = 'waiting' AND :state = 'waiting' THEN NULL ELSE clock_timestamp() END,
            next_attempt_at = coalesce(CAST(:next_attempt_at AS timestamptz), next_attempt_at),
            leased_until = NULL, last_status = CAST(:status AS integer), last_error = CAST(:error AS text)
        WHERE delivery_id = :delivery_id AND fence = :fence
        RETURNING delivery_id
    )
    INSERT INTO webhook_attempts (delivery_id, number, started_at, latency_ms, status, error, excerpt)
    SELECT delivery_id, :fence, :started_at, :latency_ms, CAST(:status AS integer), CAST(:error AS text),
           CAST(:excerpt AS text)
    FROM kept
""")
_SUCCEEDED = text("""
    UPDATE webhook_endpoints SET failures = 0, failing_since = NULL WHERE endpoint_id = :endpoint_id AND failures > 0
""")
_FAILED = text("""
    UPDATE webhook_endpoints SET failures = failures + 1, failing_since = coalesce(failing_since, :started_at)
    WHERE endpoint_id = :endpoint_id
""")
_STOP = text("""
    UPDATE webhook_endpoints
    SET state = :state, reason = :reason, version = version + 1, updated_at = clock_timestamp()
    WHERE endpoint_id = :endpoint_id AND state = 'active'
""")
CANCEL_WAITING = text("""
    UPDATE webhook_deliveries SET state = 'cancelled', finished_at = clock_timestamp()
    WHERE endpoint_id = :endpoint_id AND state = 'waiting'
""")
_PRUNE = text("""
    DELETE FROM webhook_deliveries WHERE delivery_id IN (
        SELECT delivery_id FROM webhook_deliveries
        WHERE finished_at < clock_timestamp() - make_interval(secs => :older_than_s)
        ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED)
""")


class WebhookSending(Repository):
    """What a sender asks of the store."""

    async def claim(self, *, limit: int, per_endpoint: int, lease_s: float) -> tuple[ClaimedDelivery, ...]:
        """Claim deliveries that are due, for the length of a lease, in one statement."""
        rows = await self._run(_CLAIM, limit=limit, per_endpoint=per_endpoint, lease_s=lease_s)
        return tuple(
            ClaimedDelivery(
                delivery_id=row.delivery_id,
                endpoint_id=row.endpoint_id,
                project=row.project,
                url=row.url,
                secrets=(row.secret,) if row.old_secret is None else (row.secret, row.old_secret),
                fence=row.fence,
                attempts=row.attempts,
                first_attempt_at=row.first_attempt_at,
                claimed_at=row.claimed_at,
                message=None
                if row.message_id is None
                else OutboxMessage(
                    message_id=row.message_id,
                    topic="event",
                    project=row.project,
                    sample_id=row.sample_id,
                    subject=row.subject,
                    event_type=row.event_type,
                    sequence=row.sequence,
                    body=body_of(row.told),
                    created_at=row.told_at,
                ),
                body=None if row.body is None else body_of(row.body),
            )
            for row in rows
        )

    async def record(self, claimed: ClaimedDelivery, attempt: WebhookAttempt, step: NextStep) -> bool:
        """Keep an attempt and what follows; False, and nothing kept, if the delivery was claimed again since.

        The caller holds the lock of the endpoint, which whoever disables it takes before the deliveries' too.
        """
        endpoint = {"endpoint_id": claimed.endpoint_id}
        kept = await self._count(
            _RECORD,
            delivery_id=claimed.delivery_id,
            fence=claimed.fence,
            state=step.delivery.value,
            next_attempt_at=step.next_attempt_at,
            started_at=attempt.started_at,
            latency_ms=attempt.latency_ms,
            status=attempt.status,
            error=attempt.error,
            excerpt=attempt.excerpt,
        )
        if not kept:
            return False
        if step.delivery is DeliveryState.DELIVERED:
            await self._count(_SUCCEEDED, **endpoint)
        else:
            await self._count(_FAILED, **endpoint, started_at=attempt.started_at)
        return True

    async def stop(self, claimed: ClaimedDelivery, state: EndpointState, reason: str) -> bool:
        """Pause or disable an endpoint that is active; False if it is not. Disabled, what waits is cancelled."""
        stopped = await self._count(_STOP, endpoint_id=claimed.endpoint_id, state=state.value, reason=reason)
        if stopped and state is EndpointState.DISABLED:
            await self._count(CANCEL_WAITING, endpoint_id=claimed.endpoint_id)
        return stopped == 1

    async def prune(self, *, older_than_s: float, limit: int) -> int:
        """Remove finished deliveries with their attempts, the oldest first; return how many."""
        return await self._count(_PRUNE, older_than_s=older_than_s, limit=limit)
