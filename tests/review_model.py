"""What the review queue promises, written a second time and simply: a model that a state machine compares with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.access.policy import task_kinds_of
from services.contracts.access import Principal
from services.contracts.review import JUDGING_KINDS, ReviewTask, TaskKind
from services.contracts.task_operations import Outcome
from services.errors import (
    CapReachedError,
    ForbiddenError,
    SelfReviewError,
    TaskFinishedError,
    TaskHeldError,
    TaskOnHoldError,
)

AUTHOR = "author"
"""Made the labels that finding f-1 of every sample is about."""


@dataclass
class Task:
    task_id: UUID
    sample: str
    kind: TaskKind
    findings: frozenset[str]
    excluded: frozenset[str]
    created_at: datetime
    queue: str
    skill: str | None
    priority: int
    assignee: str | None = None
    on_hold: bool = False
    holder: str | None = None
    live: bool = False
    fence: int = 0
    answered_by: str | None = None
    drafts: set[str] = field(default_factory=set)

    @property
    def held(self) -> bool:
        return self.holder is not None and self.live

    def place(self) -> tuple[str, str | None, int, bool, str | None]:
        return self.queue, self.skill, self.priority, self.on_hold, self.assignee

    def put(self, place: tuple[str, str | None, int, bool, str | None]) -> None:
        self.queue, self.skill, self.priority, self.on_hold, self.assignee = place
        if not self.held:
            self.holder, self.live = None, False


@dataclass
class Queue:
    paused: bool = False
    capacity: int | None = None
    ageing: float = 0.0
    level: int = 0
    """Of the skill ``spatial``; 0 asks for none."""


@dataclass
class Person:
    principal: Principal
    level: int = 0
    cap: int | None = None

    @property
    def spatial(self) -> int:
        return max(self.level, 1 if "spatial" in self.principal.skills else 0)


Place = tuple[str, str | None, int, bool, str | None]


@dataclass
class Operation:
    before: dict[UUID, Place] = field(default_factory=dict)
    after: dict[UUID, Place] = field(default_factory=dict)
    undone: bool = False


class Model:
    def __init__(self, people: list[Person], queues: list[str]) -> None:
        self.people = {person.principal.actor_id: person for person in people}
        self.queues = {name: Queue() for name in queues}
        self.tasks: dict[UUID, Task] = {}

    def add(self, task: ReviewTask) -> None:
        self.tasks[task.task_id] = Task(
            task_id=task.task_id,
            sample=task.ref.sample_id,
            kind=task.kind,
            findings=frozenset(task.finding_ids),
            excluded=frozenset(task.excluded_actors),
            created_at=task.created_at,
            queue=task.queue,
            skill=task.skill,
            priority=task.priority,
            assignee=task.assignee,
        )

    # Who may have what

    def never(self, person: Person, task: Task) -> type[Exception] | None:
        """Why a person may not have a task, whoever holds what."""
        actor = person.principal.actor_id
        if task.kind not in task_kinds_of(person.principal.role):
            return ForbiddenError
        if task.skill is not None and not person.spatial and not (task.held and task.holder == actor):
            return ForbiddenError
        if task.assignee not in (None, actor):
            return ForbiddenError
        if actor in task.excluded:
            return SelfReviewError
        return None

    def judged(self, actor: str, task: Task) -> bool:
        """Whether a person made, or has judged with another task, what a task is about."""
        if task.kind not in JUDGING_KINDS:
            return False
        if actor == AUTHOR and "f-1" in task.findings:
            return True
        return any(
            other is not task
            and other.sample == task.sample
            and other.kind in JUDGING_KINDS
            and other.answered_by == actor
            and other.findings & task.findings
            for other in self.tasks.values()
        )

    def same_answer(self, other: Task, task: Task) -> bool:
        """Whether two tasks ask for what one person may answer once."""
        both = (other.kind, task.kind)
        if other is task or other.sample != task.sample:
            return False
        if both == (TaskKind.ANNOTATE, TaskKind.ANNOTATE):
            return True
        return JUDGING_KINDS.issuperset(both) and bool(other.findings & task.findings)

    def gives_twice(self, actor: str, task: Task) -> bool:
        """Whether a person holds, or has given, the one answer that a task asks for; handing on is no label."""
        return any(
            self.same_answer(other, task)
            and (
                (other.answered_by == actor and other.kind is not TaskKind.ANNOTATE)
                or (other.held and other.holder == actor)
            )
            for other in self.tasks.values()
        )

    def is_asked(self, actor: str, task: Task) -> bool:
        """Whether a person is asked for the one answer that a task asks for by another task already."""
        return any(
            self.same_answer(other, task) and other.answered_by is None and other.assignee == actor
            for other in self.tasks.values()
        )

    def answered(self, actor: str, task: Task) -> bool:
        """Whether a person holds or has answered another task of the same findings."""
        return any(
            other is not task
            and other.sample == task.sample
            and (other.findings & task.findings or not (other.findings or task.findings))
            and not (task.kind is other.kind is TaskKind.REWORK)
            and (other.answered_by == actor or (other.held and other.holder == actor))
            for other in self.tasks.values()
        )

    def live_in(self, queue: str) -> int:
        return sum(task.held and task.queue == queue for task in self.tasks.values())

    def held_by(self, actor: str) -> int:
        return sum(task.held and task.holder == actor for task in self.tasks.values())

    def not_given(self, person: Person, task: Task) -> type[Exception] | None:
        """Why a task is not given now to a person who may have it."""
        queue = self.queues[task.queue]
        if task.on_hold:
            return TaskOnHoldError
        if person.spatial < queue.level:
            return ForbiddenError
        if queue.paused:
            return TaskOnHoldError
        if person.cap is not None and self.held_by(person.principal.actor_id) >= person.cap:
            return CapReachedError
        if queue.capacity is not None and self.live_in(task.queue) >= queue.capacity:
            return CapReachedError
        return None

    def claim_refusal(self, person: Person, task: Task) -> type[Exception] | None:
        """What a claim of one task is refused with; None if it is granted."""
        actor = person.principal.actor_id
        never = self.never(person, task)
        if never is not None:
            return never
        if task.answered_by is not None:
            return TaskFinishedError
        if self.judged(actor, task):
            return SelfReviewError
        if task.held:
            return None if task.holder == actor else TaskHeldError
        return self.not_given(person, task)

    def offered(self, person: Person, queue: str | None) -> list[Task]:
        """The tasks that may be given to a person who asks for the next one."""
        actor = person.principal.actor_id
        return [
            task
            for task in self.tasks.values()
            if task.answered_by is None
            and not task.held
            and queue in (None, task.queue)
            and self.never(person, task) is None
            and self.not_given(person, task) is None
            and not (self.gives_twice if task.assignee is not None else self.answered)(actor, task)
        ]

    def is_best(self, chosen: Task, offered: list[Task], now: datetime) -> bool:
        """Whether no other task had to be given first; between lanes a point is left for the time that passes."""
        named = [task for task in offered if task.assignee is not None]
        if named:
            return chosen in named
        value = self._effective(chosen, now)
        for other in offered:
            same_lane = (other.queue, other.kind, other.skill) == (chosen.queue, chosen.kind, chosen.skill)
            margin = 1e-6 if same_lane else 1.0
            if self._effective(other, now) > value + margin:
                return False
            equal = same_lane and other.priority == chosen.priority and not self.queues[chosen.queue].ageing
            if equal and (other.created_at, other.task_id) < (chosen.created_at, chosen.task_id):
                return False
        return True

    def _effective(self, task: Task, now: datetime) -> float:
        hours = (now - task.created_at).total_seconds() / 3600
        return task.priority + self.queues[task.queue].ageing * hours

    # What changes

    def claimed(self, person: Person, task: Task) -> None:
        actor = person.principal.actor_id
        if not (task.held and task.holder == actor):
            task.fence += 1
        task.holder, task.live = actor, True

    def freed(self, task: Task) -> None:
        task.holder, task.live = None, False

    def decided(self, actor: str, task: Task) -> None:
        self.freed(task)
        task.answered_by = actor

    def unfinished(self, queue: str | None) -> list[Task]:
        return [task for task in self.tasks.values() if task.answered_by is None and queue in (None, task.queue)]

    def change(
        self, tasks: list[Task], new: dict[UUID, Place], judge: dict[UUID, Outcome]
    ) -> tuple[Counter[Outcome], Operation]:
        """Change tasks to their new places where ``judge`` says nothing else; return the outcomes."""
        outcomes: Counter[Outcome] = Counter()
        operation = Operation()
        for task in tasks:
            before, after = task.place(), new[task.task_id]
            if before == after:
                continue
            outcome = judge.get(task.task_id, Outcome.CHANGED)
            outcomes[outcome] += 1
            if outcome is Outcome.CHANGED:
                operation.before[task.task_id], operation.after[task.task_id] = before, after
                task.put(after)
        return outcomes, operation

    def undo(self, operation: Operation) -> tuple[Counter[Outcome], Operation]:
        operation.undone = True
        outcomes: Counter[Outcome] = Counter()
        done = Operation()
        for task_id, before in operation.before.items():
            task, after = self.tasks[task_id], operation.after[task_id]
            now = task.place()
            touched = any(a not in (b, n) for b, a, n in zip(before, after, now, strict=True))
            moved = any(before[index] != after[index] for index in (0, 1, 4))
            if task.answered_by is not None:
                outcome = Outcome.FINISHED
            elif touched:
                outcome = Outcome.CHANGED_SINCE
            elif moved and task.held:
                outcome = Outcome.HELD
            else:
                outcome = Outcome.CHANGED
            outcomes[outcome] += 1
            if outcome is Outcome.CHANGED:
                restored = tuple(b if b != a else n for b, a, n in zip(before, after, now, strict=True))
                done.before[task_id], done.after[task_id] = now, restored  # type: ignore[assignment]
                task.put(restored)  # type: ignore[arg-type]
        return outcomes, done
