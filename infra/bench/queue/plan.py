"""What the database does for a claim: which index it walks, and how many tasks it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.db.engine import PostgresDatabase
from infra.db.repositories.claims import claim_next_sql
from services.access.policy import task_kinds_of
from services.contracts.access import Principal
from services.contracts.base import Contract
from services.contracts.queues import Lane
from services.review.active_time import IDLE_AFTER
from services.review.fitting import skills_asked, why_not

LANE_INDEX = "ix_review_tasks_lane"
MOST_READ = 100
"""Tasks that a claim may read of one lane: those at its head that others hold."""


class PlanFacts(Contract):
    """How a claim among many tasks is carried out."""

    open_tasks: int
    lanes: int
    indexes: tuple[str, ...]
    scans_all: bool = False
    most_read_of_a_lane: int
    most_sorted: int

    @property
    def holds(self) -> bool:
        """Whether it walks the lanes' index and neither scans nor sorts the tasks that wait."""
        return (
            LANE_INDEX in self.indexes
            and not self.scans_all
            and self.most_read_of_a_lane <= MOST_READ
            and self.most_sorted <= self.lanes
        )


def facts_of_plan(plan: dict[str, Any], *, open_tasks: int, lanes: int) -> PlanFacts:
    """Return the facts of an analysed plan in JSON form."""
    nodes = list(_nodes(plan))
    on_tasks = [node for node in nodes if node.get("Relation Name") == "review_tasks"]
    walked = [node for node in on_tasks if node.get("Index Name") == LANE_INDEX]
    return PlanFacts(
        open_tasks=open_tasks,
        lanes=lanes,
        indexes=tuple(sorted({node["Index Name"] for node in nodes if "Index Name" in node})),
        scans_all=any("Seq Scan" in node["Node Type"] for node in on_tasks),
        # Per loop, which is per lane.
        most_read_of_a_lane=round(
            max((node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in walked), default=0)
        ),
        most_sorted=round(max((node["Actual Rows"] for node in nodes if node["Node Type"] == "Sort"), default=0)),
    )


async def claim_plan(connection: AsyncConnection, lanes: tuple[Lane, ...], actor_id: str, open_tasks: int) -> PlanFacts:
    """Return how a claim in these lanes is carried out; nothing stays claimed."""
    sql = claim_next_sql(one_lane=len(lanes) == 1)
    parameters = {
        "actor_id": actor_id,
        "idle_after": IDLE_AFTER,
        "lanes": [lane.lane_id for lane in lanes],
        "ageing": [lane.ageing_per_hour for lane in lanes],
        "fits": [skills_asked(lane) for lane in lanes],
        "leases_s": [lane.lease_s for lane in lanes],
    }
    savepoint = await connection.begin_nested()
    found = await connection.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"), parameters)
    await savepoint.rollback()
    document = json.loads(found) if isinstance(found, str) else found
    return facts_of_plan(document[0]["Plan"], open_tasks=open_tasks, lanes=len(lanes))


async def lanes_for(database: PostgresDatabase, person: Principal) -> tuple[Lane, ...]:
    """Return the lanes from which a person may take."""
    async with database.transaction() as tx:
        lanes = await tx.queues.lanes(
            person.actor_id, kinds=task_kinds_of(person.role), projects=person.projects, queue=None
        )
    return tuple(lane for lane in lanes if why_not(lane, person, None) is None)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
