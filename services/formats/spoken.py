"""What the line-based speech formats share: fields that say what is wrong with them, and on which line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pydantic import ValidationError

from services.contracts.annotations import Annotation
from services.contracts.validation import places_of
from services.errors import InvalidInputError

_NOT_IN_IDENTIFIER = re.compile(r"[^A-Za-z0-9._:@+-]+")
_NOT_AT_START = re.compile(r"^[^A-Za-z0-9]+")


class LineError(ValueError):
    """One line can not be read; becomes an :class:`InvalidInputError` that names the line."""

    def at(self, number: int, format_name: str) -> InvalidInputError:
        """Return the error a caller sees, for the line ``number`` (from 1)."""
        return InvalidInputError(
            f"{format_name} line {number} can not be read: {self}", places=((f"/line/{number}", str(self)),)
        )


class OneRecording:
    """Lets the lines of one recording pass: the one that was named, or else the only one there is."""

    def __init__(self, wanted: str | None) -> None:
        self._wanted = wanted
        self._seen: str | None = None

    def admits(self, recording: str) -> bool:
        """Whether a line of ``recording`` is to be read; :class:`LineError` at a second recording."""
        if self._wanted is not None:
            return recording == self._wanted
        if self._seen is None:
            self._seen = recording
        if recording != self._seen:
            raise LineError(f"it belongs to {recording[:80]!r}, earlier lines to {self._seen[:80]!r}; split the file")
        return True


def read_lines(text: str, format_name: str, read: Callable[[int, str], Annotation | None]) -> tuple[Annotation, ...]:
    """Return what ``read`` makes of each line that is neither empty nor a ``;;`` comment.

    Raises:
        InvalidInputError: ``read`` raised for a line; the error names it.
    """
    labels: list[Annotation] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(";;"):
            continue
        try:
            label = read(number, line)
        except LineError as error:
            raise error.at(number, format_name) from None
        except ValidationError as error:
            reason = LineError("; ".join(f"{place.strip('/')} {what}" for place, what in places_of(error)))
            raise reason.at(number, format_name) from None
        if label is not None:
            labels.append(label)
    return tuple(labels)


def seconds(field: str, name: str) -> float:
    """Return ``field`` as seconds, or raise :class:`LineError`; ``inf`` and ``nan`` are no times."""
    try:
        value = float(field)
    except ValueError:
        raise LineError(f"{name} is {field[:40]!r}; it must be a number of seconds, such as 12.34") from None
    if not math.isfinite(value) or not -1e9 <= value <= 1e9:
        raise LineError(f"{name} is {field[:40]!r}; it must be a finite number of seconds below 1e9")
    return value


def confidence_of(field: str) -> float:
    """Return ``field`` as a confidence from 0 to 1, or raise :class:`LineError`."""
    value = seconds(field, "the confidence")
    if not 0 <= value <= 1:
        raise LineError(f"the confidence is {field[:40]}; it must lie between 0 and 1, or be <NA>")
    return value


def identifier(field: str, name: str) -> str:
    """Return ``field`` as an identifier of the contract: other characters become ``_``."""
    cleaned = _NOT_AT_START.sub("", _NOT_IN_IDENTIFIER.sub("_", field))[:200]
    if not cleaned:
        raise LineError(f"{name} is {field[:40]!r}; it needs at least one letter or digit")
    return cleaned
