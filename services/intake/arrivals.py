"""Events that were read, and what their senders are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.contracts.events import AnyReceipt, EventType, IncomingEvent, Receipt, TaxonomyReceipt
from services.contracts.records import StoredEvent
from services.errors import EventConflictError
from services.intake.cloud_events import EventMessage, event_of, read_envelope
from services.ports.database import LedTo


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that was read, with the message it came as.

    Attributes:
        message: What a dead letter would keep.
        event: The event.
        project: The project its data names, if it names one.
        sample_id: The sample its data names, if it names one.
        taxonomy_id: The taxonomy it is, if it is one.
    """

    message: EventMessage
    event: IncomingEvent
    project: str | None
    sample_id: str | None
    taxonomy_id: str | None = None

    def lane(self, number: int) -> tuple[str | int, ...]:
        """Return what events that must keep their order have in common; ``number`` tells apart all others."""
        if self.taxonomy_id is not None:
            return ("taxonomy", "of", self.taxonomy_id)
        return (number,) if self.project is None or self.sample_id is None else (self.project, self.sample_id)


def read_arrival(message: EventMessage) -> Arrival:
    """Read an event; the errors are those of :func:`read_envelope` and :func:`event_of`."""
    event = event_of(read_envelope(message))
    return Arrival(
        message=message,
        event=event,
        project=named(event.data, "project"),
        sample_id=named(event.data, "sample_id"),
        taxonomy_id=named(event.data, "id") if event.type == EventType.TAXONOMY_PUBLISHED else None,
    )


def named(data: object, key: str) -> str | None:
    """Return what unread data has under a key, if that is a text."""
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else None


def answer_again(event: IncomingEvent, stored: StoredEvent) -> AnyReceipt:
    """Return the receipt of an event that was accepted before.

    Raises:
        EventConflictError: It was accepted with other content.
    """
    if stored.event.content_sha256 != event.content_sha256:
        raise EventConflictError(
            f"the event {event.id!r} of source {event.source!r} was accepted with other content; "
            "give the new event an id of its own",
            places=(("/id", "was used with other content"),),
        )
    return receipt_of(event, stored.led_to, "duplicate")


def receipt_of(event: IncomingEvent, led_to: LedTo, outcome: Literal["accepted", "duplicate"]) -> AnyReceipt:
    """Return what the sender of an event is told."""
    if isinstance(led_to, str):
        return TaxonomyReceipt(source=event.source, id=event.id, outcome=outcome, taxonomy=led_to)
    return Receipt(source=event.source, id=event.id, outcome=outcome, **led_to.model_dump())
