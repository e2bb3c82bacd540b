"""Read a JSON document that a person wrote, and say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from infra.storage.regular_file import read_regular
from services.contracts.canonical import parse_json
from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError

Model = TypeVar("Model")
MAX_BYTES = 64 * 1024 * 1024


def read_json(path: Path) -> Any:
    """Return the JSON in a file.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, and where.
    """
    try:
        raw = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise InvalidInputError(f"{path} can not be read: {error.strerror}") from error
    try:
        return parse_json(raw)
    except ConcordError as error:
        raise type(error)(f"{path}: {error.detail}", places=error.places) from error


def read_document(kind: type[Model], path: Path, *, what: str) -> Model:
    """Return the document in a file as ``kind``.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, and where.
    """
    document = read_json(path)
    try:
        return validate(kind, document, what=what)
    except ConcordError as error:
        raise type(error)(f"{path}: {error.detail}", places=error.places) from error
