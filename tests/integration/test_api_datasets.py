from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from tests.dataset_world import a_box, commit
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, open_client, problem_code

BASE = f"/v1/projects/{OWN}/datasets"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("ops", Role.OPERATIONS, OWN)
        await made.key("viewer", Role.VIEWER, OWN)
        await made.key("rita", Role.REVIEWER, OWN)
        await made.key("stranger", Role.OPERATIONS, OTHER)
        for index in range(5):
            await commit(database, f"s{index}", [a_box(x_min=float(index))], project=OWN)
        yield made


async def post(world: ApiWorld, path: str, body: dict[str, Any], who: str = "ops", **headers: str) -> Any:
    response = await world.call(who, "POST", path, body, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def get(world: ApiWorld, path: str, who: str = "viewer") -> Any:
    response = await world.call(who, "GET", path)
    assert response.status_code == 200, response.text
    return response.json()


async def every(world: ApiWorld, path: str, limit: int) -> list[Any]:
    sign = "&" if "?" in path else "?"
    found: list[Any] = []
    cursor = ""
    while True:
        page = await get(world, f"{path}{sign}limit={limit}{cursor}")
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_a_dataset_from_its_definition_to_a_diff(world: ApiWorld) -> None:
    made = await post(world, BASE, {"name": "cars", "selection": {"labels": [{"label": "car"}]}})
    assert made["split"]["group_by"] == ["sample_id"]
    assert (await get(world, f"{BASE}/cars")) == made
    first = await post(world, f"{BASE}/cars/versions", {"note": "the first"})
    assert first["content"]["samples"] == 5
    await commit(world.database, "s1", [a_box(label="bus")], project=OWN)
    await commit(world.database, "s3", [a_box(x_min=4.5)], project=OWN)
    second = await post(world, f"{BASE}/cars/versions", {})
    assert second["content"]["samples"] == 4, "a bus is no car"
    listed = await every(world, f"{BASE}/cars/versions", 1)
    assert [one["content"]["version"] for one in listed] == [2, 1]
    assert listed[1]["standing"] == {"reopened": 0, "superseded": 2, "withdrawn": 0}
    assert listed[1]["manifest_sha256"] == first["manifest_sha256"]

    members = await every(world, f"{BASE}/cars/versions/1/members", 2)
    assert [one["sample_id"] for one in members] == ["s0", "s1", "s2", "s3", "s4"]
    gone_on = await every(world, f"{BASE}/cars/versions/1/members?standing=superseded", 1)
    assert [one["sample_id"] for one in gone_on] == ["s1", "s3"]
    train = await every(world, f"{BASE}/cars/versions/1/records?split=train", 2)
    assert [one["member"]["sample_id"] for one in train] == [
        one["sample_id"] for one in members if one["split"] == "train"
    ]
    assert all(one["record"]["content_sha256"] == one["member"]["content_sha256"] for one in train)

    changes = await every(world, f"{BASE}/cars/diff?from=1&to=2", 1)
    assert [(one["sample_id"], one["change"]) for one in changes] == [("s1", "removed"), ("s3", "changed")]
    assert [field["field"] for field in changes[1]["labels"][0]["fields"]] == ["box"]
    summary = await get(world, f"{BASE}/cars/diff/summary?from=1&to=2")
    assert summary["by_class"] == [
        {
            "type": "box", "label": "car", "added": 0, "removed": 1, "changed": 1, "geometry": 1, "classes": 0,
            "attributes": 0,
        }
    ]  # fmt: skip
    dependents = await every(world, f"/v1/projects/{OWN}/samples/s3/datasets", 100)
    assert [(one["version"], one["revision"], one["standing"]) for one in dependents] == [
        (1, 1, "superseded"),
        (2, 2, "current"),
    ]
    proof = await get(world, f"{BASE}/cars/versions/2/members/s4/proof")
    assert (proof["size"], proof["leaf"]["sample_id"]) == (4, "s4")
    missing = await world.call("viewer", "GET", f"{BASE}/cars/versions/2/members/s1/proof")
    assert (missing.status_code, problem_code(missing)) == (404, "not-found")


async def test_a_version_asked_for_twice_with_one_key_is_made_once(world: ApiWorld) -> None:
    await post(world, BASE, {"name": "cars"})
    once = {"Idempotency-Key": "v1"}
    first = await post(world, f"{BASE}/cars/versions", {}, **once)
    assert await post(world, f"{BASE}/cars/versions", {}, **once) == first
    assert len(await every(world, f"{BASE}/cars/versions", 10)) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "No Spaces"}, "/name"),
        ({"name": "d", "split": {"group_by": ["streams"]}}, "/split/group_by/0"),
        ({"name": "d", "split": {"shares": [{"name": "a", "weight": 1}, {"name": "a", "weight": 2}]}}, "/split"),
        ({"name": "d", "selection": {"labels": [{"at_least": 3, "at_most": 2}]}}, "/selection/labels/0"),
        ({"name": "d", "selection": {"surprise": 1}}, "/selection/surprise"),
        ({"name": "d", "created_by": "me"}, "/created_by"),
    ],
)
async def test_what_can_not_be_a_dataset_is_refused_with_its_place(
    world: ApiWorld, body: dict[str, Any], pointer: str
) -> None:
    response = await world.call("ops", "POST", BASE, body)
    assert (response.status_code, problem_code(response)) == (422, "invalid-input")
    assert response.json()["places"][0]["pointer"] == pointer


async def test_who_reads_and_who_makes_datasets(world: ApiWorld) -> None:
    await post(world, BASE, {"name": "cars"})
    for who, method, path, status in (
        ("viewer", "POST", f"{BASE}/cars/versions", 403),
        ("viewer", "GET", f"{BASE}/cars", 200),
        ("rita", "GET", f"{BASE}/cars", 403),
        ("stranger", "GET", f"{BASE}/cars", 404),
        ("stranger", "POST", f"{BASE}/cars/versions", 404),
    ):
        response = await world.call(who, method, path, {} if method == "POST" else None)
        assert response.status_code == status, (who, method, path, response.text)
    twice = await world.call("ops", "POST", BASE, {"name": "cars"})
    assert (twice.status_code, problem_code(twice)) == (409, "already-exists")


async def test_the_whole_card_is_kept_as_it_was_hashed(world: ApiWorld) -> None:
    await post(world, BASE, {"name": "cars"})
    made = await post(world, f"{BASE}/cars/versions", {})
    again = await get(world, f"{BASE}/cars/versions/1")
    assert json.dumps(again, sort_keys=True) == json.dumps(made, sort_keys=True)
    assert len(made["content"]["card"]["report"]["scores"]) == 9
