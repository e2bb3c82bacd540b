"""What several people labelled, in an order that depends on what they said and not on who said it first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.contracts.annotations import Annotation
from services.contracts.canonical import canonical_json
from services.contracts.consensus import Answer


@dataclass(frozen=True, slots=True)
class Item:
    """One thing as one person labelled it.

    Attributes:
        annotator: Whose it is.
        ids: Their labels' ids; several where they labelled it twice, sorted.
        label: The first of these labels.
        key: What the label says, without its id and author, as bytes to sort by.
    """

    annotator: str
    ids: tuple[str, ...]
    label: Annotation
    key: bytes


def content_key(label: Annotation) -> bytes:
    """Return what a label says, whoever made it and whatever its id is."""
    return canonical_json(label.model_dump(mode="json", exclude_none=True, exclude={"id", "author"}))


def items_of(answers: Iterable[Answer]) -> tuple[tuple[str, ...], list[Item]]:
    """Return who answered, sorted, and their labels in a stable order; the same label given twice is one.

    Several answers of one person count as one answer with all their labels.
    """
    annotators: set[str] = set()
    found: dict[tuple[bytes, str], list[Annotation]] = {}
    for answer in answers:
        annotators.add(answer.annotator)
        for label in answer.annotations:
            found.setdefault((content_key(label), answer.annotator), []).append(label)
    items = []
    for (key, annotator), labels in sorted(found.items(), key=lambda entry: entry[0]):
        first = min(labels, key=lambda label: label.id)
        items.append(Item(annotator, tuple(sorted({label.id for label in labels})), first, key))
    return tuple(sorted(annotators)), items


def joined(first: Item, other: Item) -> Item:
    """Return two labels of one thing by one person as one; what the first says counts."""
    return Item(first.annotator, tuple(sorted({*first.ids, *other.ids})), first.label, first.key)


def by_annotator(items: Sequence[Item]) -> dict[str, list[int]]:
    """Return the places of each person's items, by name."""
    found: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        found.setdefault(item.annotator, []).append(index)
    return dict(sorted(found.items()))
