"""The store of outgoing webhooks, as the product sees it, and the rule of where they may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.contracts.records import OutboxMessage
from services.contracts.webhooks import (
    DeliveryState,
    EndpointState,
    NextStep,
    Redelivered,
    RedeliverRange,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
)


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this sender may send until its lease ends.

    Attributes:
        delivery_id: The delivery.
        endpoint_id: Its endpoint.
        project: The endpoint's project.
        url: Where it goes.
        secrets: What signs it, the newest first.
        fence: Rises with every claim; what is recorded under an older one is dropped.
        attempts: Attempts since it was begun, the one that follows among them; from 1.
        first_attempt_at: When the first of them began.
        claimed_at: When it was claimed, by the database's clock.
        message: What the outbox holds of the event; None for a test of the endpoint.
        body: The test of the endpoint, whole; None for other events.
    """

    delivery_id: UUID
    endpoint_id: UUID
    project: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    fence: int
    attempts: int
    first_attempt_at: datetime
    claimed_at: datetime
    message: OutboxMessage | None
    body: dict[str, Any] | None


class WebhookTargets(Protocol):
    """Where webhooks may go; the operator's rule."""

    def ensure_allowed(self, url: str) -> None:
        """Raise InvalidInputError unless events may be posted to this address."""
        ...


class WebhookRepository(Protocol):
    """Endpoints, and what is, was and is to be sent to them."""

    async def add(self, endpoint: WebhookEndpoint, secret: str) -> None:
        """Keep a new endpoint with its secret."""
        ...

    async def endpoint(self, project: str, endpoint_id: UUID, *, lock: bool = False) -> WebhookEndpoint | None:
        """Return an endpoint of a project; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def endpoints(self, project: str) -> tuple[WebhookEndpoint, ...]:
        """Return the endpoints of a project, oldest first."""
        ...

    async def change(self, endpoint_id: UUID, settings: WebhookSettings) -> None:
        """Replace what is set for an endpoint; its version rises."""
        ...

    async def rotate(self, endpoint_id: UUID, secret: str, *, overlap_s: int) -> None:
        """Put a new secret before the one so far, which goes on signing for a while; its version rises."""
        ...

    async def set_state(self, endpoint_id: UUID, state: EndpointState, reason: str | None) -> None:
        """Set the state; its version rises.

        Disabled, what waits is cancelled. Active, its failures are forgotten and what waits is due now.
        """
        ...

    async def add_ping(
        self, endpoint_id: UUID, delivery_id: UUID, *, event_type: str, event_id: str, body: dict[str, Any]
    ) -> None:
        """Keep a test of an endpoint, to be sent like an event."""
        ...

    async def delivery(self, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of an endpoint."""
        ...

    async def deliveries(
        self, endpoint_id: UUID, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> tuple[WebhookDelivery, ...]:
        """Return deliveries of an endpoint, newest first, below the position ``before``."""
        ...

    async def attempts(self, delivery_id: UUID) -> tuple[WebhookAttempt, ...]:
        """Return the recorded attempts of a delivery, oldest first."""
        ...

    async def begin_again(self, delivery_id: UUID) -> None:
        """Let a delivery wait to be sent now, whatever became of it before."""
        ...

    async def begin_range_again(self, endpoint_id: UUID, span: RedeliverRange, *, limit: int) -> Redelivered:
        """Let the deliveries of a span of time wait to be sent now, the oldest first, up to ``limit``."""
        ...

    async def claim(self, *, limit: int, per_endpoint: int, lease_s: float) -> tuple[ClaimedDelivery, ...]:
        """Claim deliveries that are due, for the length of a lease.

        Only the oldest waiting delivery of a sample and endpoint is ever claimed, so a sample's events arrive in
        order; those of other samples do not wait for it. What others hold is passed over.
        """
        ...

    async def record(self, claimed: ClaimedDelivery, attempt: WebhookAttempt, step: NextStep) -> bool:
        """Keep an attempt and what follows; False, and nothing kept, if the delivery was claimed again since.

        The caller holds the lock of :meth:`endpoint`.
        """
        ...

    async def stop(self, claimed: ClaimedDelivery, state: EndpointState, reason: str) -> bool:
        """Pause or disable an endpoint that is active; False if it is not. Disabled, what waits is cancelled."""
        ...

    async def prune(self, *, older_than_s: float, limit: int) -> int:
        """Remove finished deliveries with their attempts, the oldest first; return how many."""
        ...
