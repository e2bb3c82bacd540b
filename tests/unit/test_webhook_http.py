"""One request of a webhook: where it may go, and what is told of it."""

from __future__ import annotations

import asyncio

import pytest

from infra.webhooks.http import MAX_EXCERPT, WebhookHttp, clean
from services.errors import InvalidInputError
from services.webhooks.targets import NoTargets
from tests.http_server import answering, http, serving
from tests.unit.test_egress import HERE, TRICKS


async def post(host: str, url: str, *, timeout_s: float = 20) -> tuple[int | None, str | None, str | None]:
    posted = await WebhookHttp((host,), timeout_s, resolve=HERE).post(url, {"content-type": "x/y"}, b"{}")
    return posted.outcome.status, posted.outcome.error, posted.excerpt


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_reaches_this_machine(trick: str) -> None:
    async with serving(answering(http())) as served:
        for scheme in ("http", "https"):
            url = trick.replace("{port}", str(served.port)).replace("http:", f"{scheme}:")
            status, error, _ = await post("cdn.example", url)
            assert status is None
            assert error is not None
    assert served.heads == []


async def test_loopback_is_told_only_where_the_list_names_it_with_its_port() -> None:
    async with serving(answering(http(b"taken"))) as served:
        url = f"http://127.0.0.1:{served.port}/hook"
        assert await post(f"127.0.0.1:{served.port}", url) == (200, None, "taken")
        assert served.bodies == [b"{}"]
        status, error, _ = await post("127.0.0.1", url)
        assert status is None
        assert error is not None
        assert "listed with its port" in error
    assert len(served.heads) == 1


@pytest.mark.parametrize(
    ("status", "error", "asked_s"),
    [
        ("204 No Content", None, None),
        ("302 Found", "HTTP status 302, a redirect, which is not followed; state the final address", None),
        ("404 Not Found", "HTTP status 404", None),
        ("503 Away", "HTTP status 503", 120.0),
    ],
)
async def test_status_is_told_with_what_the_receiver_asks(
    status: str, error: str | None, asked_s: float | None
) -> None:
    extra = () if asked_s is None else ("retry-after: 120",)
    async with serving(answering(http(b"", status, *extra))) as served:
        host = f"127.0.0.1:{served.port}"
        posted = await WebhookHttp((host,), 20).post(f"http://{host}/", {}, b"{}")
    assert (posted.outcome.status, posted.outcome.error) == (int(status[:3]), error)
    assert posted.outcome.retry_after_s == asked_s


@pytest.mark.parametrize("value", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "\uff19"])
async def test_time_that_is_no_number_of_seconds_is_not_taken(value: str) -> None:
    answer = http(b"", "503 Away", "retry-after: X").replace(b"X", value.encode())
    async with serving(answering(answer)) as served:
        host = f"127.0.0.1:{served.port}"
        assert (await WebhookHttp((host,), 20).post(f"http://{host}/", {}, b"{}")).outcome.retry_after_s is None


async def test_excerpt_is_bounded_and_an_endless_body_is_not_waited_for() -> None:
    async def endless(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with serving(endless) as served:
        host = f"127.0.0.1:{served.port}"
        status, error, excerpt = await post(host, f"http://{host}/")
    assert (status, error, excerpt) == (200, None, "x" * MAX_EXCERPT)


async def test_body_that_breaks_off_after_the_status_leaves_the_success_one() -> None:
    async with serving(answering(http(b"tak", length=500))) as served:
        host = f"127.0.0.1:{served.port}"
        assert await post(host, f"http://{host}/") == (200, None, "tak")


async def test_packed_answer_has_no_excerpt() -> None:
    async with serving(answering(http(b"\x1f\x8b", "500 No", "content-encoding: gzip"))) as served:
        host = f"127.0.0.1:{served.port}"
        assert await post(host, f"http://{host}/") == (500, "HTTP status 500", None)


def test_what_others_write_is_kept_without_what_no_text_may_hold() -> None:
    assert clean("a\x00b\ud800c") == "a\ufffdb?c"
    assert len(clean("x" * 10_000)) == 500


def test_nobody_is_told_where_nobody_said_so() -> None:
    with pytest.raises(InvalidInputError, match="no webhooks"):
        NoTargets().ensure_allowed("https://hooks.example/")
    WebhookHttp(("hooks.example",), 1).ensure_allowed("https://hooks.example/a?b=c")
