"""The one guarded way to read what a manifest refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AssetBytes:
    """Bytes as read, with their hash."""

    data: bytes
    sha256: str
    size_bytes: int


class AssetReader(Protocol):
    """Reads assets inside the allowed folders and at the allowed hosts only, with limits on size and time."""

    async def check(self, uri: str, *, sha256: str | None) -> int:
        """Return the size in bytes of what ``uri`` names, without keeping it.

        The hash is compared too where the asset is near and small enough to read at once; otherwise it is compared
        when the asset is read.

        Raises:
            AssetMissingError, AssetForbiddenError, AssetTooLargeError, AssetHashMismatchError, AssetError.
        """
        ...

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        """Return the bytes behind ``uri``; a relative ``uri`` is inside the first allowed root.

        Raises:
            AssetMissingError, AssetForbiddenError, AssetTooLargeError, AssetHashMismatchError, AssetError.
        """
        ...
