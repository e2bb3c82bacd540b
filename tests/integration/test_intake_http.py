from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.events import EventType
from services.errors import UnavailableError
from services.intake.cloud_events import BATCH_TYPE, STRUCTURED_TYPE
from services.intake.inbox import Inbox
from tests.intake_events import PROJECT, SOURCE, add_project, event, manifest
from tests.review_world import ApiWorld, open_client, problem_code

pytestmark = pytest.mark.servers

STRUCTURED = {"Content-Type": STRUCTURED_TYPE}
BATCH = {"Content-Type": BATCH_TYPE}


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_project(database)
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("upstream", Role.UPSTREAM, PROJECT)
        await world.key("operator", Role.OPERATIONS)
        await world.key("local", Role.OPERATIONS, PROJECT)
        yield world


async def post(world: ApiWorld, content: Any, headers: dict[str, str]) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await world.call("upstream", "POST", "/v1/events", content=body, headers=headers)


async def letters(world: ApiWorld, actor: str = "operator") -> list[dict[str, Any]]:
    answer = await world.call(actor, "GET", "/v1/dead-letters")
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.parametrize("batch", [False, True])
async def test_the_log_names_the_sample_of_an_event_and_nothing_it_says(world: ApiWorld, batch: bool) -> None:
    sent = event(manifest("s-1"))
    with structlog.testing.capture_logs() as lines:
        assert (await post(world, [sent] if batch else sent, BATCH if batch else STRUCTURED)).status_code == 202
    line = next(line for line in lines if line["event"] == "event_taken_in")
    assert (line["outcome"], line["sample_id"]) == ("accepted", sent["data"]["sample_id"])
    assert line["workflow_id"] == f"sample/{PROJECT}/1/{sent['data']['sample_id']}"
    assert "annotations" not in str(lines)


async def test_all_modes_say_the_same_event(world: ApiWorld) -> None:
    made = CloudEvent({"id": "Grüße 1", "source": SOURCE, "type": EventType.SAMPLE_CREATED.value}, manifest())
    messages = (to_structured_event(made), to_binary_event(made))
    answers = [
        await post(world, message.body, {name.title(): value for name, value in message.headers.items()})
        for message in messages
    ]
    answers.append(await post(world, [json.loads(to_structured_event(made).body)], BATCH))
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    receipts = [answers[0].json(), answers[1].json(), answers[2].json()["results"][0]]
    assert [receipt.pop("outcome") for receipt in receipts] == ["accepted", "duplicate", "duplicate"]
    expected = {"source": SOURCE, "id": "Grüße 1", "project": PROJECT, "sample_id": "s-1", "revision": 1}
    assert receipts == [expected] * 3


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", STRUCTURED, 400, "malformed-json"),
        (b"\xff", STRUCTURED, 400, "malformed-json"),
        (json.dumps(event(manifest(duration=float("nan")))).encode(), STRUCTURED, 400, "malformed-json"),
        (b'{"id": "a\\u0000"}', STRUCTURED, 400, "malformed-json"),
        (b"[" * 100_000, STRUCTURED, 400, "malformed-json"),
        (b'{"id": 1, "id": 1}', STRUCTURED, 400, "malformed-json"),
        (b"{}", STRUCTURED, 422, "invalid-input"),
        (b"{}", BATCH, 422, "invalid-input"),
        (b"[" + b"{}," * 1_000 + b"{}]", BATCH, 413, "payload-too-large"),
        (b"{}", {"Content-Type": "application/json"}, 415, "unsupported-media-type"),
        (b"{}", {"Content-Type": "application/cloudevents+xml"}, 415, "unsupported-media-type"),
        (b"{}", {**STRUCTURED, "Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
        (b"{}", {"Content-Type": "application/json", "ce-id": "%C0%A0"}, 400, "malformed-json"),
        (event(manifest(), "concord.sample.exploded.v1"), STRUCTURED, 422, "unknown-event-type"),
        (event(manifest(project="elsewhere")), STRUCTURED, 404, "not-found"),
        (event({**manifest(), "annotations": [{"type": "sphere"}]}), STRUCTURED, 422, "invalid-input"),
        (event(manifest(), EventType.SAMPLE_UPDATED), STRUCTURED, 404, "not-found"),
        (b"x" * 1_000_001, STRUCTURED, 413, "payload-too-large"),
    ],
)
async def test_a_bad_request_gets_a_problem_with_a_stable_type(
    world: ApiWorld, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await post(world, body, headers)
    assert (answer.status_code, problem_code(answer)) == (status, code)


async def test_a_batch_tells_of_each_event_what_became_of_it(world: ApiWorld) -> None:
    batch = [
        event(manifest("a"), id="1"),
        event(manifest("a", captured_at="2024-01-01T00:00:00Z"), EventType.SAMPLE_UPDATED, id="2"),
        event(manifest("b", colour="red"), id="3"),
        event(manifest("c"), id="1"),
        {"id": "4"},
        5,
        event(manifest("d"), id="5"),
    ]
    answer = await post(world, batch, BATCH)
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["outcome"] for result in results] == [
        "accepted", "accepted", "refused", "refused", "refused", "refused", "accepted",
    ]  # fmt: skip
    assert [result.get("revision") for result in results] == [1, 2, None, None, None, None, 1]
    codes = [result["problem"]["type"].rpartition(":")[2] for result in results[2:6]]
    assert codes == ["invalid-input", "event-conflict", "invalid-input", "invalid-input"]
    assert results[2]["problem"]["places"][0]["pointer"] == "/data/colour"
    again = await post(world, batch, BATCH)
    assert [result["outcome"] for result in again.json()["results"]] == [
        "duplicate", "duplicate", "refused", "refused", "refused", "refused", "duplicate",
    ]  # fmt: skip
    assert {letter["event_id"] for letter in await letters(world)} == {"3", "1"}


async def test_a_full_batch_of_many_samples_is_taken_in(world: ApiWorld) -> None:
    batch = [event(manifest(f"s-{number % 40}"), id=f"{number % 40}") for number in range(200)]
    answer = await post(world, batch, BATCH)
    assert answer.status_code == 202
    outcomes = [result["outcome"] for result in answer.json()["results"]]
    assert (outcomes.count("accepted"), outcomes.count("duplicate")) == (40, 160)


async def test_dead_letters_are_listed_by_page_and_replayed(world: ApiWorld) -> None:
    for number in range(5):
        await post(world, event(manifest(f"s-{number}", colour="red"), id=f"e-{number}"), STRUCTURED)
    await post(world, event(manifest(project="late"), id="late"), STRUCTURED)
    seen: list[str] = []
    cursor = None
    while True:
        query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = (await world.call("operator", "GET", f"/v1/dead-letters{query}")).json()
        seen += [letter["event_id"] for letter in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["late", "e-4", "e-3", "e-2", "e-1", "e-0"]
    # The letter without a known project is for those who see all projects.
    assert len(await letters(world, "local")) == 5
    [late] = [letter for letter in await letters(world) if letter["event_id"] == "late"]
    address = f"/v1/dead-letters/{late['dead_letter_id']}/replay"
    hidden = await world.call("local", "POST", address)
    assert (hidden.status_code, problem_code(hidden)) == (404, "not-found")
    refused = await world.call("operator", "POST", address)
    assert (refused.status_code, problem_code(refused)) == (404, "not-found")
    await add_project(world.database, "late")
    accepted = await world.call("operator", "POST", address)
    assert (accepted.status_code, accepted.json()["outcome"]) == (202, "accepted")
    again = await world.call("operator", "POST", address)
    assert (again.status_code, again.json()["outcome"]) == (202, "duplicate")
    [late] = [letter for letter in await letters(world) if letter["event_id"] == "late"]
    assert late["replay_outcome"] == "duplicate"


async def test_upstream_sees_no_dead_letters_and_people_send_no_events(world: ApiWorld) -> None:
    assert (await world.call("upstream", "GET", "/v1/dead-letters")).status_code == 403
    answer = await world.call("operator", "POST", "/v1/events", content=b"{}", headers=STRUCTURED)
    assert answer.status_code == 403


async def test_a_lost_database_is_a_503_and_no_dead_letter(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise UnavailableError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(Inbox, "accept", away)
        single = await post(world, event(manifest()), STRUCTURED)
        batch = await post(world, [event(manifest())], BATCH)
    assert [(answer.status_code, problem_code(answer)) for answer in (single, batch)] == [(503, "unavailable")] * 2
    assert await letters(world) == []
    assert (await post(world, event(manifest()), STRUCTURED)).status_code == 202
