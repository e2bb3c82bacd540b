"""The report of a project, from what is stored, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.dataset_report import DatasetReport
from services.contracts.findings import CheckReport
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import AssetRecord, CheckRun
from services.report.reader import authors_of
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_world import (
    AUTHOR,
    OWN,
    ApiWorld,
    add_projects,
    add_sample,
    box,
    open_client,
    open_task,
    problem_code,
)

SHA256 = "ab" * 32


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role in (("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("ron", Role.REVIEWER)):
            await made.key(actor_id, role)
        yield made


async def add_checked(world: ApiWorld, sample_id: str) -> RevisionRef:
    ref = await add_sample(world.database, sample_id)
    async with world.database.transaction() as tx:
        stored = await tx.review.findings(ref)
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.samples.put_assets(
            ref, (AssetRecord(stream="cam", uri="file:///a.png", sha256=SHA256, size_bytes=9),)
        )  # fmt: skip
        run = CheckRun(
            run_id=uuid4(), ref=ref, label_version=1, rule=DEFAULT_RULE_SET.reference, rule_sha256=SHA256,
            report=CheckReport(rule=DEFAULT_RULE_SET.reference, findings=tuple(one.finding for one in stored)),
            seconds=0.1, created_at=await tx.now(),
        )  # fmt: skip
        await tx.samples.add_check_run(run)
    return ref


async def report(world: ApiWorld, query: str = "") -> DatasetReport:
    response = await world.call("olga", "GET", f"/v1/projects/{OWN}/report{query}")
    assert response.status_code == 200, response.text
    return DatasetReport.model_validate_json(response.content)


async def test_a_project_is_scored_by_what_is_stored(world: ApiWorld) -> None:
    empty = await report(world)
    assert (empty.samples, {score.rate for score in empty.scores}) == (0, {None})
    await add_checked(world, "s1")
    await add_checked(world, "s2")
    await add_sample(world.database, "not-checked")
    found = await report(world)
    assert (found.samples, found.labels, found.left_out) == (2, 4, 1)
    scores = {score.issue: score for score in found.scores}
    aligned = scores["misaligned_modalities"]
    assert (aligned.failing, aligned.population) == (2, 4)
    assert [entry.sample_id for entry in aligned.entries] == ["s1", "s2"]
    assert any("exchanged files are looked for" in one.reason for one in aligned.not_judged)
    truth = scores["unvalidated_ground_truth"]
    # The bytes were hashed when they were read: lineage is known though the manifest has no hash.
    assert truth.by_reason == {"no_gold": 1, "no_second_look": 2, "open_conflict": 2}
    limited = await report(world, "?samples=1&listed=0")
    assert (limited.samples, limited.left_out) == (1, 2)
    assert all(score.entries == () for score in limited.scores)


async def test_a_decision_by_somebody_else_is_a_second_look(world: ApiWorld) -> None:
    task = await open_task(world.database, await add_checked(world, "s1"))
    path = f"/v1/tasks/{task.task_id}"
    fence = (await world.call("rita", "POST", f"{path}/claim", {})).json()["lease"]["fence"]
    decided = await world.call("rita", "POST", f"{path}/decide", {"fence": fence, "verdict": "approve"})
    assert decided.status_code == 200, decided.text
    (truth,) = (score for score in (await report(world)).scores if score.issue == "unvalidated_ground_truth")
    assert truth.by_reason == {"no_gold": 1}


async def test_who_judges_may_not_read_it_and_bad_limits_are_refused(world: ApiWorld) -> None:
    refused = await world.call("rita", "GET", f"/v1/projects/{OWN}/report")
    assert (refused.status_code, problem_code(refused)) == (403, "forbidden")
    missing = await world.call("olga", "GET", "/v1/projects/nowhere/report")
    assert (missing.status_code, problem_code(missing)) == (404, "not-found")
    for query in ("?samples=0", "?samples=1000000", "?listed=-1"):
        assert (await world.call("olga", "GET", f"/v1/projects/{OWN}/report{query}")).status_code == 422


async def test_a_label_was_made_by_whoever_first_made_it_as_it_is(world: ApiWorld) -> None:
    ref = await add_sample(world.database, "s1")
    rita, ron = Author(kind="human", id="rita"), Author(kind="human", id="ron")
    bare = (box("a1"), box("a2", 3.5))
    async with world.database.transaction() as tx:
        await tx.samples.add_label_set(ref, bare, origin="reviewer", author=rita)
        await tx.samples.add_label_set(ref, (bare[0], box("a2", 9.5)), origin="rework", author=ron)
        sets = await tx.samples.label_sets(ref)
    assert authors_of(sets[:1]) == {"a1": AUTHOR, "a2": AUTHOR}
    assert authors_of(sets) == {"a1": rita, "a2": ron}
