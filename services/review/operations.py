"""Change many tasks at once, each time as one operation that is on record and can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found, task_kinds_of
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.task_operations import (
    MAX_TASKS,
    Assign,
    Hold,
    OperationItem,
    OperationPreview,
    OperationRequest,
    Outcome,
    Release,
    Reprioritise,
    Reroute,
    TaskChange,
    TaskOperation,
)
from services.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction
from services.ports.task_operations import GroupPlace, NewPlace
from services.projects.registry import rules_of
from services.review.hours import next_at_work
from services.review.queueing import place_of

OperationCursor = tuple[datetime, UUID]


class TaskOperations:
    """Changes tasks by filter.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, principal: Principal, project: str, request: OperationRequest) -> OperationPreview:
        """Count what an operation would do now.

        Raises:
            NotFoundError, InvalidInputError: As :meth:`run`.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            place = await _place(tx, project, request.change)
            outcomes = await tx.task_operations.change(None, project, request.filter, place, most=MAX_TASKS)
        return OperationPreview(outcomes=outcomes)

    async def run(self, principal: Principal, project: str, request: OperationRequest) -> TaskOperation:
        """Change all tasks that the filter names and that allow it.

        Raises:
            NotFoundError: There is no such project that the key sees.
            InvalidInputError: The change contradicts itself, or the filter names too many tasks.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await _hold(tx, project)
            place = await _place(tx, project, request.change)
            operation_id = uuid4()
            outcomes = await tx.task_operations.change(operation_id, project, request.filter, place, most=MAX_TASKS)
            operation = TaskOperation(
                operation_id=operation_id,
                project=project,
                action=request.change.action,
                request=request,
                note=request.note,
                actor_id=principal.actor_id,
                outcomes=outcomes,
                created_at=await tx.now(),
            )
            await tx.task_operations.add(operation)
            _note(tx, operation)
        return operation

    async def undo(self, principal: Principal, project: str, operation_id: UUID) -> TaskOperation:
        """Restore what an operation changed, where that has not been changed since.

        It is an operation like any other: its outcomes say what could not be undone, and it can be undone itself.

        Raises:
            NotFoundError: There is no such operation.
            AlreadyExistsError: It was undone before.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await _hold(tx, project)
            undone = await _known(tx, project, operation_id, lock=True)
            if undone.undone_by is not None:
                raise AlreadyExistsError(
                    f"This operation was undone by {undone.undone_by}; undo that one to do it again.",
                    facts={"undone_by": str(undone.undone_by)},
                )
            operation = TaskOperation(
                operation_id=uuid4(),
                project=project,
                action="undo",
                actor_id=principal.actor_id,
                outcomes={},
                undoes=operation_id,
                created_at=await tx.now(),
            )
            outcomes = await tx.task_operations.take_back(operation.operation_id, operation_id)
            operation = operation.model_copy(update={"outcomes": outcomes})
            await tx.task_operations.add(operation)
            _note(tx, operation)
        return operation

    async def get(self, principal: Principal, project: str, operation_id: UUID) -> TaskOperation:
        """Return an operation.

        Raises:
            NotFoundError: There is no such operation.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            return await _known(tx, project, operation_id)

    async def list(
        self, principal: Principal, project: str, *, after: OperationCursor | None, limit: int
    ) -> Sequence[TaskOperation]:
        """Return up to ``limit`` operations of a project, oldest first.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            if await tx.projects.get(project) is None:
                raise project_not_found(project)
            return await tx.task_operations.list(project, after=after, limit=limit)

    async def items(
        self,
        principal: Principal,
        project: str,
        operation_id: UUID,
        *,
        outcomes: Sequence[Outcome] = (),
        after: UUID | None,
        limit: int,
    ) -> Sequence[OperationItem]:
        """Return what an operation did with up to ``limit`` tasks, by task id.

        Raises:
            NotFoundError: There is no such operation.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await _known(tx, project, operation_id)
            return await tx.task_operations.items(operation_id, outcomes=outcomes, after=after, limit=limit)


async def _hold(tx: Transaction, project: str) -> None:
    # As who changes a queue does: they lock lanes and then tasks, an operation tasks and then lanes.
    await tx.projects.get(project, lock=True)


async def _known(tx: Transaction, project: str, operation_id: UUID, *, lock: bool = False) -> TaskOperation:
    operation = await tx.task_operations.get(project, operation_id, lock=lock)
    if operation is None:
        raise NotFoundError(f"There is no operation {operation_id} in project {project!r}.")
    return operation


async def _place(tx: Transaction, project: str, change: TaskChange) -> NewPlace:
    """Return what tasks shall have after the change."""
    rules = await rules_of(tx, project)
    match change:
        case Reroute(queue=None):
            queues = await tx.queues.list(project)
            groups = []
            for group in await tx.task_operations.groups(project):
                place = place_of(group.kind, group.risk, group.facts, rules, queues, group.to)
                groups.append(GroupPlace(group.kind, group.risk, group.facts, group.to, place.queue, place.skill))
            return NewPlace(groups=tuple(dict.fromkeys(groups)))
        case Reroute():
            return NewPlace(queue=change.queue)
        case Reprioritise():
            if (change.priority is None) == (change.add is None):
                sentence = "give priority or add, one of the two"
                raise InvalidInputError(
                    f"The operation is not valid: /change: {sentence}", places=(("/change", sentence),)
                )
            return NewPlace(priority=change.priority, add_priority=change.add)
        case Hold():
            return NewPlace(on_hold=True, hold_reason=change.reason)
        case Release():
            return NewPlace(on_hold=False)
        case Assign():
            return await _assigned(tx, project, change.assignee)
    assert_never(change)


async def _assigned(tx: Transaction, project: str, assignee: str | None) -> NewPlace:
    if assignee is None:
        return NewPlace(assign=True)
    now = await tx.now()
    keys = [
        key
        for key in await tx.access.list_keys()
        if key.actor_id == assignee
        and key.revoked_at is None
        and (key.expires_at is None or key.expires_at > now)
        and (key.projects is None or project in key.projects)
    ]
    kinds = {kind for key in keys for kind in task_kinds_of(key.role)}
    if not kinds:
        place, sentence = "/change/assignee", f"{assignee!r} has no key that takes tasks of this project"
        raise InvalidInputError(f"The operation is not valid: {place}: {sentence}", places=((place, sentence),))
    reviewer = await tx.people.get(project, assignee)
    skills = {skill for key in keys for skill in key.skills} | set(reviewer.levels if reviewer is not None else ())
    return NewPlace(
        assign=True,
        assignee=assignee,
        assignee_kinds=tuple(sorted(kinds)),
        assignee_skills=tuple(sorted(skills)),
        assignee_from=None if reviewer is None else next_at_work(reviewer.profile, now),
    )


def _note(tx: Transaction, operation: TaskOperation) -> None:
    request = operation.request
    tx.audit.append(
        operation.project,
        actor=operation.actor_id,
        action=f"tasks.{operation.action}",
        subject=f"task-operations/{operation.operation_id}",
        body={
            "outcomes": {outcome.value: count for outcome, count in operation.outcomes.items()},
            "request_sha256": None if request is None else content_sha256(request),
            "change": None if request is None else request.change.model_dump(mode="json", exclude_none=True),
            "undoes": None if operation.undoes is None else str(operation.undoes),
        },
    )
