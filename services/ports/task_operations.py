"""The store of operations on many tasks, as the product sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.escalation import EscalationTarget
from services.contracts.manifest import Risk
from services.contracts.review import ReviewTask, TaskFacts, TaskKind
from services.contracts.task_operations import OperationItem, Outcome, TaskFilter, TaskOperation


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """So many unfinished tasks of a project that no queue can tell apart.

    Attributes:
        queue: Where they are.
        kind: What they ask for.
        risk: Of their samples.
        facts: What they are about.
        to: Where an escalation rule has sent them; None where none has.
        tasks: How many.
    """

    queue: str
    kind: TaskKind
    risk: Risk
    facts: TaskFacts
    to: EscalationTarget | None
    tasks: int


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where tasks of these facts go, that an escalation rule has sent to this tier.

    Attributes:
        kind: What they ask for.
        risk: Of their samples.
        facts: What they are about.
        to: Where an escalation rule has sent them.
        queue: Where they go.
        skill: What is asked of who takes them there.
    """

    kind: TaskKind
    risk: Risk
    facts: TaskFacts
    to: EscalationTarget | None
    queue: str
    skill: str | None


@dataclass(frozen=True, slots=True)
class NewPlace:
    """What tasks shall have; what is None stays as it is.

    Attributes:
        queue: The queue.
        groups: The queue by the facts of the task, instead.
        priority: The priority.
        add_priority: Points to add to it.
        on_hold: Whether on hold.
        hold_reason: Why; goes with ``on_hold``.
        assign: Whether the assignee is set, to ``assignee``.
        assignee: The person; None: anybody.
        assignee_kinds: The kinds of task they may take.
        assignee_skills: Their skills.
        assignee_from: When they are at work next.
    """

    queue: str | None = None
    groups: tuple[GroupPlace, ...] | None = None
    priority: int | None = None
    add_priority: int | None = None
    on_hold: bool | None = None
    hold_reason: str | None = None
    assign: bool = False
    assignee: str | None = None
    assignee_kinds: tuple[TaskKind, ...] = ()
    assignee_skills: tuple[str, ...] = ()
    assignee_from: datetime | None = field(default=None)


class TaskOperationRepository(Protocol):
    """Operations on many tasks. Locks what it changes, in the order of task ids."""

    async def groups(self, project: str) -> tuple[TaskGroup, ...]:
        """Return the unfinished tasks of a project, counted by all that queues ask about."""
        ...

    async def unfinished(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ReviewTask, ...]:
        """Return unfinished tasks of a project, oldest first, by (created_at, task id) after the cursor."""
        ...

    async def change(
        self, operation_id: UUID | None, project: str, wanted: TaskFilter, place: NewPlace, *, most: int
    ) -> dict[Outcome, int]:
        """Change all tasks that a filter names and note what became of each; return the outcomes.

        Without ``operation_id`` only count what would become of each.

        Raises:
            InvalidInputError: The filter names more than ``most`` tasks; nothing is changed.
        """
        ...

    async def take_back(self, operation_id: UUID, undoes: UUID) -> dict[Outcome, int]:
        """Restore what an operation changed, where it has not been changed since; note what became of each task."""
        ...

    async def add(self, operation: TaskOperation) -> None:
        """Keep an operation."""
        ...

    async def get(self, project: str, operation_id: UUID, *, lock: bool = False) -> TaskOperation | None:
        """Return an operation; with ``lock`` no other transaction takes it back until this one ends."""
        ...

    async def list(self, project: str, *, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[TaskOperation]:
        """Return a project's operations, oldest first, after the cursor."""
        ...

    async def items(
        self, operation_id: UUID, *, outcomes: Sequence[Outcome], after: UUID | None, limit: int
    ) -> Sequence[OperationItem]:
        """Return what an operation did with each task, by task id, of these outcomes (any, if there are none)."""
        ...
