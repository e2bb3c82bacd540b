"""A project as an operations manager sees it: every number with the list behind it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.contracts.active_time import ActivitySelection, LabelSelection
from services.contracts.lifecycle import Stage
from services.contracts.operations import (
    Counted,
    DecisionSelection,
    Effort,
    Escalations,
    OperationsView,
    PersonLoad,
    SampleSelection,
    Share,
    TaskSelection,
)
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import TaskKind, Verdict
from services.operations.buckets import read_buckets, stage_loads
from services.operations.lists import counted, measured, share
from services.operations.queue_loads import read_queues
from services.operations.window import Window
from services.ports.database import Transaction
from services.ports.operations import TaskColumn

MAX_BUCKETS = 100


async def read_view(tx: Transaction, project: Project, *, window: timedelta, pieces: int = 24) -> OperationsView:
    """Return the project's numbers, as of now and over the window that ends now.

    Args:
        tx: The transaction.
        project: The project.
        window: How far back to look.
        pieces: In how many equal pieces, at most :data:`MAX_BUCKETS`.
    """
    now = await tx.now()
    return await _View(tx, project.id, project.config, Window(now - window, now, pieces)).read()


class _View:
    """Reads one project's view in one transaction."""

    def __init__(self, tx: Transaction, project: str, config: ProjectConfig, window: Window) -> None:
        self._tx = tx
        self._project = project
        self._config = config
        self._window = window
        self._created = TaskSelection(created_since=window.since, created_before=window.now)

    async def read(self) -> OperationsView:
        """Read all of it."""
        window, project = self._window, self._project
        stages = await self._tx.operations.stages(project)
        return OperationsView(
            project=project,
            as_of=window.now,
            since=window.since,
            stages=stage_loads(project, stages, lambda stage: SampleSelection(stage=stage)),
            queues=await read_queues(self._tx, project, self._config, window),
            buckets=await read_buckets(self._tx, project, window.since, window.piece, window.pieces, stages),
            committed=await self._samples(entered=Stage.COMMITTED),
            escalations=await self._escalations(),
            rework=await self._tasks(self._created.model_copy(update={"kind": TaskKind.REWORK})),
            rework_loops=await self._samples(reworked=2),
            first_pass_approved=await self._share(self._decided(first=True), verdict=Verdict.APPROVE),
            first_pass_rejected=await self._share(self._decided(first=True), verdict=Verdict.REJECT),
            second_looks_agree=await self._share(self._decided(second_look=True), agrees=True),
            people=await self._people(),
            effort=await self._effort(),
        )

    def _decided(self, **fields: Any) -> DecisionSelection:
        return DecisionSelection(since=self._window.since, before=self._window.now, **fields)

    async def _tasks(self, selection: TaskSelection) -> Counted:
        found = await self._tx.operations.count_tasks(self._project, selection)
        return counted(self._project, found.get((), 0), selection)

    async def _samples(self, **fields: Any) -> Counted:
        selection = SampleSelection(since=self._window.since, before=self._window.now, **fields)
        return counted(self._project, await self._tx.operations.count_samples(self._project, selection), selection)

    async def _share(self, whole: DecisionSelection, **fields: Any) -> Share:
        part = whole.model_copy(update=fields)
        numbers = [
            counted(self._project, await self._tx.operations.count_decisions(self._project, selection), selection)
            for selection in (part, whole)
        ]
        return share(numbers[0], numbers[1])

    async def _escalations(self) -> tuple[Escalations, ...]:
        selection = self._created.model_copy(update={"kind": TaskKind.ADJUDICATE})
        columns: tuple[TaskColumn, ...] = ("cause", "rule", "check", "finding_kind")
        found = await self._tx.operations.count_tasks(self._project, selection, by=columns)
        escalations = []
        for key, number in sorted(found.items(), key=lambda item: (-item[1], item[0])):
            values: dict[str, str | None] = {column: value or None for column, value in zip(columns, key, strict=True)}
            tasks = counted(self._project, number, selection.model_copy(update=values))
            escalations.append(Escalations.model_validate({**values, "tasks": tasks}))
        return tuple(escalations)

    async def _people(self) -> tuple[PersonLoad, ...]:
        store, project = self._tx.operations, self._project
        decided = await store.decisions_by_actor(project, self._decided())
        held_now = TaskSelection(held=True)
        held = await store.count_tasks(project, held_now, by=("held_by",))
        worked = ActivitySelection(since=self._window.since)
        active = {person.actor_id: person.active_s for person in await store.people_times(project, worked)}
        return tuple(
            PersonLoad(
                actor=actor,
                decided=counted(project, decided.get(actor, 0), self._decided(actor=actor)),
                held=counted(project, held.get((actor,), 0), TaskSelection(held_by=actor)),
                active_s=measured(project, active.get(actor, 0.0), worked.model_copy(update={"actor": actor})),
            )
            for actor in sorted({*decided, *(name for (name,) in held), *active})
        )

    async def _effort(self) -> Effort:
        window = {"committed_since": self._window.since, "committed_before": self._window.now}
        worked, made = ActivitySelection.model_validate(window), LabelSelection.model_validate(window)
        active_s = sum(person.active_s for person in await self._tx.operations.people_times(self._project, worked))
        labels = await self._tx.operations.count_labels(self._project, made)
        per_label = active_s / labels if labels else None
        price = self._config.cost_per_hour
        return Effort(
            active_s=measured(self._project, active_s, worked),
            labels=counted(self._project, labels, made),
            active_s_per_label=per_label,
            cost_per_label=None if per_label is None or price is None else per_label * price / 3_600,
            currency=self._config.currency,
        )
