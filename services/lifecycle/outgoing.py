"""Events as the outside is told them, over NATS and over HTTP alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.calibration import PAUSED, PersonPaused, paused_event_id
from services.contracts.events import (
    OUTGOING_SOURCE,
    OUTGOING_SUBJECT_PREFIX,
    StageChanged,
    TaskDeadline,
    stage_event_id,
    stage_event_type,
    task_event_id,
    task_event_type,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.notes import NOTE_MENTIONED, NoteMentioned, mention_event_id
from services.contracts.project_events import PROJECT_EVENTS, ProjectEvent
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
    """Return the event of an outbox message; the same each time it is made."""
    about_project = PROJECT_EVENTS.get(message.event_type or "")
    if about_project is not None:
        return _of_project(about_project.model_validate(message.body))
    if "moment_key" in message.body:
        told = TaskDeadline.model_validate(message.body)
        return _event(task_event_id(told), task_event_type(told), told, {})
    if "note_id" in message.body:
        mentioned = NoteMentioned.model_validate(message.body)
        return _event(mention_event_id(mentioned), NOTE_MENTIONED, mentioned, {})
    if "paused_at" in message.body:
        return _of_person(PersonPaused.model_validate(message.body))
    change = StageChanged.model_validate(message.body)
    return _event(stage_event_id(change), stage_event_type(change.stage), change, {"sequence": str(change.sequence)})


def _of_project(told: ProjectEvent) -> OutgoingEvent:
    body = structured_event(
        event_id=told.event_id,
        source=OUTGOING_SOURCE,
        event_type=told.TYPE,
        subject=told.subject,
        time=told.at,
        data=told,
        extensions={"partitionkey": f"{told.project}/{told.subject}"},
    )
    return OutgoingEvent(told.event_id, told.TYPE, f"{OUTGOING_SUBJECT_PREFIX}.{told.project}.{told.TYPE}", body)


def _of_person(told: PersonPaused) -> OutgoingEvent:
    # It names no sample: which one the last answer was about is not for whoever listens.
    body = structured_event(
        event_id=paused_event_id(told),
        source=OUTGOING_SOURCE,
        event_type=PAUSED,
        subject=f"reviewers/{told.actor_id}",
        time=told.paused_at,
        data=told,
        extensions={"partitionkey": f"{told.project}/reviewers/{told.actor_id}"},
    )
    return OutgoingEvent(paused_event_id(told), PAUSED, f"{OUTGOING_SUBJECT_PREFIX}.{told.project}.{PAUSED}", body)


def _event(
    event_id: str, event_type: str, data: StageChanged | TaskDeadline | NoteMentioned, extensions: Mapping[str, str]
) -> OutgoingEvent:
    ref = RevisionRef(project=data.project, sample_id=data.sample_id, revision=data.revision)
    body = structured_event(
        event_id=event_id,
        source=OUTGOING_SOURCE,
        event_type=event_type,
        subject=subject_of(ref),
        time=data.at,
        data=data,
        extensions={"partitionkey": f"{data.project}/{data.sample_id}", **extensions},
    )
    return OutgoingEvent(event_id, event_type, f"{OUTGOING_SUBJECT_PREFIX}.{data.project}.{event_type}", body)
