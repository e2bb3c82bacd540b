"""Files that are there whole or not at all, with the hash of what they hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Self

from services.datasets.croissant import ExportedFile

_CHUNK = 1024 * 1024
PARTIAL = ".partial"


class HashedFile:
    """A new file that is hashed while it is written, and gets its name when it is whole.

    Args:
        root: The export's folder.
        path: Where it belongs below that.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._path = path
        self._place = root / path
        self._partial = self._place.with_name(f"{self._place.name}{PARTIAL}")
        self._place.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._partial.open("wb")
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Add bytes."""
        self._sha256.update(data)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Return how much was written."""
        return self._size

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more; what writes through this asks for it."""
        return self._file.closed

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Close it; without :meth:`finish` it has no name."""
        self._file.close()

    def finish(self) -> ExportedFile:
        """Put it under its name, on the disk, and return what it is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._place)
        return ExportedFile(self._path, self._size, self._sha256.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


def write_file(root: Path, path: str, data: bytes) -> ExportedFile:
    """Write a new file whole."""
    with HashedFile(root, path) as file:
        file.write(data)
        return file.finish()


def is_whole(root: Path, file: ExportedFile) -> bool:
    """Whether a file is there as it was written."""
    digest = hashlib.sha256()
    try:
        with (root / file.path).open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == file.sha256
