"""The review routes, idempotency, ETags and bad input over HTTP, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from sqlalchemy import text

from infra.db.engine import PostgresDatabase, open_database
from services.contracts.access import Role
from services.contracts.review import ReviewTask, TaskState
from tests.intake_events import event
from tests.review_world import (
    OWN,
    ApiWorld,
    add_projects,
    add_sample,
    lapse,
    open_client,
    open_task,
    problem_code,
    task_now,
)

PEOPLE = {
    "admin": Role.ADMIN,
    "upstream": Role.UPSTREAM,
    "rita": Role.REVIEWER,
    "ron": Role.REVIEWER,
    "eve": Role.EXPERT,
}


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role in PEOPLE.items():
            await made.key(actor_id, role)
        yield made


@pytest.fixture
async def task_path(world: ApiWorld) -> str:
    task = await open_task(world.database, await add_sample(world.database, "s1"))
    return f"/v1/tasks/{task.task_id}"


async def claimed_fence(world: ApiWorld, task_path: str, who: str = "rita") -> int:
    response = await world.call(who, "POST", f"{task_path}/claim", {})
    assert response.status_code == 200, response.text
    return int(response.json()["lease"]["fence"])


async def count(world: ApiWorld, table: str) -> int:
    async with world.database._engine.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - a test's own


async def test_claim_look_and_decide(world: ApiWorld, task_path: str) -> None:
    claimed = (await world.call("rita", "POST", "/v1/tasks/claim", {"queue": "spatial"})).json()
    assert f"/v1/tasks/{claimed['task']['task_id']}" == task_path
    assert claimed["lease"]["fence"] == 1
    evidence = (await world.call("rita", "GET", task_path)).json()
    assert [item["finding"]["finding_id"] for item in evidence["findings"]] == ["f-1"]
    assert [item["id"] for item in evidence["annotations"]] == ["a1", "a2"]
    draft = await world.call("rita", "PUT", f"{task_path}/draft", {"fence": 1, "body": {"verdict": "approve"}})
    assert draft.status_code == 200
    assert (await world.call("rita", "POST", f"{task_path}/heartbeat", {"fence": 1})).json()["fence"] == 1
    decision = await world.call("rita", "POST", f"{task_path}/decide", {"fence": 1, "verdict": "approve"})
    assert (decision.status_code, decision.json()["verdict"]) == (200, "approve")
    again = await world.call("rita", "POST", f"{task_path}/decide", {"fence": 1, "verdict": "approve"})
    assert again.content == decision.content
    none = await world.call("rita", "POST", "/v1/tasks/claim", {})
    assert (none.status_code, problem_code(none)) == (404, "no-task-available")


@pytest.mark.parametrize("verdict", ["decide", "escalate"])
async def test_the_log_leads_from_a_decision_to_the_workflow_of_its_sample(
    world: ApiWorld, task_path: str, verdict: str
) -> None:
    fence = await claimed_fence(world, task_path)
    body = {"fence": fence, "note": "a secret"} | ({"verdict": "approve"} if verdict == "decide" else {})
    with structlog.testing.capture_logs() as lines:
        assert (await world.call("rita", "POST", f"{task_path}/{verdict}", body)).status_code == 200
    line = next(line for line in lines if line["event"] == "request")
    assert (line["sample_id"], line["workflow_id"]) == ("s1", f"sample/{OWN}/1/s1")
    assert "a secret" not in str(lines)


async def test_escalate_is_a_decision_with_a_reason(world: ApiWorld, task_path: str) -> None:
    fence = await claimed_fence(world, task_path)
    bare = await world.call("rita", "POST", f"{task_path}/escalate", {"fence": fence})
    assert (bare.status_code, bare.json()["places"][0]["pointer"]) == (422, "/note")
    made = await world.call("rita", "POST", f"{task_path}/escalate", {"fence": fence, "note": "two cars or one?"})
    assert (made.status_code, made.json()["verdict"]) == (200, "escalate")


async def test_a_stale_fence_and_a_finished_task_are_told_apart_and_nothing_is_lost(
    world: ApiWorld, task_path: str
) -> None:
    fence = await claimed_fence(world, task_path)
    await lapse(world.database, (await _task_of(world, task_path)).task_id)
    late = await world.call("rita", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "reject", "note": "no"})
    assert (late.status_code, problem_code(late), late.json()["draft_kept"]) == (409, "stale-fence", True)
    draft = await world.call("rita", "PUT", f"{task_path}/draft", {"fence": fence, "body": {"step": 2}})
    assert (draft.status_code, problem_code(draft), draft.json()["draft_kept"]) == (409, "stale-fence", True)
    second = await claimed_fence(world, task_path, "ron")
    held = await world.call("rita", "POST", f"{task_path}/claim", {})
    assert (held.status_code, problem_code(held)) == (409, "task-held")
    done = await world.call("ron", "POST", f"{task_path}/decide", {"fence": second, "verdict": "approve"})
    assert done.status_code == 200
    # With an idempotency key the refusal is rolled back, and the draft is kept in a transaction of its own.
    finished = await world.call(
        "rita", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "reject", "note": "still no"},
        headers={"Idempotency-Key": "late-1"},
    )  # fmt: skip
    assert (finished.status_code, problem_code(finished), finished.json()["draft_kept"]) == (409, "task-finished", True)
    async with world.database.transaction() as tx:
        kept = await tx.review.draft((await _task_of(world, task_path)).task_id, "rita")
    assert kept is not None
    assert kept.body == {"verdict": "reject", "note": "still no"}
    assert await count(world, "decisions") == 1


async def _task_of(world: ApiWorld, task_path: str) -> ReviewTask:
    return await task_now(world.database, UUID(task_path.rsplit("/", 1)[1]))


@pytest.mark.parametrize("keyed", [False, True])
async def test_the_same_decision_five_times_and_another_persons_leave_one(
    world: ApiWorld, task_path: str, keyed: bool
) -> None:
    fence = await claimed_fence(world, task_path)
    headers = {"Idempotency-Key": "decide-1"} if keyed else {}
    calls = [
        world.call("rita", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "approve"}, headers=headers)
        for _ in range(5)
    ]
    others = [
        world.call("ron", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "reject", "note": "no"}),
        world.call("rita", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "escalate", "note": "?"}),
    ]
    responses = await asyncio.gather(*calls, *others)
    good = [response for response in responses if response.status_code == 200]
    assert len({response.content for response in good}) == 1
    assert {problem_code(response) for response in responses if response.status_code != 200} <= {
        "stale-fence", "task-finished",
    }  # fmt: skip
    assert await count(world, "decisions") == 1


async def test_a_key_answers_the_same_request_alike_and_refuses_another(world: ApiWorld) -> None:
    for number in (1, 2):
        await open_task(world.database, await add_sample(world.database, f"s{number}"))
    headers = {"Idempotency-Key": "claim-1"}
    replies = await asyncio.gather(
        *(world.call("rita", "POST", "/v1/tasks/claim", {}, headers=headers) for _ in range(6))
    )
    assert len({reply.content for reply in replies}) == 1
    assert sorted(reply.headers.get("idempotency-replayed", "") for reply in replies) == ["", *["true"] * 5]
    other = await world.call("rita", "POST", "/v1/tasks/claim", {"queue": "spatial"}, headers=headers)
    assert (other.status_code, problem_code(other)) == (409, "idempotency-conflict")
    elses = await world.call("ron", "POST", "/v1/tasks/claim", {}, headers=headers)
    assert elses.status_code == 200, "keys of different people do not meet"
    assert elses.json()["task"]["task_id"] != replies[0].json()["task"]["task_id"]
    for bad in ("", "x" * 201, "a\tb"):
        response = await world.call("rita", "POST", "/v1/tasks/claim", {}, headers={"Idempotency-Key": bad})
        assert (response.status_code, problem_code(response)) == (422, "invalid-input")


async def test_a_refused_call_is_tried_again_under_its_key(world: ApiWorld) -> None:
    headers = {"Idempotency-Key": "claim-1"}
    assert (await world.call("rita", "POST", "/v1/tasks/claim", {}, headers=headers)).status_code == 404
    await open_task(world.database, await add_sample(world.database, "s1"))
    assert (await world.call("rita", "POST", "/v1/tasks/claim", {}, headers=headers)).status_code == 200


async def test_a_repeated_key_request_makes_no_second_key_and_tells_no_secret(world: ApiWorld) -> None:
    headers, body = {"Idempotency-Key": "key-1"}, {"actor_id": "new", "role": "viewer"}
    first = await world.call("admin", "POST", "/v1/keys", body, headers=headers)
    again = await world.call("admin", "POST", "/v1/keys", body, headers=headers)
    assert first.status_code == 201
    assert (again.status_code, problem_code(again)) == (409, "secret-told")
    assert again.json()["key_id"] == first.json()["key"]["key_id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(world, "api_keys") == len(PEOPLE) + 1
    async with world.database._engine.connect() as connection:
        stored = await connection.scalar(text("SELECT body FROM idempotency_replies"))
    assert first.json()["secret"].encode() not in bytes(stored or b"")


async def test_a_commit_that_fails_is_no_success(world: ApiWorld, task_path: str) -> None:
    fence = await claimed_fence(world, task_path)
    async with world.database._engine.begin() as connection:
        await connection.execute(text(
            "CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$"
        ))  # fmt: skip
        await connection.execute(text(
            "CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON decisions "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_commit()"
        ))  # fmt: skip
    for headers in ({}, {"Idempotency-Key": "d-1"}):
        response = await world.call(
            "rita", "POST", f"{task_path}/decide", {"fence": fence, "verdict": "approve"}, headers=headers
        )
        assert (response.status_code, problem_code(response)) == (503, "unavailable")
    assert await count(world, "decisions") == await count(world, "idempotency_replies") == 0
    assert (await _task_of(world, task_path)).state is TaskState.CLAIMED
    async with world.database._engine.begin() as connection:
        await connection.execute(text("DROP TRIGGER refuse_commit ON decisions"))
    retried = await world.call(
        "rita",
        "POST",
        f"{task_path}/decide",
        {"fence": fence, "verdict": "approve"},
        headers={"Idempotency-Key": "d-1"},
    )
    assert retried.status_code == 200


async def test_killed_connections_answer_503_and_the_next_call_works(world: ApiWorld, database_url: str) -> None:
    assert (await world.call("rita", "GET", "/v1/whoami")).status_code == 200
    async with open_database(database_url, pool_size=1) as other, other._engine.begin() as connection:
        await connection.execute(text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ))  # fmt: skip
    statuses = [(await world.call("rita", "GET", "/v1/whoami")).status_code for _ in range(5)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


async def test_two_people_do_not_overwrite_each_others_project(world: ApiWorld) -> None:
    read = await world.call("admin", "GET", f"/v1/projects/{OWN}")
    etag, body = read.headers["etag"], read.json()
    changed = await world.call(
        "admin", "PUT", f"/v1/projects/{OWN}", body | {"purpose": "one"}, headers={"If-Match": etag}
    )
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    for stale in (etag, "W/" + changed.headers["etag"], "rubbish"):
        lost = await world.call("admin", "PUT", f"/v1/projects/{OWN}", body, headers={"If-Match": stale})
        assert (lost.status_code, problem_code(lost)) == (412, "changed-meanwhile")
    blind = await world.call("admin", "PUT", f"/v1/projects/{OWN}", body | {"purpose": "two"})
    assert blind.status_code == 200
    assert (await world.call("admin", "GET", f"/v1/projects/{OWN}")).json()["purpose"] == "two"
    other = await world.call("admin", "PUT", f"/v1/projects/{OWN}", body | {"id": "else"})
    assert (other.status_code, other.json()["places"][0]["pointer"]) == (422, "/id")


async def test_projects_need_rules_that_exist_and_rules_never_change(world: ApiWorld) -> None:
    body = {"id": "p", "name": "P", "config": {"rule_set": {"id": "mine", "version": 1}}}
    missing = await world.call("admin", "POST", "/v1/projects", body)
    assert (missing.status_code, missing.json()["places"][0]["pointer"]) == (422, "/config/rule_set")
    rules = {"id": "mine", "version": 1, "description": "ours"}
    for _ in range(2):
        assert (await world.call("admin", "POST", "/v1/rule-sets", rules)).status_code == 201
    changed = await world.call("admin", "POST", "/v1/rule-sets", rules | {"description": "theirs"})
    assert (changed.status_code, problem_code(changed)) == (409, "already-exists")
    for _ in range(2):
        assert (await world.call("admin", "POST", "/v1/projects", body)).status_code == 201
    taken = await world.call("admin", "POST", "/v1/projects", body | {"name": "Q"})
    assert (taken.status_code, problem_code(taken)) == (409, "already-exists")
    reserved = await world.call("admin", "POST", "/v1/projects", {"id": "concord", "name": "C"})
    assert (reserved.status_code, problem_code(reserved)) == (403, "forbidden")
    listed = (await world.call("rita", "GET", "/v1/rule-sets")).json()["items"]
    assert {"id": "mine", "version": 1, "owners": []} in listed
    audit = (await world.call("admin", "GET", "/v1/projects/concord/audit")).json()["items"]
    assert [item["action"] for item in audit] == ["rule_set.created"]
    report = (await world.call("admin", "POST", "/v1/projects/p/verify", {})).json()
    assert (report["audit_verified"], report["entries"]) == (True, 1)


async def test_lists_are_paged_to_the_end_without_loss(world: ApiWorld) -> None:
    for number in range(5):
        await open_task(world.database, await add_sample(world.database, f"s{number}"))
    for path in (f"/v1/projects/{OWN}/samples", "/v1/tasks", "/v1/projects", "/v1/keys", f"/v1/projects/{OWN}/audit"):
        whole = (await world.call("admin", "GET", path)).json()
        assert whole["next_cursor"] is None
        parts: list[Any] = []
        cursor: str | None = None
        while not parts or cursor is not None:
            suffix = f"&cursor={cursor}" if cursor else ""
            page = (await world.call("admin", "GET", f"{path}?limit=2{suffix}")).json()
            assert len(page["items"]) <= 2
            parts += page["items"]
            cursor = page["next_cursor"]
        assert parts == whole["items"], path
        for bad in ("cursor=%00", "cursor=abc", "limit=0", "limit=501", "limit=x"):
            response = await world.call("admin", "GET", f"{path}?{bad}")
            assert (response.status_code, problem_code(response)) == (422, "invalid-input"), (path, bad)


async def test_what_is_stored_about_a_sample_can_be_read(world: ApiWorld, task_path: str) -> None:
    base = f"/v1/projects/{OWN}/samples/s1"
    assert (await world.call("admin", "GET", base)).json()["stage"] == "in_review"
    stages = [item["stage"] for item in (await world.call("admin", "GET", f"{base}/timeline")).json()["items"]]
    assert stages == ["received", "pre_labeling", "checking", "in_review"]
    assert (await world.call("admin", "GET", f"{base}/labels?version=1")).json()["version"] == 1
    assert len((await world.call("admin", "GET", f"{base}/findings")).json()["items"]) == 1
    assert (await world.call("admin", "GET", f"{base}/lineage")).json()["format"] == "concord.lineage/1"
    for missing in ("/ground-truth", "/labels?version=2", "?revision=2", "/findings?revision=7"):
        response = await world.call("admin", "GET", base + missing)
        assert (response.status_code, problem_code(response)) == (404, "not-found"), missing
    metrics = (await world.http.get("/metrics")).text
    assert 'concord_review_tasks{kind="review",queue="spatial",state="open"} 1.0' in metrics
    assert 'concord_samples{stage="in_review"} 1.0' in metrics
    assert 'concord_outbox_backlog{topic="event"} 4.0' in metrics
    assert "concord_store_up 1.0" in metrics
    assert OWN not in metrics
    assert (await world.http.get("/readyz")).json() == {"ready": True, "store": "ok"}


BAD_PATHS = (
    "/v1/projects/%00", "/v1/projects/UPPER", f"/v1/projects/{'x' * 300}", "/v1/projects/own/samples/%00",
    "/v1/projects/own/samples/..%2f..%2fetc", "/v1/tasks/not-a-uuid", "/v1/rule-sets/default/0",
    "/v1/rule-sets/default/99999999999999999999", "/v1/rule-sets/%F0%28/1", "/v1/schemas/%00",
)  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
async def test_an_address_that_names_nothing_is_not_found(world: ApiWorld, path: str) -> None:
    response = await world.call("admin", "GET", path)
    assert (response.status_code, problem_code(response)) == (404, "not-found")


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("decide", b'{"fence": 1, "verdict": "approve"', 400, "malformed-json"),
        ("decide", b'{"fence": 1, "verdict": "approve", "fence": 2}', 400, "malformed-json"),
        ("decide", b'{"fence": 1, "verdict": "reject", "note": "\\u0000"}', 400, "malformed-json"),
        ("decide", b'{"fence": 1, "verdict": "approve", "note": "\\ud800"}', 400, "malformed-json"),
        ("decide", b'{"fence": NaN, "verdict": "approve"}', 400, "malformed-json"),
        ("decide", b'{"fence": 9223372036854775808, "verdict": "approve"}', 422, "invalid-input"),
        ("decide", b'{"fence": 0, "verdict": "approve"}', 422, "invalid-input"),
        ("decide", b'{"fence": 1, "verdict": "maybe"}', 422, "invalid-input"),
        ("decide", b'{"fence": 1, "verdict": "submit", "annotations": [{"type": "hologram"}]}', 422, "invalid-input"),
        ("decide", b'{"fence": 77, "verdict": "approve"}', 409, "stale-fence"),
        ("decide", b'{"fence": 1, "verdict": "approve", "pad": "' + b"x" * 1_000_000 + b'"}', 413, "payload-too-large"),
        ("heartbeat", b'{"fence": 77}', 409, "stale-fence"),
        ("heartbeat", b'{"fence": 9999999999999999999}', 422, "invalid-input"),
        ("release", b'{"fence": 77}', 409, "stale-fence"),
        ("escalate", b'{"fence": 77, "note": "x"}', 409, "stale-fence"),
    ],
)
async def test_bad_bodies_of_a_held_task_leave_it_as_it_was(
    world: ApiWorld, task_path: str, path: str, content: bytes, status: int, code: str
) -> None:
    await claimed_fence(world, task_path)
    before = await _task_of(world, task_path)
    response = await world.call("rita", "POST", f"{task_path}/{path}", content=content)
    assert (response.status_code, problem_code(response)) == (status, code), response.text
    assert await _task_of(world, task_path) == before
    assert await count(world, "decisions") == 0


async def test_bad_drafts_and_unknown_ids_are_problems(world: ApiWorld, task_path: str) -> None:
    fence = await claimed_fence(world, task_path)
    draft = await world.call(
        "rita", "PUT", f"{task_path}/draft", content=b'{"fence": %d, "body": {"a": "\\ud800"}}' % fence
    )
    assert (draft.status_code, problem_code(draft)) == (400, "malformed-json")
    unknown = await world.call("rita", "POST", f"/v1/tasks/{uuid4()}/decide", {"fence": 1, "verdict": "approve"})
    assert (unknown.status_code, problem_code(unknown)) == (404, "not-found")
    missing = await world.call(
        "admin", "POST", "/v1/projects",
        {"id": "p", "name": "P", "config": {"rule_set": {"id": "x", "version": 10**18}}},
    )  # fmt: skip
    assert (missing.status_code, problem_code(missing)) == (422, "invalid-input")
    huge = await world.call("admin", "POST", "/v1/rule-sets", {"id": "x", "version": 10**18})
    assert (huge.status_code, problem_code(huge)) == (422, "invalid-input")


async def test_an_event_with_other_content_is_refused_and_the_same_is_answered_alike(world: ApiWorld) -> None:
    def document(label: str) -> dict[str, Any]:
        manifest = {
            "format": "concord.sample/1", "sample_id": "s9", "project": OWN,
            "streams": [{"id": "note", "modality": "text", "inline": "hello"}],
            "annotations": [{"id": "a", "type": "intent", "stream": "note", "label": label}],
        }  # fmt: skip
        return event(manifest)

    headers = {"Content-Type": "application/cloudevents+json"}
    first = await world.call("upstream", "POST", "/v1/events", document("greeting"), headers=headers)
    again = await world.call("upstream", "POST", "/v1/events", document("greeting"), headers=headers)
    other = await world.call("upstream", "POST", "/v1/events", document("order"), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["outcome"], again.json()["outcome"]) == ("accepted", "duplicate")
    assert (other.status_code, problem_code(other)) == (409, "event-conflict")
