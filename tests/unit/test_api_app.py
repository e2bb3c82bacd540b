"""The application without a database: policies, problems, the frame around a request."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, cast

import httpx
import pytest
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.responses import Response

from api.app import create_app
from api.bodies import body_of, json_body, reply
from api.paging import NumberKey, SampleKey, decode_cursor, encode_cursor
from api.policies import MissingPolicyError, policies_of, public, requires
from api.problems import STATUS_OF
from api.services import ApiServices
from services import errors
from services.access.policy import Permission
from services.contracts.base import Contract, Number
from services.contracts.validation import validate
from services.errors import Category, ConcordError, IntegrityError, InvalidInputError, UnavailableError
from services.intake.inbox import Inbox
from services.ports.database import Transaction
from tests.intake_events import NoAssets
from tests.review_world import problem_code

MAX_BYTES = 100_000


class NoDatabase:
    """A store that does not answer."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise UnavailableError("the database does not answer; try again")

    async def ping(self) -> None:
        raise UnavailableError("the database does not answer; try again")


class Measure(Contract):
    value: Number
    nested: tuple[dict[str, Any], ...] = ()


async def measure(body: Annotated[Measure, Depends(json_body(Measure, what="measure"))]) -> Response:
    return reply(body)


async def fail() -> None:
    raise RuntimeError("postgresql://user:secret@host")


async def contradict() -> None:
    raise IntegrityError("row 17 of a table has no partner")


async def swallow(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return reply({"size": size})


@pytest.fixture
def app() -> FastAPI:
    database = NoDatabase()
    made = create_app(ApiServices(database=database, inbox=Inbox(database, NoAssets()), body_max_bytes=MAX_BYTES))
    router = APIRouter(dependencies=[Depends(public)])
    router.post("/test/measure")(measure)
    router.post("/test/swallow")(swallow)
    router.get("/test/fail")(fail)
    router.get("/test/contradict")(contradict)
    made.include_router(router)
    return made


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://concord.test") as client:
        yield client


async def send(http: httpx.AsyncClient, body: bytes, content_type: str = "application/json") -> httpx.Response:
    return await http.post("/test/measure", content=body, headers={"Content-Type": content_type})


def test_every_route_has_one_policy(app: FastAPI) -> None:
    policies = policies_of(app)
    opened = {path for (_, path), policy in policies.items() if policy == "public" and not path.startswith("/test")}
    assert opened == {"/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/schemas/{name}"}
    assert set(policies.values()) - {"public"} == {permission.value for permission in Permission}


@pytest.mark.parametrize(
    "dependencies",
    [
        [],
        [Depends(public), Depends(requires(Permission.SELF_READ))],
        [Depends(requires(p)) for p in list(Permission)[:2]],
    ],
)
def test_a_route_without_exactly_one_policy_is_refused(app: FastAPI, dependencies: list[Any]) -> None:
    app.get("/test/open", dependencies=dependencies)(measure)
    with pytest.raises(MissingPolicyError, match="/test/open"):
        policies_of(app)


def test_what_can_not_have_a_policy_is_refused(app: FastAPI) -> None:
    app.mount("/files", FastAPI())
    with pytest.raises(MissingPolicyError, match="/files"):
        policies_of(app)


def test_every_error_of_the_product_has_a_status_and_a_code_of_its_own() -> None:
    assert set(STATUS_OF) == set(Category)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConcordError)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)) > 20


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"value": ', 400, "malformed-json"),
        (b"", 400, "malformed-json"),
        (b"\xff", 400, "malformed-json"),
        (b'{"value": NaN}', 400, "malformed-json"),
        (b'{"value": -Infinity}', 400, "malformed-json"),
        (b'{"value": 1e999}', 400, "malformed-json"),
        (b'{"value": 1, "value": 2}', 400, "malformed-json"),
        (b'{"value": 1, "nested": [{"a": "\\u0000"}]}', 400, "malformed-json"),
        (b'{"value": 1, "nested": ' + b"[" * 40 + b"]" * 40 + b"}", 400, "malformed-json"),
        (b'{"value": ' + b"9" * 400 + b"}", 400, "malformed-json"),
        (b'{"value": "1"}', 422, "invalid-input"),
        (b'{"value": 1e300}', 422, "invalid-input"),
        (b'{"value": 1, "valeu": 2}', 422, "invalid-input"),
        (b"{}", 422, "invalid-input"),
        (b"[]", 422, "invalid-input"),
        (b"null", 422, "invalid-input"),
        (b'{"value": 1, "pad": "' + b"x" * MAX_BYTES + b'"}', 413, "payload-too-large"),
    ],
)
async def test_a_bad_body_is_a_problem_with_a_stable_type(
    http: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    response = await send(http, body)
    assert (response.status_code, problem_code(response)) == (status, code)
    if status == 422:
        assert response.json()["places"]


async def test_a_good_body_comes_through(http: httpx.AsyncClient) -> None:
    response = await send(http, b'{"value": 1.5}', "application/json; charset=utf-8")
    assert response.json() == {"value": 1.5, "nested": []}


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_unsupported(http: httpx.AsyncClient, content_type: str) -> None:
    response = await send(http, b'{"value": 1}', content_type)
    assert (response.status_code, problem_code(response)) == (415, "unsupported-media-type")


async def test_unknown_places_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    missing, wrong = await http.get("/nowhere"), await http.delete("/healthz")
    assert (missing.status_code, problem_code(missing)) == (404, "not-found")
    assert (wrong.status_code, problem_code(wrong)) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET"


async def test_a_fault_tells_nothing_of_the_inside(http: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await http.get("/test/fail")
    assert (response.status_code, problem_code(response)) == (500, "internal")
    assert "secret" not in response.text
    assert "secret" not in str(lines)
    fault = next(line for line in lines if line["event"] == "request_failed")
    assert (fault["error"], fault["request_id"]) == ("RuntimeError", response.headers["x-request-id"])
    hidden = await http.get("/test/contradict")
    assert (hidden.status_code, problem_code(hidden)) == (500, "integrity")
    assert "row 17" not in hidden.text


async def test_a_silent_database_is_503_and_try_again(http: httpx.AsyncClient) -> None:
    ready = await http.get("/readyz")
    known = await http.get("/v1/whoami", headers={"Authorization": "Bearer ck_x"})
    for response in (ready, known):
        assert (response.status_code, problem_code(response)) == (503, "unavailable")
        assert response.headers["retry-after"] == "1"
    assert (await http.get("/healthz")).json() == {"alive": True}
    assert "concord_store_up 0.0" in (await http.get("/metrics")).text


async def test_every_answer_carries_an_id_and_the_headers_of_a_careful_server(http: httpx.AsyncClient) -> None:
    given = await http.get("/healthz", headers={"X-Request-Id": "trace-0001"})
    assert given.headers["x-request-id"] == "trace-0001"
    odd = await http.get("/nowhere", headers={"X-Request-Id": "a b\tc"})
    assert odd.headers["x-request-id"] != "a b\tc"
    assert odd.headers["x-content-type-options"] == "nosniff"
    assert odd.headers["content-security-policy"].startswith("default-src 'none'")
    assert odd.headers["cache-control"] == "no-store"


async def test_the_log_names_the_route_and_no_payload(http: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        await http.post(
            "/test/measure?token=hidden", content=b'{"value": 1, "valeu": "hidden"}',
            headers={"Content-Type": "application/json", "Authorization": "Bearer hidden"},
        )  # fmt: skip
        await http.get("/nowhere/hidden")
    assert [(line["route"], line["status"]) for line in lines] == [("/test/measure", 422), ("(none)", 404)]
    assert lines[0]["problem"] == "invalid-input"
    assert "hidden" not in str(lines)


async def test_requests_are_counted_by_template(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.get(f"/v1/schemas/none-{number}")
    text = (await http.get("/metrics")).text
    assert 'concord_http_requests_total{method="GET",route="/v1/schemas/{name}",status="404"} 3.0' in text
    assert "none-1" not in text


@pytest.mark.parametrize("path", ["/test/measure", "/test/swallow", "/v1/openapi.json"])
async def test_an_endless_body_is_cut_off_with_memory_flat(app: FastAPI, path: str) -> None:
    chunk, sent, answers = b"x" * 65_536, 0, []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": sent < 100 * 2**20}

    async def answer(message: Any) -> None:
        answers.append(message)

    tracemalloc.start()
    try:
        await cast("Callable[..., Any]", app)(scope, receive, answer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answers[0]["status"] == (405 if path.endswith("json") else 413)
    assert sent == 100 * 2**20, "the rest is read and thrown away, so that the client reads the answer"
    assert peak < 20 * MAX_BYTES


async def test_a_stated_length_over_the_cap_is_refused_unread(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/events", content=b"x", headers={"Content-Length": "104857600"})
    assert (response.status_code, problem_code(response)) == (413, "payload-too-large")
    assert response.headers["connection"] == "close"


def test_every_example_is_a_body_that_would_be_taken(app: FastAPI) -> None:
    examples = [
        (body.model, body.example)
        for context in iter_route_contexts(app.routes)
        for dependency in context.dependant.dependencies
        if (body := body_of(dependency.call)) is not None and body.example is not None
    ]
    assert len(examples) > 7
    for model, example in examples:
        validate(model, example, what="example")


def test_a_cursor_comes_back_and_another_lists_cursor_does_not() -> None:
    cursor = encode_cursor("numbers", (17,))
    assert decode_cursor("numbers", NumberKey, cursor) == (17,)
    assert decode_cursor("numbers", NumberKey, None) is None
    wrong = ["", "!", "bm90IGpzb24", encode_cursor("others", (17,)), encode_cursor("numbers", ("x",)), cursor + "é"]
    for text in [*wrong, encode_cursor("numbers", (2**60,))]:
        with pytest.raises(InvalidInputError):
            decode_cursor("numbers", NumberKey, text)
    with pytest.raises(InvalidInputError):
        decode_cursor("samples", SampleKey, encode_cursor("samples", ("2024-01-01T00:00:00", "s", 1)))


def test_the_document_describes_every_body_and_every_problem(app: FastAPI) -> None:
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations:
        if path.startswith("/test"):
            continue
        assert set(operation["tags"]) <= tags, path
        assert operation["description"], path
        problem = operation["responses"]["503"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        if operation.get("x-concord-permission"):
            assert {"401", "403"} <= set(operation["responses"]), path
            assert operation["security"] == [{"ApiKey": []}], path
        if method in ("post", "put") and "requestBody" in operation:
            assert operation["requestBody"]["content"], path
    decide = document["paths"]["/v1/tasks/{task_id}/decide"]["post"]
    assert decide["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/DecisionInput")
    assert isinstance(document["components"]["schemas"]["DecisionInput"], dict)
