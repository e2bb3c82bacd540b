"""The queues of a project as they are, what happened to them in the window, and what is to come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.contracts.active_time import ActivitySelection
from services.contracts.deadlines import DeadlinePolicy
from services.contracts.manifest import RISKS
from services.contracts.operations import Measured, QueueLoad, TaskSelection
from services.contracts.records import ProjectConfig
from services.contracts.review import TaskKind
from services.lifecycle.windows import limits_of
from services.operations.forecast import QueueFacts, RiskFacts, forecast
from services.operations.lists import counted, measured
from services.operations.window import Window
from services.ports.database import Transaction
from services.ports.operations import Waiting
from services.review.working_time import WorkingTime

DEADLINES_LOOKED_AT = 2_000
"""A forecast looks at so many of a queue's soonest deadlines that are still to come."""
_Counts = Mapping[tuple[str, ...], int]
_LEAST = timedelta(microseconds=1)


async def read_queues(tx: Transaction, project: str, config: ProjectConfig, window: Window) -> tuple[QueueLoad, ...]:
    """Return every queue that has open tasks, or had some in the window, by name and kind of task."""
    now, since = window.now, window.since
    selections = {
        "open": TaskSelection(open_at=now),
        "held": TaskSelection(open_at=now, held=True),
        "late": TaskSelection(open_at=now, late_at=now),
        "arrived": TaskSelection(created_since=since, created_before=now),
        "completed": TaskSelection(ended="completed", ended_since=since, ended_before=now),
        "cancelled": TaskSelection(ended="cancelled", ended_since=since, ended_before=now),
    }
    store = tx.operations
    numbers = {
        name: await store.count_tasks(project, selection, by=("queue", "kind"))
        for name, selection in selections.items()
    }
    by_risk = {
        name: await store.count_tasks(project, selections[name], by=("queue", "kind", "risk"))
        for name in ("open", "arrived")
    }
    oldest = await store.oldest(project, now)
    waiting = await store.deadlines(project, now, DEADLINES_LOOKED_AT)
    handled = ActivitySelection(completed_since=since, completed_before=now)
    handling = await store.handling_s(project, handled)
    work = WorkingTime((config.deadlines or DeadlinePolicy()).calendar)
    loads = []
    for place in sorted({key for found in numbers.values() for key in found}):
        queue, kind = place[0], TaskKind(place[1])
        here = {"queue": queue, "kind": kind}
        lists = {
            name: counted(project, numbers[name].get(place, 0), selection.model_copy(update=here))
            for name, selection in selections.items()
        }
        due = waiting.get((queue, kind), Waiting())
        median = handling.get((queue, kind))
        facts = QueueFacts(
            risks=_risks(queue, kind, by_risk["open"], by_risk["arrived"], config),
            overdue=due.overdue,
            deadlines=due.deadlines,
            completed=lists["completed"].value,
            window=work.between(since, now),
            handling_s=None if median is None else measured(project, median, handled.model_copy(update=here)),
        )
        created = oldest.get((queue, kind))
        loads.append(
            QueueLoad(
                queue=queue,
                kind=kind,
                oldest_s=None if created is None else _age(project, queue, kind, created, now),
                forecast=forecast(facts, now, work),
                **lists,
            )
        )
    return tuple(loads)


def _age(project: str, queue: str, kind: TaskKind, created: datetime, now: datetime) -> Measured:
    oldest = TaskSelection(queue=queue, kind=kind, created_since=created, created_before=created + _LEAST, open_at=now)
    return measured(project, (now - created).total_seconds(), oldest)


def _risks(
    queue: str, kind: TaskKind, open_: _Counts, arrived: _Counts, config: ProjectConfig
) -> tuple[RiskFacts, ...]:
    facts = []
    for risk in RISKS:
        key = (queue, kind.value, risk)
        if key in open_ or key in arrived:
            limits = limits_of(kind, queue, risk, config)
            first = limits.finish if limits.start is None else min(limits.start, limits.finish)
            facts.append(RiskFacts(open_.get(key, 0), arrived.get(key, 0), first, limits.finish))
    return tuple(facts)
