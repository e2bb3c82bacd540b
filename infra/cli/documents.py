"""Read a document that a person wrote, as JSON or YAML, and say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from infra.storage.given_files import read_json
from infra.storage.yaml_files import is_yaml, read_yaml
from services.contracts.validation import validate
from services.errors import ConcordError

Model = TypeVar("Model")


def read_document(kind: type[Model], path: Path, *, what: str) -> Model:
    """Return the document in a file as ``kind``; a file named ``.yaml`` or ``.yml`` is YAML, any other JSON.

    Raises:
        InvalidInputError, MalformedJsonError, PayloadTooLargeError: What is wrong, and where.
    """
    document = read_yaml(path) if is_yaml(path) else read_json(path)
    try:
        return validate(kind, document, what=what)
    except ConcordError as error:
        raise type(error)(f"{path}: {error.detail}", places=error.places) from error
