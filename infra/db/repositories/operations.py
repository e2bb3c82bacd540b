"""What an operations manager counts, and the lists behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from infra.db.repositories.active_time import PostgresActiveTime
from infra.db.repositories.samples import summary_of
from infra.db.repositories.selections import CAUSE, RULE, decisions_where, samples_where, tasks_where
from infra.db.repositories.task_rows import task_of
from infra.db.repositories.verdicts import decision_of
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.operations import DecisionSelection, SampleSelection, TaskSelection
from services.contracts.records import SampleSummary
from services.contracts.review import Decision, ReviewTask
from services.ports.operations import TaskColumn, Waiting

_PIECE = """CAST(floor(CAST(extract(epoch FROM {column} - CAST(:origin AS timestamptz)) AS double precision)
    / CAST(:piece_s AS double precision)) AS bigint)"""
_COLUMNS: dict[TaskColumn, str] = {
    "queue": "task.queue",
    "kind": "task.kind",
    "risk": "task.risk",
    "held_by": "task.held_by",
    "cause": CAUSE,
    "rule": RULE,
    "check": 'finding."check"',
    "finding_kind": "finding.kind",
    "created": f"CAST({_PIECE.format(column='task.created_at')} AS text)",
    "ended_at": f"CAST({_PIECE.format(column='task.completed_at')} AS text)",
}
_WITH_FINDINGS = """
    LEFT JOIN findings AS finding
      ON finding.project = task.project AND finding.sample_id = task.sample_id
     AND finding.revision = task.revision AND finding.finding_id = ANY (task.finding_ids)
"""
_HOLD_STILL = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_STAGES = text("SELECT stage, count(*) AS n FROM sample_revisions WHERE project = :project GROUP BY stage")
_MOVES = text(f"""
    SELECT stage, previous_stage, {_PIECE.format(column="at")} AS piece, count(*) AS n
    FROM stage_changes WHERE project = :project AND at >= CAST(:origin AS timestamptz) GROUP BY 1, 2, 3
""")  # noqa: S608 - made of constants
_OLDEST = text("""
    SELECT queue, kind, min(created_at) AS at FROM review_tasks
    WHERE project = :project AND created_at < :at AND state IN ('open', 'claimed') GROUP BY queue, kind
""")
_DEADLINES = text("""
    SELECT queue, kind, count(*) FILTER (WHERE due < :at) AS overdue,
           (array_agg(due ORDER BY due) FILTER (WHERE due >= :at))[1 : CAST(:limit AS integer)] AS deadlines
    FROM (SELECT queue, kind, CASE WHEN fence = tier_fence THEN least(start_by_at, due_at) ELSE due_at END AS due
          FROM review_tasks
          WHERE project = :project AND created_at < :at AND state IN ('open', 'claimed') AND NOT on_hold) AS waiting
    WHERE due IS NOT NULL GROUP BY queue, kind
""")


class PostgresOperations(PostgresActiveTime):
    """Implements :class:`services.ports.operations.OperationsRepository`; see also :class:`PostgresActiveTime`."""

    async def hold_still(self) -> None:
        """Let all that follows see one state of the store; called first in a transaction that only reads."""
        await self._count(_HOLD_STILL)

    async def count_tasks(
        self, project: str, selection: TaskSelection, *, by: Sequence[TaskColumn] = (), pieces: timedelta | None = None
    ) -> Mapping[tuple[str, ...], int]:
        """Return how many tasks are selected, by the values of some columns; see the port."""
        where, parameters = tasks_where(selection)
        columns = [f"coalesce({_COLUMNS[column]}, '')" for column in by]
        of_findings = "check" in by or "finding_kind" in by
        if pieces is not None:
            parameters["origin"] = selection.created_since if "created" in by else selection.ended_since
            parameters["piece_s"] = pieces.total_seconds()
        statement = text(f"""
            SELECT {", ".join([*columns, "count(DISTINCT task.task_id)" if of_findings else "count(*)"])}
            FROM review_tasks AS task {_WITH_FINDINGS if of_findings else ""}
            WHERE {where} {"GROUP BY " + ", ".join(str(place + 1) for place in range(len(by))) if by else ""}
        """)  # noqa: S608 - made of constants
        rows = await self._run(statement, project=project, **parameters)
        return {tuple(row[:-1]): int(row[-1]) for row in rows}

    async def list_tasks(
        self, project: str, selection: TaskSelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ReviewTask, ...]:
        """Return selected tasks, oldest first, by (created_at, task id) after the cursor."""
        where, parameters = tasks_where(selection)
        columns = "task.*, clock_timestamp() AS now FROM review_tasks AS task"
        rows = await self._page(columns, where, ("task.created_at", "task.task_id"), after, limit, project, parameters)
        return tuple(task_of(row) for row in rows)

    async def count_samples(self, project: str, selection: SampleSelection) -> int:
        """Return how many sample revisions are selected."""
        where, parameters = samples_where(selection)
        return await self._number("sample_revisions AS revision", where, project, parameters)

    async def list_samples(
        self, project: str, selection: SampleSelection, *, after: tuple[datetime, RevisionRef] | None, limit: int
    ) -> tuple[SampleSummary, ...]:
        """Return selected sample revisions, oldest first, by (created_at, sample id, revision) after the cursor."""
        where, parameters = samples_where(selection)
        columns = "revision.* FROM sample_revisions AS revision"
        key = ("revision.created_at", "revision.sample_id", "revision.revision")
        cursor = None if after is None else (after[0], after[1].sample_id, after[1].revision)
        rows = await self._page(columns, where, key, cursor, limit, project, parameters)
        return tuple(summary_of(row) for row in rows)

    async def stages(self, project: str) -> Mapping[Stage, int]:
        """Return how many sample revisions are at each stage now."""
        return {Stage(row.stage): row.n for row in await self._run(_STAGES, project=project)}

    async def stage_moves(self, project: str, since: datetime, pieces: timedelta) -> Mapping[tuple[Stage, int], int]:
        """Return by how much the number of revisions at each stage rose or fell in each piece of time since."""
        moved: dict[tuple[Stage, int], int] = defaultdict(int)
        for row in await self._run(_MOVES, project=project, origin=since, piece_s=pieces.total_seconds()):
            moved[Stage(row.stage), row.piece] += row.n
            if row.previous_stage is not None:
                moved[Stage(row.previous_stage), row.piece] -= row.n
        return moved

    async def count_decisions(self, project: str, selection: DecisionSelection) -> int:
        """Return how many decisions are selected."""
        where, parameters = decisions_where(selection)
        return await self._number("decisions AS decision", where, project, parameters)

    async def decisions_by_actor(self, project: str, selection: DecisionSelection) -> Mapping[str, int]:
        """Return how many of the selected decisions each person made."""
        where, parameters = decisions_where(selection)
        statement = text(f"SELECT actor_id, count(*) AS n FROM decisions AS decision WHERE {where} GROUP BY actor_id")  # noqa: S608
        return {row.actor_id: row.n for row in await self._run(statement, project=project, **parameters)}

    async def list_decisions(
        self, project: str, selection: DecisionSelection, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Decision, ...]:
        """Return selected decisions, oldest first, by (decided_at, decision id) after the cursor."""
        where, parameters = decisions_where(selection)
        columns = "decision.* FROM decisions AS decision"
        key = ("decision.decided_at", "decision.decision_id")
        return tuple(
            decision_of(row) for row in await self._page(columns, where, key, after, limit, project, parameters)
        )

    async def oldest(self, project: str, at: datetime) -> Mapping[tuple[str, str], datetime]:
        """Return when the oldest open task of each (queue, kind) was created."""
        return {(row.queue, row.kind): row.at for row in await self._run(_OLDEST, project=project, at=at)}

    async def deadlines(self, project: str, at: datetime, limit: int) -> Mapping[tuple[str, str], Waiting]:
        """Return what is due of each (queue, kind), tasks on hold left out; at most ``limit`` deadlines of each."""
        rows = await self._run(_DEADLINES, project=project, at=at, limit=limit)
        return {(row.queue, row.kind): Waiting(row.overdue, tuple(row.deadlines or ())) for row in rows}

    async def _number(self, table: str, where: str, project: str, parameters: dict[str, Any]) -> int:
        row = await self._first(_counting(table, where), project=project, **parameters)
        return 0 if row is None else int(row.n)


def _counting(table: str, where: str) -> TextClause:
    return text(f"SELECT count(*) AS n FROM {table} WHERE {where}")  # noqa: S608 - made of constants
