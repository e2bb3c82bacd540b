"""The review desk: what a person at work can do, each in one transaction that is committed before the answer."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.access.policy import Permission, may, task_kinds_of
from services.contracts.access import Principal
from services.contracts.review import (
    Decision,
    DecisionInput,
    Draft,
    Evidence,
    Lease,
    QueueSummary,
    ReviewTask,
    TakenTask,
    TaskKind,
    TaskState,
    Verdict,
)
from services.errors import ConcordError, ForbiddenError, NotFoundError, SelfReviewError
from services.ports.database import Database, Transaction
from services.quality.answers import note_answer
from services.quality.probes import room_of
from services.review import leases
from services.review.case_file import CaseFile
from services.review.decisions import decide_task
from services.review.evidence import evidence_of
from services.review.fitting import levels_of
from services.review.judges import (
    FINISHED_STATES,
    SeenTask,
    blindfolded,
    is_second_look,
    seen_task,
    told_to_decider,
)
from services.review.leases import ClaimWish
from services.review.sight import hidden_projects, sees_own_tasks_only

TaskCursor = tuple[datetime, UUID]


class ReviewDesk:
    """Everything a person does with review tasks.

    Args:
        database: The store of record; its clock decides about leases.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self, principal: Principal) -> tuple[QueueSummary, ...]:
        """Return the state of the queues in the projects that the key sees.

        Left out are projects in which people at work see their own tasks only: what a claim leaves waiting would
        tell what was claimed.
        """
        async with self._database.transaction() as tx:
            found = await tx.review.queues(principal.projects)
            hidden = await hidden_projects(tx, principal)
            return tuple(queue for queue in found if queue.project not in hidden)

    async def list_tasks(
        self,
        principal: Principal,
        *,
        queue: str | None = None,
        state: TaskState | None = None,
        after: TaskCursor | None = None,
        limit: int = 100,
    ) -> tuple[tuple[ReviewTask, ...], TaskCursor | None]:
        """Return a page of tasks, oldest first, and where the next one begins.

        Who works on tasks is shown only those they could take or hold: a page may then be shorter than ``limit``
        (even empty) although more follow. Where people see their own tasks only, those are what they hold and what
        names them.
        """
        async with self._database.transaction() as tx:
            hidden = await hidden_projects(tx, principal)
            found = await tx.review.list_tasks(
                projects=await _others(tx, principal, hidden), queue=queue, state=state, after=after, limit=limit + 1
            )
            if hidden:
                own = [
                    task
                    for task in await _own_tasks(tx, principal.actor_id, hidden)
                    if queue in (None, task.queue)
                    and state in (None, task.state)
                    and (after is None or _key(task) > after)
                ]
                found = tuple(sorted((*found, *own), key=_key)[: limit + 1])
            now = await tx.now()
            page = found[:limit]
            following = _key(page[-1]) if len(found) > limit else None
            if not may(principal.role, Permission.HISTORY_READ):
                skills = await _skills_of(tx, principal, {task.ref.project for task in page})
                page = tuple(
                    _for_worker(task, blind=True)
                    for task in page
                    if _is_for(principal, task, now, skills[task.ref.project])
                )
        return page, following

    async def claim_next(self, principal: Principal, wish: ClaimWish) -> TakenTask:
        """Claim the best task that fits; see :func:`services.review.leases.claim_next`."""
        async with self._database.transaction() as tx:
            room, task = await leases.claim_next(tx, principal, wish)
            return await _handed(room, task)

    async def claim(self, principal: Principal, task_id: UUID) -> TakenTask:
        """Claim one task; see :func:`services.review.leases.claim`."""
        async with self._database.transaction() as tx:
            room = await self._room(tx, principal, task_id)
            return await _handed(room, await leases.claim(room, principal, task_id))

    async def evidence(self, principal: Principal, task_id: UUID) -> Evidence:
        """Return what the person may see beside a task; see :func:`services.review.evidence.evidence_of`."""
        async with self._database.transaction() as tx:
            return await evidence_of(await self._room(tx, principal, task_id, look=True), principal, task_id)

    async def heartbeat(
        self,
        principal: Principal,
        task_id: UUID,
        fence: int,
        *,
        visible: bool = True,
        idle: timedelta = timedelta(0),
    ) -> Lease:
        """Extend a live lease and count the sign of life; see :func:`services.review.leases.renew`."""
        async with self._database.transaction() as tx:
            return await leases.renew(await room_of(tx, task_id), principal, task_id, fence, visible=visible, idle=idle)

    async def release(self, principal: Principal, task_id: UUID, fence: int) -> None:
        """Give a task back; see :func:`services.review.leases.release`."""
        async with self._database.transaction() as tx:
            await leases.release(await room_of(tx, task_id), principal, task_id, fence)

    async def save_draft(self, principal: Principal, task_id: UUID, fence: int, body: dict[str, Any]) -> Draft:
        """Keep unfinished work.

        Raises:
            StaleFenceError, TaskFinishedError: The task is not the person's any more. The draft is kept all the same.
            ForbiddenError, SelfReviewError: The person may not have the task. If they have had it, the draft is kept.
            NotFoundError: There is no such task that the key sees.
        """
        try:
            async with self._database.transaction() as tx:
                return await leases.save_draft(await room_of(tx, task_id), principal, task_id, fence, body)
        except leases.WORK_REFUSED as error:
            if await self._keep_refused(principal, task_id, fence, body, error):
                raise leases.kept(error) from error
            raise

    async def decide(self, principal: Principal, task_id: UUID, given: DecisionInput) -> Decision:
        """Take a decision, once; the same again by the same person answers the stored one.

        Raises:
            StaleFenceError, TaskFinishedError: It came too late. What was sent is kept as the person's draft.
            ForbiddenError, SelfReviewError: The person may not decide the task. If they have had it, what was sent is
                kept as their draft.
            NotFoundError, ChangedMeanwhileError, DecisionInvalidError: See
                :func:`services.review.decisions.decide_task`.
        """
        try:
            async with self._database.transaction() as tx:
                room, decision, file = await _decided(tx, principal, task_id, given)
                if file is not None and file.scored:
                    await note_answer(tx, decision, of_probe=room is not tx)
                return told_to_decider(decision)
        except leases.WORK_REFUSED as error:
            content = given.model_dump(mode="json", exclude_none=True, exclude={"fence"})
            if await self._keep_refused(principal, task_id, given.fence, content, error):
                raise leases.kept(error) from error
            raise

    async def escalate(self, principal: Principal, task_id: UUID, fence: int, note: str) -> Decision:
        """Hand a task on to an expert, with the reason; a decision like any other."""
        given = DecisionInput(verdict=Verdict.ESCALATE, fence=fence, note=note)
        return await self.decide(principal, task_id, given)

    async def _keep_refused(
        self, principal: Principal, task_id: UUID, fence: int, body: dict[str, Any], error: ConcordError
    ) -> bool:
        """Keep as a draft what was refused; the refused transaction is rolled back by now, this one is its own."""
        async with self._database.transaction() as tx:
            room = await room_of(tx, task_id)
            task = await seen_task(room, principal, task_id, lock=True)
            # Who can not have held the task has nothing to lose with it.
            if task.kind not in task_kinds_of(principal.role) or fence > task.fence:
                return False
            taken_away = isinstance(error, ForbiddenError | SelfReviewError)
            if taken_away and await room.operations.activity(task_id, principal.actor_id) is None:
                return False
            await room.review.save_draft(task_id, principal.actor_id, body)
        return True

    async def _room(self, tx: Transaction, principal: Principal, task_id: UUID, *, look: bool = False) -> Transaction:
        """Return where a task is looked at or claimed by its id, by somebody who may know that it is there."""
        room = await room_of(tx, task_id)
        task = await seen_task(room, principal, task_id)
        if await sees_own_tasks_only(tx, principal, task.ref.project):
            given = await room.operations.activity(task_id, principal.actor_id) is not None
            if not given and task.assignee != principal.actor_id:
                raise NotFoundError(f"There is no task {task_id}.")
            if look and task.state in FINISHED_STATES:
                raise ForbiddenError(f"This task is {task.state}; in this project nobody looks at it again.")
        return room


def _key(task: ReviewTask) -> TaskCursor:
    return task.created_at, task.task_id


async def _others(tx: Transaction, principal: Principal, hidden: frozenset[str]) -> tuple[str, ...] | None:
    """Return the projects whose tasks are listed whole; None for all there are."""
    if not hidden:
        return principal.projects
    names = principal.projects
    if names is None:
        names = tuple(project.id for project in await tx.projects.list())
    return tuple(name for name in names if name not in hidden)


async def _own_tasks(tx: Transaction, actor_id: str, projects: frozenset[str]) -> tuple[ReviewTask, ...]:
    names = sorted(projects)
    return (*await tx.review.own_tasks(actor_id, names), *await tx.probes.held(actor_id, names))


async def _skills_of(tx: Transaction, principal: Principal, projects: Set[str]) -> dict[str, Set[str]]:
    """Return the skills that count for a person in each project."""
    return {
        project: levels_of(principal, await tx.people.get(project, principal.actor_id)).keys() for project in projects
    }


def _is_for(principal: Principal, task: ReviewTask, now: datetime, skills: Set[str]) -> bool:
    held = task.lease_expires_at is not None and task.lease_expires_at > now
    own = held and task.held_by == principal.actor_id
    return (
        task.kind in task_kinds_of(principal.role)
        and principal.actor_id not in task.excluded_actors
        and task.assignee in (None, principal.actor_id)
        and (own or (not (held or task.on_hold) and (task.skill is None or task.skill in skills)))
    )


async def _handed(tx: Transaction, task: TakenTask) -> TakenTask:
    """The task as the person sees it who has just taken it."""
    blind = task.kind is TaskKind.ADJUDICATE and is_second_look(task, await tx.review.decisions(task.ref))
    return _for_worker(task, blind=blind)


def _for_worker(task: SeenTask, *, blind: bool) -> SeenTask:
    return blindfolded(task) if blind else task.model_copy(update={"excluded_actors": ()})


async def _decided(
    tx: Transaction, principal: Principal, task_id: UUID, given: DecisionInput
) -> tuple[Transaction, Decision, CaseFile | None]:
    """Take a decision on a real task, as nearly all are, or else on a probe, which real tasks pay no look for."""
    try:
        return tx, *await decide_task(tx, principal, task_id, given)
    except NotFoundError:
        room = await room_of(tx, task_id)
        if room is tx:
            raise
    return room, *await decide_task(room, principal, task_id, given)
