import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from infra.client import ApiProblem, ConcordClient
from services.contracts.access import Role
from services.contracts.active_time import ActivitySelection, LabelSelection
from services.contracts.lifecycle import Stage
from services.contracts.operations import DecisionSelection, SampleSelection, TaskSelection
from services.contracts.progress import Progress

KEY = "ck_" + "k" * 43


def client_of(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> ConcordClient:
    return ConcordClient("http://concord.test/", KEY, transport=httpx.MockTransport(handler), **options)


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


PROBLEM = {
    "type": "urn:concord:problem:stale-fence",
    "title": "The lease is over",
    "status": 409,
    "detail": "Claim again.",
    "places": [{"pointer": "/fence", "detail": "is 3, the task is at 4"}],
}


async def test_a_problem_is_raised_with_all_its_members() -> None:
    async with client_of(lambda _: answer(PROBLEM, 409)) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.whoami()
    problem = raised.value
    assert (problem.code, problem.status, problem.detail) == ("stale-fence", 409, "Claim again.")
    assert problem.places == (("/fence", "is 3, the task is at 4"),)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
async def test_an_error_that_is_no_problem_document_is_still_told(body: bytes) -> None:
    async with client_of(lambda _: httpx.Response(500, content=body)) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.whoami()
    assert raised.value.status == 500


async def test_a_call_is_repeated_under_one_idempotency_key_until_the_service_is_back() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            raise httpx.ConnectError("refused")
        if len(seen) == 2:
            return answer({}, 503, **{"Retry-After": "0"})
        body = {"actor_id": "ann", "role": "annotator", "key_id": "key-1", "skills": []}
        return answer({"key": {**body, "projects": None, "created_at": "2026-01-01T00:00:00Z"}, "secret": KEY}, 201)

    async with client_of(handler) as client:
        made = await client.create_key("ann", Role.ANNOTATOR)
    assert made.secret == KEY
    assert len(seen) == 3
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len({request.content for request in seen}) == 1
    assert seen[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_what_can_not_succeed_is_not_repeated() -> None:
    calls = 0

    def handler(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return answer(PROBLEM, 409)

    async with client_of(handler) as client:
        with pytest.raises(ApiProblem):
            await client.release("00000000-0000-4000-8000-000000000001", 3)
    assert calls == 1


async def test_a_service_that_stays_away_is_a_problem_without_a_status() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with client_of(handler, retry_for_s=0.3) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.queues()
    assert raised.value.status == 0
    assert raised.value.code == "unreachable"


async def test_no_task_is_none_and_not_an_error() -> None:
    problem = {"type": "urn:concord:problem:no-task-available", "title": "No task", "status": 404}
    async with client_of(lambda _: answer(problem, 404)) as client:
        assert await client.claim_next(queue="spatial") is None


async def test_all_parts_of_a_list_are_read() -> None:
    asked: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor")
        asked.append(cursor)
        item = {"id": f"p{len(asked)}", "name": "n"}
        return answer({"items": [item], "next_cursor": {None: "a", "a": "b"}.get(cursor)})

    async with client_of(handler) as client:
        found = await client.projects()
    assert [project.id for project in found] == ["p1", "p2", "p3"]
    assert asked == [None, "a", "b"]


async def test_ids_can_not_leave_their_place_in_a_path() -> None:
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return answer(PROBLEM, 404)

    async with client_of(handler) as client:
        with pytest.raises(ApiProblem):
            await client.sample("../x", "a/../../b?c#d")
    assert paths == ["/v1/projects/..%2Fx/samples/a%2F..%2F..%2Fb%3Fc%23d"]


async def test_the_bytes_sent_are_strict_json() -> None:
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return answer({"results": []}, 202)

    async with client_of(handler) as client:
        await client.send_events([{"id": "ü", "data": {"x": 1.5}}])
        with pytest.raises(ValueError, match="JSON"):
            await client.send_events([{"id": "n", "data": float("nan")}])
    assert json.loads(bodies[0]) == [{"id": "ü", "data": {"x": 1.5}}]


async def test_a_sample_is_waited_for_from_before_it_is_known_until_it_is_at_a_wanted_stage() -> None:
    stages = iter([None, "received", "in_review", "committed"])

    def handler(_: httpx.Request) -> httpx.Response:
        stage = next(stages)
        if stage is None:
            return answer({**PROBLEM, "type": "urn:concord:problem:not-found", "status": 404}, 404)
        manifest = {
            "format": "concord.sample/1",
            "sample_id": "s-1",
            "project": "own",
            "streams": [{"id": "note", "modality": "text", "inline": "hello"}],
        }
        ref = {"project": "own", "sample_id": "s-1", "revision": 1}
        return answer(
            {"ref": ref, "stage": stage, "manifest": manifest, "manifest_sha256": "0" * 64, "label_version": 0,
             "risk": "low", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
        )  # fmt: skip

    async with client_of(handler) as client:
        assert (await client.wait_for("own", "s-1", Stage.IN_REVIEW, Stage.REWORK)).stage is Stage.IN_REVIEW
        assert (await client.wait_for("own", "s-1")).stage is Stage.COMMITTED


async def test_waiting_for_a_sample_ends_with_the_time_or_with_a_refusal() -> None:
    async with client_of(lambda _: answer({**PROBLEM, "type": "urn:concord:problem:not-found"}, 404)) as client:
        with pytest.raises(TimeoutError):
            await client.wait_for("own", "s-1", within_s=0.1)
    async with client_of(lambda _: answer({**PROBLEM, "type": "urn:concord:problem:forbidden"}, 403)) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.wait_for("own", "s-1")
    assert raised.value.code == "forbidden"


async def test_a_stream_that_ends_because_a_part_is_away_is_asked_for_again_under_one_key() -> None:
    away = json.dumps({**PROBLEM, "type": "urn:concord:problem:unavailable", "status": 503})
    streams = iter(
        [
            f"event: problem\ndata: {away}\n\n",
            'event: progress\ndata: {"phase":"records","done":1,"total":2}\n\n',  # and then nothing
            (
                ': still here\n\nevent: progress\ndata: {"phase":"records","done":2,"total":2}\n\n'
                'event: answer\ndata: {"made":true}\n\n'
            ),
        ]
    )
    keys: list[str] = []
    heard: list[Progress] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(200, text=next(streams), headers={"Content-Type": "text/event-stream; charset=utf-8"})

    async with client_of(handler) as client:
        assert await client.call_with_progress("POST", "/v1/x", {}, tell=heard.append) == {"made": True}
    assert (len(keys), len(set(keys))) == (3, 1)
    assert [one.done for one in heard] == [1, 2]


def unexpected(progress: Progress) -> None:
    pytest.fail(f"nobody told of {progress}")


async def test_a_service_without_progress_is_understood_and_a_refusal_is_raised_at_once() -> None:
    async with client_of(lambda _: answer({"made": True})) as client:
        assert await client.call_with_progress("POST", "/v1/x", tell=unexpected) == {"made": True}
    async with client_of(lambda _: answer(PROBLEM, 409)) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.call_with_progress("POST", "/v1/x", tell=unexpected)
    assert raised.value.code == "stale-fence"
    async with client_of(lambda _: answer({}, 503), retry_for_s=0.1) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.call_with_progress("POST", "/v1/x", tell=unexpected)
    assert raised.value.status == 503


ID = UUID("6f0f3c1e-7a52-4a55-8a33-0b7f6f2f7a11")
WINDOW = {"committed_since": datetime(2026, 3, 1, tzinfo=UTC), "committed_before": datetime(2026, 3, 2, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda it: it.counted_tasks("p", TaskSelection()), "GET", "/v1/projects/p/operations/tasks"),
        (lambda it: it.counted_samples("p", SampleSelection()), "GET", "/v1/projects/p/operations/samples"),
        (lambda it: it.counted_decisions("p", DecisionSelection()), "GET", "/v1/projects/p/operations/decisions"),
        (lambda it: it.counted_labels("p", LabelSelection(**WINDOW)), "GET", "/v1/projects/p/operations/labels"),
        (lambda it: it.worked_times("p", ActivitySelection()), "GET", "/v1/projects/p/operations/activity"),
        (lambda it: it.datasets("p").of_sample("s/1"), "GET", "/v1/projects/p/samples/s%2F1/datasets"),
        (lambda it: it.delete_taxonomy_draft("av"), "DELETE", "/v1/taxonomies/av/draft"),
    ],
)
async def test_a_call_goes_to_its_route(
    call: Callable[[ConcordClient], Awaitable[object]], method: str, path: str
) -> None:
    seen: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.raw_path.decode().partition("?")[0]))
        return answer({"items": [], "next_cursor": None}) if method == "GET" else httpx.Response(204)

    async with client_of(handler) as client:
        await call(client)
    assert seen == [(method, path)]


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda it: it.erasure("p").get(ID), f"/v1/projects/p/erasures/{ID}"),
        (lambda it: it.task_operation("p", ID), f"/v1/projects/p/task-operations/{ID}"),
        (lambda it: it.notes("p", "s").get(ID), f"/v1/projects/p/samples/s/notes/{ID}"),
    ],
)
async def test_one_thing_is_asked_for_by_its_id(call: Callable[[ConcordClient], Awaitable[object]], path: str) -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return answer({"type": "urn:concord:problem:not-found", "title": "None", "status": 404, "detail": "No."}, 404)

    async with client_of(handler) as client:
        with pytest.raises(ApiProblem):
            await call(client)
    assert seen == [path]
