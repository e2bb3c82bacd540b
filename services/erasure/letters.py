"""Which refused events name the subject of an erasure: no revision holds them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from services.contracts.canonical import parse_json
from services.contracts.erasure import ErasureSubject, OfContext, OfSamples
from services.errors import ConcordError
from services.intake.arrivals import named
from services.intake.cloud_events import EventMessage, event_of, read_envelope
from services.ports.erasure import NamedLetter, StoredLetter

# In the middle of an id these join two parts of it; at the end of a sentence they do not.
_BEFORE, _AFTER = r"(?<![\w-])(?<![\w-][.:@+])", r"(?![\w-]|[.:@+][\w-])"


@dataclass(frozen=True, slots=True)
class _Read:
    """What a letter says: its values as text where it can be read, else its bytes as text."""

    values: frozenset[str] | None
    text: str
    sample_id: str | None = None

    def names(self, name: str) -> bool:
        """Whether the name is one of the values, or a whole word of what can not be read."""
        if self.values is not None:
            return name in self.values
        return name in self.text and re.search(f"{_BEFORE}{re.escape(name)}{_AFTER}", self.text) is not None


def names_of(subject: ErasureSubject) -> tuple[str, ...]:
    """Return what a letter must name to be about a subject; nothing for subjects that are no samples' own."""
    if isinstance(subject, OfSamples):
        return subject.sample_ids
    return (subject.value,) if isinstance(subject, OfContext) else ()


def letters_naming(letters: Collection[StoredLetter], project: str, names: Collection[str]) -> list[NamedLetter]:
    """Return the letters that name a subject of a project, with the sample that each is about.

    A name counts where it is a whole value of the event, whatever it stands under; in what can not be read as an
    event or as JSON, where it is a whole word. A letter that is of no project yet must name the project in the same
    way.

    Args:
        letters: Refused events.
        project: The project of the erasure.
        names: Ids of samples, or the value of an attribute.
    """
    found = []
    for letter in letters:
        read = _read(letter.raw)
        if letter.project is None and not read.names(project):
            continue
        if any(read.names(name) for name in names):
            found.append(NamedLetter(letter.dead_letter_id, read.sample_id))
    return found


def _read(raw: bytes) -> _Read:
    message = EventMessage.from_bytes(raw)
    try:
        event = event_of(read_envelope(message))
    except ConcordError:
        return _unread(message, raw)
    return _Read(frozenset(_values([event.subject, event.data])), "", named(event.data, "sample_id"))


def _unread(message: EventMessage, raw: bytes) -> _Read:
    try:
        document = parse_json(message.body)
    except ConcordError:
        return _Read(None, raw.decode("utf-8", "replace"))
    data = document.get("data") if isinstance(document, dict) else None
    return _Read(
        frozenset(_values([document, *message.attributes.values()])),
        "",
        named(document, "sample_id") or named(data, "sample_id"),
    )


def _values(document: Any) -> Iterator[str]:
    """Yield all values of a JSON document as text; numbers and truth values as JSON writes them."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            yield value
        elif value is not None:
            yield json.dumps(value)
