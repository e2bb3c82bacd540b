"""Review tasks: opened, found by their people, closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import TextClause, text

from infra.db.repositories import claims
from infra.db.repositories.base import OF_REVISION
from infra.db.repositories.samples import ref_of
from infra.db.repositories.task_rows import TASK_COLUMNS, late_at, task_of
from infra.db.repositories.verdicts import PostgresVerdicts, cause_text
from infra.db.session import Row
from services.contracts.escalation import TaskCause
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.queues import Lane
from services.contracts.records import SampleRevision
from services.contracts.review import (
    Lease,
    NewTask,
    QueueSummary,
    ReviewTask,
    TaskKind,
    TaskState,
)
from services.errors import IntegrityError, TaskFinishedError
from services.ports.review import TaskClock

_TIER_PRIORITY = 100

_OPEN_TASK = text("""
    INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, skill, risk, priority, state, worth,
                              finding_ids, assignee, excluded_actors, origin_decision_id, reason, fence, start_by_at,
                              due_at, "check", finding_kind, severity, domain, language, region, caused_by)
    VALUES (:task_id, :project, :sample_id, :revision, :kind, :queue, :skill, :risk, :priority, 'open', :worth,
            CAST(:finding_ids AS text[]), :assignee, CAST(:excluded_actors AS text[]), :origin_decision_id, :reason,
            0, :start_by_at, :due_at, :check, :finding_kind, :severity, :domain, :language, :region,
            CAST(:caused_by AS json))
    ON CONFLICT (origin_decision_id, kind) WHERE origin_decision_id IS NOT NULL DO NOTHING
    RETURNING *, clock_timestamp() AS now
""")
_TASK_OF_ORIGIN = text("""
    SELECT *, clock_timestamp() AS now FROM review_tasks
    WHERE origin_decision_id = :origin_decision_id AND kind = :kind
""")
_TASK = "SELECT *, clock_timestamp() AS now FROM review_tasks WHERE task_id = :task_id"
_TASK_PLAIN = text(_TASK)
_TASK_LOCKED = text(f"{_TASK} FOR NO KEY UPDATE")
# Values of the newest version of both rows, whatever this statement had to wait for; what else is read for the case is
# read by the next statement, which sees what was committed meanwhile.
_OF_SAMPLE = ("stage", "manifest", "manifest_sha256", "label_version", "event_source", "event_id", "updated_at")
_LOCK_CASE = text(f"""
    WITH sample AS MATERIALIZED (
        SELECT sample.* FROM review_tasks AS task
        JOIN sample_revisions AS sample USING (project, sample_id, revision)
        WHERE task.task_id = :task_id
          AND (CAST(:projects AS text[]) IS NULL OR task.project = ANY (CAST(:projects AS text[])))
        FOR NO KEY UPDATE OF sample
    )
    SELECT {", ".join(f'task."{name}"' for name in TASK_COLUMNS)},
           {", ".join(f"sample.{name}" for name in _OF_SAMPLE)}, sample.risk AS sample_risk,
           sample.created_at AS sample_created_at, clock_timestamp() AS now
    FROM sample JOIN review_tasks AS task USING (project, sample_id, revision)
    WHERE task.task_id = :task_id
    FOR NO KEY UPDATE OF task
""")  # noqa: S608 - constants
_TASKS_OF = text(f"""
    SELECT *, clock_timestamp() AS now FROM review_tasks WHERE {OF_REVISION} ORDER BY created_at, task_id
""")  # noqa: S608
_IN_STATE = {
    TaskState.OPEN: "(state = 'open' OR (state = 'claimed' AND lease_expires_at <= statement_timestamp()))",
    TaskState.CLAIMED: "(state = 'claimed' AND lease_expires_at > statement_timestamp())",
    TaskState.COMPLETED: "state = 'completed'",
    TaskState.CANCELLED: "state = 'cancelled'",
}
_OWN = text(f"""
    SELECT *, clock_timestamp() AS now FROM review_tasks
    WHERE project = ANY (CAST(:projects AS text[]))
      AND (held_by = :actor_id AND {_IN_STATE[TaskState.CLAIMED]}
           OR assignee = :actor_id AND state IN ('open', 'claimed'))
""")  # noqa: S608
_CLOSE = text("""
    UPDATE review_tasks
    SET state = :state, held_by = NULL, lease_expires_at = NULL, completed_at = clock_timestamp()
    WHERE task_id = :task_id AND state IN ('open', 'claimed')
""")
_STATE = text("SELECT state FROM review_tasks WHERE task_id = :task_id")
_MOVE_TO_TIER = text(f"""
    UPDATE review_tasks
    SET kind = 'adjudicate', queue = :queue, skill = :skill, caused_by = CAST(:caused_by AS json),
        priority = priority + {_TIER_PRIORITY}, reason = :reason,
        start_by_at = :start_by_at, due_at = :due_at, tier_fence = fence,
        assignee = NULL, state = 'open', held_by = NULL, lease_expires_at = NULL
    WHERE task_id = :task_id AND kind IN ('review', 'adjudicate') AND {_IN_STATE[TaskState.OPEN]}
""")  # noqa: S608
_FREE = text(f"""
    UPDATE review_tasks SET assignee = NULL, state = 'open', held_by = NULL, lease_expires_at = NULL
    WHERE task_id = :task_id AND assignee IS NOT NULL AND {_IN_STATE[TaskState.OPEN]}
""")  # noqa: S608
_EXCLUDE = text("""
    UPDATE review_tasks
    SET excluded_actors = excluded_actors || CAST(:actor_id AS text),
        state = CASE WHEN held_by = :actor_id THEN 'open' ELSE state END,
        lease_expires_at = CASE WHEN held_by = :actor_id THEN NULL ELSE lease_expires_at END,
        held_by = nullif(held_by, :actor_id), assignee = nullif(assignee, :actor_id)
    WHERE task_id = :task_id AND state IN ('open', 'claimed') AND NOT (:actor_id = ANY (excluded_actors))
""")
_VALUE = text("""
    UPDATE review_tasks SET worth = :worth
    WHERE task_id = ANY (CAST(:task_ids AS uuid[])) AND state IN ('open', 'claimed') AND worth <> :worth
""")
_RAISE_PRIORITY = text("""
    UPDATE review_tasks SET priority = priority + :by WHERE task_id = :task_id AND state IN ('open', 'claimed')
""")
_QUEUES = text(f"""
    SELECT project, queue, kind,
           count(*) FILTER (WHERE {_IN_STATE[TaskState.OPEN]}) AS open,
           count(*) FILTER (WHERE {_IN_STATE[TaskState.CLAIMED]}) AS claimed,
           min(created_at) FILTER (WHERE {_IN_STATE[TaskState.OPEN]}) AS oldest_created_at,
           count(*) FILTER (WHERE state IN ('open', 'claimed') AND {late_at("statement_timestamp()")}) AS overdue
    FROM review_tasks AS task
    WHERE CAST(:projects AS text[]) IS NULL OR project = ANY (CAST(:projects AS text[]))
    GROUP BY project, queue, kind ORDER BY project, queue, kind
""")  # noqa: S608


def _maybe_task(row: Row | None) -> ReviewTask | None:
    return None if row is None else task_of(row)


class PostgresReview(PostgresVerdicts):
    """Implements :class:`services.ports.database.ReviewRepository`; see also :class:`PostgresVerdicts`."""

    async def open_task(self, task: NewTask) -> ReviewTask:
        """Open a task; one that has the same origin decision and kind is returned instead."""
        row = await self._first(
            _OPEN_TASK,
            task_id=uuid4(),
            **task.ref.model_dump(),
            kind=task.kind.value,
            queue=task.queue,
            skill=task.skill,
            risk=task.risk,
            priority=task.priority,
            worth=task.worth,
            finding_ids=[*task.finding_ids],
            assignee=task.assignee,
            excluded_actors=[*task.excluded_actors],
            origin_decision_id=task.origin_decision_id,
            reason=task.reason,
            start_by_at=task.start_by_at,
            due_at=task.due_at,
            caused_by=cause_text(task.caused_by),
            **task.facts.model_dump(),
        )
        if row is None:
            row = await self._first(_TASK_OF_ORIGIN, origin_decision_id=task.origin_decision_id, kind=task.kind.value)
        if row is None:
            raise IntegrityError("a review task was not kept")
        return task_of(row)

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        """Return a task; with ``lock`` no other transaction changes it until this one ends."""
        return _maybe_task(await self._first(_TASK_LOCKED if lock else _TASK_PLAIN, task_id=task_id))

    async def lock_case(
        self, task_id: UUID, projects: tuple[str, ...] | None
    ) -> tuple[SampleRevision, ReviewTask] | None:
        """Return a task of these projects (None: of all) and its revision; the revision is locked first, then it."""
        scope = None if projects is None else [*projects]
        row = await self._first(_LOCK_CASE, task_id=task_id, projects=scope)
        if row is None:
            return None
        revision = SampleRevision(
            ref=ref_of(row),
            stage=Stage(row.stage),
            risk=row.sample_risk,
            manifest=SampleManifest.model_validate_json(row.manifest),
            manifest_sha256=row.manifest_sha256,
            label_version=row.label_version,
            event_source=row.event_source,
            event_id=row.event_id,
            created_at=row.sample_created_at,
            updated_at=row.updated_at,
        )
        return revision, task_of(row)

    async def tasks_of(self, ref: RevisionRef) -> tuple[ReviewTask, ...]:
        """Return all tasks of a revision, oldest first."""
        return tuple(task_of(row) for row in await self._run(_TASKS_OF, **ref.model_dump()))

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
        conditions = ["true"]
        parameters: dict[str, Any] = {"limit": limit}
        if projects is not None:
            conditions.append("project = ANY (CAST(:projects AS text[]))")
            parameters["projects"] = [*projects]
        if queue is not None:
            conditions.append("queue = :queue")
            parameters["queue"] = queue
        if state is not None:
            conditions.append(_IN_STATE[state])
        if after is not None:
            conditions.append(
                "(created_at, task_id) > (CAST(:after_created_at AS timestamptz), CAST(:after_task AS uuid))"
            )
            parameters["after_created_at"], parameters["after_task"] = after
        statement = text(
            f"SELECT *, clock_timestamp() AS now FROM review_tasks WHERE {' AND '.join(conditions)} "  # noqa: S608
            "ORDER BY created_at, task_id LIMIT :limit"
        )
        return tuple(task_of(row) for row in await self._run(statement, **parameters))

    async def own_tasks(self, actor_id: str, projects: Sequence[str]) -> tuple[ReviewTask, ...]:
        """Return what the person holds now, and unfinished tasks that name them."""
        return tuple(task_of(row) for row in await self._run(_OWN, actor_id=actor_id, projects=[*projects]))

    async def claim_next(
        self, actor_id: str, lanes: Sequence[Lane], fits: Sequence[int], idle_after: timedelta | None = None
    ) -> ReviewTask | None:
        """Claim the best task of these lanes that the person may have, in one statement.

        Rework after rework may be had even though the person has answered a task of the same findings before, and so
        may what names the person as its assignee, unless it asks them for labels or a verdict that they have given.

        Args:
            actor_id: The person; their claims are serialised by the caller.
            lanes: From which they may take.
            fits: How many of their skills each lane asks for; decides between tasks of equal priority.
            idle_after: Begins the person's active time with the task; a last sign that is not older stays.
        """
        statement = claims.claim_next(one_lane=len(lanes) == 1)
        return await self._next(statement, actor_id, lanes, fits, idle_after=idle_after)

    async def look_next(self, actor_id: str, lanes: Sequence[Lane], fits: Sequence[int]) -> ReviewTask | None:
        """Return the task that :meth:`claim_next` would claim, and keep it for this transaction."""
        return await self._next(claims.claim_next(one_lane=len(lanes) == 1, look=True), actor_id, lanes, fits)

    async def _next(
        self, statement: TextClause, actor_id: str, lanes: Sequence[Lane], fits: Sequence[int], **more: timedelta | None
    ) -> ReviewTask | None:
        if not lanes:
            return None
        row = await self._first(
            statement,
            actor_id=actor_id,
            lanes=[lane.lane_id for lane in lanes],
            ageing=[lane.ageing_per_hour for lane in lanes],
            fits=[*fits],
            leases_s=[lane.lease_s for lane in lanes],
            **more,
        )
        return _maybe_task(row)

    async def claim(
        self, task_id: UUID, actor_id: str, lease: timedelta, idle_after: timedelta | None = None
    ) -> ReviewTask | None:
        """Claim this task if nobody else holds a live lease on it; None otherwise.

        Claiming one's own live claim again renews it under the same fence; every other claim raises the fence. With
        ``idle_after`` the person's active time begins, as in :meth:`claim_next`.

        Raises:
            SelfReviewError: The task excludes the person (as the transaction ends).
            ForbiddenError: The task is assigned to somebody else (as the transaction ends).
        """
        values = {"task_id": task_id, "actor_id": actor_id, "lease": lease, "idle_after": idle_after}
        return _maybe_task(await self._first(claims.CLAIM, **values))

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        """Extend a live lease held under ``fence``; None if it is over or another's."""
        row = await self._first(claims.RENEW, task_id=task_id, fence=fence, lease=lease)
        if row is None:
            return None
        return Lease(task_id=row.task_id, fence=row.fence, lease_expires_at=row.lease_expires_at)

    async def release(self, task_id: UUID, fence: int) -> bool:
        """Give a task back; False if the lease is over or another's. The draft stays."""
        return await self._count(claims.RELEASE, task_id=task_id, fence=fence) == 1

    async def close_task(self, task_id: UUID, state: TaskState) -> None:
        """Complete or cancel a task and drop its lease; one that has this state already stays as it is.

        Raises:
            TaskFinishedError: The task ended otherwise, or there is none.
        """
        if await self._count(_CLOSE, task_id=task_id, state=state.value):
            return
        row = await self._first(_STATE, task_id=task_id)
        if row is None or row.state != state:
            raise TaskFinishedError(f"task {task_id} is {'unknown' if row is None else row.state}, not {state}")

    async def move_to_tier(
        self, task_id: UUID, queue: str, skill: str | None, reason: str, cause: TaskCause | None, clock: TaskClock
    ) -> None:
        """Make an open review or adjudication an adjudication of ``queue``, for anybody and at a higher priority.

        Its deadlines are those of the new tier from then on, and nobody has claimed it there yet. A task that somebody
        holds, or that asks for labels, stays as it is.
        """
        await self._count(
            _MOVE_TO_TIER,
            task_id=task_id,
            queue=queue,
            skill=skill,
            reason=reason,
            caused_by=cause_text(cause),
            start_by_at=clock.start_by_at,
            due_at=clock.due_at,
        )

    async def exclude_actor(self, task_id: UUID, actor_id: str) -> None:
        """Add a person to those who may not take a task, and end their hold on it; again changes nothing.

        A task that was asked of this person is asked of anybody then.
        """
        await self._count(_EXCLUDE, task_id=task_id, actor_id=actor_id)

    async def ask_anybody(self, task_id: UUID) -> None:
        """Ask an open task of anybody instead of the one person it names; what somebody holds stays as it is."""
        await self._count(_FREE, task_id=task_id)

    async def value_tasks(self, task_ids: Sequence[UUID], worth: float) -> None:
        """Note what the answers to unfinished tasks are worth; their order in the lane follows."""
        await self._count(_VALUE, task_ids=[*task_ids], worth=worth)

    async def raise_priority(self, task_id: UUID, by: int) -> None:
        """Raise the priority of a task that is not finished."""
        await self._count(_RAISE_PRIORITY, task_id=task_id, by=by)

    async def queues(self, projects: tuple[str, ...] | None) -> tuple[QueueSummary, ...]:
        """Return the state of every queue that has or had tasks."""
        rows = await self._run(_QUEUES, projects=None if projects is None else [*projects])
        return tuple(
            QueueSummary(
                project=row.project,
                queue=row.queue,
                kind=TaskKind(row.kind),
                open=row.open,
                claimed=row.claimed,
                oldest_created_at=row.oldest_created_at,
                overdue=row.overdue,
            )
            for row in rows
        )
