"""Outgoing webhooks: endpoints, and what their project's people ask about and do with deliveries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import body_text
from infra.db.repositories.webhook_sending import CANCEL_WAITING, WebhookSending
from services.contracts.webhooks import (
    DeliveryState,
    EndpointState,
    Redelivered,
    RedeliverRange,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
    webhook_id_of,
)

_ADD = text("""
    INSERT INTO webhook_endpoints
        (endpoint_id, project, url, event_types, description, state, version, secret, failures, created_at, updated_at)
    VALUES (:endpoint_id, :project, :url, CAST(:event_types AS text[]), :description, :state, :version, :secret, 0,
            :created_at, :created_at)
""")
# Never the secrets: only what sends has a use for them.
_COLUMNS = """endpoint_id, project, url, event_types, description, state, reason, version, failures, failing_since,
    CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_until END AS old_secret_until,
    created_at, updated_at"""
_ENDPOINT = f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE project = :project AND endpoint_id = :endpoint_id"  # noqa: S608
_GET, _LOCK = text(_ENDPOINT), text(f"{_ENDPOINT} FOR NO KEY UPDATE")
_LIST = text(f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE project = :project ORDER BY created_at, endpoint_id")  # noqa: S608
_CHANGE = text("""
    UPDATE webhook_endpoints
    SET url = :url, event_types = CAST(:event_types AS text[]), description = :description, version = version + 1,
        updated_at = clock_timestamp()
    WHERE endpoint_id = :endpoint_id
""")
_ROTATE = text("""
    UPDATE webhook_endpoints
    SET old_secret = CASE WHEN :overlap_s > 0 THEN secret END,
        old_secret_until = CASE WHEN :overlap_s > 0 THEN clock_timestamp() + make_interval(secs => :overlap_s) END,
        secret = :secret, version = version + 1, updated_at = clock_timestamp()
    WHERE endpoint_id = :endpoint_id
""")
_SET_STATE = text("""
    UPDATE webhook_endpoints
    SET state = :state, reason = :reason, version = version + 1, updated_at = clock_timestamp(),
        failures = CASE WHEN :state = 'active' THEN 0 ELSE failures END,
        failing_since = CASE WHEN :state = 'active' THEN NULL ELSE failing_since END
    WHERE endpoint_id = :endpoint_id
""")
_WAITING_AGAIN = text("""
    UPDATE webhook_deliveries SET attempts = 0, first_attempt_at = NULL, next_attempt_at = clock_timestamp()
    WHERE endpoint_id = :endpoint_id AND state = 'waiting'
""")
_ADD_PING = text("""
    INSERT INTO webhook_deliveries (delivery_id, endpoint_id, body, event_type, event_id, state, attempts, fence)
    VALUES (:delivery_id, :endpoint_id, :body, :event_type, :event_id, 'waiting', 0, 0)
""")
_DELIVERY = text("SELECT * FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND delivery_id = :delivery_id")
_OF_ENDPOINT = "SELECT * FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND position < :before"
_NEWEST = text(f"{_OF_ENDPOINT} ORDER BY position DESC LIMIT :limit")
_NEWEST_OF_STATE = text(f"{_OF_ENDPOINT} AND state = :state ORDER BY position DESC LIMIT :limit")
_ATTEMPTS = text("SELECT * FROM webhook_attempts WHERE delivery_id = :delivery_id ORDER BY number")
_AGAIN = text("""
    UPDATE webhook_deliveries
    SET state = 'waiting', attempts = 0, first_attempt_at = NULL, next_attempt_at = clock_timestamp(),
        finished_at = NULL
    WHERE delivery_id = ANY (CAST(:delivery_ids AS uuid[]))
""")
_SPAN = text("""
    SELECT delivery_id FROM webhook_deliveries
    WHERE endpoint_id = :endpoint_id AND state = ANY (CAST(:states AS text[]))
      AND created_at >= :since AND created_at < coalesce(CAST(:until AS timestamptz), clock_timestamp())
    ORDER BY position LIMIT :limit
""")
_LAST_POSITION = 2**63 - 1


def _endpoint_of(row: Any) -> WebhookEndpoint:
    return WebhookEndpoint(
        endpoint_id=row.endpoint_id,
        project=row.project,
        url=row.url,
        event_types=tuple(row.event_types),
        description=row.description,
        state=EndpointState(row.state),
        reason=row.reason,
        version=row.version,
        failures=row.failures,
        failing_since=row.failing_since,
        old_secret_until=row.old_secret_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _delivery_of(row: Any) -> WebhookDelivery:
    waiting = row.state == DeliveryState.WAITING
    return WebhookDelivery(
        delivery_id=row.delivery_id,
        endpoint_id=row.endpoint_id,
        webhook_id=webhook_id_of(row.delivery_id),
        position=row.position,
        event_type=row.event_type,
        event_id=row.event_id,
        sample_id=row.sample_id,
        subject=row.subject,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if waiting else None,
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


class PostgresWebhooks(WebhookSending):
    """Implements :class:`services.ports.webhooks.WebhookRepository`."""

    async def add(self, endpoint: WebhookEndpoint, secret: str) -> None:
        """Keep a new endpoint with its secret."""
        await self._count(
            _ADD,
            endpoint_id=endpoint.endpoint_id,
            project=endpoint.project,
            url=endpoint.url,
            event_types=[*endpoint.event_types],
            description=endpoint.description,
            state=endpoint.state.value,
            version=endpoint.version,
            secret=secret,
            created_at=endpoint.created_at,
        )

    async def endpoint(self, project: str, endpoint_id: UUID, *, lock: bool = False) -> WebhookEndpoint | None:
        """Return an endpoint of a project; with ``lock`` no other transaction changes it until this one ends."""
        row = await self._first(_LOCK if lock else _GET, project=project, endpoint_id=endpoint_id)
        return None if row is None else _endpoint_of(row)

    async def endpoints(self, project: str) -> tuple[WebhookEndpoint, ...]:
        """Return the endpoints of a project, oldest first."""
        return tuple(_endpoint_of(row) for row in await self._run(_LIST, project=project))

    async def change(self, endpoint_id: UUID, settings: WebhookSettings) -> None:
        """Replace what is set for an endpoint; its version rises."""
        await self._count(
            _CHANGE,
            endpoint_id=endpoint_id,
            url=settings.url,
            event_types=[*settings.event_types],
            description=settings.description,
        )

    async def rotate(self, endpoint_id: UUID, secret: str, *, overlap_s: int) -> None:
        """Put a new secret before the one so far, which goes on signing for a while; its version rises."""
        await self._count(_ROTATE, endpoint_id=endpoint_id, secret=secret, overlap_s=float(overlap_s))

    async def set_state(self, endpoint_id: UUID, state: EndpointState, reason: str | None) -> None:
        """Set the state; its version rises, and what waits is cancelled or due, as the state has it."""
        await self._count(_SET_STATE, endpoint_id=endpoint_id, state=state.value, reason=reason)
        if state is EndpointState.DISABLED:
            await self._count(CANCEL_WAITING, endpoint_id=endpoint_id)
        elif state is EndpointState.ACTIVE:
            await self._count(_WAITING_AGAIN, endpoint_id=endpoint_id)

    async def add_ping(
        self, endpoint_id: UUID, delivery_id: UUID, *, event_type: str, event_id: str, body: dict[str, Any]
    ) -> None:
        """Keep a test of an endpoint, to be sent like an event."""
        await self._count(
            _ADD_PING,
            delivery_id=delivery_id,
            endpoint_id=endpoint_id,
            event_type=event_type,
            event_id=event_id,
            body=body_text(body),
        )

    async def delivery(self, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of an endpoint."""
        row = await self._first(_DELIVERY, endpoint_id=endpoint_id, delivery_id=delivery_id)
        return None if row is None else _delivery_of(row)

    async def deliveries(
        self, endpoint_id: UUID, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> tuple[WebhookDelivery, ...]:
        """Return deliveries of an endpoint, newest first, below the position ``before``."""
        values = {"endpoint_id": endpoint_id, "before": _LAST_POSITION if before is None else before, "limit": limit}
        if state is None:
            rows = await self._run(_NEWEST, **values)
        else:
            rows = await self._run(_NEWEST_OF_STATE, **values, state=state.value)
        return tuple(_delivery_of(row) for row in rows)

    async def attempts(self, delivery_id: UUID) -> tuple[WebhookAttempt, ...]:
        """Return the recorded attempts of a delivery, oldest first."""
        return tuple(
            WebhookAttempt(
                number=row.number,
                started_at=row.started_at,
                latency_ms=row.latency_ms,
                status=row.status,
                error=row.error,
                excerpt=row.excerpt,
            )
            for row in await self._run(_ATTEMPTS, delivery_id=delivery_id)
        )

    async def begin_again(self, delivery_id: UUID) -> None:
        """Let a delivery wait to be sent now, whatever became of it before."""
        await self._count(_AGAIN, delivery_ids=[delivery_id])

    async def begin_range_again(self, endpoint_id: UUID, span: RedeliverRange, *, limit: int) -> Redelivered:
        """Let the deliveries of a span of time wait to be sent now, the oldest first, up to ``limit``."""
        rows = await self._run(
            _SPAN,
            endpoint_id=endpoint_id,
            states=[state.value for state in span.states],
            since=span.since,
            until=span.until,
            limit=limit + 1,
        )
        chosen = [row.delivery_id for row in rows[:limit]]
        await self._count(_AGAIN, delivery_ids=chosen)
        return Redelivered(count=len(chosen), more=len(rows) > limit)
