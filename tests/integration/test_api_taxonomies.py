"""Taxonomies over HTTP: drafts with ETags, versions that never change, classes that can not vanish, migrations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response

from infra.bench.taxonomy.fill import NEW, OLD, PROJECT, commit_samples, open_project
from infra.db.engine import PostgresDatabase
from services.access.keys import SYSTEM_PROJECT
from services.contracts.access import Role
from services.contracts.taxonomies import MigrationInput
from services.taxonomy.applying import migrate_samples
from tests.review_world import ApiWorld, add_projects, open_client, problem_code


def document(version: int, *classes: Any, **more: Any) -> dict[str, Any]:
    return {"id": "av", "version": version, "classes": [{"id": name} for name in classes], **more}


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        await made.key("ops", Role.OPERATIONS)
        await made.key("viewer", Role.VIEWER)
        yield made


@pytest.fixture
async def road(world: ApiWorld) -> ApiWorld:
    await open_project(world.database)
    await commit_samples(world.database, 20, undecided_every=10)
    return world


async def actions(world: ApiWorld, project: str) -> list[str]:
    async with world.database.transaction() as tx:
        return [entry.action for entry in await tx.audit.list(project, after=0, limit=1_000)]


def pointers(response: Response) -> list[str]:
    return [place["pointer"] for place in response.json()["places"]]


async def test_draft_is_changed_by_one_at_a_time_and_published_as_it_is(world: ApiWorld) -> None:
    first = await world.call("root", "PUT", "/v1/taxonomies/av/draft", document(1, "car"))
    assert (first.status_code, first.json().get("faults")) == (200, [])
    faulty = document(1, "car", "Car")
    headers = {"If-Match": first.headers["ETag"]}
    second = await world.call("root", "PUT", "/v1/taxonomies/av/draft", faulty, headers=headers)
    assert [fault["place"] for fault in second.json()["faults"]] == ["/classes/1/id"]
    late = await world.call("root", "PUT", "/v1/taxonomies/av/draft", document(1, "bus"), headers=headers)
    assert (late.status_code, problem_code(late)) == (412, "changed-meanwhile")
    refused = await world.call("root", "POST", "/v1/taxonomies/av/draft/publish")
    assert (refused.status_code, pointers(refused)) == (422, ["/classes/1/id"])
    read = await world.call("viewer", "GET", "/v1/taxonomies/av/draft")
    headers = {"If-Match": read.headers["ETag"]}
    third = await world.call("root", "PUT", "/v1/taxonomies/av/draft", document(1, "car", "bus"), headers=headers)
    headers = {"If-Match": third.headers["ETag"]}
    published = await world.call("root", "POST", "/v1/taxonomies/av/draft/publish", headers=headers)
    assert (published.status_code, published.json()["version"]) == (201, 1)
    gone = await world.call("root", "GET", "/v1/taxonomies/av/draft")
    assert (gone.status_code, problem_code(gone)) == (404, "not-found")
    over = await world.call("root", "PUT", "/v1/taxonomies/av/draft", document(1, "car"))
    assert (over.status_code, problem_code(over)) == (409, "already-exists")
    assert (await actions(world, SYSTEM_PROJECT))[-4:] == ["taxonomy.drafted"] * 3 + ["taxonomy.published"]


async def test_published_version_never_changes(world: ApiWorld) -> None:
    made = await world.call("root", "POST", "/v1/taxonomies", document(1, "car"))
    assert made.status_code == 201
    again = await world.call("root", "POST", "/v1/taxonomies", document(1, "car"))
    assert (again.status_code, again.json()) == (201, made.json())
    other = await world.call("root", "POST", "/v1/taxonomies", document(1, "bus"))
    assert (other.status_code, problem_code(other)) == (409, "already-exists")
    second = await world.call("root", "POST", "/v1/taxonomies", document(3, "car", "bus"))
    assert second.status_code == 201
    between = await world.call("root", "POST", "/v1/taxonomies", document(2, "car"))
    assert (between.status_code, pointers(between)) == (422, ["/version"])
    listed = (await world.call("viewer", "GET", "/v1/taxonomies")).json()["items"]
    assert [(item["id"], item["version"], item["classes"]) for item in listed] == [("av", 1, 1), ("av", 3, 2)]
    shown = await world.call("viewer", "GET", "/v1/taxonomies/av/3/diff?since=1")
    assert (shown.json()["added"], shown.json()["removed"]) == (["bus"], [])
    assert (await world.call("viewer", "POST", "/v1/taxonomies", document(4, "car"))).status_code == 403


async def test_class_in_use_can_not_vanish(road: ApiWorld) -> None:
    third = {
        "id": "road",
        "version": 3,
        "classes": [{"id": name} for name in ("car", "truck", "pedestrian", "rider", "sign")],
    }
    refused = await road.call("root", "POST", "/v1/taxonomies", third)
    assert (refused.status_code, problem_code(refused)) == (409, "label-in-use")
    assert "'tree' is the class of labels in 7 committed and 0 open samples of 'road'" in refused.json()["detail"]
    assert (refused.json()["classes"], refused.json()["committed_samples"]) == ("tree", 7)
    unused = {**third, "classes": [{"id": name} for name in ("car", "truck", "pedestrian", "rider", "sign", "tree")]}
    assert (await road.call("root", "POST", "/v1/taxonomies", unused)).status_code == 201
    dropped = [{"source": "road@3", "target": "road@4", "changes": [{"kind": "deprecate", "sources": ["tree"]}]}]
    said = {**third, "version": 4, "steps": dropped}
    assert (await road.call("root", "POST", "/v1/taxonomies", said)).status_code == 201


async def test_project_names_a_published_version_only(world: ApiWorld) -> None:
    project = {"id": "fleet", "name": "Fleet", "config": {"taxonomy": "av@1"}}
    refused = await world.call("root", "POST", "/v1/projects", project)
    assert (refused.status_code, pointers(refused)) == (422, ["/config/taxonomy"])
    await world.call("root", "POST", "/v1/taxonomies", document(1, "car"))
    assert (await world.call("root", "POST", "/v1/projects", project)).status_code == 201


async def test_migration_is_previewed_started_paused_resumed_and_watched(road: ApiWorld) -> None:
    base = f"/v1/projects/{PROJECT}/taxonomy-migrations"
    preview = await road.call("ops", "GET", f"{base}/preview?target={NEW}")
    assert (preview.status_code, preview.json()["source"]) == (200, OLD)
    started = await road.call("ops", "POST", base, {"target": NEW})
    assert (started.status_code, started.json()["state"], started.json()["total"]) == (201, "running", 20)
    one = f"{base}/{started.json()['migration_id']}"
    second = await road.call("ops", "POST", base, {"target": NEW})
    assert (second.status_code, problem_code(second)) == (409, "migration-conflict")
    assert (await road.call("root", "GET", f"/v1/projects/{PROJECT}")).json()["config"]["taxonomy"] == NEW
    assert (await road.call("ops", "POST", f"{one}/pause")).json()["state"] == "paused"
    assert (await road.call("ops", "POST", f"{one}/pause")).json()["state"] == "paused"
    given = MigrationInput(project=PROJECT, migration_id=started.json()["migration_id"])
    await migrate_samples(road.database, given, workflow_run_id="r")
    assert (await road.call("viewer", "GET", one)).json()["done"]["migrated"] == 0
    assert (await road.call("ops", "POST", f"{one}/resume")).json()["state"] == "running"
    await migrate_samples(road.database, given, workflow_run_id="r")
    done = (await road.call("viewer", "GET", one)).json()
    assert (done["state"], done["done"]) == ("completed", preview.json()["counts"])
    late = await road.call("ops", "POST", f"{one}/cancel")
    assert (late.status_code, problem_code(late)) == (409, "migration-conflict")
    listed = (await road.call("viewer", "GET", base)).json()["items"]
    assert [item["migration_id"] for item in listed] == [done["migration_id"]]
    told = [action for action in await actions(road, PROJECT) if action.startswith("taxonomy_migration.")]
    assert told == [f"taxonomy_migration.{what}" for what in ("started", "paused", "resumed", "completed")]
    async with road.database.transaction() as tx:
        ((untold, change),) = await tx.taxonomy_migrations.untold()
    assert (str(untold.migration_id), change) == (done["migration_id"], 3)


async def test_migration_under_rules_that_would_ask_nobody_is_refused(road: ApiWorld) -> None:
    rules = {"id": "lax", "version": 1, "taxonomy_conformance": {"severities": {"crosswalk_ambiguous": "minor"}}}
    await road.call("root", "POST", "/v1/rule-sets", rules)
    given = {"rule_set": {"id": "lax", "version": 1}}
    assert (await road.call("root", "POST", f"/v1/projects/{PROJECT}/rule-sets/activate", given)).status_code == 200
    refused = await road.call("ops", "POST", f"/v1/projects/{PROJECT}/taxonomy-migrations", {"target": NEW})
    assert (refused.status_code, problem_code(refused)) == (409, "migration-conflict")
