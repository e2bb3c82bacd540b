from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from pathlib import Path

import pytest

import infra.storage.assets as module
from infra.storage.assets import FileAssetReader
from services.errors import (
    AssetError,
    AssetForbiddenError,
    AssetHashMismatchError,
    AssetMissingError,
    AssetTooLargeError,
)

DATA = b"good morning"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with assets, beside one with secrets."""
    root = tmp_path / "assets"
    (root / "deep").mkdir(parents=True)
    (root / "plain.txt").write_bytes(DATA)
    (root / "deep" / "größe 1.txt").write_bytes(DATA)
    (root / "100%?#.txt").write_bytes(DATA)
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "assets-too").mkdir()
    (tmp_path / "assets-too" / "x.txt").write_bytes(b"secret")
    return root


def reader(*roots: Path, max_bytes: int = 1_000, timeout_s: float = 20) -> FileAssetReader:
    return FileAssetReader(roots, max_bytes, timeout_s)


@pytest.mark.parametrize(
    "uri",
    [
        "plain.txt",
        "./plain.txt",
        "deep/größe 1.txt",
        "deep/gr%C3%B6%C3%9Fe%201.txt",
        "deep//größe 1.txt",
        "%70lain.txt",
        "100%25%3F%23.txt",
        "file://{root}/plain.txt",
        "file:{root}/plain.txt",
        "FILE://localhost{root}/plain.txt",
    ],
)
async def test_an_asset_inside_the_folder_is_read(root: Path, uri: str) -> None:
    uri = uri.replace("{root}", str(root))
    read = await reader(root).read(uri, sha256=SHA256)
    assert (read.data, read.sha256, read.size_bytes) == (DATA, SHA256, len(DATA))
    assert await reader(root).check(uri, sha256=SHA256) == len(DATA)


TRICKS = [
    "../secret.txt",
    "deep/../../secret.txt",
    "deep/../plain.txt",
    "..",
    "%2e%2e/secret.txt",
    "%2E%2E%2Fsecret.txt",
    "..%2fsecret.txt",
    "..%5csecret.txt",
    "..\\secret.txt",
    "deep%2f..%2f..%2fsecret.txt",
    "%252e%252e/secret.txt",
    "....//secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "///etc/passwd",
    "//evil.example/plain.txt",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "file:////etc/passwd",
    "file:secret.txt",
    "file:../secret.txt",
    "file://evil.example/plain.txt",
    "file://evil.example:80{root}/plain.txt",
    "file://{root}/../secret.txt",
    "file://{root}/%2e%2e/secret.txt",
    "file://{root}-too/x.txt",
    "file:///proc/self/environ",
    "file:///dev/zero",
    "file:///dev/stdin",
    "plain.txt%00.png",
    "plain.txt\x00",
    "plain.txt%0a",
    "plain.txt\n",
    "plain.txt?x=1",
    "plain.txt#x",
    "plain%zz.txt",
    "plain%C0%AEtxt",
    "\ud800.txt",
    "~/plain.txt",
    "$HOME/plain.txt",
    "C:\\Windows\\win.ini",
    "c:/plain.txt",
    "s3://bucket/plain.txt",
    "https://example.org/plain.txt",
    "ftp://example.org/plain.txt",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "jar:file:///etc/passwd!/x",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "",
    ".",
    "/",
    "deep",
    "deep/",
    "plain.txt/",
    "plain.txt/x",
    "a" * 5_000,
    "a" * 300,
]


@pytest.mark.parametrize("uri", TRICKS)
async def test_no_trick_reads_anything(root: Path, uri: str) -> None:
    uri = uri.replace("{root}", str(root))
    for call in (reader(root).read, reader(root).check):
        with pytest.raises((AssetForbiddenError, AssetMissingError)) as refused:
            await call(uri, sha256=None)
        told = refused.value.detail.replace(repr(uri), "")
        assert str(root) not in told
        assert "secret" not in told or "secret" in uri


async def test_what_is_supported_is_named(root: Path) -> None:
    with pytest.raises(AssetForbiddenError, match=r"s3: .* supported are relative URIs and file:"):
        await reader(root).read("s3://bucket/plain.txt", sha256=None)


async def test_links_are_followed_inside_and_refused_outside(root: Path, tmp_path: Path) -> None:
    (root / "inside.txt").symlink_to("deep/größe 1.txt")
    (root / "folder").symlink_to("deep")
    (root / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("missing")
    (root / "proc").symlink_to("/proc/self")
    assert (await reader(root).read("inside.txt", sha256=SHA256)).data == DATA
    assert (await reader(root).read("folder/größe 1.txt", sha256=SHA256)).data == DATA
    for uri in ("outside.txt", "up/secret.txt", "up/assets-too/x.txt", "loop", "proc/environ", "proc/cmdline"):
        with pytest.raises(AssetForbiddenError):
            await reader(root).read(uri, sha256=None)
    with pytest.raises(AssetMissingError):
        await reader(root).read("nowhere", sha256=None)


async def test_a_linked_root_is_a_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert (await reader(tmp_path / "link").read("plain.txt", sha256=None)).data == DATA
    assert (await reader(tmp_path / "link").read(f"file://{root}/plain.txt", sha256=None)).data == DATA


async def test_a_pipe_a_socket_and_a_device_are_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "device").symlink_to("/dev/zero")
    for uri in ("pipe", "device"):
        async with asyncio.timeout(5):
            with pytest.raises(AssetForbiddenError):
                await reader(root).read(uri, sha256=None)


async def test_a_file_exchanged_for_a_link_after_it_was_resolved_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = os.path.realpath

    def resolve_then_exchange(path: str | Path) -> str:
        resolved = resolve(path)
        if str(path).endswith("plain.txt") and not (root / "plain.txt").is_symlink():
            (root / "plain.txt").unlink()
            (root / "plain.txt").symlink_to(tmp_path / "secret.txt")
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_exchange)
    with pytest.raises(AssetError):
        await reader(root).read("plain.txt", sha256=None)


async def test_the_second_root_is_reached_by_file_uris_only(root: Path, tmp_path: Path) -> None:
    both = reader(root, tmp_path / "assets-too")
    assert (await both.read(f"file://{tmp_path}/assets-too/x.txt", sha256=None)).size_bytes == 6
    with pytest.raises(AssetMissingError):
        await both.read("x.txt", sha256=None)


async def test_without_folders_nothing_is_read(root: Path) -> None:
    with pytest.raises(AssetForbiddenError, match="no asset folder is configured"):
        await reader().read("plain.txt", sha256=None)


async def test_a_root_that_is_gone_is_a_missing_asset(tmp_path: Path) -> None:
    with pytest.raises(AssetMissingError):
        await reader(tmp_path / "gone").read("plain.txt", sha256=None)


async def test_the_hash_is_compared(root: Path) -> None:
    for call in (reader(root).read, reader(root).check):
        with pytest.raises(AssetHashMismatchError, match=SHA256):
            await call("plain.txt", sha256="0" * 64)


async def test_a_large_file_is_hashed_when_it_is_read_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HASH_AT_ONCE_BYTES", 5)
    assert await reader(root).check("plain.txt", sha256="0" * 64) == len(DATA)
    with pytest.raises(AssetHashMismatchError):
        await reader(root).read("plain.txt", sha256="0" * 64)


async def test_a_file_over_the_limit_is_not_read(root: Path) -> None:
    with pytest.raises(AssetTooLargeError, match="12 bytes"):
        await reader(root, max_bytes=11).read("plain.txt", sha256=None)
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 40)
    with pytest.raises(AssetTooLargeError):
        await reader(root).check("sparse", sha256=SHA256)


async def test_a_file_that_grows_while_it_is_read_is_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileAssetReader, "_size", lambda *_: 0)
    with pytest.raises(AssetTooLargeError, match="grew"):
        await reader(root, max_bytes=5).read("plain.txt", sha256=None)


async def test_a_read_that_takes_too_long_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_descriptor: int, _size: int) -> bytes:
        time.sleep(0.2)
        return b"x"

    monkeypatch.setattr(os, "read", slow)
    with pytest.raises(AssetError, match=r"not read within 0\.1 s"):
        await reader(root, timeout_s=0.1).read("plain.txt", sha256=None)


async def test_nothing_stays_open(root: Path) -> None:
    asset_reader = reader(root)
    await asset_reader.read("plain.txt", sha256=None)
    before = len(os.listdir("/proc/self/fd"))
    for uri in ("plain.txt", "missing", "deep", "deep/größe 1.txt", "plain.txt/x"):
        for sha256 in (None, "0" * 64):
            with contextlib.suppress(AssetError):
                await asset_reader.read(uri, sha256=sha256)
    # Others' connections may have been closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before
