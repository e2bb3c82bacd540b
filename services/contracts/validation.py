"""Turn what pydantic says about a bad document into places and sentences a person can act on."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from services.errors import InvalidInputError

Model = TypeVar("Model")
MAX_PLACES = 50

_ADVICE = {
    "extra_forbidden": "is not a field of the contract; remove it or correct its name",
    "missing": "is required; add it",
    "finite_number": "must be a finite number",
}
# Rules over a whole document begin their sentence with the place inside it, such as "streams/0/id: ".
_PLACE_IN_SENTENCE = re.compile(r"^([a-z_]+(?:/[a-z_0-9]+)+): ")
_NO_DOCUMENT = object()


def _escape(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _pointer_in(document: Any, location: tuple[int | str, ...], *, missing: bool) -> str:
    """Return the JSON pointer of ``location``, without the names of union members that pydantic puts in between.

    Args:
        document: What was validated.
        location: What pydantic names as the place.
        missing: Whether the error is that the last part is not there.
    """
    pointer: list[str] = []
    here = document
    tag_passed = False
    for index, part in enumerate(location):
        if isinstance(here, dict):
            if not tag_passed and part in (here.get("type"), here.get("kind")):
                tag_passed = True
            elif part in here or (missing and index == len(location) - 1):
                here = here.get(part)
                pointer.append(_escape(part))
                tag_passed = False
        elif isinstance(here, list | tuple) and isinstance(part, int):
            here = here[part] if part < len(here) else None
            pointer.append(_escape(part))
            tag_passed = False
    return "".join(f"/{part}" for part in pointer)


def _faults(error: ValidationError) -> list[ErrorDetails]:
    # An item that is wrong is not counted, so that pydantic also calls its list too short: that is no second fault.
    return [
        item
        for item in error.errors(include_url=False)
        if item["type"] != "too_short" or len(item["input"]) < item["ctx"]["min_length"]
    ]


def _below(item: ErrorDetails) -> str:
    """Return where the fault is below the place that pydantic names: the field that tells a union's members apart."""
    if item["type"] not in ("union_tag_invalid", "union_tag_not_found"):
        return ""
    return "/" + str(item["ctx"]["discriminator"]).strip("'")


def _sentence(item: ErrorDetails) -> str:
    match item["type"]:
        case "union_tag_invalid":
            return f"must be one of {item['ctx']['expected_tags']} (got {str(item['ctx']['tag'])[:80]!r})"
        case "union_tag_not_found":
            return _ADVICE["missing"]
        case "literal_error" | "enum":
            return f"must be {item['ctx']['expected']}"
        case "too_short":
            return f"has {len(item['input'])} items; it must have at least {item['ctx']['min_length']}"
        case "too_long":
            return f"has more than {item['ctx']['max_length']} items; send fewer"
        case other:
            return _ADVICE.get(other, item["msg"].removeprefix("Value error, "))


def places_of(error: ValidationError, document: Any = _NO_DOCUMENT, *, at: str = "") -> tuple[tuple[str, str], ...]:
    """Return (JSON pointer, sentence) pairs, at most fifty, in the document's order.

    Args:
        error: What pydantic says.
        document: What was validated; with it the pointers are exact where the contract has unions.
        at: Pointer of the document inside a larger one, such as ``/data``.
    """
    places = []
    for item in _faults(error)[:MAX_PLACES]:
        if document is _NO_DOCUMENT:
            pointer = "".join(f"/{_escape(part)}" for part in item["loc"])
        else:
            pointer = _pointer_in(document, item["loc"], missing=item["type"] == "missing")
        pointer, sentence = pointer + _below(item), _sentence(item)
        inner = _PLACE_IN_SENTENCE.match(sentence)
        if inner is not None:
            pointer, sentence = f"{pointer}/{inner[1]}", sentence[inner.end() :]
        given = item["input"]
        if isinstance(given, str | int | float | bool) and item["type"] not in ("extra_forbidden", "missing"):
            sentence = f"{sentence} (got {str(given)[:80]!r})"
        places.append((f"{at}{pointer}" or "/", sentence))
    return tuple(places)


def validate(kind: type[Model], document: Any, *, what: str, at: str = "") -> Model:
    """Validate an already parsed JSON ``document`` as ``kind``, by JSON's types: a number in quotes is no number.

    Args:
        kind: A contract model, or any type pydantic understands.
        document: JSON values as :func:`services.contracts.canonical.parse_json` returns them.
        what: How to name the document in the error, such as ``sample manifest``.
        at: Pointer of the document inside a larger one, such as ``/data``.

    Raises:
        InvalidInputError: With every place and what to change there.
    """
    try:
        # In its JSON mode pydantic can be strict and still read tuples, times and enums from what JSON has for them.
        return TypeAdapter(kind).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        places = places_of(error, document, at=at)
        first = f"{places[0][0]}: {places[0][1]}" if places else "it does not match"
        others = len(_faults(error)) - 1
        more = f" (and {others} more)" if others > 0 else ""
        raise InvalidInputError(f"The {what} is not valid: {first}{more}", places=places) from error
