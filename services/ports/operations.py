"""The store as an operations manager counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from services.contracts.active_time import AcceptedLabel, ActivitySelection, LabelSelection, WorkedTime
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.operations import DecisionSelection, SampleSelection, TaskSelection
from services.contracts.records import SampleSummary
from services.contracts.review import Activity, Decision, ReviewTask

TaskColumn = Literal[
    "queue", "kind", "risk", "held_by", "cause", "rule", "check", "finding_kind", "created", "ended_at"
]
"""What tasks may be counted by; ``created`` and ``ended_at`` by the number of the piece of the window, from 0."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The first deadlines of a queue's open tasks: the moment to start for what nobody has begun, else to finish.

    Attributes:
        overdue: How many tasks have missed theirs.
        deadlines: Those to come, the soonest first.
    """

    overdue: int = 0
    deadlines: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonSeconds:
    """Active seconds of a person on so many tasks."""

    actor_id: str
    tasks: int
    active_s: float


@dataclass(frozen=True, slots=True)
class TaskSeconds:
    """Active seconds on a task of so many people."""

    task: ReviewTask
    people: int
    active_s: float


class OperationsRepository(Protocol):
    """Counts and lists over the same selections: a number and its list can not differ but by what happened since."""

    async def hold_still(self) -> None:
        """Let all that follows see one state of the store; called first in a transaction that only reads."""
        ...

    async def count_tasks(
        self, project: str, selection: TaskSelection, *, by: Sequence[TaskColumn] = (), pieces: timedelta | None = None
    ) -> Mapping[tuple[str, ...], int]:
        """Return how many tasks are selected, by the values of some columns; ``()`` is the key of the whole.

        Args:
            project: The project.
            selection: Which tasks.
            by: What to count by; a task about several findings counts for each kind of them once.
            pieces: Length of the pieces for ``created`` and ``ended_at``, from the start of the selection's window.
        """
        ...

    async def list_tasks(
        self, project: str, selection: TaskSelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ReviewTask, ...]:
        """Return selected tasks, oldest first, by (created_at, task id) after the cursor."""
        ...

    async def count_samples(self, project: str, selection: SampleSelection) -> int:
        """Return how many sample revisions are selected."""
        ...

    async def list_samples(
        self, project: str, selection: SampleSelection, *, after: tuple[datetime, RevisionRef] | None, limit: int
    ) -> tuple[SampleSummary, ...]:
        """Return selected sample revisions, oldest first, by (created_at, sample id, revision) after the cursor."""
        ...

    async def stages(self, project: str) -> Mapping[Stage, int]:
        """Return how many sample revisions are at each stage now."""
        ...

    async def stage_moves(self, project: str, since: datetime, pieces: timedelta) -> Mapping[tuple[Stage, int], int]:
        """Return by how much the number of revisions at each stage rose or fell in each piece of time since."""
        ...

    async def count_decisions(self, project: str, selection: DecisionSelection) -> int:
        """Return how many decisions are selected."""
        ...

    async def decisions_by_actor(self, project: str, selection: DecisionSelection) -> Mapping[str, int]:
        """Return how many of the selected decisions each person made."""
        ...

    async def list_decisions(
        self, project: str, selection: DecisionSelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Decision, ...]:
        """Return selected decisions, oldest first, by (decided_at, decision id) after the cursor."""
        ...

    async def oldest(self, project: str, at: datetime) -> Mapping[tuple[str, str], datetime]:
        """Return when the oldest open task of each (queue, kind) was created."""
        ...

    async def deadlines(self, project: str, at: datetime, limit: int) -> Mapping[tuple[str, str], Waiting]:
        """Return what is due of each (queue, kind), tasks on hold left out; at most ``limit`` deadlines of each."""
        ...

    async def handling_s(self, project: str, selection: ActivitySelection) -> Mapping[tuple[str, str], float]:
        """Return the median over the tasks selected of the active seconds of everybody on a task, by (queue, kind)."""
        ...

    async def people_times(self, project: str, selection: ActivitySelection) -> tuple[PersonSeconds, ...]:
        """Return the active time of each person in what is selected, by person."""
        ...

    async def task_times(
        self, project: str, selection: ActivitySelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[TaskSeconds, ...]:
        """Return the active time on each task in what is selected, by (created_at, task id) after the cursor."""
        ...

    async def list_activity(
        self, project: str, selection: ActivitySelection, *, after: tuple[datetime, UUID, str] | None, limit: int
    ) -> tuple[WorkedTime, ...]:
        """Return who worked on what, by (opened_at, task id, person) after the cursor."""
        ...

    async def count_labels(self, project: str, selection: LabelSelection) -> int:
        """Return how many labels are selected."""
        ...

    async def list_labels(
        self, project: str, selection: LabelSelection, *, after: tuple[str, int, int] | None, limit: int
    ) -> tuple[AcceptedLabel, ...]:
        """Return selected labels by (sample id, revision, place) after the cursor."""
        ...

    async def activity(self, task_id: UUID, actor_id: str) -> Activity | None:
        """Return a person's activity on a task, locked."""
        ...

    async def put_activity(self, activity: Activity) -> None:
        """Keep a person's activity on a task."""
        ...
