"""The asset port as every process uses it: folders of this machine, and hosts outside."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from infra.storage.assets import FileAssetReader
from infra.storage.remote_assets import RemoteAssetReader
from services.errors import AssetForbiddenError
from services.ports.assets import AssetBytes, AssetReader

_REMOTE = re.compile(r"https?:", re.IGNORECASE)
_BUCKET = re.compile(r"s3:", re.IGNORECASE)


class BoundedAssetReader(AssetReader, Protocol):
    """Reads no more of an asset than its reader can use."""

    async def read(self, uri: str, *, sha256: str | None, max_bytes: int | None = None) -> AssetBytes:
        """Return the bytes with their hash, if they are no more than ``max_bytes``."""
        ...

    async def digest(self, uri: str, *, sha256: str | None) -> str:
        """Return the hash of the bytes without them, compared with ``sha256`` where that is given."""
        ...


class AssetReaderByScheme:
    """Leaves each asset to the reader of its address's scheme.

    Args:
        files: Reads relative and ``file:`` addresses, and refuses every other scheme.
        remote: Reads ``https:`` and ``http:``.
    """

    def __init__(self, files: BoundedAssetReader, remote: BoundedAssetReader) -> None:
        self._files = files
        self._remote = remote

    async def check(self, uri: str, *, sha256: str | None) -> int:
        """Return the size in bytes."""
        return await self._reader_of(uri).check(uri, sha256=sha256)

    async def read(self, uri: str, *, sha256: str | None, max_bytes: int | None = None) -> AssetBytes:
        """Return the bytes with their hash."""
        return await self._reader_of(uri).read(uri, sha256=sha256, max_bytes=max_bytes)

    async def digest(self, uri: str, *, sha256: str | None) -> str:
        """Return the hash of the bytes."""
        return await self._reader_of(uri).digest(uri, sha256=sha256)

    def _reader_of(self, uri: str) -> BoundedAssetReader:
        if _BUCKET.match(uri):
            raise AssetForbiddenError(
                f"the asset {uri[:200]!r} is not read: s3: is not supported; give the object's https: address, signed "
                "where it must be, at an allowed asset host"
            )
        return self._remote if _REMOTE.match(uri) else self._files


def open_asset_reader(
    roots: Sequence[Path], hosts: Collection[str], max_bytes: int, timeout_s: float
) -> AssetReaderByScheme:
    """Return what reads assets.

    Args:
        roots: Allowed folders; a relative address is inside the first.
        hosts: Hosts (``host`` or ``host:port``) that assets may be read from.
        max_bytes: Largest asset.
        timeout_s: Longest time for one asset.

    Raises:
        ValueError: A host is none.
    """
    return AssetReaderByScheme(
        FileAssetReader(roots, max_bytes, timeout_s), RemoteAssetReader(hosts, max_bytes, timeout_s)
    )
