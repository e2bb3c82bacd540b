"""Active time as an operations manager reads it, and the labels that it was spent on."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.lifecycle import RevisionRef
from services.contracts.operations import Counted, Measured
from services.contracts.review import TaskKind, TaskState

Seconds = Annotated[float, Field(ge=0)]


class ActivitySelection(Contract):
    """Some of the work of people on tasks of a project; what is left out does not matter."""

    actor: Identifier | None = None
    task_id: UUID | None = None
    queue: Identifier | None = None
    kind: TaskKind | None = None
    since: UtcDatetime | None = Field(default=None, description="With a sign of life at this moment or later.")
    before: UtcDatetime | None = Field(default=None, description="With the last sign of life before this moment.")
    completed_since: UtcDatetime | None = Field(default=None, description="On tasks completed at this moment or later.")
    completed_before: UtcDatetime | None = None
    committed_since: UtcDatetime | None = Field(
        default=None, description="On samples that became ground truth at this moment or later."
    )
    committed_before: UtcDatetime | None = None


class LabelSelection(Contract):
    """The labels of samples that became ground truth in a window."""

    committed_since: UtcDatetime
    committed_before: UtcDatetime


class WorkedTime(Contract):
    """How long one person really worked on one task."""

    task_id: UUID
    ref: RevisionRef
    kind: TaskKind
    queue: str
    actor_id: Identifier
    active_s: Seconds
    opened_at: UtcDatetime = Field(description="When the task was opened.")
    last_at: UtcDatetime = Field(description="Their last sign of life.")


class PersonTime(Contract):
    """One person's active time on the tasks that are selected."""

    actor_id: Identifier
    tasks: Counted
    active_s: Measured


class TaskTime(Contract):
    """The active time of everybody on one task."""

    task_id: UUID
    ref: RevisionRef
    kind: TaskKind
    queue: str
    state: TaskState = Field(description="A claim whose lease is over counts as open.")
    created_at: UtcDatetime
    people: Counted
    active_s: Measured


class AcceptedLabel(Contract):
    """A label of a sample that became ground truth."""

    ref: RevisionRef
    label_version: int
    place: Annotated[int, Field(ge=1)] = Field(description="Its place in the label set, from 1.")
    annotation_id: str
    type: Name
    committed_at: UtcDatetime = Field(description="When the sample became ground truth first in the window.")
