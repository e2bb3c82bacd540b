"""Notes of people on samples: what they are pinned to, whom they mention, what they said before."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from services.contracts.base import Contract, FrameIndex, Identifier, LongText, Number, ProjectId, Seconds, UtcDatetime
from services.contracts.lifecycle import RevisionRef

NOTE_MENTIONED = "concord.note.mentioned.v1"
MAX_MENTIONS = 50

NoteText = Annotated[LongText, StringConstraints(min_length=1, max_length=10_000)]


class SamplePin(Contract):
    """The sample as a whole."""

    kind: Literal["sample"] = "sample"


class StreamPin(Contract):
    """A stream."""

    kind: Literal["stream"] = "stream"
    stream: Identifier


class FramePin(Contract):
    """A frame of a stream."""

    kind: Literal["frame"] = "frame"
    stream: Identifier
    frame: FrameIndex


class TimePin(Contract):
    """A span of the sample's time, of one stream or of all."""

    kind: Literal["time"] = "time"
    stream: Identifier | None = None
    start_s: Seconds
    end_s: Seconds

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end_s < self.start_s:
            raise ValueError(f"end_s must not lie before start_s, got {self.start_s} to {self.end_s}")
        return self


class RegionPin(Contract):
    """A rectangle of an image or of a frame."""

    kind: Literal["region"] = "region"
    stream: Identifier
    frame: FrameIndex | None = None
    box_px: tuple[Number, Number, Number, Number] = Field(description="x_min, y_min, x_max, y_max in pixels.")

    @model_validator(mode="after")
    def _spans_something(self) -> Self:
        x_min, y_min, x_max, y_max = self.box_px
        if x_max <= x_min or y_max <= y_min:
            raise ValueError(f"box_px must be x_min, y_min, x_max, y_max with a width and a height, got {self.box_px}")
        return self


class AnnotationPin(Contract):
    """A label."""

    kind: Literal["annotation"] = "annotation"
    annotation_id: Identifier


Pin = Annotated[SamplePin | StreamPin | FramePin | TimePin | RegionPin | AnnotationPin, Field(discriminator="kind")]


class NewNote(Contract):
    """A note to keep."""

    body: NoteText = Field(description="Text; @person mentions whoever has a key for the project.")
    pin: Pin | None = Field(default=None, description="What it is about; an answer has the pin of its thread.")
    thread_id: UUID | None = Field(default=None, description="The thread that it answers in; a new one if left out.")
    revision: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Of the sample; the newest, or the thread's, if left out."
    )


class Note(Contract):
    """A note as it is now."""

    note_id: UUID
    thread_id: UUID = Field(description="The id of the note that began the thread.")
    ref: RevisionRef
    author: Identifier
    body: str = Field(description="Empty once it is deleted.")
    pin: Pin
    mentions: tuple[Identifier, ...] = ()
    version: Annotated[int, Field(ge=1)] = Field(description="Rises with every edit; the ETag.")
    created_at: UtcDatetime
    edited_at: UtcDatetime | None = None
    deleted_at: UtcDatetime | None = None


class NoteVersion(Contract):
    """What a note said from one moment on."""

    note_id: UUID
    version: Annotated[int, Field(ge=1)]
    body: str
    mentions: tuple[Identifier, ...] = ()
    actor: Identifier
    at: UtcDatetime
    deleted: bool = False


class NoteChange(Contract):
    """Another text for a note."""

    body: NoteText


class Mention(Contract):
    """That somebody was mentioned."""

    actor_id: Identifier
    note: Note
    at: UtcDatetime


class NoteMentioned(Contract):
    """Data of an outgoing event: a note mentions people."""

    project: ProjectId
    sample_id: Identifier
    revision: Annotated[int, Field(ge=1)]
    note_id: UUID
    thread_id: UUID
    note_version: Annotated[int, Field(ge=1)]
    author: Identifier
    mentions: Annotated[tuple[Identifier, ...], Field(min_length=1)] = Field(
        description="Who was not mentioned before."
    )
    body: str
    at: UtcDatetime


def mention_event_id(told: NoteMentioned) -> str:
    """Return the id of the event that tells of mentions."""
    return f"{told.project}/{told.sample_id}/notes/{told.note_id}/{told.note_version}"
