"""The store of the human side, as the product sees it: findings, review tasks, drafts, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from services.contracts.escalation import TaskCause
from services.contracts.lifecycle import RevisionRef
from services.contracts.queues import Lane
from services.contracts.records import SampleRevision
from services.contracts.review import (
    Activity,
    Decision,
    Draft,
    Lease,
    NewTask,
    QueueSummary,
    ReviewTask,
    StoredFinding,
    TaskState,
)
from services.review.case_file import CaseFile


@dataclass(frozen=True, slots=True)
class TaskClock:
    """When a task must be started and finished.

    Attributes:
        start_by_at: When somebody must have claimed it; None where that does not matter.
        due_at: When it must be decided.
    """

    start_by_at: datetime | None
    due_at: datetime


class ReviewRepository(Protocol):
    """Findings with their state, review tasks, drafts and decisions."""

    async def findings(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        """Return all findings of a revision, by finding id."""
        ...

    async def findings_before(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        """Return the findings of the sample's earlier revisions, each as the newest of them has it, by finding id."""
        ...

    async def put_finding(self, finding: StoredFinding) -> None:
        """Insert or replace a finding by (revision, finding id)."""
        ...

    async def open_task(self, task: NewTask) -> ReviewTask:
        """Open a task; one that has the same origin decision and kind is returned instead."""
        ...

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        """Return a task; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def lock_case(
        self, task_id: UUID, projects: tuple[str, ...] | None
    ) -> tuple[SampleRevision, ReviewTask] | None:
        """Return a task of these projects (None: of all) and its revision; nobody else changes them any more.

        The revision is locked first, then the task.
        """
        ...

    async def case_file(self, task: ReviewTask, actor_id: str) -> CaseFile:
        """Return what this person's answer to the task is judged by; the caller has locked what it shall rest on."""
        ...

    async def tasks_of(self, ref: RevisionRef) -> tuple[ReviewTask, ...]:
        """Return all tasks of a revision, oldest first."""
        ...

    async def list_tasks(
        self,
        *,
        projects: tuple[str, ...] | None,
        queue: str | None,
        state: TaskState | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[ReviewTask, ...]:
        """Return tasks, oldest first, by (created_at, task id) after the cursor."""
        ...

    async def claim_next(
        self, actor_id: str, lanes: Sequence[Lane], fits: Sequence[int], idle_after: timedelta | None = None
    ) -> ReviewTask | None:
        """Claim the best task of these lanes that the person may have, in one statement.

        A task may be had when nobody holds a live lease on it, it is not on hold, it is assigned to nobody else, the
        person is not excluded, and they do not hold or have not answered another task of the same revision and
        findings. Tasks that name the person come first, rework before others. Of the rest the best is the one with
        the highest effective priority now (in whole points), then of the lane with the greater ``fits``, then the
        oldest. Sets holder, lease (of the lane's length, by ``clock_timestamp()``) and the next fence. With
        ``idle_after`` the person's active time begins too; a last sign of life that is not older than that stays.
        """
        ...

    async def look_next(self, actor_id: str, lanes: Sequence[Lane], fits: Sequence[int]) -> ReviewTask | None:
        """Return the task that :meth:`claim_next` would claim, and keep it for this transaction."""
        ...

    async def own_tasks(self, actor_id: str, projects: Sequence[str]) -> tuple[ReviewTask, ...]:
        """Return what the person holds now, and unfinished tasks that name them."""
        ...

    async def claim(
        self, task_id: UUID, actor_id: str, lease: timedelta, idle_after: timedelta | None = None
    ) -> ReviewTask | None:
        """Claim this task if nobody else holds a live lease on it; None otherwise. Claiming one's own renews it.

        With ``idle_after`` the person's active time begins, as in :meth:`claim_next`.
        """
        ...

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        """Extend a live lease held under ``fence``; None if it is over or another's."""
        ...

    async def release(self, task_id: UUID, fence: int) -> bool:
        """Give a task back; False if the lease is over or another's. The draft stays."""
        ...

    async def close_task(self, task_id: UUID, state: TaskState) -> None:
        """Complete or cancel a task and drop its lease."""
        ...

    async def move_to_tier(
        self, task_id: UUID, queue: str, skill: str | None, reason: str, cause: TaskCause | None, clock: TaskClock
    ) -> None:
        """Make an open review or adjudication an adjudication of ``queue``, for anybody and at a higher priority.

        Its deadlines are those of the new tier from then on, and nobody has claimed it there yet. A task that somebody
        holds, or that asks for labels, stays as it is.

        Args:
            task_id: The task.
            queue: Where it goes.
            skill: What is asked of who takes it there, beside what the queue asks.
            reason: A sentence for who takes it.
            cause: Why it is there.
            clock: When it must be started and finished there.
        """
        ...

    async def ask_anybody(self, task_id: UUID) -> None:
        """Ask an open task of anybody instead of the one person it names; what somebody holds stays as it is."""
        ...

    async def exclude_actor(self, task_id: UUID, actor_id: str) -> None:
        """Add a person to those who may not take a task, and end their hold on it; again changes nothing."""
        ...

    async def value_tasks(self, task_ids: Sequence[UUID], worth: float) -> None:
        """Note what the answers to unfinished tasks are worth; their order in the lane follows."""
        ...

    async def raise_priority(self, task_id: UUID, by: int) -> None:
        """Raise the priority of a task."""
        ...

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        """Keep the person's draft for a task, one per person and task, whatever the lease."""
        ...

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        """Return the person's draft."""
        ...

    async def add_decision(
        self,
        decision: Decision,
        body: dict[str, Any],
        *,
        settled: Sequence[StoredFinding] = (),
        activity: Activity | None = None,
    ) -> None:
        """Keep a decision with its whole input and complete its task; a second one for it raises TaskFinishedError.

        Args:
            decision: The decision.
            body: Its whole input.
            settled: Findings of its revision; their state, and what goes with it, is kept.
            activity: The person's on the task, with the sign of life that the decision is.
        """
        ...

    async def decision_of_task(self, task_id: UUID) -> Decision | None:
        """Return the decision that finished a task."""
        ...

    async def decisions(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions of a revision, oldest first."""
        ...

    async def decisions_before(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions on the sample's earlier revisions, oldest first."""
        ...

    async def decision_bodies(self, ref: RevisionRef) -> dict[UUID, dict[str, Any]]:
        """Return the whole input of each decision of a revision, as :meth:`add_decision` was given it."""
        ...

    async def queues(self, projects: tuple[str, ...] | None) -> tuple[QueueSummary, ...]:
        """Return the state of every queue that has or had tasks."""
        ...
