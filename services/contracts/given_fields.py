"""One set of given fields for many labels: pydantic keeps one in each, as large as the label itself."""

from __future__ import annotations

from typing import TypeVar

from services.contracts.base import Contract

_Label = TypeVar("_Label", bound=Contract)


class GivenFields:
    """Sets of the fields that were given, each different one kept once.

    A frozen label never changes its set, and a copy of the label copies it, so labels may have one together.
    """

    def __init__(self) -> None:
        self._sets: dict[frozenset[str], set[str]] = {}

    def share(self, label: _Label) -> _Label:
        """Return the label itself, with the set that the labels before it have, where it is the same."""
        given = label.model_fields_set
        # The only way past a frozen model; the set has no public setter.
        object.__setattr__(label, "__pydantic_fields_set__", self._sets.setdefault(frozenset(given), given))
        return label
