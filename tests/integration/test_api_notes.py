from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.lifecycle.outgoing import outgoing
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, add_sample, open_client, problem_code

BASE = f"/v1/projects/{OWN}/samples/s1/notes"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        await made.key("ops", Role.OPERATIONS, OWN)
        for name in ("rita", "rex"):
            await made.key(name, Role.REVIEWER, OWN)
        await made.key("ann", Role.ANNOTATOR, OWN)
        await made.key("stranger", Role.REVIEWER, OTHER)
        await add_sample(database, "s1")
        yield made


async def write(world: ApiWorld, who: str, body: str, **more: Any) -> dict[str, Any]:
    response = await world.call(who, "POST", BASE, {"body": body, **more})
    assert response.status_code == 201, response.text
    assert response.headers["ETag"] == '"1"'
    note: dict[str, Any] = response.json()
    return note


async def listed(world: ApiWorld, who: str, path: str = BASE) -> list[dict[str, Any]]:
    response = await world.call(who, "GET", path)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def told(world: ApiWorld) -> list[dict[str, Any]]:
    """The events out that tell of mentions."""
    async with world.database.transaction() as tx:
        messages = await tx.outbox.pending(("event",), limit=100)
    events = [json.loads(outgoing(message).body) for message in messages]
    return [event for event in events if event["type"] == "concord.note.mentioned.v1"]


async def test_thread_keeps_its_pin_and_its_order(world: ApiWorld) -> None:
    pin = {"kind": "region", "stream": "cam", "frame": 0, "box_px": [1.0, 2.0, 30.0, 40.0]}
    first = await write(world, "ops", "Whose car?", pin=pin)
    assert first["thread_id"] == first["note_id"]
    answer = await write(world, "ops", "The one behind.", thread_id=first["note_id"])
    assert (answer["thread_id"], answer["pin"]) == (first["note_id"], pin)
    other = await write(world, "ops", "All good otherwise.")
    assert other["pin"] == {"kind": "sample"}
    assert await listed(world, "ops") == [first, answer, other]
    assert await listed(world, "ops", f"{BASE}?revision=1") == [first, answer, other]
    page = (await world.call("ops", "GET", f"{BASE}?limit=2")).json()
    rest = (await world.call("ops", "GET", f"{BASE}?limit=2&cursor={page['next_cursor']}")).json()
    assert page["items"] + rest["items"] == [first, answer, other]


@pytest.mark.parametrize(
    ("pin", "pointer"),
    [
        ({"kind": "stream", "stream": "radar"}, "/pin/stream"),
        ({"kind": "annotation", "annotation_id": "a9"}, "/pin/annotation_id"),
    ],
)
async def test_pin_to_what_the_sample_has_not_is_refused(world: ApiWorld, pin: dict[str, Any], pointer: str) -> None:
    response = await world.call("ops", "POST", BASE, {"body": "x", "pin": pin})
    assert problem_code(response) == "invalid-input"
    assert response.json()["places"][0]["pointer"] == pointer
    assert await listed(world, "ops") == []


async def test_every_pin_is_kept_as_it_was_sent(world: ApiWorld) -> None:
    pins: list[dict[str, Any]] = [
        {"kind": "sample"},
        {"kind": "stream", "stream": "cam"},
        {"kind": "frame", "stream": "cam", "frame": 7},
        {"kind": "time", "start_s": 0.5, "end_s": 1.25},
        {"kind": "time", "stream": "cam", "start_s": 0.0, "end_s": 0.0},
        {"kind": "annotation", "annotation_id": "a1"},
    ]
    for pin in pins:
        await write(world, "ops", "x", pin=pin)
    assert [note["pin"] for note in await listed(world, "ops")] == pins


async def test_mentioned_people_find_it_in_their_list_and_an_event_tells_of_it(world: ApiWorld) -> None:
    note = await write(world, "ops", "@rita @stranger @nobody @ops, please look.")
    assert note["mentions"] == ["rita", "ops"], "strangers see no such project"
    [mention] = await listed(world, "rita", "/v1/mentions")
    assert (mention["note"], mention["actor_id"]) == (note, "rita")
    assert await listed(world, "rex", "/v1/mentions") == []
    [event] = await told(world)
    assert event["id"] == f"{OWN}/s1/notes/{note['note_id']}/1"
    assert event["data"]["mentions"] == ["rita"], "nobody is told of their own note"
    assert event["data"]["body"] == note["body"]
    changed = await world.call("ops", "PUT", f"{BASE}/{note['note_id']}", {"body": "@rita and @rex."})
    assert changed.json()["mentions"] == ["rita", "rex"]
    assert [item["data"]["mentions"] for item in await told(world)] == [["rita"], ["rex"]]
    assert [item["at"] for item in await listed(world, "rita", "/v1/mentions")] == [mention["at"]]
    assert len(await listed(world, "rex", "/v1/mentions")) == 1


async def test_people_at_work_read_only_threads_they_take_part_in(world: ApiWorld) -> None:
    hidden = await write(world, "rex", "Clearly wrong.")
    asked = await write(world, "rex", "@rita, which lane?")
    answer = await write(world, "rita", "The left one.", thread_id=asked["note_id"])
    own = await write(world, "rita", "Note to self.")
    assert await listed(world, "rita") == [asked, answer, own]
    assert await listed(world, "rex") == [hidden, asked, answer]
    assert await listed(world, "ann") == []
    assert await listed(world, "ops") == [hidden, asked, answer, own]
    for method, path, body in (
        ("GET", f"{BASE}/{hidden['note_id']}", None),
        ("GET", f"{BASE}/{hidden['note_id']}/history", None),
        ("PUT", f"{BASE}/{hidden['note_id']}", {"body": "x"}),
        ("DELETE", f"{BASE}/{hidden['note_id']}", None),
        ("POST", BASE, {"body": "me too", "thread_id": hidden["note_id"]}),
    ):
        response = await world.call("rita", method, path, body)
        assert (response.status_code, problem_code(response)) == (404, "not-found"), (method, path)


async def test_edit_keeps_what_was_said_and_only_the_author_edits(world: ApiWorld, database_url: str) -> None:
    note = await write(world, "ops", "firts")
    path = f"{BASE}/{note['note_id']}"
    edited = await world.call("ops", "PUT", path, {"body": "first"}, headers={"If-Match": '"1"'})
    assert (edited.json()["body"], edited.json()["version"], edited.headers["ETag"]) == ("first", 2, '"2"')
    assert "edited_at" in edited.json()
    late = await world.call("ops", "PUT", path, {"body": "late"}, headers={"If-Match": '"1"'})
    assert problem_code(late) == "changed-meanwhile"
    foreign = await world.call("root", "PUT", path, {"body": "mine now"})
    assert (foreign.status_code, problem_code(foreign)) == (403, "forbidden")
    assert problem_code(await world.call("root", "DELETE", path)) == "forbidden"
    deleted = await world.call("ops", "DELETE", path)
    assert (deleted.json()["body"], deleted.json()["version"]) == ("", 3)
    assert problem_code(await world.call("ops", "PUT", path, {"body": "back"})) == "not-found"
    history = await listed(world, "root", f"{path}/history")
    assert [(item["version"], item["body"], item["deleted"]) for item in history] == [
        (1, "firts", False), (2, "first", False), (3, "", True),
    ]  # fmt: skip
    assert [item["note_id"] for item in await listed(world, "root")] == [note["note_id"]], "its place stays"
    trail = (await world.call("ops", "GET", f"/v1/projects/{OWN}/audit?limit=500")).json()["items"]
    assert [entry["action"] for entry in trail if entry["action"].startswith("note.")] == [
        "note.written", "note.edited", "note.deleted",
    ]  # fmt: skip
    assert "firts" not in json.dumps(trail)
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("UPDATE note_versions SET body = 'never said'")
    finally:
        await connection.close()


async def test_answer_that_does_not_fit_its_thread_is_refused(world: ApiWorld) -> None:
    first = await write(world, "ops", "a", pin={"kind": "stream", "stream": "cam"})
    answer = await write(world, "ops", "b", thread_id=first["note_id"])
    wrong = {
        "/thread_id": {"thread_id": answer["note_id"]},
        "/pin": {"thread_id": first["note_id"], "pin": {"kind": "sample"}},
    }
    for pointer, more in wrong.items():
        response = await world.call("ops", "POST", BASE, {"body": "x", **more})
        assert problem_code(response) == "invalid-input"
        assert response.json()["places"][0]["pointer"] == pointer
    missing = await world.call("ops", "POST", BASE, {"body": "x", "thread_id": str(uuid4())})
    assert problem_code(missing) == "not-found"
    empty = await world.call("ops", "POST", BASE, {"body": ""})
    assert problem_code(empty) == "invalid-input"


async def test_note_written_twice_with_one_key_is_one_note_and_one_event(world: ApiWorld) -> None:
    headers = {"Idempotency-Key": "note-1"}
    both = [await world.call("ops", "POST", BASE, {"body": "@rita"}, headers=headers) for _ in range(2)]
    assert both[0].content == both[1].content
    assert len(await listed(world, "ops")) == len(await told(world)) == 1


async def test_project_verifies_with_notes_in_its_chain(world: ApiWorld) -> None:
    await write(world, "ops", "@rita, look")
    response = await world.call("ops", "POST", f"/v1/projects/{OWN}/verify", {})
    assert response.status_code == 200
    assert response.json()["faults"] == []
