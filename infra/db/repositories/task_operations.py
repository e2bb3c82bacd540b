"""Operations on many tasks: each is one statement that locks, judges, changes and notes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import body_text, model_text
from infra.db.repositories.base import Repository
from infra.db.repositories.task_changes import TAKE_BACK, change_statement, count_statement, filter_parameters
from infra.db.repositories.task_rows import task_of
from services.contracts.escalation import EscalationTarget
from services.contracts.review import ReviewTask, TaskFacts, TaskKind
from services.contracts.task_operations import (
    OperationItem,
    OperationRequest,
    Outcome,
    TaskFilter,
    TaskOperation,
    TaskPlace,
)
from services.errors import InvalidInputError
from services.ports.task_operations import NewPlace, TaskGroup

_OUTCOMES = TypeAdapter(dict[Outcome, int])

_GROUPS = text("""
    SELECT queue, kind, risk, "check", finding_kind, severity, domain, language, region,
           CAST(caused_by -> 'to' AS text) AS target, count(*) AS tasks
    FROM review_tasks WHERE project = :project AND state IN ('open', 'claimed')
    GROUP BY queue, kind, risk, "check", finding_kind, severity, domain, language, region, target
""")
_UNFINISHED = """
    SELECT *, clock_timestamp() AS now FROM review_tasks
    WHERE project = :project AND state IN ('open', 'claimed') {after}
    ORDER BY created_at, task_id LIMIT :limit
"""
_AFTER = "AND (created_at, {id}) > (CAST(:after_created_at AS timestamptz), CAST(:after_id AS uuid))"
_ADD = text("""
    INSERT INTO task_operations (operation_id, project, action, request, note, actor_id, outcomes, undoes, created_at)
    VALUES (:operation_id, :project, :action, CAST(:request AS json), :note, :actor_id, CAST(:outcomes AS json),
            :undoes, :created_at)
""")
_OPERATION = """
    SELECT operation.*, undo.operation_id AS undone_by
    FROM task_operations AS operation LEFT JOIN task_operations AS undo ON undo.undoes = operation.operation_id
    WHERE operation.project = :project
"""
_GET = f"{_OPERATION} AND operation.operation_id = :operation_id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(f"{_GET} FOR NO KEY UPDATE OF operation")
_LIST = _OPERATION + " {after} ORDER BY operation.created_at, operation.operation_id LIMIT :limit"
_ITEMS = text("""
    SELECT * FROM task_operation_items
    WHERE operation_id = :operation_id
      AND (cardinality(CAST(:outcomes AS text[])) = 0 OR outcome = ANY (CAST(:outcomes AS text[])))
      AND (CAST(:after AS uuid) IS NULL OR task_id > :after)
    ORDER BY task_id LIMIT :limit
""")


def _facts_of(row: Any) -> TaskFacts:
    return TaskFacts(
        check=row.check,
        finding_kind=row.finding_kind,
        severity=row.severity,
        domain=row.domain,
        language=row.language,
        region=row.region,
    )


def _target_of(row: Any) -> EscalationTarget | None:
    return None if row.target is None else EscalationTarget.model_validate_json(row.target)


def _operation_of(row: Any) -> TaskOperation:
    return TaskOperation(
        operation_id=row.operation_id,
        project=row.project,
        action=row.action,
        request=None if row.request is None else OperationRequest.model_validate_json(row.request),
        note=row.note,
        actor_id=row.actor_id,
        outcomes=_OUTCOMES.validate_json(row.outcomes),
        undoes=row.undoes,
        undone_by=row.undone_by,
        created_at=row.created_at,
    )


def _place_of(row: Any, when: str) -> TaskPlace:
    names = ("queue", "skill", "priority", "on_hold", "hold_reason", "assignee")
    return TaskPlace(**{name: getattr(row, f"{name}_{when}") for name in names})


def _cursor(after: tuple[datetime, UUID] | None, id_column: str) -> tuple[str, dict[str, Any]]:
    if after is None:
        return "", {}
    return _AFTER.format(id=id_column), {"after_created_at": after[0], "after_id": after[1]}


class PostgresTaskOperations(Repository):
    """Implements :class:`services.ports.task_operations.TaskOperationRepository`."""

    async def groups(self, project: str) -> tuple[TaskGroup, ...]:
        """Return the unfinished tasks of a project, counted by all that queues ask about."""
        rows = await self._run(_GROUPS, project=project)
        return tuple(
            TaskGroup(row.queue, TaskKind(row.kind), row.risk, _facts_of(row), _target_of(row), row.tasks)
            for row in rows
        )

    async def unfinished(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ReviewTask, ...]:
        """Return unfinished tasks of a project, oldest first, by (created_at, task id) after the cursor."""
        condition, cursor = _cursor(after, "task_id")
        statement = text(_UNFINISHED.format(after=condition))
        return tuple(task_of(row) for row in await self._run(statement, project=project, limit=limit, **cursor))

    async def change(
        self, operation_id: UUID | None, project: str, wanted: TaskFilter, place: NewPlace, *, most: int
    ) -> dict[Outcome, int]:
        """Change all tasks that a filter names and note what became of each; return the outcomes.

        Args:
            operation_id: Under which it is noted; None changes and notes nothing.
            project: The project.
            wanted: The tasks.
            place: What they shall have.
            most: So many tasks at most.

        Raises:
            InvalidInputError: The filter names more than ``most`` tasks; nothing is changed.
        """
        conditions, parameters = filter_parameters(wanted)
        parameters |= {"project": project, "most": most}
        row = await self._first(count_statement(conditions), **parameters)
        if row is not None and row.tasks > most:
            sentence = f"names more than {most} tasks; narrow it, and make several operations"
            raise InvalidInputError(f"The operation is not valid: /filter {sentence}", places=(("/filter", sentence),))
        statement, values = change_statement(conditions, place, dry=operation_id is None)
        if operation_id is not None:
            values["operation_id"] = operation_id
        return _counted(await self._run(statement, **parameters, **values))

    async def take_back(self, operation_id: UUID, undoes: UUID) -> dict[Outcome, int]:
        """Restore what an operation changed, where it has not been changed since; note what became of each task."""
        return _counted(await self._run(TAKE_BACK, operation_id=operation_id, undoes=undoes))

    async def add(self, operation: TaskOperation) -> None:
        """Keep an operation."""
        await self._count(
            _ADD,
            operation_id=operation.operation_id,
            project=operation.project,
            action=operation.action,
            request=None if operation.request is None else model_text(operation.request),
            note=operation.note,
            actor_id=operation.actor_id,
            outcomes=body_text({outcome.value: count for outcome, count in operation.outcomes.items()}),
            undoes=operation.undoes,
            created_at=operation.created_at,
        )

    async def get(self, project: str, operation_id: UUID, *, lock: bool = False) -> TaskOperation | None:
        """Return an operation; with ``lock`` no other transaction takes it back until this one ends."""
        row = await self._first(_GET_LOCKED if lock else _GET_PLAIN, project=project, operation_id=operation_id)
        return None if row is None else _operation_of(row)

    async def list(self, project: str, *, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[TaskOperation]:
        """Return a project's operations, oldest first, after the cursor."""
        condition, cursor = _cursor(after, "operation.operation_id")
        statement = text(_LIST.format(after=condition.replace("(created_at", "(operation.created_at")))
        return [_operation_of(row) for row in await self._run(statement, project=project, limit=limit, **cursor)]

    async def items(
        self, operation_id: UUID, *, outcomes: Sequence[Outcome], after: UUID | None, limit: int
    ) -> Sequence[OperationItem]:
        """Return what an operation did with each task, by task id, of these outcomes (any, if there are none)."""
        rows = await self._run(
            _ITEMS,
            operation_id=operation_id,
            outcomes=[outcome.value for outcome in outcomes],
            after=after,
            limit=limit,
        )
        return [
            OperationItem(
                task_id=row.task_id,
                outcome=Outcome(row.outcome),
                before=_place_of(row, "before"),
                after=_place_of(row, "after"),
            )
            for row in rows
        ]


def _counted(rows: Sequence[Any]) -> dict[Outcome, int]:
    return {Outcome(row.outcome): row.tasks for row in rows}
