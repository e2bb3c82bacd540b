"""JSON text of documents, and documents of JSON text."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter

from services.contracts.annotations import Annotation, Annotations
from services.contracts.canonical import canonical_json
from services.errors import InvalidInputError


@cache
def _annotations() -> TypeAdapter[tuple[Annotation, ...]]:
    return TypeAdapter(Annotations)


def model_text(model: BaseModel) -> str:
    """Return a contract model as JSON text; absent values are left out, as in its canonical form."""
    return model.model_dump_json(exclude_none=True)


def annotations_text(annotations: Annotations) -> str:
    """Return labels as a JSON array."""
    return _annotations().dump_json(annotations, exclude_none=True).decode()


def annotations_of(document: str) -> Annotations:
    """Return the labels of a JSON array."""
    return _annotations().validate_json(document)


def body_text(body: Any) -> str:
    """Return the canonical JSON text of a body.

    Raises:
        InvalidInputError: A number is not finite, or a text is not Unicode.
    """
    try:
        return canonical_json(body).decode()
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"the body can not be stored as JSON: {error}") from error


def body_of(document: str) -> Any:
    """Return the value of a JSON text."""
    return json.loads(document)


def storable(value: str) -> str:
    """Return ``value`` as Postgres can store it: what no ``text`` holds becomes the replacement character.

    Only for what is kept about bad input; good input never has such characters.
    """
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
