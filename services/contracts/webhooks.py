"""Outgoing webhooks: who is told what over HTTP, and how each telling went."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from services.contracts.base import Contract, Identifier, ProjectId, Text, UtcDatetime
from services.contracts.events import OUTGOING_EVENT_TYPES

PING_TYPE = "concord.webhook.ping.v1"
MAX_ENDPOINTS = 100
"""Endpoints of one project; each costs a row for every event."""

MAX_REDELIVERED = 10_000
"""Deliveries that one redelivery of a range begins again."""


def _known_type(value: str) -> str:
    if value not in OUTGOING_EVENT_TYPES:
        raise ValueError(f"is no event that Concord sends; choose from {', '.join(OUTGOING_EVENT_TYPES)}")
    return value


WebhookUrl = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[!-~]+$")]
EventTypes = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=200), AfterValidator(_known_type)], ...], Field(max_length=100)
]


class EndpointState(StrEnum):
    """Whether an endpoint is told of events."""

    ACTIVE = "active"
    PAUSED = "paused"  # events are kept for it and sent once it is enabled
    DISABLED = "disabled"  # events pass it by


class WebhookSettings(Contract):
    """What is set for an endpoint."""

    url: WebhookUrl = Field(description="Where events are posted; the operator lists the hosts that may be asked.")
    event_types: EventTypes = Field(default=(), description="Types of events to send; every one if empty.")
    description: Text = ""


class WebhookEndpoint(Contract):
    """An endpoint as it is told of; its secrets are not among it."""

    endpoint_id: UUID
    project: ProjectId
    url: WebhookUrl
    event_types: tuple[str, ...]
    description: Text
    state: EndpointState
    reason: Text | None = Field(default=None, description="Why it is paused or disabled.")
    version: Annotated[int, Field(ge=1)] = Field(description="Rises with every change; the ETag.")
    failures: Annotated[int, Field(ge=0)] = Field(default=0, description="Attempts that failed since one succeeded.")
    failing_since: UtcDatetime | None = None
    old_secret_until: UtcDatetime | None = Field(
        default=None, description="Until then the secret before the newest signs too."
    )
    created_at: UtcDatetime
    updated_at: UtcDatetime


class RotateSecret(Contract):
    """How long both secrets sign."""

    overlap_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = Field(
        default=86_400, description="Seconds for which the secret so far signs too; 0 ends it now."
    )


class DeliveryState(StrEnum):
    """Where a delivery is."""

    WAITING = "waiting"  # is to be sent, for the first time or again
    DELIVERED = "delivered"
    FAILED = "failed"  # given up
    CANCELLED = "cancelled"  # its endpoint was disabled before it was delivered


class WebhookDelivery(Contract):
    """One event for one endpoint."""

    delivery_id: UUID
    endpoint_id: UUID
    webhook_id: str = Field(description="The header by which a receiver knows the event again; the same every time.")
    position: Annotated[int, Field(ge=1)] = Field(description="Rises in the order the events came about.")
    event_type: str
    event_id: str
    sample_id: Identifier | None = None
    subject: Text | None = Field(default=None, description="What in the project the event is about, if no sample.")
    state: DeliveryState
    attempts: Annotated[int, Field(ge=0)] = Field(description="Since it was begun, or begun again.")
    next_attempt_at: UtcDatetime | None = None
    last_status: int | None = None
    last_error: Text | None = None
    created_at: UtcDatetime
    finished_at: UtcDatetime | None = None


class WebhookAttempt(Contract):
    """One request to an endpoint, and what came of it."""

    number: Annotated[int, Field(ge=1)] = Field(
        description="From 1; a number that is missing was begun by a sender "
        "that died, and may have reached the receiver."
    )
    started_at: UtcDatetime
    latency_ms: Annotated[float, Field(ge=0)]
    status: Annotated[int, Field(ge=100, le=999)] | None = Field(default=None, description="HTTP status, if any came.")
    error: Text | None = Field(default=None, description="Why it counts as failed.")
    excerpt: Text | None = Field(default=None, description="How the answer's body begins.")


class NextStep(Contract):
    """What follows an attempt."""

    delivery: DeliveryState
    next_attempt_at: UtcDatetime | None = Field(default=None, description="When it is tried again, if it waits.")
    endpoint: EndpointState | None = Field(default=None, description="What the endpoint is put into; None leaves it.")
    reason: Text | None = Field(default=None, description="Why, for a person.")


class DeliveryLog(Contract):
    """A delivery with every attempt that was recorded, oldest first."""

    delivery: WebhookDelivery
    attempts: tuple[WebhookAttempt, ...]


class RedeliverRange(Contract):
    """Which deliveries to begin again: those of events that came about in a span of time."""

    since: UtcDatetime
    until: UtcDatetime | None = Field(default=None, description="Now if left out; not part of the span.")
    states: Annotated[tuple[DeliveryState, ...], Field(min_length=1, max_length=4)] = (
        DeliveryState.FAILED,
        DeliveryState.CANCELLED,
    )


class Redelivered(Contract):
    """How many deliveries were begun again; at most 10,000 at once, the oldest first."""

    count: Annotated[int, Field(ge=0)]
    more: bool = Field(description="Whether some of the span are left; ask again for them.")


class Pinged(Contract):
    """Data of the event that tests an endpoint."""

    project: ProjectId
    endpoint_id: UUID
    actor: Identifier
    at: UtcDatetime


def webhook_id_of(delivery_id: UUID) -> str:
    """Return the ``webhook-id`` header of a delivery."""
    return f"msg_{delivery_id.hex}"
