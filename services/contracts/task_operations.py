"""Changes of many review tasks at once: what is asked for, what became of it, and what would go where."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, Text, UtcDatetime
from services.contracts.findings import Severity
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import Risk
from services.contracts.queues import MAX_QUEUES, ReviewQueue
from services.contracts.review import TaskKind

MAX_TASKS = 100_000
"""Tasks that one operation may change."""
RELEASE_GRACE = timedelta(hours=1)
"""What is released from a hold has at least so long until its next deadline, however late it was before."""

_Some = Field(max_length=300)
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Count = Annotated[int, Field(ge=0)]


class TaskFilter(Contract):
    """Which unfinished tasks of a project are meant. Every member that is given must hold; a list holds any of it."""

    task_ids: Annotated[tuple[UUID, ...], Field(max_length=10_000)] = ()
    sample_ids: Annotated[tuple[Identifier, ...], Field(max_length=10_000)] = ()
    queues: Annotated[tuple[Identifier, ...], _Some] = ()
    kinds: Annotated[tuple[TaskKind, ...], Field(max_length=4)] = ()
    checks: Annotated[tuple[Name, ...], _Some] = ()
    finding_kinds: Annotated[tuple[Name, ...], _Some] = ()
    severities: Annotated[tuple[Severity, ...], Field(max_length=4)] = ()
    risks: Annotated[tuple[Risk, ...], Field(max_length=3)] = ()
    domains: Annotated[tuple[Name, ...], _Some] = ()
    languages: Annotated[tuple[Name, ...], _Some] = ()
    regions: Annotated[tuple[Name, ...], _Some] = ()
    assignees: Annotated[tuple[Identifier, ...], _Some] = ()
    on_hold: bool | None = None
    min_priority: Priority | None = None
    max_priority: Priority | None = None
    created_before: UtcDatetime | None = None
    created_after: UtcDatetime | None = None
    due_before: UtcDatetime | None = None


class Reroute(Contract):
    """Send tasks to another queue. Tasks that somebody holds stay where they are."""

    action: Literal["reroute"]
    queue: Identifier | None = Field(
        default=None, description="The queue; where the project's queues and rule set would send each, if left out."
    )


class Reprioritise(Contract):
    """Give tasks another priority."""

    action: Literal["reprioritise"]
    priority: Priority | None = Field(default=None, description="The new priority.")
    add: Priority | None = Field(default=None, description="Points to add instead; may be negative.")


class Hold(Contract):
    """Give tasks to nobody until they are released; who holds one already may finish it."""

    action: Literal["hold"]
    reason: Annotated[Text, Field(min_length=1)]


class Release(Contract):
    """End a hold."""

    action: Literal["release"]


class Assign(Contract):
    """Ask one person, or anybody again. Tasks that somebody holds stay with them."""

    action: Literal["assign"]
    assignee: Identifier | None = Field(default=None, description="The person; anybody, if left out.")


TaskChange = Annotated[Reroute | Reprioritise | Hold | Release | Assign, Field(discriminator="action")]


class OperationRequest(Contract):
    """A change of all tasks that a filter names."""

    filter: TaskFilter
    change: TaskChange
    note: Text | None = None


class Outcome(StrEnum):
    """What an operation did with a task."""

    CHANGED = "changed"
    HELD = "held"  # somebody holds it
    EXCLUDED = "excluded"  # the person made or judged what it is about, or another task asks them for the same
    UNFIT = "unfit"  # the person has no key for this kind, or lacks the skill
    AWAY = "away"  # the person is not at work before it is due
    FINISHED = "finished"  # undo: it has its answer by now, or was cancelled
    CHANGED_SINCE = "changed_since"  # undo: somebody changed it after the operation


class TaskOperation(Contract):
    """A change of many tasks that was made."""

    operation_id: UUID
    project: ProjectId
    action: Literal["reroute", "reprioritise", "hold", "release", "assign", "undo"]
    request: OperationRequest | None = Field(default=None, description="None for an undo.")
    note: Text | None = None
    actor_id: Identifier
    outcomes: dict[Outcome, Count] = Field(
        description="How many tasks had which outcome; those that were as asked for already are not counted."
    )
    undoes: UUID | None = Field(default=None, description="The operation that this one takes back.")
    undone_by: UUID | None = Field(default=None, description="The operation that took this one back.")
    created_at: UtcDatetime

    @property
    def changed(self) -> int:
        """How many tasks it changed."""
        return self.outcomes.get(Outcome.CHANGED, 0)


class OperationPreview(Contract):
    """What an operation would do now."""

    outcomes: dict[Outcome, Count]


class TaskPlace(Contract):
    """What operations can change about a task."""

    queue: Identifier
    skill: Name | None = None
    priority: int
    on_hold: bool
    hold_reason: Text | None = None
    assignee: Identifier | None = None


class OperationItem(Contract):
    """What an operation did with one task."""

    task_id: UUID
    outcome: Outcome
    before: TaskPlace
    after: TaskPlace


class PreviewRequest(Contract):
    """Queues to try: the whole set that the project would have."""

    queues: Annotated[tuple[ReviewQueue, ...], Field(max_length=MAX_QUEUES)]
    moved_only: bool = Field(default=False, description="List only tasks that would go elsewhere.")


class RoutePair(Contract):
    """So many unfinished tasks are in one queue and would be in another, or in the same."""

    now: Identifier
    would: Identifier
    tasks: Count


class RoutedTask(Contract):
    """Where one task is and where it would go."""

    task_id: UUID
    ref: RevisionRef
    kind: TaskKind
    rule: Identifier | None = Field(default=None, description="The escalation rule that fired for it; none: none did.")
    now: Identifier
    would: Identifier
    priority_now: int
    priority_would: int | None = Field(default=None, description="None: nothing says so; it stays.")


class RoutingPreview(Contract):
    """What would be routed where if the project had these queues; nothing is changed."""

    tasks: Count
    moved: Count
    pairs: tuple[RoutePair, ...] = Field(description="Most tasks first.")
    items: tuple[RoutedTask, ...] = Field(description="A page of the tasks, oldest first.")
    next_cursor: str | None = None
