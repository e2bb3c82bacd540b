"""Escalations over HTTP: the cause in tasks and decisions, the number of each rule with its list, the preview."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import TaskFacts
from services.lifecycle.settle import settle_review
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_world import OWN, ApiWorld, add_projects, add_sample, open_client, open_task, problem_code

ACCEPTED = {
    "id": "accepted", "checks": ["lidar_camera"], "verdicts": ["accept_conflict"], "risks": ["low"],
    "to": {"tier": "lead"},
}  # fmt: skip
BLIND = {"id": "blind", "kinds": ["low_overlap"], "verdicts": ["approve", "fix", "accept_conflict"], "four_eyes": True}
ACCEPT = {"verdict": "accept_conflict", "reason_code": "occlusion"}
PROJECT = f"/v1/projects/{OWN}"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role in (
            ("admin", Role.ADMIN), ("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("eve", Role.EXPERT),
        ):  # fmt: skip
            await made.key(actor_id, role)
        yield made


async def told(world: ApiWorld, who: str, method: str, path: str, body: Any = None) -> Any:
    answer = await world.call(who, method, path, body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def publish(world: ApiWorld, *escalations: dict[str, Any], version: int = 1) -> None:
    rules = {**DEFAULT_RULE_SET.model_dump(mode="json", exclude_none=True), "id": "own", "version": version}
    await told(world, "admin", "POST", "/v1/rule-sets", {**rules, "escalations": escalations})
    await told(world, "admin", "POST", f"{PROJECT}/rule-sets/activate", {"rule_set": {"id": "own", "version": version}})


async def decide(world: ApiWorld, who: str, task_id: str, **given: Any) -> Any:
    claimed = await told(world, who, "POST", f"/v1/tasks/{task_id}/claim", {})
    fence = claimed["lease"]["fence"]
    return await told(world, who, "POST", f"/v1/tasks/{task_id}/decide", {"fence": fence, **given})


async def second_task(world: ApiWorld, ref: RevisionRef) -> dict[str, Any]:
    """What operations see of the adjudication that follows a reviewer's accepted conflict."""
    facts = TaskFacts(check="lidar_camera", finding_kind="low_overlap", severity="major")
    task = await open_task(world.database, ref, facts=facts)
    await decide(world, "rita", str(task.task_id), **ACCEPT)
    await settle_review(world.database, ref)
    items = (await told(world, "olga", "GET", "/v1/tasks?state=open"))["items"]
    (found,) = [item for item in items if item["ref"]["sample_id"] == ref.sample_id]
    return dict(found)


async def test_the_cause_is_told_to_who_may_know_and_counted_with_its_list(world: ApiWorld) -> None:
    await publish(world, ACCEPTED)
    first, second = [await second_task(world, await add_sample(world.database, f"s{number}")) for number in (1, 2)]
    cause = first["caused_by"]
    assert (first["queue"], cause["rule"], cause["rule_set"]) == (
        "spatial.lead",
        "accepted",
        {"id": "own", "version": 1},
    )
    expected = {
        "check": "lidar_camera",
        "finding_kind": "low_overlap",
        "severity": "major",
        "verdict": "accept_conflict",
    }
    assert cause["facts"].items() >= expected.items()
    answer = await decide(world, "eve", first["task_id"], **ACCEPT)
    assert answer["caused_by"] == cause

    view = await told(world, "olga", "GET", f"{PROJECT}/operations")
    (row,) = view["escalations"]
    assert (row["cause"], row["rule"], row["check"], row["tasks"]["value"]) == (
        "by_rule",
        "accepted",
        "lidar_camera",
        2,
    )
    assert "rule=accepted" in row["tasks"]["list"]
    listed = await told(world, "olga", "GET", row["tasks"]["list"])
    assert [item["task_id"] for item in listed["items"]] == [first["task_id"], second["task_id"]]
    none = row["tasks"]["list"].replace("rule=accepted", "rule=another")
    assert (await told(world, "olga", "GET", none))["items"] == []
    # What is no second look has no verdict that could agree with a hidden one.
    assert view["second_looks_agree"]["whole"]["value"] == 0
    decisions = await told(world, "olga", "GET", f"{PROJECT}/operations/decisions?actor=eve")
    assert [item["caused_by"] for item in decisions["items"]] == [cause]


async def test_a_second_look_is_counted_and_hides_its_cause_from_who_takes_it(world: ApiWorld) -> None:
    await publish(world, BLIND)
    task = await second_task(world, await add_sample(world.database, "s1"))
    assert (task["caused_by"]["rule"], task["caused_by"]["four_eyes"]) == ("blind", True)
    path = f"/v1/tasks/{task['task_id']}"
    seen = [
        (await told(world, "eve", "GET", "/v1/tasks?state=open"))["items"],
        await told(world, "eve", "POST", f"{path}/claim", {}),
    ]
    fence = seen[1]["lease"]["fence"]
    seen.append(await told(world, "eve", "GET", path))
    seen.append(await told(world, "eve", "POST", f"{path}/decide", {"fence": fence, "verdict": "approve"}))
    for answer in seen:
        assert "caused_by" not in str(answer)
        assert "accept_conflict" not in str(answer)
    (row,) = (await told(world, "olga", "GET", f"{PROJECT}/operations"))["escalations"]
    assert (row["cause"], row["rule"]) == ("second_look", "blind")


async def test_a_preview_names_the_rule_and_a_task_keeps_its_tier_when_it_is_routed_anew(world: ApiWorld) -> None:
    await publish(world, ACCEPTED)
    task = await second_task(world, await add_sample(world.database, "s1"))
    queue = {"name": "judges", "filter": {"stages": ["adjudicating"]}}
    preview = await told(world, "olga", "POST", f"{PROJECT}/routing-preview", {"queues": [queue]})
    (item,) = preview["items"]
    assert (item["rule"], item["now"], item["would"]) == ("accepted", "spatial.lead", "judges.lead")
    assert preview["pairs"] == [{"now": "spatial.lead", "would": "judges.lead", "tasks": 1}]

    async def rerouted(change: dict[str, Any]) -> str:
        operation = {"filter": {}, "change": {"action": "reroute", **change}}
        await told(world, "olga", "POST", f"{PROJECT}/task-operations", operation)
        (now,) = (await told(world, "olga", "GET", "/v1/tasks?state=open"))["items"]
        assert now["task_id"] == task["task_id"]
        return str(now["queue"])

    assert await rerouted({"queue": "general"}) == "general"
    assert await rerouted({}) == "spatial.lead"
    await told(world, "olga", "PUT", f"{PROJECT}/queues/judges", queue)
    assert await rerouted({}) == "judges.lead"


async def test_rules_that_can_not_stand_are_refused_with_their_place(world: ApiWorld) -> None:
    rules = {"format": "concord.rules/1", "id": "own", "version": 1, "escalations": [{"id": "a", "checks": ["clokc"]}]}
    answer = await world.call("admin", "POST", "/v1/rule-sets", rules)
    assert problem_code(answer) == "invalid-input"
    assert answer.json()["places"][0]["pointer"] == "/escalations/0/checks/0"
