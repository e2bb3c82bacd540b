"""A JSON document that is read part by part, where every fault is named by its JSON pointer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.contracts.canonical import parse_json
from services.errors import InvalidInputError, MalformedJsonError


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a JSON document with its place.

    Attributes:
        value: What :func:`services.contracts.canonical.parse_json` returns.
        at: JSON pointer; empty for the whole document.
        source: How errors name the document.
    """

    value: Any
    at: str
    source: str

    def bad(self, reason: str) -> InvalidInputError:
        """Return the error that says what is wrong here."""
        return InvalidInputError(f"{self.source}, {self.at or '/'}: {reason}", places=((self.at or "/", reason),))

    def _child(self, key: str | int, value: Any) -> Node:
        return Node(value, f"{self.at}/{str(key).replace('~', '~0').replace('/', '~1')}", self.source)

    def mapping(self) -> dict[str, Any]:
        """The value as an object."""
        if not isinstance(self.value, dict):
            raise self.bad(f"must be an object, got {_kind(self.value)}")
        return self.value

    def get(self, key: str) -> Node | None:
        """The member ``key`` of an object; None where it is absent or null."""
        value = self.mapping().get(key)
        return None if value is None else self._child(key, value)

    def __getitem__(self, key: str) -> Node:
        """The member ``key`` of an object; absent or null is an error."""
        found = self.get(key)
        if found is None:
            raise self.bad(f"{key!r} is missing; add it")
        return found

    def items(self) -> Iterator[tuple[str, Node]]:
        """The members of an object; those that are null are left out."""
        for key, value in self.mapping().items():
            if value is not None:
                yield key, self._child(key, value)

    def elements(self) -> Iterator[Node]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            raise self.bad(f"must be an array, got {_kind(self.value)}")
        for index, value in enumerate(self.value):
            yield self._child(index, value)

    def all(self, key: str) -> Iterator[Node]:
        """The elements of the array ``key``; none where it is absent."""
        found = self.get(key)
        return iter(()) if found is None else found.elements()

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            raise self.bad(f"must be a text, got {_kind(self.value)}")
        return self.value

    def word(self) -> str:
        """The value as text, also where a document has a number for an id."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int):
            raise self.bad(f"must be a text or a whole number, got {_kind(self.value)}")
        return str(self.value)

    def number(self) -> float:
        """The value as a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise self.bad(f"must be a number, got {_kind(self.value)}")
        return float(self.value)

    def whole(self) -> int:
        """The value as a whole number; 3.0 is one."""
        value = self.number()
        if value != int(value) or abs(value) > 2**53:
            raise self.bad(f"must be a whole number, got {value:g}")
        return int(self.value)

    def numbers(self, *counts: int) -> list[float]:
        """The value as an array of numbers; with ``counts``, of one of these lengths."""
        found = [item.number() for item in self.elements()]
        if counts and len(found) not in counts:
            raise self.bad(f"must have {' or '.join(map(str, counts))} numbers, got {len(found)}")
        if max(map(abs, found), default=0.0) > 1e12:
            raise self.bad("must have numbers from -1e12 to 1e12")
        return found

    def flag(self) -> bool:
        """The value as yes or no; 0 and 1 count as such."""
        if self.value not in (0, 1):
            raise self.bad(f"must be true or false, got {_kind(self.value)}")
        return bool(self.value)


def parse_tree(data: bytes, source: str) -> Node:
    """Parse a JSON document.

    Raises:
        MalformedJsonError: It is no JSON that Concord reads; names line and column, or the reason.
    """
    try:
        return Node(parse_json(data.removeprefix(b"\xef\xbb\xbf")), "", source)
    except MalformedJsonError as error:
        raise MalformedJsonError(f"{source}: {error.detail}", places=error.places) from error
    except RecursionError:
        raise MalformedJsonError(f"{source}: nested too deeply; flatten the document") from None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return repr(value)[:40]


def scalars(node: Node) -> dict[str, Any]:
    """Return the members of an object that a label's attributes can hold: text, numbers, yes or no."""
    return {
        key[:200]: value
        for key, value in node.mapping().items()
        if key and (isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) <= 1e12))
    }
