"""Events in and out: the CloudEvents types, and the data each carries."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.annotations import Annotations
from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, Text, UtcDatetime, Version
from services.contracts.calibration import PAUSED
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage, trace_ids
from services.contracts.notes import NOTE_MENTIONED
from services.contracts.project_events import PROJECT_EVENTS
from services.contracts.taxonomies import TaxonomyReference


class EventType(StrEnum):
    """What upstream may send."""

    SAMPLE_CREATED = "concord.sample.created.v1"  # data: a sample manifest
    SAMPLE_UPDATED = "concord.sample.updated.v1"  # data: a sample manifest; becomes the next revision
    SAMPLE_WITHDRAWN = "concord.sample.withdrawn.v1"  # data: SampleWithdrawn
    LABELS_SUBMITTED = "concord.labels.submitted.v1"  # data: LabelsSubmitted
    TAXONOMY_PUBLISHED = "concord.taxonomy.published.v1"  # data: a taxonomy document


class SampleWithdrawn(Contract):
    """Upstream takes a sample back."""

    project: ProjectId
    sample_id: Identifier
    reason: Text


class LabelsSubmitted(Contract):
    """An external tool, or a person in one, hands in the labels of a sample, whole."""

    project: ProjectId
    sample_id: Identifier
    revision: Version | None = Field(default=None, description="The newest if left out.")
    annotations: Annotations
    author: Author


class IncomingEvent(Contract):
    """A CloudEvent whose envelope was read; ``data`` is still to be validated by its type."""

    source: Annotated[str, Field(min_length=1, max_length=1_000)]
    id: Annotated[str, Field(min_length=1, max_length=500)]
    type: Name
    subject: Text | None = None
    time: UtcDatetime | None = None
    data: Any = None
    content_sha256: Sha256 = Field(description="Of type, subject and data in canonical form.")


class _Receipt(Contract):
    source: str
    id: str
    outcome: Literal["accepted", "duplicate"]


class Receipt(_Receipt):
    """What the sender of an event about a sample is told."""

    project: ProjectId
    sample_id: Identifier
    revision: Annotated[int, Field(ge=1)]

    @property
    def ref(self) -> RevisionRef:
        """The sample revision that the event led to."""
        return RevisionRef(project=self.project, sample_id=self.sample_id, revision=self.revision)

    @property
    def traced(self) -> dict[str, str]:
        """The ids by which what the event led to is followed through the logs."""
        return trace_ids(self.ref)


class TaxonomyReceipt(_Receipt):
    """What the sender of a taxonomy is told."""

    taxonomy: TaxonomyReference

    @property
    def traced(self) -> dict[str, str]:
        """The ids by which what the event led to is followed through the logs."""
        return {"taxonomy": self.taxonomy}


AnyReceipt = Receipt | TaxonomyReceipt


OUTGOING_SOURCE = "/concord"
OUTGOING_SUBJECT_PREFIX = "concord.events"  # NATS: concord.events.<project>.<type>
INCOMING_SUBJECT_PREFIX = "concord.ingest"  # NATS: concord.ingest.<anything>


class StageChanged(Contract):
    """Data of an outgoing event: a sample revision reached a stage."""

    project: ProjectId
    sample_id: Identifier
    revision: Annotated[int, Field(ge=1)]
    sequence: Annotated[int, Field(ge=1)] = Field(description="Per sample, from 1, without gaps.")
    stage: Stage
    previous_stage: Stage | None = None
    at: UtcDatetime
    actor: Identifier
    reason: Text | None = None
    content_sha256: Sha256 | None = Field(default=None, description="Of the ground truth, when committed.")


class TaskDeadline(Contract):
    """Data of an outgoing event: a task that is still open is due soon, or too late."""

    project: ProjectId
    sample_id: Identifier
    revision: Annotated[int, Field(ge=1)]
    task_id: UUID
    kind: Literal["annotate", "review", "adjudicate", "rework"]
    queue: Identifier
    moment: Literal["reminder", "start", "finish"] = Field(
        description="Due soon; not claimed in time; not decided in time."
    )
    number: Annotated[int, Field(ge=1)] = Field(description="Which finish deadline, from 1.")
    deadline_at: UtcDatetime
    at: UtcDatetime
    person: Identifier | None = Field(default=None, description="Who holds it, or is the only one asked.")
    moved_to: Identifier | None = Field(default=None, description="The queue of the next tier.")
    freed: bool | None = Field(
        default=None, description="True: only this person was asked, and did not begin; now anybody may take it."
    )
    moment_key: Name = Field(description="The same however often this is told.")


TASK_REMINDED = "concord.task.reminded.v1"
TASK_OVERDUE = "concord.task.overdue.v1"


def task_event_id(told: TaskDeadline) -> str:
    """Return the id of the event that tells of a deadline."""
    return f"{told.project}/{told.sample_id}/{told.moment_key}"


def task_event_type(told: TaskDeadline) -> str:
    """Return the CloudEvents type of the event that tells of a deadline."""
    return TASK_REMINDED if told.moment == "reminder" else TASK_OVERDUE


def stage_event_type(stage: Stage) -> str:
    """Return the CloudEvents type of the event that says a sample reached ``stage``."""
    return f"concord.sample.{stage.value}.v1"


def stage_event_id(change: StageChanged) -> str:
    """Return the id of the event that says a sample reached a stage."""
    return f"{change.project}/{change.sample_id}/{change.sequence}"


OUTGOING_EVENT_TYPES = (
    *(stage_event_type(stage) for stage in Stage),
    TASK_REMINDED,
    TASK_OVERDUE,
    NOTE_MENTIONED,
    PAUSED,
    *PROJECT_EVENTS,
)
"""Every type of event that the product sends."""
