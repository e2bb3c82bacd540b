"""How long people really worked on tasks, and the labels that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.repositories.base import Repository
from infra.db.repositories.samples import ref_of
from infra.db.repositories.selections import activity_where
from infra.db.repositories.task_rows import task_of
from services.contracts.active_time import AcceptedLabel, ActivitySelection, LabelSelection, WorkedTime
from services.contracts.review import Activity, TaskKind
from services.ports.operations import PersonSeconds, TaskSeconds

_WORK = "task_activity AS activity JOIN review_tasks AS task ON task.task_id = activity.task_id"
_ACTIVITY = text("SELECT * FROM task_activity WHERE task_id = :task_id AND actor_id = :actor_id FOR UPDATE")
_PUT_ACTIVITY = text("""
    INSERT INTO task_activity (task_id, actor_id, active_s, active_at, updated_at)
    VALUES (:task_id, :actor_id, :active_s, :active_at, clock_timestamp())
    ON CONFLICT (task_id, actor_id) DO UPDATE
    SET active_s = EXCLUDED.active_s, active_at = EXCLUDED.active_at, updated_at = EXCLUDED.updated_at
""")
_ACCEPTED = """
    (SELECT project, sample_id, revision, min(at) AS at FROM stage_changes
     WHERE project = :project AND stage = 'committed' AND at >= :committed_since AND at < :committed_before
     GROUP BY project, sample_id, revision) AS accepted
    JOIN sample_revisions AS revision USING (project, sample_id, revision)
    JOIN label_sets AS labels USING (project, sample_id, revision)
"""
_OF_ACCEPTED = "NOT labels.prediction AND labels.version = revision.label_version"
_COUNT_LABELS = text(f"""
    SELECT coalesce(sum(json_array_length(labels.annotations)), 0) AS n FROM {_ACCEPTED} WHERE {_OF_ACCEPTED}
""")  # noqa: S608 - made of constants
_LIST_LABELS = f"""
    accepted.*, labels.version, label.place, label.body ->> 'id' AS annotation_id, label.body ->> 'type' AS type
    FROM {_ACCEPTED} CROSS JOIN LATERAL json_array_elements(labels.annotations) WITH ORDINALITY AS label (body, place)
"""


class PostgresActiveTime(Repository):
    """The active time and the labels of :class:`services.ports.operations.OperationsRepository`."""

    async def handling_s(self, project: str, selection: ActivitySelection) -> Mapping[tuple[str, str], float]:
        """Return the median over the tasks selected of the active seconds of everybody on a task, by (queue, kind)."""
        where, parameters = activity_where(selection)
        statement = text(f"""
            SELECT queue, kind, percentile_cont(0.5) WITHIN GROUP (ORDER BY active_s) AS active_s
            FROM (SELECT task.queue, task.kind, sum(activity.active_s) AS active_s
                  FROM {_WORK} WHERE {where} GROUP BY task.task_id) AS handled
            GROUP BY queue, kind
        """)  # noqa: S608 - made of constants
        rows = await self._run(statement, project=project, **parameters)
        return {(row.queue, row.kind): float(row.active_s) for row in rows}

    async def people_times(self, project: str, selection: ActivitySelection) -> tuple[PersonSeconds, ...]:
        """Return the active time of each person in what is selected, by person."""
        where, parameters = activity_where(selection)
        statement = text(f"""
            SELECT activity.actor_id, count(*) AS tasks, sum(activity.active_s) AS active_s
            FROM {_WORK} WHERE {where} GROUP BY activity.actor_id ORDER BY activity.actor_id
        """)  # noqa: S608 - made of constants
        rows = await self._run(statement, project=project, **parameters)
        return tuple(PersonSeconds(row.actor_id, row.tasks, float(row.active_s)) for row in rows)

    async def task_times(
        self, project: str, selection: ActivitySelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[TaskSeconds, ...]:
        """Return the active time on each task in what is selected, by (created_at, task id) after the cursor."""
        where, parameters = activity_where(selection)
        columns = f"""
            task.*, clock_timestamp() AS now, worked.people, worked.worked_s
            FROM review_tasks AS task JOIN (
                SELECT task.task_id, count(*) AS people, sum(activity.active_s) AS worked_s
                FROM {_WORK} WHERE {where} GROUP BY task.task_id
            ) AS worked ON worked.task_id = task.task_id
        """  # noqa: S608 - made of constants
        key = ("task.created_at", "task.task_id")
        rows = await self._page(columns, "true", key, after, limit, project, parameters)
        return tuple(TaskSeconds(task_of(row), row.people, float(row.worked_s)) for row in rows)

    async def list_activity(
        self, project: str, selection: ActivitySelection, *, after: tuple[datetime, UUID, str] | None, limit: int
    ) -> tuple[WorkedTime, ...]:
        """Return who worked on what, by (opened_at, task id, person) after the cursor."""
        where, parameters = activity_where(selection)
        columns = f"""
            task.project, task.sample_id, task.revision, task.task_id, task.kind, task.queue, task.created_at,
            activity.actor_id, activity.active_s, activity.updated_at FROM {_WORK}
        """
        key = ("task.created_at", "task.task_id", "activity.actor_id")
        rows = await self._page(columns, where, key, after, limit, project, parameters)
        return tuple(_worked_of(row) for row in rows)

    async def count_labels(self, project: str, selection: LabelSelection) -> int:
        """Return how many labels are selected."""
        row = await self._first(_COUNT_LABELS, project=project, **selection.model_dump())
        return 0 if row is None else int(row.n)

    async def list_labels(
        self, project: str, selection: LabelSelection, *, after: tuple[str, int, int] | None, limit: int
    ) -> tuple[AcceptedLabel, ...]:
        """Return selected labels by (sample id, revision, place) after the cursor."""
        key = ("accepted.sample_id", "accepted.revision", "label.place")
        rows = await self._page(_LIST_LABELS, _OF_ACCEPTED, key, after, limit, project, selection.model_dump())
        return tuple(
            AcceptedLabel(
                ref=ref_of(row),
                label_version=row.version,
                place=row.place,
                annotation_id=row.annotation_id,
                type=row.type,
                committed_at=row.at,
            )
            for row in rows
        )

    async def activity(self, task_id: UUID, actor_id: str) -> Activity | None:
        """Return a person's activity on a task, locked."""
        row = await self._first(_ACTIVITY, task_id=task_id, actor_id=actor_id)
        if row is None:
            return None
        return Activity(task_id=task_id, actor_id=actor_id, active_s=row.active_s, active_at=row.active_at)

    async def put_activity(self, activity: Activity) -> None:
        """Keep a person's activity on a task."""
        await self._count(_PUT_ACTIVITY, **activity.model_dump())

    async def _page(
        self,
        columns: str,
        where: str,
        key: tuple[str, ...],
        after: Sequence[Any] | None,
        limit: int,
        project: str,
        parameters: dict[str, Any],
    ) -> Sequence[Any]:
        order = ", ".join(key)
        following = ""
        if after is not None:
            names = [f"after_{place}" for place in range(len(key))]
            parameters = {**parameters, **dict(zip(names, after, strict=True))}
            following = f"AND ({order}) > ({', '.join(f':{name}' for name in names)})"
        statement = text(f"SELECT {columns} WHERE {where} {following} ORDER BY {order} LIMIT :limit")
        return await self._run(statement, project=project, limit=limit, **parameters)


def _worked_of(row: Any) -> WorkedTime:
    return WorkedTime(
        task_id=row.task_id,
        ref=ref_of(row),
        kind=TaskKind(row.kind),
        queue=row.queue,
        actor_id=row.actor_id,
        active_s=row.active_s,
        opened_at=row.created_at,
        last_at=row.updated_at,
    )
