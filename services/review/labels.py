"""What a person's change does to a label set: pure functions, no store, no clock.

A change is a :class:`LabelPatch` or a whole submission. Both give the next label set in a stable order, with the
person as author of every label that is not what it was, whatever author the change itself names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.contracts.annotations import MAX_ANNOTATIONS, Annotation
from services.contracts.canonical import content_sha256
from services.contracts.findings import LabelPatch
from services.contracts.label_base import Author
from services.contracts.labels_language import Relation
from services.errors import DecisionInvalidError

MAX_PLACES = 50


@dataclass(frozen=True, slots=True)
class LabelChange:
    """The labels after a change, and the ids of what the change added, altered or removed, sorted."""

    annotations: tuple[Annotation, ...]
    changed: tuple[str, ...]


def labels_sha256(annotation_ids: Iterable[str], annotations: Mapping[str, Annotation] | Iterable[Annotation]) -> str:
    """Return the hash of the labels that ``annotation_ids`` name, whatever their order.

    A label's author is left out: handing the same label in again under another name does not change what was
    judged. An id without a label counts as a missing label, so that removing one changes the hash.

    Args:
        annotation_ids: Ids of the labels concerned; repetitions count once.
        annotations: The label set, or the same by id where many hashes are needed of one set.
    """
    by_id = annotations if isinstance(annotations, Mapping) else labels_by_id(annotations)
    concerned = {name: _content(by_id[name]) if name in by_id else None for name in set(annotation_ids)}
    return content_sha256(concerned)


def labels_by_id(annotations: Iterable[Annotation]) -> dict[str, Annotation]:
    """Return the labels by their id, in the order given."""
    return {annotation.id: annotation for annotation in annotations}


def _content(annotation: Annotation) -> dict[str, Any]:
    return annotation.model_dump(mode="json", exclude_none=True, exclude={"author"})


def apply_patch(
    annotations: Iterable[Annotation], patch: LabelPatch, *, actor_id: str, streams: frozenset[str]
) -> LabelChange:
    """Apply a patch: replaced labels keep their place, new ones follow in the patch's order.

    Args:
        annotations: The labels now.
        patch: The change.
        actor_id: The person; author of every label that the patch really changes.
        streams: Ids of the sample's streams.

    Raises:
        DecisionInvalidError: With a place for every unknown id to remove, id named twice, missing stream or
            relation that would point to nothing.
    """
    before = labels_by_id(annotations)
    places = _patch_places(before, patch, streams)
    _refuse(places)
    removed = frozenset(patch.remove)
    upserts = labels_by_id(patch.upsert)
    person = Author(kind="human", id=actor_id)
    after = {
        name: _authored(upserts[name], label, person) if name in upserts else label
        for name, label in before.items()
        if name not in removed
    }
    for name, label in upserts.items():
        if name not in before:
            after[name] = _authored(label, None, person)
    places_of = {label.id: f"/patch/upsert/{index}" for index, label in enumerate(patch.upsert)}
    return _change(before, after, pointer="/patch", places_of=places_of)


def apply_submission(
    annotations: Iterable[Annotation], submitted: Iterable[Annotation], *, actor_id: str, streams: frozenset[str]
) -> LabelChange:
    """Replace the whole label set; the submission's order is the new order.

    Raises:
        DecisionInvalidError: As for :func:`apply_patch`.
    """
    before = labels_by_id(annotations)
    labels = tuple(submitted)
    _refuse(_label_places(labels, streams, "/annotations"))
    person = Author(kind="human", id=actor_id)
    after = {label.id: _authored(label, before.get(label.id), person) for label in labels}
    places_of = {label.id: f"/annotations/{index}" for index, label in enumerate(labels)}
    return _change(before, after, pointer="/annotations", places_of=places_of)


def _authored(label: Annotation, before: Annotation | None, person: Author) -> Annotation:
    if before is not None and _content(before) == _content(label):
        return before
    return label.model_copy(update={"author": person})


def _change(
    before: dict[str, Annotation], after: dict[str, Annotation], *, pointer: str, places_of: Mapping[str, str]
) -> LabelChange:
    if len(after) > MAX_ANNOTATIONS:
        sentence = f"leaves {len(after)} labels; a sample has at most {MAX_ANNOTATIONS}"
        raise DecisionInvalidError(f"The change {sentence}.", places=((pointer, sentence),))
    changed = [name for name, label in after.items() if before.get(name) != label]
    changed += [name for name in before if name not in after]
    altered = frozenset(changed)
    dangling = [
        (
            # A relation that the change does not name lost its end by the change as a whole.
            f"{places_of[label.id]}/{end}" if label.id in places_of else pointer,
            f"the relation {label.id!r} would point to {missing!r}, which is no label of the sample",
        )
        for label in after.values()
        if isinstance(label, Relation)
        for end, missing in (("from_id", label.from_id), ("to_id", label.to_id))
        # A relation that pointed to nothing before is a finding's business, not this change's.
        if missing not in after and altered & {label.id, missing}
    ]
    _refuse(dangling)
    return LabelChange(annotations=tuple(after.values()), changed=tuple(sorted(changed)))


def _patch_places(
    before: Mapping[str, Annotation], patch: LabelPatch, streams: frozenset[str]
) -> list[tuple[str, str]]:
    places = _label_places(patch.upsert, streams, "/patch/upsert")
    upserted = {label.id for label in patch.upsert}
    seen: set[str] = set()
    for index, name in enumerate(patch.remove):
        pointer = f"/patch/remove/{index}"
        if name in seen:
            places.append((pointer, f"{name!r} is named twice; name it once"))
        elif name in upserted:
            places.append((pointer, f"{name!r} is both put in place and removed; keep one of them"))
        elif name not in before:
            places.append((pointer, f"there is no label {name!r} in the newest labels"))
        seen.add(name)
    return places


def _label_places(labels: tuple[Annotation, ...], streams: frozenset[str], pointer: str) -> list[tuple[str, str]]:
    places = []
    seen: set[str] = set()
    for index, label in enumerate(labels):
        if label.stream not in streams:
            known = ", ".join(sorted(streams)[:20])
            places.append((f"{pointer}/{index}/stream", f"there is no stream {label.stream!r}; streams are {known}"))
        if label.id in seen:
            places.append((f"{pointer}/{index}/id", f"{label.id!r} is used twice; label ids are unique"))
        seen.add(label.id)
    return places


def _refuse(places: list[tuple[str, str]]) -> None:
    if places:
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        raise DecisionInvalidError(
            f"The labels do not fit the sample: {places[0][0]}: {places[0][1]}{more}", places=tuple(places[:MAX_PLACES])
        )
