"""Apply the fix that a finding suggests: pure functions over a label set, no store, no person."""

from __future__ import annotations

from collections.abc import Sequence

from services.alignment.time_fault_finding import apply_time_shift
from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch, Suggestion


def apply_suggestion(annotations: Sequence[Annotation], suggestion: Suggestion) -> tuple[Annotation, ...]:
    """Return the labels with the fix applied: what it replaces keeps its place, what it adds follows.

    A suggestion with both a patch and a movement is moved first: a patch says where its labels belong.

    Args:
        annotations: The label set.
        suggestion: A label of its patch that is to be removed and is not there is no fault: it is gone already.
    """
    labels = tuple(annotations)
    if suggestion.time_shift is not None:
        labels = apply_time_shift(labels, suggestion.time_shift)
    if suggestion.patch is not None:
        labels = apply_patch(labels, suggestion.patch)
    return labels


def apply_patch(annotations: Sequence[Annotation], patch: LabelPatch) -> tuple[Annotation, ...]:
    """Return the labels with a patch applied."""
    removed = frozenset(patch.remove)
    upserts = {label.id: label for label in patch.upsert}
    kept = tuple(upserts.pop(label.id, label) for label in annotations if label.id not in removed)
    return (*kept, *upserts.values())


def changed_labels(before: Sequence[Annotation], after: Sequence[Annotation]) -> tuple[str, ...]:
    """Return the ids of labels that were altered, added or removed, sorted."""
    old = {label.id: label for label in before}
    new = {label.id: label for label in after}
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))
