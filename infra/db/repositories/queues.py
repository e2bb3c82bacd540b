"""Review queues and the lanes in which their tasks wait."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from infra.db.repositories.people import TURN, WITH_SKILLS, reviewer_of
from services.contracts.people import Reviewer
from services.contracts.queues import Lane, QueueFilter, RequiredSkill, ReviewQueue
from services.contracts.review import TaskKind

_SKILLS = TypeAdapter(tuple[RequiredSkill, ...])
_LANES_READ = TypeAdapter(tuple[Lane, ...])
_DEFAULT_LEASE_S = 900

_QUEUES = text("SELECT * FROM review_queues WHERE project = :project ORDER BY position, name")
_USED = text("SELECT DISTINCT queue FROM review_lanes WHERE project = :project ORDER BY queue")
_QUEUE = "SELECT * FROM review_queues WHERE project = :project AND name = :name"
_QUEUE_PLAIN = text(_QUEUE)
_QUEUE_LOCKED = text(f"{_QUEUE} FOR NO KEY UPDATE")
_PUT = text("""
    INSERT INTO review_queues (project, name, position, filter, skills, teams, base_priority, ageing_per_hour,
                               capacity, paused)
    VALUES (:project, :name, :position, CAST(:filter AS json), CAST(:skills AS json), CAST(:teams AS text[]),
            :base_priority, :ageing_per_hour, :capacity, :paused)
    ON CONFLICT (project, name) DO UPDATE SET
        position = EXCLUDED.position, filter = EXCLUDED.filter, skills = EXCLUDED.skills, teams = EXCLUDED.teams,
        base_priority = EXCLUDED.base_priority, ageing_per_hour = EXCLUDED.ageing_per_hour,
        capacity = EXCLUDED.capacity, paused = EXCLUDED.paused
""")
_DELETE = text("DELETE FROM review_queues WHERE project = :project AND name = :name")
# The lanes first: a task that is just being placed holds its lane, so its rank is made from one rate or the other.
_AGE_LANES = text("""
    UPDATE review_lanes SET ageing_per_hour = :ageing_per_hour
    WHERE project = :project AND queue = :name AND ageing_per_hour <> :ageing_per_hour
""")
_AGE_TASKS = text("""
    UPDATE review_tasks AS task
    SET rank = concord_rank(lane.ageing_per_hour, task.created_at, task.priority, task.worth)
    FROM review_lanes AS lane
    WHERE lane.project = :project AND lane.queue = :name AND task.lane_id = lane.lane_id
      AND task.state IN ('open', 'claimed')
""")
_CLAIMED = "state = 'claimed' AND lease_expires_at > statement_timestamp()"
_OWN = f"""
    own AS MATERIALIZED (
        SELECT project, queue, count(*) AS mine FROM (
            SELECT project, queue FROM review_tasks WHERE held_by = :actor_id AND {_CLAIMED}
            UNION ALL SELECT project, queue FROM probe_tasks WHERE held_by = :actor_id AND {_CLAIMED}
        ) AS held GROUP BY project, queue
    )
"""  # noqa: S608 - a constant
# Names and forms of a Lane's fields, so that one parser reads all lanes at once.
_LANE = f"""
    lane.lane_id, lane.project, lane.queue, lane.kind, nullif(lane.skill, '') AS skill, lane.ageing_per_hour,
    coalesce(queue.skills, '[]') AS skills, coalesce(queue.teams, '{{}}') AS teams, queue.capacity,
    coalesce(queue.paused, false) AS paused,
    CASE WHEN queue.capacity IS NULL THEN 0 ELSE (
        SELECT count(*) FROM review_tasks AS task
        WHERE task.project = lane.project AND task.queue = lane.queue AND {_CLAIMED}
    ) + (
        SELECT count(*) FROM probe_tasks AS task
        WHERE task.project = lane.project AND task.queue = lane.queue AND {_CLAIMED}
    ) END AS claimed,
    coalesce(own.mine, 0) AS mine,
    coalesce((SELECT sum(own.mine) FROM own WHERE own.project = lane.project), 0) AS mine_in_project,
    coalesce(CAST(project.config ->> 'lease_s' AS integer), {_DEFAULT_LEASE_S}) AS lease_s,
    coalesce(project.config ->> 'people_see' = 'own_tasks', false) AS own_tasks,
    project.config -> 'gold' AS gold, project.config -> 'second_opinions' AS second_opinions,
    EXISTS (SELECT FROM person_pauses AS pause
            WHERE pause.project = lane.project AND pause.actor_id = :actor_id AND pause.queue = lane.queue
              AND pause.kind = lane.kind AND pause.paused) AS person_paused
"""  # noqa: S608 - a constant
_JOINED = """
    JOIN projects AS project ON project.id = lane.project
    LEFT JOIN review_queues AS queue ON queue.project = lane.project AND queue.name = lane.queue
    LEFT JOIN own ON own.project = lane.project AND own.queue = lane.queue
"""
_WANTED = """
    lane.kind = ANY (CAST(:kinds AS text[]))
    AND (CAST(:projects AS text[]) IS NULL OR lane.project = ANY (CAST(:projects AS text[])))
    AND (CAST(:queue AS text) IS NULL OR lane.queue = :queue)
"""
_AS_ONE = "coalesce(json_agg(lane ORDER BY lane_id), '[]') AS lanes"
_LANES = text(f"""
    WITH {_OWN}
    SELECT {_AS_ONE} FROM (SELECT {_LANE} FROM review_lanes AS lane {_JOINED} WHERE {_WANTED}) AS lane
""")  # noqa: S608 - constants
_LANES_IN_TURN = text(f"""
    WITH turn AS MATERIALIZED ({TURN}), {_OWN}, found AS MATERIALIZED (
        SELECT {_AS_ONE}
        FROM (SELECT {_LANE} FROM turn CROSS JOIN review_lanes AS lane {_JOINED} WHERE {_WANTED}) AS lane
    )
    SELECT found.lanes, person.*
    FROM found LEFT JOIN (
        SELECT {WITH_SKILLS} FROM reviewers AS reviewer WHERE reviewer.actor_id = :actor_id
    ) AS person ON true
""")  # noqa: S608 - constants
_HOLD = text("""
    SELECT FROM review_queues AS queue
    JOIN unnest(CAST(:projects AS text[]), CAST(:names AS text[])) AS held (project, name) USING (project, name)
    ORDER BY project, name FOR NO KEY UPDATE OF queue
""")


def _queue_of(row: Any) -> ReviewQueue:
    return ReviewQueue(
        name=row.name,
        position=row.position,
        filter=None if row.filter is None else QueueFilter.model_validate_json(row.filter),
        skills=_SKILLS.validate_json(row.skills),
        teams=tuple(row.teams),
        base_priority=row.base_priority,
        ageing_per_hour=row.ageing_per_hour,
        capacity=row.capacity,
        paused=row.paused,
    )


class PostgresQueues(Repository):
    """Implements :class:`services.ports.queues.QueueRepository`."""

    async def list(self, project: str) -> tuple[ReviewQueue, ...]:
        """Return a project's queues in the order in which they are asked."""
        return tuple(_queue_of(row) for row in await self._run(_QUEUES, project=project))

    async def used(self, project: str) -> tuple[str, ...]:
        """Return the names of all queues in which tasks are or were, in order."""
        return tuple(row.queue for row in await self._run(_USED, project=project))

    async def get(self, project: str, name: str, *, lock: bool = False) -> ReviewQueue | None:
        """Return a queue; with ``lock`` no other transaction changes it until this one ends."""
        row = await self._first(_QUEUE_LOCKED if lock else _QUEUE_PLAIN, project=project, name=name)
        return None if row is None else _queue_of(row)

    async def put(self, project: str, queue: ReviewQueue) -> None:
        """Insert or replace a queue; a change of its ageing orders its waiting tasks anew."""
        await self._count(
            _PUT,
            project=project,
            name=queue.name,
            position=queue.position,
            filter=None if queue.filter is None else model_text(queue.filter),
            skills=_SKILLS.dump_json(queue.skills).decode(),
            teams=[*queue.teams],
            base_priority=queue.base_priority,
            ageing_per_hour=queue.ageing_per_hour,
            capacity=queue.capacity,
            paused=queue.paused,
        )
        await self._age(project, queue.name, queue.ageing_per_hour)

    async def delete(self, project: str, name: str) -> bool:
        """Remove a queue and its ageing; False if there is none. Its tasks stay where they are."""
        if not await self._count(_DELETE, project=project, name=name):
            return False
        await self._age(project, name, 0.0)
        return True

    async def _age(self, project: str, name: str, ageing_per_hour: float) -> None:
        if await self._count(_AGE_LANES, project=project, name=name, ageing_per_hour=ageing_per_hour):
            await self._count(_AGE_TASKS, project=project, name=name)

    async def lanes(
        self, actor_id: str, *, kinds: tuple[TaskKind, ...], projects: tuple[str, ...] | None, queue: str | None
    ) -> tuple[Lane, ...]:
        """Return the lanes of these kinds, with what is claimed in them now, by lane id."""
        row = await self._first(
            _LANES,
            actor_id=actor_id,
            kinds=[kind.value for kind in kinds],
            projects=None if projects is None else [*projects],
            queue=queue,
        )
        return () if row is None else _LANES_READ.validate_json(row.lanes)

    async def lanes_in_turn(
        self, actor_id: str, *, kinds: tuple[TaskKind, ...], projects: tuple[str, ...] | None, queue: str | None
    ) -> tuple[tuple[Lane, ...], dict[str, Reviewer]]:
        """Serialise the person's claims until the transaction ends; return the lanes, and who they are, by project.

        What the lanes say of tasks in people's hands was counted before the person's turn came.
        """
        rows = await self._run(
            _LANES_IN_TURN,
            actor_id=actor_id,
            kinds=[kind.value for kind in kinds],
            projects=None if projects is None else [*projects],
            queue=queue,
        )
        known = {row.project: reviewer_of(row) for row in rows if row.actor_id is not None}
        return _LANES_READ.validate_json(rows[0].lanes), known

    async def hold(self, queues: Collection[tuple[str, str]]) -> None:
        """Keep claims in queues, by project and name, and changes of them waiting until this transaction ends.

        One order for everybody, so that nobody waits for somebody who waits for them.
        """
        await self._count(_HOLD, projects=[project for project, _ in queues], names=[name for _, name in queues])
