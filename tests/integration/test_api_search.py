from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy.pool import NullPool

from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase
from infra.db.migrate import alembic_config, migrate
from services.access.keys import KeyRing
from services.contracts.access import Principal, Role
from services.contracts.search import HitKind
from services.search.finder import kinds_for
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, add_sample, open_client, open_task, problem_code


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        await made.key("ops", Role.OPERATIONS, OWN)
        await made.key("rita", Role.REVIEWER, OWN, OTHER)
        yield made


async def found(world: ApiWorld, who: str, query: str) -> list[dict[str, Any]]:
    response = await world.call(who, "GET", f"/v1/search?{query}")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def named(hits: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((hit["kind"], hit["subject"]) for hit in hits)


async def write(world: ApiWorld, sample: str, body: str) -> str:
    response = await world.call("ops", "POST", f"/v1/projects/{OWN}/samples/{sample}/notes", {"body": body})
    assert response.status_code == 201, response.text
    return str(response.json()["note_id"])


async def test_everything_is_found_by_beginnings_of_its_words(world: ApiWorld) -> None:
    ref = await add_sample(world.database, "kitti-000008")
    task = await open_task(world.database, ref)
    note = await write(world, "kitti-000008", "Der Überholvorgang, siehe LEFT lane.")
    whole = [("finding", "f-1"), ("note", note), ("sample", "kitti-000008"), ("task", str(task.task_id))]
    assert named(await found(world, "ops", "q=kitti")) == whole
    for query in ("000008", "kitti-000008", "KITTI 00000", "0008 nothing"):
        expected = [] if query == "0008 nothing" else whole
        assert named(await found(world, "ops", f"q={query}")) == expected, query
    assert named(await found(world, "ops", "q=left lan")) == [("note", note)]
    assert named(await found(world, "ops", "q=siehe, (left)")) == [("note", note)]
    assert named(await found(world, "ops", "q=cuboid")) == [("finding", "f-1")]
    assert named(await found(world, "ops", "q=spatial&kind=task")) == [("task", str(task.task_id))]
    assert named(await found(world, "ops", "q=rit")) == [("person", "rita")]
    [hit] = await found(world, "ops", "q=cuboid")
    assert (hit["project"], hit["sample_id"], hit["revision"], hit["severity"]) == (OWN, "kitti-000008", 1, "major")


async def test_filters_narrow_and_must_all_hold(world: ApiWorld) -> None:
    await add_sample(world.database, "s1")
    await add_sample(world.database, "s2")
    note = await write(world, "s1", "one")
    assert named(await found(world, "ops", "kind=sample")) == [("sample", "s1"), ("sample", "s2")]
    assert named(await found(world, "ops", "kind=sample&kind=note&sample_id=s1")) == [("note", note), ("sample", "s1")]
    assert named(await found(world, "ops", "actor=ops")) == [("note", note)]
    assert named(await found(world, "ops", "severity=major&sample_id=s2")) == [("finding", "f-1")]
    assert await found(world, "ops", "severity=minor") == []
    at = (await found(world, "ops", "actor=ops"))[0]["at"]
    assert named(await found(world, "ops", f"since={at}&kind=note")) == [("note", note)]
    assert await found(world, "ops", f"until={at}&kind=note") == []


async def test_nothing_is_found_that_the_key_may_not_read(world: ApiWorld) -> None:
    await add_sample(world.database, "s1")
    await open_task(world.database, await add_sample(world.database, "s1", project=OTHER))
    await write(world, "s1", "cuboid")
    assert {hit["project"] for hit in await found(world, "root", "kind=sample")} == {OWN, OTHER}
    assert {hit["project"] for hit in await found(world, "ops", "kind=sample")} == {OWN}
    elsewhere = await world.call("ops", "GET", f"/v1/search?project={OTHER}")
    assert (elsewhere.status_code, problem_code(elsewhere)) == (404, "not-found")
    # Who judges blind learns nothing about what was found or said.
    assert {hit["kind"] for hit in await found(world, "rita", "")} == {"sample", "person"}
    assert await found(world, "rita", "q=cuboid") == []
    assert await found(world, "rita", "kind=finding") == []
    assert HitKind.NOTE not in kinds_for(Role.UPSTREAM)
    assert HitKind.FINDING in kinds_for(Role.UPSTREAM)


async def test_edited_note_is_found_by_what_it_says_now_and_a_deleted_one_not(world: ApiWorld) -> None:
    await add_sample(world.database, "s1")
    note = await write(world, "s1", "giraffe")
    path = f"/v1/projects/{OWN}/samples/s1/notes/{note}"
    await world.call("ops", "PUT", path, {"body": "zebra"})
    assert await found(world, "ops", "q=giraffe") == []
    assert named(await found(world, "ops", "q=zebra")) == [("note", note)]
    await world.call("ops", "DELETE", path)
    assert await found(world, "ops", "q=zebra") == []


async def test_person_is_found_until_their_last_key_is_revoked(world: ApiWorld, database: PostgresDatabase) -> None:
    await world.key("rita", Role.EXPERT, OWN)
    assert [hit["project"] for hit in await found(world, "ops", "q=rita")] == [OWN]
    assert len(await found(world, "root", "q=rita")) == 2
    ring = KeyRing(database)
    root = Principal(actor_id="root", key_id="k", role=Role.ADMIN, projects=None)
    keys = [key for key in await ring.list(root) if key.actor_id == "rita"]
    await ring.revoke(root, keys[0].key_id)
    assert [hit["project"] for hit in await found(world, "root", "q=rita")] == [OWN]
    await ring.revoke(root, keys[1].key_id)
    assert await found(world, "root", "q=rita") == []


async def test_pages_follow_each_other_without_gap_or_repetition(world: ApiWorld) -> None:
    for number in range(7):
        await add_sample(world.database, f"s{number}")
    everything = await found(world, "ops", "kind=sample")
    assert [hit["subject"] for hit in everything] == [f"s{number}" for number in reversed(range(7))]
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = (await world.call("ops", "GET", f"/v1/search?kind=sample&limit=3{cursor}")).json()
        items += answer["items"]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert items == everything


@pytest.mark.parametrize(
    "query", ["q=", "q=%20.%2C%27", "q=a b c d e f g h i j k", "kind=nothing", "limit=0", "cursor=x"]
)
async def test_query_that_can_not_be_is_told_what_to_change(world: ApiWorld, query: str) -> None:
    response = await world.call("ops", "GET", f"/v1/search?{query}")
    assert (response.status_code, problem_code(response)) == (422, "invalid-input")
    assert response.json()["places"][0]["pointer"].startswith("/query/")


@pytest.mark.parametrize("query", ["'", "a'b", "a & !b", "a:*|b", "<->", "\\", "%00x", "ß 🚗", "NULL"])
async def test_no_character_of_a_query_is_an_operator(world: ApiWorld, query: str) -> None:
    response = await world.http.get(
        "/v1/search", params={"q": query}, headers={"Authorization": f"Bearer {world.secrets['ops']}"}
    )
    assert response.status_code in (200, 422), response.text


async def test_what_was_there_before_the_search_is_found_after_the_migration(
    world: ApiWorld, database_url: str
) -> None:
    await open_task(world.database, await add_sample(world.database, "s1"))
    await write(world, "s1", "giraffe")
    before = named(await found(world, "root", ""))
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "20261129_1305"))
    await engine.dispose()
    await migrate(database_url)
    assert named(await found(world, "root", "")) == before
    assert {kind for kind, _ in before} == set(HitKind)
