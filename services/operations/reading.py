"""What an operations manager reads of a project: its numbers, and the lists behind them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.active_time import (
    AcceptedLabel,
    ActivitySelection,
    LabelSelection,
    PersonTime,
    TaskTime,
    WorkedTime,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.operations import DecisionSelection, OperationsView, SampleSelection, TaskSelection
from services.contracts.records import SampleSummary
from services.contracts.review import Decision, ReviewTask
from services.operations.lists import counted, measured
from services.operations.view import read_view
from services.ports.database import Database, Transaction


class OperationsReader:
    """Reads a project's numbers and lists.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def view(self, principal: Principal, project: str, *, window: timedelta, pieces: int = 24) -> OperationsView:
        """Return the project's numbers, as of now and over the window that ends now.

        Args:
            principal: Who asks.
            project: The project.
            window: How far back to look.
            pieces: In how many equal pieces.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            await tx.operations.hold_still()
            known = await tx.projects.get(project)
            if known is None:
                raise project_not_found(project)
            return await read_view(tx, known, window=window, pieces=pieces)

    async def tasks(
        self,
        principal: Principal,
        project: str,
        selection: TaskSelection,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[tuple[ReviewTask, ...], bool]:
        """Return a page of selected tasks, oldest first, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.list_tasks(project, selection, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit

    async def samples(
        self,
        principal: Principal,
        project: str,
        selection: SampleSelection,
        *,
        after: tuple[datetime, RevisionRef] | None,
        limit: int,
    ) -> tuple[tuple[SampleSummary, ...], bool]:
        """Return a page of selected sample revisions, oldest first, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.list_samples(project, selection, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit

    async def decisions(
        self,
        principal: Principal,
        project: str,
        selection: DecisionSelection,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[tuple[Decision, ...], bool]:
        """Return a page of selected decisions, oldest first, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.list_decisions(project, selection, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit

    async def people_times(
        self, principal: Principal, project: str, selection: ActivitySelection
    ) -> tuple[PersonTime, ...]:
        """Return the active time of each person in what is selected, by person.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.people_times(project, selection)
        times = []
        for person in found:
            theirs = selection.model_copy(update={"actor": person.actor_id})
            times.append(
                PersonTime(
                    actor_id=person.actor_id,
                    tasks=counted(project, person.tasks, theirs),
                    active_s=measured(project, person.active_s, theirs),
                )
            )
        return tuple(times)

    async def task_times(
        self,
        principal: Principal,
        project: str,
        selection: ActivitySelection,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[tuple[TaskTime, ...], bool]:
        """Return a page of the tasks in what is selected with the active time on each, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.task_times(project, selection, after=after, limit=limit + 1)
        times = []
        for one in found[:limit]:
            of_task = selection.model_copy(update={"task_id": one.task.task_id})
            times.append(
                TaskTime(
                    task_id=one.task.task_id,
                    ref=one.task.ref,
                    kind=one.task.kind,
                    queue=one.task.queue,
                    state=one.task.state,
                    created_at=one.task.created_at,
                    people=counted(project, one.people, of_task),
                    active_s=measured(project, one.active_s, of_task),
                )
            )
        return tuple(times), len(found) > limit

    async def activity(
        self,
        principal: Principal,
        project: str,
        selection: ActivitySelection,
        *,
        after: tuple[datetime, UUID, str] | None,
        limit: int,
    ) -> tuple[tuple[WorkedTime, ...], bool]:
        """Return a page of who worked on what, by the tasks' age, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.list_activity(project, selection, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit

    async def labels(
        self,
        principal: Principal,
        project: str,
        selection: LabelSelection,
        *,
        after: tuple[str, int, int] | None,
        limit: int,
    ) -> tuple[tuple[AcceptedLabel, ...], bool]:
        """Return a page of selected labels, by sample, and whether more follow.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_known(tx, principal, project)
            found = await tx.operations.list_labels(project, selection, after=after, limit=limit + 1)
        return found[:limit], len(found) > limit


async def _ensure_known(tx: Transaction, principal: Principal, project: str) -> None:
    ensure_sees(principal, project)
    if await tx.projects.get(project) is None:
        raise project_not_found(project)
