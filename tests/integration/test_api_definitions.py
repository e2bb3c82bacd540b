"""Projects as documents, over HTTP: plan, apply, go back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from tests.review_world import OWN, ApiWorld, add_projects, open_client, problem_code

PATH = f"/v1/projects/{OWN}/definition"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("otto", Role.ADMIN)
        await made.key("ida", Role.ADMIN, OWN)
        await made.key("rita", Role.REVIEWER, OWN)
        yield made


def definition(project: str = OWN, **changed: Any) -> dict[str, Any]:
    return {"id": project, "name": "Urban"} | changed


async def put(world: ApiWorld, document: dict[str, Any], *, actor: str = "ida", **headers: str) -> Any:
    path = f"/v1/projects/{document['id']}/definition"
    response = await world.call(actor, "PUT", path, document, headers=headers or None)
    assert response.status_code == 200, response.text
    return response.json()


async def audited(world: ApiWorld, project: str = OWN) -> list[dict[str, Any]]:
    response = await world.call("otto", "GET", f"/v1/projects/{project}/audit?limit=500")
    assert response.status_code == 200, response.text
    return [entry for entry in response.json()["items"] if entry["action"].startswith("project.definition_")]


async def test_a_project_is_created_changed_and_brought_back(world: ApiWorld) -> None:
    first = definition("new", streams=[{"modality": "lidar"}], queues=[{"name": "a"}, {"name": "b"}])
    planned = await world.call("otto", "POST", "/v1/projects/new/definition/plan", first)
    assert (planned.status_code, planned.json()["creates"], planned.json()["rule_set"]) == (200, True, "new@1")
    assert (await world.call("otto", "GET", "/v1/projects/new")).status_code == 404

    applied = await put(world, first, actor="otto")
    assert (applied["version"], applied["plan"]) == (1, planned.json())
    again = await put(world, first, actor="otto")
    assert again["plan"]["changes"] == []
    assert "version" not in again

    second = definition("new", purpose="Brake.", queues=[{"name": "b", "capacity": 3}])
    changed = await put(world, second, actor="otto")
    paths = {change["path"] for change in changed["plan"]["changes"]}
    assert {"/purpose", "/queues/a", "/queues/b/capacity"} < paths
    assert changed["plan"]["rule_set"] == "default@1"

    back = await world.call("otto", "POST", "/v1/projects/new/definition/revert", {"version": 1})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    # The rules of version 1 are no longer those that the project goes by: the same content is a new version of them.
    assert back.json()["plan"]["rule_set"] == "new@2"
    now = (await world.call("otto", "GET", "/v1/projects/new/definition")).json()
    assert (now["purpose"], [queue["name"] for queue in now["queues"]]) == ("", ["a", "b"])
    history = (await world.call("otto", "GET", "/v1/projects/new/definitions")).json()["items"]
    assert [(item["version"], item["origin"], item.get("reverts_to")) for item in history] == [
        (3, "reverted", 1), (2, "applied", None), (1, "applied", None)
    ]  # fmt: skip
    entries = await audited(world, "new")
    assert [entry["body"]["version"] for entry in entries] == [1, 2, 3]
    assert entries[2]["body"]["after_sha256"] == entries[0]["body"]["after_sha256"]


async def test_the_state_before_the_first_apply_can_be_returned_to(world: ApiWorld) -> None:
    before = (await world.call("ida", "GET", f"/v1/projects/{OWN}")).json()
    await put(world, definition(settings={"lease_s": 77}))
    history = (await world.call("ida", "GET", f"{PATH}s")).json()["items"]
    assert [(item["version"], item["origin"]) for item in history] == [(2, "applied"), (1, "found")]
    response = await world.call("ida", "POST", f"{PATH}/revert", {"version": 1})
    assert response.status_code == 200, response.text
    assert (await world.call("ida", "GET", f"/v1/projects/{OWN}")).json() == before


async def test_what_is_read_and_applied_again_changes_nothing(world: ApiWorld) -> None:
    await put(world, definition(streams=[{"modality": "lidar"}], context={"required": ["region"]}))
    read = (await world.call("ida", "GET", PATH)).json()
    assert "version" not in await put(world, read)


async def test_an_apply_from_an_old_plan_is_refused(world: ApiWorld) -> None:
    planned = await world.call("ida", "POST", f"{PATH}/plan", definition(purpose="one"))
    await put(world, definition(purpose="two"))
    late = await world.call(
        "ida", "PUT", PATH, definition(purpose="one"), headers={"If-Match": planned.headers["etag"]}
    )
    assert (late.status_code, problem_code(late)) == (412, "changed-meanwhile")
    planned = await world.call("ida", "POST", f"{PATH}/plan", definition(purpose="one"))
    applied = await put(world, definition(purpose="one"), **{"If-Match": planned.headers["etag"]})
    assert applied["plan"]["changes"] == planned.json()["changes"]


async def test_many_applies_at_once_are_one_after_the_other(world: ApiWorld) -> None:
    await asyncio.gather(*(put(world, definition(settings={"lease_s": 100 + n})) for n in range(8)))
    history = (await world.call("ida", "GET", f"{PATH}s")).json()["items"]
    assert [item["version"] for item in history] == list(range(9, 0, -1))
    now = (await world.call("ida", "GET", f"/v1/projects/{OWN}")).json()
    assert now["config"]["lease_s"] == history[0]["definition"]["settings"]["lease_s"]


async def test_who_may_not_is_told_so_and_nothing_is_changed(world: ApiWorld) -> None:
    assert (await world.call("rita", "PUT", PATH, definition())).status_code == 403
    assert (await world.call("ida", "PUT", "/v1/projects/foreign/definition", definition("foreign"))).status_code == 404
    assert (
        await world.call("otto", "PUT", "/v1/projects/concord/definition", definition("concord"))
    ).status_code == 403
    assert (await world.call("ida", "PUT", PATH, definition("other"))).status_code == 422
    assert (await world.call("ida", "POST", f"{PATH}/revert", {"version": 9})).status_code == 404
    assert (await world.call("ida", "GET", f"{PATH}s")).json()["items"] == []
