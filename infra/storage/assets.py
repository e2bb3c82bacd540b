"""Reads assets from allowed folders only, with limits on size and time."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from services.errors import (
    AssetError,
    AssetForbiddenError,
    AssetHashMismatchError,
    AssetMissingError,
    AssetTooLargeError,
)
from services.ports.assets import AssetBytes

Answer = TypeVar("Answer")

SUPPORTED = "relative URIs and file: URIs inside the asset folders, and https: URIs at allowed hosts"
HASH_AT_ONCE_BYTES = 16 * 1024 * 1024

_CHUNK_BYTES = 1 << 20
_THREADS = 8
_MAX_URI = 4_096
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class FileAssetReader:
    """The asset port over folders of this machine.

    Symbolic links are followed as long as they end inside an allowed folder. Messages name an asset as its
    sender did; what lies where on this machine is not told.

    Args:
        roots: Allowed folders; a relative URI is inside the first. None allows nothing.
        max_bytes: Largest asset.
        timeout_s: Longest time for one asset.
    """

    def __init__(self, roots: Sequence[Path], max_bytes: int, timeout_s: float) -> None:
        self._roots = tuple(Path(root) for root in roots)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        # Threads of their own: a file system that hangs must not take those that others need.
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="assets")

    async def check(self, uri: str, *, sha256: str | None) -> int:
        """Return the size in bytes; the hash is compared too up to 16 MiB."""
        return await self._in_thread(lambda deadline: self._check(uri, sha256, deadline), uri)

    async def read(self, uri: str, *, sha256: str | None, max_bytes: int | None = None) -> AssetBytes:
        """Return the bytes with their hash, which is compared with ``sha256`` where that is given.

        Args:
            uri: The address.
            sha256: What the hash must be.
            max_bytes: Largest asset, where that is less than for all.
        """
        most = self._max_bytes if max_bytes is None else min(max_bytes, self._max_bytes)
        return await self._in_thread(lambda deadline: self._read(uri, sha256, deadline, most), uri)

    async def digest(self, uri: str, *, sha256: str | None) -> str:
        """Return the hash of the bytes, none of which is kept; it is compared as by :meth:`read`."""
        return await self._in_thread(lambda deadline: self._hash(uri, sha256, deadline), uri)

    async def _in_thread(self, work: Callable[[float], Answer], uri: str) -> Answer:
        deadline = time.monotonic() + self._timeout_s
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._threads, work, deadline)
        except TimeoutError:
            raise AssetError(f"the asset {_shown(uri)} was not read within {self._timeout_s:g} s") from None

    def _check(self, uri: str, sha256: str | None, deadline: float) -> int:
        descriptor = self._open(uri)
        try:
            size = self._size(descriptor, uri, self._max_bytes)
            if sha256 is not None and size <= HASH_AT_ONCE_BYTES:
                _ensure_hash(self._digest(descriptor, uri, deadline, keep=None), sha256, uri)
            return size
        finally:
            os.close(descriptor)

    def _hash(self, uri: str, sha256: str | None, deadline: float) -> str:
        descriptor = self._open(uri)
        try:
            self._size(descriptor, uri, self._max_bytes)
            digest = self._digest(descriptor, uri, deadline, keep=None)
        finally:
            os.close(descriptor)
        _ensure_hash(digest, sha256, uri)
        return digest

    def _read(self, uri: str, sha256: str | None, deadline: float, max_bytes: int) -> AssetBytes:
        descriptor = self._open(uri)
        try:
            self._size(descriptor, uri, max_bytes)
            data = bytearray()
            digest = self._digest(descriptor, uri, deadline, keep=data)
        finally:
            os.close(descriptor)
        _ensure_hash(digest, sha256, uri)
        return AssetBytes(data=bytes(data), sha256=digest, size_bytes=len(data))

    @staticmethod
    def _size(descriptor: int, uri: str, max_bytes: int) -> int:
        size = os.fstat(descriptor).st_size
        if size > max_bytes:
            raise AssetTooLargeError(f"the asset {_shown(uri)} has {size} bytes; at most {max_bytes} are read")
        return size

    def _digest(self, descriptor: int, uri: str, deadline: float, *, keep: bytearray | None) -> str:
        digest = hashlib.sha256()
        total = 0
        try:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                total += len(chunk)
                if total > self._max_bytes:
                    raise AssetTooLargeError(
                        f"the asset {_shown(uri)} grew beyond {self._max_bytes} bytes while it was read"
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError
                digest.update(chunk)
                if keep is not None:
                    keep += chunk
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise AssetError(f"the asset {_shown(uri)} can not be read: {os.strerror(error.errno or 0)}") from error
        return digest.hexdigest()

    def _open(self, uri: str) -> int:
        if not self._roots:
            raise AssetForbiddenError(f"the asset {_shown(uri)} can not be read: no asset folder is configured")
        path = _path_of(uri)
        real = os.path.realpath(path if path.is_absolute() else self._roots[0] / path)
        for root in self._roots:
            real_root = os.path.realpath(root)
            if real == real_root or real.startswith(real_root.rstrip("/") + "/"):
                return _open_below(real_root, os.path.relpath(real, real_root), uri)
        raise AssetForbiddenError(f"the asset {_shown(uri)} lies outside the asset folders")


def _open_below(root: str, relative: str, uri: str) -> int:
    """Open a file folder by folder, following nothing: what was resolved can not be exchanged for a link meanwhile."""
    if relative == os.curdir:
        raise AssetForbiddenError(f"the asset {_shown(uri)} is not a regular file")
    *folders, name = relative.split("/")
    here = -1
    try:
        here = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        for folder in folders:
            below = os.open(folder, _OPEN | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        # Without this look a device with side effects would be opened before it is refused.
        if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise AssetForbiddenError(f"the asset {_shown(uri)} is not a regular file")
        descriptor = os.open(name, _OPEN, dir_fd=here)
    except OSError as error:
        raise _open_error(error, uri) from error
    finally:
        if here >= 0:
            os.close(here)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AssetForbiddenError(f"the asset {_shown(uri)} is not a regular file")
    return descriptor


def _open_error(error: OSError, uri: str) -> AssetError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return AssetMissingError(f"there is nothing at {_shown(uri)}")
    if error.errno == errno.ELOOP:
        return AssetForbiddenError(f"the asset {_shown(uri)} is a link that leads nowhere")
    return AssetError(f"the asset {_shown(uri)} can not be opened: {os.strerror(error.errno or 0)}")


def _path_of(uri: str) -> Path:
    """Return the path a URI names, absolute for ``file:``; it is not resolved yet."""
    if not uri or len(uri) > _MAX_URI:
        raise AssetForbiddenError(f"an asset's address has 1 to {_MAX_URI} characters")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        rest, absolute = uri, False
        if uri.startswith("/"):
            raise AssetForbiddenError(f"the asset {_shown(uri)} must be relative, or begin with file://")
    elif scheme[1].lower() == "file":
        rest, absolute = _local_path(uri, uri[scheme.end() :]), True
    else:
        raise AssetForbiddenError(
            f"assets are not read from {scheme[1].lower()[:40]}: (in {_shown(uri)}); supported are {SUPPORTED}"
        )
    parts = [_decoded(part, uri) for part in rest.split("/")]
    if ".." in parts:
        raise AssetForbiddenError(f"the asset {_shown(uri)} may not name '..'")
    if parts[-1] in ("", "."):
        raise AssetForbiddenError(f"the asset {_shown(uri)} names a folder")
    return Path("/" if absolute else "", *(part for part in parts if part not in ("", ".")))


def _local_path(uri: str, rest: str) -> str:
    if rest.startswith("//"):
        host, _, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise AssetForbiddenError(f"the asset {_shown(uri)} names another machine; supported are {SUPPORTED}")
        return "/" + path
    if not rest.startswith("/"):
        raise AssetForbiddenError(f"the asset {_shown(uri)} must be file:///… with an absolute path")
    return rest


def _decoded(part: str, uri: str) -> str:
    if "?" in part or "#" in part:
        raise AssetForbiddenError(f"the asset {_shown(uri)} has a query or fragment; write %3F or %23 in a file's name")
    if _BAD_ESCAPE.search(part):
        raise AssetForbiddenError(f"the asset {_shown(uri)} has a % without two digits; write %25 in a file's name")
    try:
        name = unquote_to_bytes(part).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise AssetForbiddenError(f"the asset {_shown(uri)} is not UTF-8") from None
    if any(character in "/\\" or character < " " or character == "\x7f" for character in name):
        raise AssetForbiddenError(f"the asset {_shown(uri)} hides a separator or a control character in a name")
    return name


def _ensure_hash(digest: str, sha256: str | None, uri: str) -> None:
    if sha256 is not None and digest != sha256:
        raise AssetHashMismatchError(
            f"the asset {_shown(uri)} has the SHA-256 {digest}, not {sha256[:64]}; correct the manifest or the file"
        )


def _shown(uri: str) -> str:
    return repr(uri if len(uri) <= 200 else uri[:200] + "…")
