"""Events as the outside is told them, over NATS and over HTTP alike."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.events import (
    OUTGOING_SOURCE,
    OUTGOING_SUBJECT_PREFIX,
    StageChanged,
    stage_event_id,
    stage_event_type,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import OutboxMessage
from services.intake.cloud_events import structured_event
from services.lifecycle.journal import subject_of


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event in structured JSON.

    Attributes:
        id: Its id; the same each time it is made.
        type: What happened.
        subject: Where it is published on NATS.
        body: The envelope with the data; the same bytes each time.
    """

    id: str
    type: str
    subject: str
    body: bytes


def outgoing(message: OutboxMessage) -> OutgoingEvent:
    """Return the event of an outbox message."""
    change = StageChanged.model_validate(message.body)
    event_type = stage_event_type(change.stage)
    event_id = stage_event_id(change.project, change.sample_id, change.sequence)
    body = structured_event(
        event_id=event_id,
        source=OUTGOING_SOURCE,
        event_type=event_type,
        subject=subject_of(RevisionRef(project=change.project, sample_id=change.sample_id, revision=change.revision)),
        time=change.at,
        data=change,
        extensions={"partitionkey": f"{change.project}/{change.sample_id}", "sequence": str(change.sequence)},
    )
    return OutgoingEvent(event_id, event_type, f"{OUTGOING_SUBJECT_PREFIX}.{change.project}.{event_type}", body)
