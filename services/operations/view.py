"""A project as an operations manager sees it: every number with the list behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.contracts.deadlines import DeadlinePolicy
from services.contracts.lifecycle import Stage
from services.contracts.manifest import RISKS
from services.contracts.operations import (
    Counted,
    DecisionSelection,
    Effort,
    Escalations,
    OperationsView,
    PersonLoad,
    QueueLoad,
    SampleSelection,
    Share,
    TaskSelection,
)
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import TaskKind, Verdict
from services.lifecycle.windows import limits_of
from services.operations.buckets import read_buckets, stage_loads
from services.operations.forecast import QueueFacts, RiskFacts, forecast
from services.operations.lists import counted, share
from services.ports.database import Transaction
from services.ports.operations import TaskColumn, Waiting
from services.review.working_time import WorkingTime

MAX_BUCKETS = 100
DEADLINES_LOOKED_AT = 2_000
"""A forecast looks at so many of a queue's soonest deadlines that are still to come."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is looked at.

    Attributes:
        since: Its beginning.
        now: Its end.
        pieces: How many equal pieces it is shown in.
    """

    since: datetime
    now: datetime
    pieces: int

    @property
    def piece(self) -> timedelta:
        """Length of a piece."""
        return (self.now - self.since) / self.pieces


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
            queues=await self._queues(),
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

    async def _queues(self) -> tuple[QueueLoad, ...]:
        now, since = self._window.now, self._window.since
        selections = {
            "open": TaskSelection(open_at=now),
            "held": TaskSelection(open_at=now, held=True),
            "late": TaskSelection(open_at=now, late_at=now),
            "arrived": self._created,
            "completed": TaskSelection(ended="completed", ended_since=since, ended_before=now),
            "cancelled": TaskSelection(ended="cancelled", ended_since=since, ended_before=now),
        }
        store, project = self._tx.operations, self._project
        numbers = {
            name: await store.count_tasks(project, selection, by=("queue", "kind"))
            for name, selection in selections.items()
        }
        oldest = await store.oldest(project, now)
        by_risk = {
            name: await store.count_tasks(project, selections[name], by=("queue", "kind", "risk"))
            for name in ("open", "arrived")
        }
        waiting = await store.deadlines(project, now, DEADLINES_LOOKED_AT)
        handling = await store.handling_s(project, since)
        work = WorkingTime((self._config.deadlines or DeadlinePolicy()).calendar)
        loads = []
        for queue, kind in sorted({key for found in numbers.values() for key in found}):
            counts = {name: found.get((queue, kind), 0) for name, found in numbers.items()}
            created = oldest.get((queue, kind))
            due = waiting.get((queue, kind), Waiting())
            facts = QueueFacts(
                risks=self._risks(queue, TaskKind(kind), by_risk["open"], by_risk["arrived"]),
                overdue=due.overdue,
                deadlines=due.deadlines,
                completed=counts["completed"],
                window=work.between(since, now),
                handling_s=handling.get((queue, kind)),
            )
            lists = {
                name: counted(
                    project, counts[name], selection.model_copy(update={"queue": queue, "kind": TaskKind(kind)})
                )
                for name, selection in selections.items()
            }
            loads.append(
                QueueLoad(
                    queue=queue,
                    kind=TaskKind(kind),
                    oldest_s=None if created is None else (now - created).total_seconds(),
                    forecast=forecast(facts, now, work),
                    **lists,
                )
            )
        return tuple(loads)

    def _risks(
        self, queue: str, kind: TaskKind, open_: Mapping[tuple[str, ...], int], arrived: Mapping[tuple[str, ...], int]
    ) -> tuple[RiskFacts, ...]:
        facts = []
        for risk in RISKS:
            key = (queue, kind.value, risk)
            if key in open_ or key in arrived:
                limits = limits_of(kind, queue, risk, self._config)
                first = limits.finish if limits.start is None else min(limits.start, limits.finish)
                facts.append(RiskFacts(open_.get(key, 0), arrived.get(key, 0), first, limits.finish))
        return tuple(facts)

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
        active = await store.active_s(project, self._window.since)
        return tuple(
            PersonLoad(
                actor=actor,
                decided=counted(project, decided.get(actor, 0), self._decided(actor=actor)),
                held=counted(project, held.get((actor,), 0), TaskSelection(held_by=actor)),
                active_s=active.get(actor, 0.0),
            )
            for actor in sorted({*decided, *(name for (name,) in held), *active})
        )

    async def _effort(self) -> Effort:
        active_s, labels = await self._tx.operations.effort(self._project, self._window.since, self._window.now)
        per_label = active_s / labels if labels else None
        price = self._config.cost_per_hour
        return Effort(
            active_s=active_s,
            labels=labels,
            active_s_per_label=per_label,
            cost_per_label=None if per_label is None or price is None else per_label * price / 3_600,
            currency=self._config.currency,
        )
