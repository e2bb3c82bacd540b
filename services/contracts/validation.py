"""Turn what pydantic says about a bad document into places and sentences a person can act on."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.errors import InvalidInputError

Model = TypeVar("Model")
MAX_PLACES = 50

_ADVICE = {
    "extra_forbidden": "is not a field of the contract; remove it or correct its name",
    "missing": "is required; add it",
    "finite_number": "must be a finite number",
}


def _pointer(location: tuple[int | str, ...]) -> str:
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in location)


def places_of(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Return (JSON pointer, sentence) pairs, at most fifty, in the document's order."""
    places = []
    for item in error.errors(include_url=False, include_context=False, include_input=True)[:MAX_PLACES]:
        sentence = _ADVICE.get(item["type"], item["msg"].removeprefix("Value error, "))
        given = item["input"]
        if isinstance(given, str | int | float | bool) and item["type"] not in ("extra_forbidden", "missing"):
            sentence = f"{sentence} (got {str(given)[:80]!r})"
        places.append((_pointer(item["loc"]), sentence))
    return tuple(places)


def validate(kind: type[Model], document: Any, *, what: str) -> Model:
    """Validate an already parsed JSON ``document`` as ``kind``.

    Args:
        kind: A contract model, or any type pydantic understands.
        document: JSON values as :func:`services.contracts.canonical.parse_json` returns them.
        what: How to name the document in the error, such as ``sample manifest``.

    Raises:
        InvalidInputError: With every place and what to change there.
    """
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        places = places_of(error)
        first = f"{places[0][0]}: {places[0][1]}" if places else "it does not match"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InvalidInputError(f"The {what} is not valid: {first}{more}", places=places) from error
