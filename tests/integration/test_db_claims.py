from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from infra.db.repositories.claims import claim_next_sql
from services.contracts.access import Principal
from services.contracts.review import ReviewTask, TaskKind, TaskState
from tests.integration.db_samples import PROJECT, a_decision, a_person, a_sample, a_task, claim_next, open_task


async def claim(database: PostgresDatabase, person: Principal, **wish: Any) -> ReviewTask | None:
    async with database.transaction() as tx:
        return await claim_next(tx, person, **wish)


async def answer(database: PostgresDatabase, task: ReviewTask, actor: str) -> None:
    async with database.transaction() as tx:
        await tx.review.add_decision(a_decision(task, actor), {})
        await tx.review.close_task(task.task_id, TaskState.COMPLETED)


async def test_highest_priority_goes_first_then_the_oldest(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    tasks = [
        await open_task(database, ref, priority=priority, finding_ids=(f"f-{n}",))
        for n, priority in enumerate((100, 300, 100, 300))
    ]
    order = [await claim(database, a_person("rev")) for _ in range(5)]
    assert [task and task.task_id for task in order] == [tasks[n].task_id for n in (1, 3, 0, 2)] + [None]


async def test_only_tasks_that_fit_the_person_are_claimed(database: PostgresDatabase) -> None:
    here, there = await a_sample(database), await a_sample(database, "s2", project="elsewhere")
    await open_task(database, here, skill="spatial", finding_ids=("a",))
    await open_task(database, here, kind=TaskKind.ADJUDICATE, finding_ids=("b",))
    await open_task(database, here, assignee="somebody", finding_ids=("c",))
    await open_task(database, here, excluded_actors=("rev", "x"), finding_ids=("d",))
    foreign = await open_task(database, there, finding_ids=("e",))
    here_only = a_person("rev", projects=(PROJECT,))
    reviews = (TaskKind.REVIEW,)
    assert await claim(database, here_only, kinds=reviews) is None
    assert await claim(database, here_only, project="elsewhere") is None
    assert await claim(database, a_person("rev", projects=())) is None
    assert await claim(database, a_person("rev"), kinds=()) is None
    assert await claim(database, a_person("rev"), kinds=reviews, queue="nowhere") is None
    assert await claim(database, a_person("rev"), kinds=reviews, project=PROJECT) is None
    got = await claim(database, a_person("rev"), kinds=reviews, queue="spatial")
    assert got is not None
    assert got.task_id == foreign.task_id
    skilled = await claim(database, a_person("rev", skills=("speech", "spatial"), projects=(PROJECT,)), kinds=reviews)
    assert skilled is not None
    assert skilled.skill == "spatial"


async def test_who_holds_or_answered_a_task_of_the_same_findings_gets_no_second_one(
    database: PostgresDatabase,
) -> None:
    ref = await a_sample(database)
    for _ in range(2):
        await open_task(database, ref, finding_ids=("f-1", "f-2"))
    await open_task(database, ref, finding_ids=("f-2", "f-3"))
    first = await claim(database, a_person("rev"))
    assert first is not None
    assert await claim(database, a_person("rev")) is None
    await answer(database, first, "rev")
    assert await claim(database, a_person("rev")) is None
    assert await claim(database, a_person("other")) is not None
    unrelated = await open_task(database, ref, finding_ids=("f-9",))
    got = await claim(database, a_person("rev"))
    assert got is not None
    assert got.task_id == unrelated.task_id


async def test_two_labelling_tasks_of_a_sample_go_to_two_people(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    for _ in range(2):
        await open_task(database, ref, kind=TaskKind.ANNOTATE, queue="annotate", finding_ids=())
    assert await claim(database, a_person("ann")) is not None
    assert await claim(database, a_person("ann")) is None
    assert await claim(database, a_person("bob")) is not None


async def test_rework_comes_back_to_who_did_it_before(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    by_name = {"kind": TaskKind.REWORK, "assignee": "ann"}
    for changes in ({"kind": TaskKind.REWORK}, {"kind": TaskKind.REWORK}, by_name):
        task = await open_task(database, ref, **changes)
        got = await claim(database, a_person("ann"))
        assert got is not None
        assert got.task_id == task.task_id
        await answer(database, got, "ann")


async def test_one_person_in_two_tabs_gets_one_of_two_tasks_with_the_same_findings(
    database: PostgresDatabase,
) -> None:
    for n in range(10):
        ref = await a_sample(database, f"s{n}")
        await open_task(database, ref)
        await open_task(database, ref)
        got = await asyncio.gather(*(claim(database, a_person("rev")) for _ in range(4)))
        assert sum(task is not None for task in got) == 1
    assert await claim(database, a_person("rev")) is None


async def test_expired_claims_are_claimed_again_in_their_old_place(
    database: PostgresDatabase, database_url: str
) -> None:
    ref = await a_sample(database)
    urgent = await open_task(database, ref, priority=500, finding_ids=("a",))
    await open_task(database, ref, finding_ids=("b",))
    assert await claim(database, a_person("gone")) is not None
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE review_tasks SET lease_expires_at = clock_timestamp() WHERE task_id = $1", urgent.task_id
    )
    await connection.close()
    got = await claim(database, a_person("rev"))
    assert got is not None
    assert (got.task_id, got.fence, got.held_by) == (urgent.task_id, 2, "rev")


async def test_sixteen_claimers_on_two_hundred_tasks_hold_each_once_and_none_starves(
    database: PostgresDatabase, database_url: str
) -> None:
    refs = [await a_sample(database, f"s{n}") for n in range(20)]
    async with database.transaction() as tx:
        for n in range(200):
            await tx.review.open_task(a_task(refs[n % 20], finding_ids=(f"f-{n}",), priority=n % 7))
    connection = await asyncpg.connect(database_url)
    claims: list[tuple[str, ReviewTask]] = []

    async def work(actor: str, rounds: dict[str, int]) -> None:
        while (task := await claim(database, a_person(actor))) is not None:
            claims.append((actor, task))
            rounds[actor] += 1

    for _ in range(3):
        before = len(claims)
        rounds: dict[str, int] = defaultdict(int)
        await asyncio.gather(*(work(f"p{n}", rounds) for n in range(16)))
        taken = [task.task_id for _, task in claims[before:]]
        assert len(taken) == 200
        assert len(set(taken)) == 200, "a task was held by two people at once"
        # All leases end, by the database's clock.
        await connection.execute("UPDATE review_tasks SET lease_expires_at = clock_timestamp()")
    await connection.close()
    fences: dict[Any, list[int]] = defaultdict(list)
    for _, task in claims:
        fences[task.task_id].append(task.fence)
    assert all(history == [1, 2, 3] for history in fences.values())


async def test_claimers_that_wait_for_nobody_pass_over_rows_that_others_have_locked(
    database: PostgresDatabase, database_url: str
) -> None:
    ref = await a_sample(database)
    first = await open_task(database, ref, priority=900, finding_ids=("a",))
    second = await open_task(database, ref, finding_ids=("b",))
    async with database.transaction() as other:
        await other.review.task(first.task_id, lock=True)
        got = await asyncio.wait_for(claim(database, a_person("rev")), 30)
    assert got is not None
    assert got.task_id == second.task_id


@pytest.mark.parametrize("lanes", [1, 20])
async def test_claim_walks_its_index_among_ten_thousand_tasks(
    database: PostgresDatabase, database_url: str, lanes: int
) -> None:
    await a_sample(database)
    connection = await asyncpg.connect(database_url)
    try:
        await fill(connection)
        known = [row["lane_id"] for row in await connection.fetch("SELECT lane_id FROM review_lanes ORDER BY queue")]
        values = {
            ":lanes": f"'{{{','.join(map(str, known[:lanes]))}}}'",
            ":ageing": f"array_fill(0, ARRAY[{lanes}])",
            ":fits": f"array_fill(0, ARRAY[{lanes}])",
            ":leases_s": f"array_fill(900, ARRAY[{lanes}])",
            ":actor_id": "'rev'",
            ":idle_after": "'60 s'",
        }
        sql = claim_next_sql(one_lane=lanes == 1)
        for name, value in values.items():
            sql = sql.replace(name, value)
        plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"))[0]["Plan"]
    finally:
        await connection.close()
    nodes = list(nodes_of(plan))
    assert plan["Actual Rows"] == 1
    on_tasks = [node for node in nodes if node.get("Relation Name") == "review_tasks"]
    assert "ix_review_tasks_lane" in {node.get("Index Name") for node in on_tasks}
    assert not [node["Node Type"] for node in on_tasks if "Seq" in node["Node Type"]]
    walked = [
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        for node in on_tasks
        if node.get("Index Name") == "ix_review_tasks_lane"
    ]
    assert max(walked) < 50
    # What is sorted are the heads of the lanes and what is assigned to the person, never the tasks that wait.
    assert all(node["Actual Rows"] <= lanes for node in nodes if node["Node Type"] == "Sort")


async def fill(connection: asyncpg.Connection) -> None:
    """Ten thousand tasks of 2,500 samples; half of them are decided, each tenth of those by the person who claims."""
    await connection.execute("SET session_replication_role = replica")
    for statement in (
        """
        INSERT INTO samples (project, sample_id, current_revision, event_sequence)
        SELECT project, 'n' || n, 1, 1 FROM samples, generate_series(1, 2500) AS n
        """,
        """
        INSERT INTO sample_revisions (project, sample_id, revision, stage, risk, manifest, manifest_sha256,
                                      label_version, prediction_version)
        SELECT project, 'n' || n, 1, stage, risk, manifest, manifest_sha256, 0, 0
        FROM sample_revisions, generate_series(1, 2500) AS n
        """,
        """
        INSERT INTO review_lanes (project, queue, kind, skill, ageing_per_hour)
        SELECT project, 'q' || n, 'review', '', 0 FROM samples, generate_series(0, 19) AS n WHERE sample_id = 's1'
        """,
        """
        INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, risk, priority, state,
                                  finding_ids, excluded_actors, fence, completed_at, lane_id, rank)
        SELECT gen_random_uuid(), project, 'n' || 1 + n % 2500, 1, kind, queue, 'low', n % 100,
               CASE WHEN n % 2 = 0 THEN 'open' ELSE 'completed' END, ARRAY['f-' || n], '{}', 1,
               CASE WHEN n % 2 = 0 THEN NULL ELSE clock_timestamp() END, lane_id, -(n % 100)
        FROM generate_series(1, 10000) AS n
        JOIN review_lanes ON queue = CASE WHEN n % 3 = 0 THEN 'q7' ELSE 'q' || n / 2 % 20 END
        """,
        """
        INSERT INTO decisions (decision_id, task_id, project, sample_id, revision, task_kind, actor_id, verdict,
                               finding_ids, fence, label_version_before, label_version_after, content_sha256, body,
                               decided_at)
        SELECT gen_random_uuid(), task_id, project, sample_id, revision, kind,
               CASE WHEN row_number() OVER () % 10 = 0 THEN 'rev' ELSE 'other' END, 'approve',
               finding_ids, fence, 0, 0, '', '{}', clock_timestamp()
        FROM review_tasks WHERE state = 'completed'
        """,
        "SET session_replication_role = origin",
        "ANALYZE",
    ):
        await connection.execute(statement)


def nodes_of(plan: dict[str, Any]) -> Any:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)
