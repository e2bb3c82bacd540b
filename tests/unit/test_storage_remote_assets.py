from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

import infra.storage.remote_assets as module
from infra.storage.asset_reader import open_asset_reader
from infra.storage.remote_assets import RemoteAssetReader
from services.errors import (
    AssetError,
    AssetForbiddenError,
    AssetHashMismatchError,
    AssetMissingError,
    AssetTooLargeError,
)
from tests.http_server import Handler, answering, http, serving

DATA = b"good morning"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.0))


def reader(port: int, max_bytes: int = 1_000, timeout_s: float = 20) -> RemoteAssetReader:
    return RemoteAssetReader([f"127.0.0.1:{port}"], max_bytes, timeout_s)


def by_method(head: bytes, ranged: bytes, whole: bytes) -> Handler:
    """Answer HEAD, a GET with a range, and a GET each in its own way."""

    async def handler(request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("HEAD "):
            writer.write(head)
        else:
            writer.write(ranged if "range: bytes=0-0" in request.lower() else whole)

    return handler


async def test_an_asset_is_read_with_its_hash() -> None:
    async with serving(answering(http(DATA))) as server:
        read = await reader(server.port).read(f"http://127.0.0.1:{server.port}/a.wav?signed=x", sha256=SHA256)
    assert (read.data, read.sha256, read.size_bytes) == (DATA, SHA256, len(DATA))
    assert server.heads[0].startswith("GET /a.wav?signed=x ")


async def test_another_hash_is_told() -> None:
    async with serving(answering(http(DATA))) as server:
        with pytest.raises(AssetHashMismatchError, match=SHA256):
            await reader(server.port).read(f"http://127.0.0.1:{server.port}/a", sha256="0" * 64)


async def test_what_is_packed_is_hashed_unpacked() -> None:
    async with serving(answering(http(gzip.compress(DATA), "200 OK", "content-encoding: gzip"))) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        assert (await reader(server.port).read(url, sha256=SHA256)).data == DATA
        assert await reader(server.port).check(url, sha256=None) == len(DATA)


REFUSED = http(b"", "403 Forbidden")
NO_LENGTH = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "ranged", "whole", "requests"),
    [
        (http(length=12), REFUSED, REFUSED, 1),
        (REFUSED, http(b"g", "206 Partial Content", "content-range: bytes 0-0/12"), REFUSED, 2),
        (http(status="404 Not Found"), http(DATA), REFUSED, 2),
        (NO_LENGTH, http(DATA), REFUSED, 2),
        (NO_LENGTH, NO_LENGTH + DATA, NO_LENGTH + DATA, 3),
        (REFUSED, http(b"g", "206 Partial Content", "content-range: bytes 0-0/*"), http(DATA), 3),
    ],
)
async def test_a_size_is_found_with_as_little_as_the_host_allows(
    head: bytes, ranged: bytes, whole: bytes, requests: int
) -> None:
    async with serving(by_method(head, ranged, whole)) as server:
        assert await reader(server.port).check(f"http://127.0.0.1:{server.port}/a", sha256="0" * 64) == 12
    assert len(server.heads) == requests


async def test_an_empty_asset_has_no_first_byte() -> None:
    empty = http(status="416 Range Not Satisfiable", length=0)
    for ranged in (empty, empty.replace(b"\r\n\r\n", b"\r\ncontent-range: bytes */0\r\n\r\n")):
        async with serving(by_method(REFUSED, ranged, http(b""))) as server:
            assert await reader(server.port).check(f"http://127.0.0.1:{server.port}/a", sha256=None) == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", AssetMissingError),
        ("410 Gone", AssetMissingError),
        ("401 Unauthorized", AssetForbiddenError),
        ("403 Forbidden", AssetForbiddenError),
        ("302 Found", AssetForbiddenError),
        ("204 No Content", AssetError),
        ("206 Partial Content", AssetError),
        ("400 Bad Request", AssetError),
        ("503 Service Unavailable", AssetError),
    ],
)
async def test_each_refusal_of_a_host_has_its_error(status: str, error: type[AssetError]) -> None:
    answer = http(b"" if status.startswith("204") else DATA, status, "location: http://127.0.0.1:1/")
    async with serving(answering(answer)) as server:
        url = f"http://127.0.0.1:{server.port}/a?signature=hidden"
        with pytest.raises(AssetError) as told:
            await reader(server.port).read(url, sha256=None)
    assert type(told.value) is error
    assert "hidden" not in told.value.detail
    assert status.startswith("503") or len(server.heads) == 1


async def test_a_host_that_fails_for_a_moment_is_asked_again() -> None:
    answers = [http(b"", "503 Service Unavailable"), http(b"half", length=12), http(DATA)]

    async def handler(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(handler) as server:
        read = await reader(server.port).read(f"http://127.0.0.1:{server.port}/a", sha256=SHA256)
    assert read.data == DATA
    assert not answers


async def test_nobody_listening_is_an_error_of_the_asset() -> None:
    async with serving(answering(http(DATA))) as server:
        pass
    with pytest.raises(AssetError, match=r"asked 3 times: ConnectError"):
        await reader(server.port).read(f"http://127.0.0.1:{server.port}/a", sha256=None)


async def test_an_asset_over_the_limit_is_too_large() -> None:
    async with serving(answering(http(DATA))) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        with pytest.raises(AssetTooLargeError, match="larger than 11 bytes"):
            await reader(server.port, max_bytes=11).read(url, sha256=None)
        with pytest.raises(AssetTooLargeError, match="12 bytes; at most 11"):
            await reader(server.port, max_bytes=11).check(url, sha256=None)


async def test_a_bomb_is_too_large() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    async with serving(answering(http(bomb, "200 OK", "content-encoding: gzip"))) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        for call in (reader(server.port, 1_000_000).read, reader(server.port, 1_000_000).check):
            with pytest.raises(AssetTooLargeError):
                await call(url, sha256=None)


async def test_a_slow_host_is_given_up_after_the_time_for_all_attempts() -> None:
    async def silent(_head: str, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(silent) as server, asyncio.timeout(20):
        for call in (reader(server.port, timeout_s=0.2).read, reader(server.port, timeout_s=0.2).check):
            with pytest.raises(AssetError, match=r"not read within 0\.2 s"):
                await call(f"http://127.0.0.1:{server.port}/a", sha256=None)


async def test_a_host_that_is_not_listed_is_not_asked() -> None:
    async with serving(answering(http(DATA))) as server:
        for hosts in (["cdn.example"], [f"localhost:{server.port}"], ["127.0.0.1:1"]):
            with pytest.raises(AssetForbiddenError, match="not among the allowed hosts"):
                await RemoteAssetReader(hosts, 1_000, 20).read(f"http://127.0.0.1:{server.port}/a", sha256=None)
    assert not server.heads


async def test_http_is_read_only_from_a_host_that_is_listed_with_its_port() -> None:
    async with serving(answering(http(DATA))) as server:
        with pytest.raises(AssetForbiddenError, match=rf"list 127\.0\.0\.1:{server.port}"):
            await RemoteAssetReader(["127.0.0.1"], 1_000, 20).read(f"http://127.0.0.1:{server.port}/a", sha256=None)
    assert not server.heads


async def test_a_name_that_leads_inside_is_not_asked() -> None:
    async def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with serving(answering(http(DATA))) as server:
        inside = RemoteAssetReader(["cdn.example"], 1_000, 20, resolve=here)
        with pytest.raises(AssetForbiddenError, match=r"leads to 127\.0\.0\.1"):
            await inside.read(f"https://cdn.example:{server.port}/a", sha256=None)
    assert not server.heads


async def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(AssetForbiddenError, match="user name") as told:
        await RemoteAssetReader(["cdn.example"], 1_000, 20).read("https://me:hidden@cdn.example/a", sha256=None)
    assert "hidden" not in told.value.detail


@pytest.mark.parametrize("hosts", [["https://cdn.example"], ["*"], [""]])
def test_a_list_of_hosts_that_is_none_is_refused_at_the_start(hosts: list[str]) -> None:
    with pytest.raises(ValueError, match="no host"):
        open_asset_reader([], hosts, 1_000, 20)


async def test_each_scheme_has_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(DATA)
    async with serving(answering(http(DATA))) as server:
        both = open_asset_reader([tmp_path], [f"127.0.0.1:{server.port}"], 1_000, 20)
        for uri in ("a.txt", f"file://{tmp_path}/a.txt", f"HTTP://127.0.0.1:{server.port}/a.txt"):
            assert (await both.read(uri, sha256=SHA256)).data == DATA
            assert await both.check(uri, sha256=SHA256) == len(DATA)
        with pytest.raises(AssetMissingError):
            await both.read("b.txt", sha256=None)


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("https://cdn.example/a", "CONCORD_ASSET_HOSTS"),
        ("http://cdn.example/a", "CONCORD_ASSET_HOSTS"),
        ("https:/a", "CONCORD_ASSET_HOSTS"),
        ("s3://bucket/a", "give the object's https: address"),
        ("ftp://cdn.example/a", "supported are relative URIs"),
        ("//cdn.example/a", "must be relative"),
    ],
)
async def test_without_hosts_every_other_scheme_is_refused_with_what_to_do(tmp_path: Path, uri: str, what: str) -> None:
    alone = open_asset_reader([tmp_path], [], 1_000, 20)
    for call in (alone.read, alone.check):
        with pytest.raises(AssetForbiddenError, match=what):
            await call(uri, sha256=None)
