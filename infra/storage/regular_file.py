"""Read a file that a person names: a regular one, and no more of it than its reader holds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from services.errors import InvalidInputError, PayloadTooLargeError


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file.

    A device has no end and a pipe may never have a beginning: neither is opened.

    Args:
        path: The file; links are followed.
        max_bytes: How many bytes are read at most.

    Raises:
        OSError: It can not be read.
        InvalidInputError: It is no regular file.
        PayloadTooLargeError: It is larger.
    """
    ensure_regular(path)
    # It may be exchanged for a pipe meanwhile: opening one that nobody writes into would wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        data = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(size, len(data)) > max_bytes:
        raise PayloadTooLargeError(f"{path} has {max(size, len(data))} bytes; at most {max_bytes} are read")
    return data


def ensure_regular(path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: There is nothing that can be looked at.
        InvalidInputError: It is a folder, a device, a pipe or a socket.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InvalidInputError(f"{path} is {_kind(mode)}, which is not read; give a regular file")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")
