"""Queues, operations on many tasks and people, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.review import NewTask, ReviewTask, TaskFacts, TaskKind
from tests.review_world import (
    OTHER,
    OWN,
    ApiWorld,
    add_projects,
    add_sample,
    lapse,
    open_client,
    problem_code,
    task_now,
)

BASE = f"/v1/projects/{OWN}"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor, role in (("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("ben", Role.REVIEWER)):
            await made.key(actor, role, OWN)
        yield made


async def a_task(world: ApiWorld, name: str, **changes: Any) -> ReviewTask:
    """A review of a sample of its own."""
    project = changes.pop("project", OWN)
    ref = await add_sample(world.database, name, project=project)
    values: dict[str, Any] = {
        "ref": ref, "kind": TaskKind.REVIEW, "queue": "spatial", "finding_ids": ("f-1",),
        "facts": TaskFacts(check="lidar_camera", finding_kind="low_overlap", severity="major"),
    }  # fmt: skip
    async with world.database.transaction() as tx:
        return await tx.review.open_task(NewTask(**values | changes))


async def put_queue(world: ApiWorld, name: str, **settings: Any) -> None:
    response = await world.call("olga", "PUT", f"{BASE}/queues/{name}", {"name": name, **settings})
    assert response.status_code == 200, response.text


async def claimed_queue(world: ApiWorld, actor: str, **wish: Any) -> str | None:
    """The queue of the task that a person gets, None if they get none."""
    response = await world.call(actor, "POST", "/v1/tasks/claim", wish)
    if response.status_code == 404:
        assert problem_code(response) == "no-task-available"
        return None
    return str(response.json()["task"]["queue"])


async def operate(world: ApiWorld, change: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    body = {"filter": wanted, "change": change}
    counted = await world.call("olga", "POST", f"{BASE}/task-operations/preview", body)
    done = await world.call("olga", "POST", f"{BASE}/task-operations", body)
    assert (counted.status_code, done.status_code) == (200, 201), (counted.text, done.text)
    assert counted.json()["outcomes"] == done.json()["outcomes"]
    answer: dict[str, Any] = done.json()
    return answer


async def undo(world: ApiWorld, operation: dict[str, Any]) -> dict[str, Any]:
    response = await world.call("olga", "POST", f"{BASE}/task-operations/{operation['operation_id']}/undo", {})
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_queues_of_the_rule_set_are_there_and_can_be_changed_by_name(world: ApiWorld) -> None:
    listed = (await world.call("rita", "GET", f"{BASE}/queues")).json()["items"]
    assert {item["source"] for item in listed} == {"rule_set"}
    assert {"spatial", "spatial.expert", "annotate", "rework", "general"} <= {item["queue"]["name"] for item in listed}
    first = await world.call("rita", "GET", f"{BASE}/queues/spatial")
    tag = first.headers["etag"]
    content = {**first.json(), "capacity": 2}
    path = f"{BASE}/queues/spatial"
    changed = await world.call("olga", "PUT", path, content, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] != tag
    stale = await world.call("olga", "PUT", path, {**content, "capacity": 3}, headers={"If-Match": tag})
    assert (stale.status_code, problem_code(stale)) == (412, "changed-meanwhile")
    weak = await world.call("olga", "DELETE", path, headers={"If-Match": f"W/{changed.headers['etag']}"})
    assert weak.status_code == 412
    (own,) = [
        item for item in (await world.call("rita", "GET", f"{BASE}/queues")).json()["items"]
        if item["source"] == "project"
    ]  # fmt: skip
    assert own["queue"]["capacity"] == 2
    assert (await world.call("olga", "DELETE", path, headers={"If-Match": changed.headers["etag"]})).status_code == 204
    gone = await world.call("olga", "DELETE", path)
    assert (gone.status_code, problem_code(gone)) == (404, "not-found")
    audit = (await world.call("olga", "GET", f"{BASE}/audit")).json()["items"]
    assert [item["action"] for item in audit if item["subject"] == "queues/spatial"] == ["queue.put", "queue.deleted"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "other"}, "/name"),
        ({"name": "q", "capacity": 0}, "/capacity"),
        ({"name": "q", "ageing_per_hour": -1}, "/ageing_per_hour"),
        ({"name": "q", "filter": {"stages": ["committed"]}}, "/filter/stages/0"),
        ({"name": "q", "skills": [{"name": "spatial", "level": 6}]}, "/skills/0/level"),
        ({"name": "q", "lane_id": 1}, "/lane_id"),
    ],
)
async def test_queue_that_can_not_be_is_refused_with_its_place(
    world: ApiWorld, body: dict[str, Any], pointer: str
) -> None:
    response = await world.call("olga", "PUT", f"{BASE}/queues/q", body)
    assert (response.status_code, response.json()["places"][0]["pointer"]) == (422, pointer)


async def test_paused_queue_gives_nothing_and_its_holder_goes_on(world: ApiWorld) -> None:
    task = await a_task(world, "s1")
    held = (await world.call("rita", "POST", f"/v1/tasks/{task.task_id}/claim", {})).json()
    other = await a_task(world, "s2")
    for _ in range(2):
        assert (await world.call("olga", "POST", f"{BASE}/queues/spatial/pause", {})).json()["paused"] is True
    answer = await world.call("ben", "POST", "/v1/tasks/claim", {})
    assert (answer.status_code, problem_code(answer)) == (404, "no-task-available")
    assert "'spatial' is paused" in answer.json()["detail"]
    direct = await world.call("ben", "POST", f"/v1/tasks/{other.task_id}/claim", {})
    assert (direct.status_code, problem_code(direct)) == (409, "task-on-hold")
    fence = held["lease"]["fence"]
    path = f"/v1/tasks/{task.task_id}"
    assert (await world.call("rita", "POST", f"{path}/heartbeat", {"fence": fence})).status_code == 200
    decided = await world.call("rita", "POST", f"{path}/decide", {"fence": fence, "verdict": "approve"})
    assert decided.status_code == 200
    await world.call("olga", "POST", f"{BASE}/queues/spatial/resume", {})
    assert await claimed_queue(world, "ben") == "spatial"


async def test_capacity_of_a_queue_holds_for_both_ways_to_claim(world: ApiWorld) -> None:
    tasks = [await a_task(world, f"s{n}") for n in range(3)]
    await a_task(world, "s9", queue="general", priority=1)
    await put_queue(world, "spatial", capacity=1)
    assert await claimed_queue(world, "rita") == "spatial"
    assert await claimed_queue(world, "ben") == "general"
    waiting = [task for task in tasks if (await task_now(world.database, task.task_id)).held_by is None]
    refused = await world.call("ben", "POST", f"/v1/tasks/{waiting[0].task_id}/claim", {})
    assert (refused.status_code, problem_code(refused)) == (409, "cap-reached")
    (mine,) = [task for task in tasks if task not in waiting]
    renewed = await world.call("rita", "POST", f"/v1/tasks/{mine.task_id}/claim", {})
    assert renewed.status_code == 200, "one's own claim is no further one"
    await lapse(world.database, mine.task_id)
    assert await claimed_queue(world, "ben", queue="spatial") == "spatial"


async def test_a_person_holds_no_more_than_their_caps_allow(world: ApiWorld) -> None:
    for n in range(3):
        await a_task(world, f"s{n}")
    await a_task(world, "s9", queue="general", priority=1)
    profile = {"actor_id": "rita", "max_claims": 2, "max_claims_of_queue": {"spatial": 1}}
    assert (await world.call("olga", "PUT", f"{BASE}/reviewers/rita", profile)).status_code == 200
    assert await claimed_queue(world, "rita") == "spatial"
    assert await claimed_queue(world, "rita", queue="spatial") is None
    assert await claimed_queue(world, "rita") == "general"
    full = await world.call("rita", "POST", "/v1/tasks/claim", {})
    assert "You hold 2 of at most 2" in full.json()["detail"]
    assert await claimed_queue(world, "ben") == "spatial"


async def test_level_and_team_decide_who_takes_from_a_queue(world: ApiWorld) -> None:
    task = await a_task(world, "s1")
    await put_queue(world, "spatial", skills=[{"name": "spatial", "level": 3}], teams=["night"])
    assert await claimed_queue(world, "rita") is None, "a skill of the key counts as level 1"
    attempts: tuple[tuple[dict[str, Any], str], ...] = (
        ({"skills": [{"name": "spatial", "level": 3}]}, "is for the teams night"),
        ({"skills": [{"name": "spatial", "level": 2}], "teams": ["night"]}, "at level 3"),
    )
    for settings, expected in attempts:
        await world.call("olga", "PUT", f"{BASE}/reviewers/rita", {"actor_id": "rita", **settings})
        direct = await world.call("rita", "POST", f"/v1/tasks/{task.task_id}/claim", {})
        assert (direct.status_code, problem_code(direct)) == (403, "forbidden")
        assert expected in direct.json()["detail"]
        assert await claimed_queue(world, "rita") is None
    profile = {"actor_id": "rita", "skills": [{"name": "spatial", "level": 4}], "teams": ["night", "day"]}
    stored = await world.call("olga", "PUT", f"{BASE}/reviewers/rita", profile)
    assert [(one["source"], one["level"], one["set_by"]) for one in stored.json()["skills"]] == [("granted", 4, "olga")]
    assert await claimed_queue(world, "rita") == "spatial"


async def test_who_asks_outside_of_working_hours_is_served_and_told(world: ApiWorld) -> None:
    await a_task(world, "s1")
    never_now = {"time_zone": "UTC", "hours": [{"day": "mon", "opens": "00:00", "closes": "24:00"}]}
    async with world.database.transaction() as tx:
        today = (await tx.now()).strftime("%a").lower()
    if today == "mon":
        never_now["hours"] = [{"day": "wed", "opens": "00:00", "closes": "24:00"}]
    profile = {"actor_id": "rita", "calendar": never_now}
    assert (await world.call("olga", "PUT", f"{BASE}/reviewers/rita", profile)).status_code == 200
    answer = (await world.call("rita", "POST", "/v1/tasks/claim", {})).json()
    assert "outside of your working hours" in answer["notice"]
    await a_task(world, "s2")
    assert "notice" not in (await world.call("ben", "POST", "/v1/tasks/claim", {})).json()


async def test_what_waits_longer_overtakes_where_a_queue_ages(world: ApiWorld) -> None:
    old = await a_task(world, "s1", priority=100)
    new = await a_task(world, "s2", priority=150)
    async with world.database._engine.begin() as connection:
        from sqlalchemy import text

        await connection.execute(
            text("UPDATE review_tasks SET created_at = created_at - interval '10 hours' WHERE task_id = :id"),
            {"id": old.task_id},
        )
    first = (await world.call("rita", "POST", "/v1/tasks/claim", {})).json()
    assert first["task"]["task_id"] == str(new.task_id), "without ageing the priority decides"
    path = f"/v1/tasks/{new.task_id}/release"
    assert (await world.call("rita", "POST", path, {"fence": first["lease"]["fence"]})).status_code == 204
    await put_queue(world, "spatial", ageing_per_hour=6.0)
    second = (await world.call("rita", "POST", "/v1/tasks/claim", {})).json()
    assert second["task"]["task_id"] == str(old.task_id), "10 h at 6 points an hour make up for 50 points"


async def test_preview_tells_what_would_go_where_and_changes_nothing(world: ApiWorld) -> None:
    for n in range(4):
        await a_task(world, f"s{n}", risk="high" if n < 3 else "low")
    await a_task(world, "t1", queue="elsewhere", project=OTHER)
    queues = [{"name": "careful", "filter": {"risks": ["high"], "checks": ["lidar_camera"]}, "base_priority": 900}]
    path = f"{BASE}/routing-preview"
    answer = (await world.call("olga", "POST", path, {"queues": queues})).json()
    assert (answer["tasks"], answer["moved"]) == (4, 3)
    assert answer["pairs"] == [
        {"now": "spatial", "would": "careful", "tasks": 3},
        {"now": "spatial", "would": "spatial", "tasks": 1},
    ]
    seen: list[Any] = []
    cursor = None
    while True:
        query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = (await world.call("olga", "POST", path + query, {"queues": queues, "moved_only": True})).json()
        seen += page["items"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert [(item["would"], item["priority_would"]) for item in seen] == [("careful", 900)] * 3
    assert len({item["task_id"] for item in seen}) == 3
    twice = await world.call("olga", "POST", path, {"queues": queues * 2})
    assert (twice.status_code, twice.json()["places"][0]["pointer"]) == (422, "/queues/0/name")
    assert {item["queue"] for item in (await world.call("olga", "GET", "/v1/tasks")).json()["items"]} == {"spatial"}


async def test_reroute_by_the_queues_and_undo_restores_what_was_left_alone(world: ApiWorld) -> None:
    tasks = [await a_task(world, f"s{n}", skill="spatial") for n in range(5)]
    other = await a_task(world, "s9", risk="high", queue="general")
    await put_queue(world, "careful", filter={"checks": ["lidar_camera"]})
    held = tasks[0]
    lease = (await world.call("rita", "POST", f"/v1/tasks/{held.task_id}/claim", {})).json()["lease"]
    done = await operate(world, {"action": "reroute"}, queues=["spatial"])
    assert done["outcomes"] == {"changed": 4, "held": 1}
    now = [await task_now(world.database, task.task_id) for task in tasks]
    assert [(task.queue, task.skill) for task in now] == [("spatial", "spatial"), *[("careful", None)] * 4]
    assert (await task_now(world.database, other.task_id)).queue == "general"
    # One is decided, one moved on, one taken; one was left alone.
    finished, moved, taken, alone = tasks[1:]
    assert (
        await world.call("rita", "POST", f"/v1/tasks/{held.task_id}/release", {"fence": lease["fence"]})
    ).status_code == 204
    got = (await world.call("rita", "POST", f"/v1/tasks/{finished.task_id}/claim", {})).json()["lease"]
    body = {"fence": got["fence"], "verdict": "approve"}
    assert (await world.call("rita", "POST", f"/v1/tasks/{finished.task_id}/decide", body)).status_code == 200
    await operate(world, {"action": "reroute", "queue": "third"}, task_ids=[str(moved.task_id)])
    assert (await world.call("ben", "POST", f"/v1/tasks/{taken.task_id}/claim", {})).status_code == 200
    undone = await undo(world, done)
    assert undone["outcomes"] == {"changed": 1, "finished": 1, "changed_since": 1, "held": 1}
    assert (await task_now(world.database, alone.task_id)).queue == "spatial"
    assert (await task_now(world.database, alone.task_id)).skill == "spatial"
    items = (await world.call("olga", "GET", f"{BASE}/task-operations/{undone['operation_id']}/items")).json()["items"]
    told = {item["task_id"]: item["outcome"] for item in items}
    assert told == {
        str(finished.task_id): "finished", str(moved.task_id): "changed_since", str(taken.task_id): "held",
        str(alone.task_id): "changed",
    }  # fmt: skip
    again = await world.call("olga", "POST", f"{BASE}/task-operations/{done['operation_id']}/undo", {})
    assert (again.status_code, problem_code(again)) == (409, "already-exists")
    redone = await undo(world, undone)
    assert redone["outcomes"] == {"changed": 1}
    assert (await task_now(world.database, alone.task_id)).queue == "careful"
    listed = (await world.call("olga", "GET", f"{BASE}/task-operations")).json()["items"]
    assert [one["action"] for one in listed] == ["reroute", "reroute", "undo", "undo"]
    assert listed[0]["undone_by"] == undone["operation_id"]
    audit = (await world.call("olga", "GET", f"{BASE}/audit")).json()["items"]
    assert [item["action"] for item in audit if item["action"].startswith("tasks.")] == [
        "tasks.reroute", "tasks.reroute", "tasks.undo", "tasks.undo",
    ]  # fmt: skip


async def test_hold_keeps_tasks_from_being_given_until_release(world: ApiWorld) -> None:
    task = await a_task(world, "s1")
    held = await operate(world, {"action": "hold", "reason": "The sensor is under repair."}, checks=["lidar_camera"])
    assert held["outcomes"] == {"changed": 1}
    assert await claimed_queue(world, "rita") is None
    assert (await world.call("rita", "GET", "/v1/tasks")).json()["items"] == []
    direct = await world.call("rita", "POST", f"/v1/tasks/{task.task_id}/claim", {})
    assert (direct.status_code, problem_code(direct)) == (409, "task-on-hold")
    assert "under repair" in direct.json()["detail"]
    assert (await operate(world, {"action": "release"}, on_hold=True))["outcomes"] == {"changed": 1}
    assert await claimed_queue(world, "rita") == "spatial"


async def test_priority_is_set_or_moved_and_a_raise_in_between_is_not_undone(world: ApiWorld) -> None:
    tasks = [await a_task(world, f"s{n}") for n in range(3)]
    await operate(world, {"action": "reprioritise", "priority": 300}, task_ids=[str(tasks[0].task_id)])
    added = await operate(world, {"action": "reprioritise", "add": -50}, min_priority=100)
    assert added["outcomes"] == {"changed": 3}
    async with world.database.transaction() as tx:
        await tx.review.raise_priority(tasks[1].task_id, 7)
    assert (await undo(world, added))["outcomes"] == {"changed": 2, "changed_since": 1}
    now = [await task_now(world.database, task.task_id) for task in tasks]
    assert [task.priority for task in now] == [300, 57, 100]
    for change in ({"action": "reprioritise"}, {"action": "reprioritise", "priority": 1, "add": 1}):
        both = await world.call("olga", "POST", f"{BASE}/task-operations", {"filter": {}, "change": change})
        assert (both.status_code, both.json()["places"][0]["pointer"]) == (422, "/change")


async def test_assigned_work_goes_first_and_only_to_who_may_have_it(world: ApiWorld) -> None:
    urgent = await a_task(world, "s1", priority=900)
    chosen = await a_task(world, "s2", priority=1)
    own = await a_task(world, "s3", excluded_actors=("rita",))
    expert = await a_task(world, "s4", kind=TaskKind.ADJUDICATE, queue="spatial.expert")
    ids = [str(task.task_id) for task in (chosen, own, expert)]
    done = await operate(world, {"action": "assign", "assignee": "rita"}, task_ids=ids)
    assert done["outcomes"] == {"changed": 1, "excluded": 1, "unfit": 1}
    first = (await world.call("rita", "POST", "/v1/tasks/claim", {})).json()["task"]
    assert (first["task_id"], first["assignee"]) == (str(chosen.task_id), "rita")
    second = (await world.call("rita", "POST", "/v1/tasks/claim", {})).json()["task"]
    assert second["task_id"] == str(urgent.task_id)
    nobody = {"filter": {}, "change": {"action": "assign", "assignee": "nobody"}}
    unknown = await world.call("olga", "POST", f"{BASE}/task-operations", nobody)
    assert (unknown.status_code, unknown.json()["places"][0]["pointer"]) == (422, "/change/assignee")
    await lapse(world.database, chosen.task_id)
    freed = await operate(world, {"action": "assign", "assignee": None}, assignees=["rita"])
    assert freed["outcomes"] == {"changed": 1}
    assert (await task_now(world.database, chosen.task_id)).assignee is None


async def test_work_that_is_due_before_the_person_is_at_work_is_not_assigned(world: ApiWorld) -> None:
    from datetime import timedelta

    async with world.database.transaction() as tx:
        now = await tx.now()
    soon = await a_task(world, "s1", due_at=now + timedelta(hours=1))
    later = await a_task(world, "s2", due_at=now + timedelta(days=8))
    day = (now + timedelta(days=2)).strftime("%a").lower()
    calendar = {"hours": [{"day": day, "opens": "08:00", "closes": "12:00"}]}
    await world.call("olga", "PUT", f"{BASE}/reviewers/rita", {"actor_id": "rita", "calendar": calendar})
    done = await operate(world, {"action": "assign", "assignee": "rita"})
    assert done["outcomes"] == {"changed": 1, "away": 1}
    assert (await task_now(world.database, soon.task_id)).assignee is None
    assert (await task_now(world.database, later.task_id)).assignee == "rita"


async def test_profiles_are_guarded_by_their_etag_and_audited(world: ApiWorld) -> None:
    path = f"{BASE}/reviewers/rita"
    first = await world.call("olga", "PUT", path, {"actor_id": "rita", "teams": ["day"]})
    tag = first.headers["etag"]
    assert (await world.call("olga", "GET", path)).headers["etag"] == tag
    stale = {"actor_id": "rita", "teams": ["night"]}
    assert (await world.call("olga", "PUT", path, stale, headers={"If-Match": tag})).status_code == 200
    refused = await world.call("olga", "DELETE", path, headers={"If-Match": tag})
    assert (refused.status_code, problem_code(refused)) == (412, "changed-meanwhile")
    bad = {"actor_id": "rita", "skills": [{"name": "a"}, {"name": "a", "level": 2}]}
    twice = await world.call("olga", "PUT", path, bad)
    assert twice.status_code == 422
    assert (await world.call("olga", "DELETE", path)).status_code == 204
    assert (await world.call("olga", "GET", path)).status_code == 404
    audit = (await world.call("olga", "GET", f"{BASE}/audit")).json()["items"]
    assert [item["action"] for item in audit] == ["reviewer.put", "reviewer.put", "reviewer.deleted"]


async def test_an_unknown_operation_is_not_found(world: ApiWorld) -> None:
    for method, part in (("GET", ""), ("GET", "/items"), ("POST", "/undo")):
        response = await world.call(
            "olga", method, f"{BASE}/task-operations/{uuid4()}{part}", {} if method == "POST" else None
        )
        assert (response.status_code, problem_code(response)) == (404, "not-found")
