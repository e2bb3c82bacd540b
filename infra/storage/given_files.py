"""Files that a person named, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.storage.regular_file import read_regular
from services.contracts.canonical import parse_json
from services.errors import ConcordError, InvalidInputError

MAX_BYTES = 64 * 1024 * 1024


def read_given(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        InvalidInputError, PayloadTooLargeError: What is wrong.
    """
    try:
        return read_regular(path, max_bytes)
    except OSError as error:
        raise InvalidInputError(f"{path} can not be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Return the JSON in a file.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, and where.
    """
    raw = read_given(path, MAX_BYTES)
    try:
        return parse_json(raw)
    except ConcordError as error:
        raise type(error)(f"{path}: {error.detail}", places=error.places) from error
