"""How two versions differ, label by label.

A diff is complete: :func:`apply_change` makes the later labels of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.contracts.dataset_diff import Aspect, ClassChanges, DiffSummary, FieldChange, LabelChange, SampleChange

_CLASS = frozenset({"label", "type", "taxonomy_version"})
_OTHER = frozenset({"author", "confidence", "object_id", "id"})
_RECORD_FIELDS = ("captured_at", "context", "streams")

Label = Mapping[str, Any]


def label_changes(before: Iterable[Label], after: Iterable[Label]) -> tuple[LabelChange, ...]:
    """Return what differs between the labels of two records, by the labels' ids."""
    old = {str(label["id"]): label for label in before}
    new = {str(label["id"]): label for label in after}
    changes = []
    for name in sorted(old.keys() | new.keys()):
        told = new.get(name, old.get(name))
        assert told is not None  # noqa: S101 - narrows for the type checker: one of both has it
        if name in old and name in new:
            fields = _field_changes(old[name], new[name])
            if not fields:
                continue
            change = LabelChange(
                change="changed", annotation_id=name, type=told["type"], label=told["label"], fields=fields
            )
        else:
            change = LabelChange(
                change="added" if name in new else "removed",
                annotation_id=name,
                type=told["type"],
                label=told["label"],
                annotation=dict(told),
            )
        changes.append(change)
    return tuple(changes)


def apply_change(labels: Iterable[Label], changes: Sequence[LabelChange]) -> list[dict[str, Any]]:
    """Return the labels after a diff, by id; ``labels`` are those before it."""
    result = {str(label["id"]): _flat(label) for label in labels}
    for change in changes:
        if change.change == "removed":
            del result[change.annotation_id]
        elif change.annotation is not None:
            result[change.annotation_id] = _flat(change.annotation)
        else:
            label = result[change.annotation_id]
            for field in change.fields:
                if field.after is None:
                    del label[field.field]
                else:
                    label[field.field] = field.after
    return [_nested(result[name]) for name in sorted(result)]


def other_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which parts of two bodies differ beside their labels."""
    return tuple(name for name in _RECORD_FIELDS if before.get(name) != after.get(name))


def aspect_of(field: str) -> Aspect:
    """Return what of a label a field says: whatever is not class, attribute or origin tells where the label is."""
    if field in _CLASS:
        return "class"
    if field in _OTHER:
        return "other"
    return "attributes" if field.startswith("attributes.") else "geometry"


def _field_changes(before: Label, after: Label) -> tuple[FieldChange, ...]:
    old, new = _flat(before), _flat(after)
    return tuple(
        FieldChange(field=name, aspect=aspect_of(name), before=old.get(name), after=new.get(name))
        for name in sorted(old.keys() | new.keys())
        if _differ(old.get(name), new.get(name))
    )


def _differ(before: Any, after: Any) -> bool:
    # In Python True equals 1 and 1 equals 1.0; in a record they are not the same.
    return before != after or repr(before) != repr(after)


def _flat(label: Label) -> dict[str, Any]:
    fields = {name: value for name, value in label.items() if name != "attributes"}
    return fields | {f"attributes.{name}": value for name, value in label.get("attributes", {}).items()}


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    label = {name: value for name, value in fields.items() if not name.startswith("attributes.")}
    label["attributes"] = {
        name.removeprefix("attributes."): value for name, value in fields.items() if name.startswith("attributes.")
    }
    return label


class DiffTally:
    """Counts a diff while it is read.

    Args:
        from_version: The earlier version.
        to_version: The later one.
    """

    def __init__(self, from_version: int, to_version: int) -> None:
        self._versions = {"from_version": from_version, "to_version": to_version}
        self._samples = {"added": 0, "removed": 0, "changed": 0}
        self._classes: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, sample: SampleChange) -> None:
        """Count one sample."""
        self._samples[sample.change] += 1
        for label in sample.labels:
            counts = self._classes.setdefault((label.type, label.label), {})
            seen: set[str] = {label.change}
            for field in label.fields:
                seen.add("classes" if field.aspect == "class" else field.aspect)
            for name in seen - {"other"}:
                counts[name] = counts.get(name, 0) + 1

    def summary(self) -> DiffSummary:
        """Return the counts."""
        by_class = tuple(
            ClassChanges(type=kind, label=label, **counts) for (kind, label), counts in sorted(self._classes.items())
        )
        return DiffSummary(
            **self._versions,
            samples_added=self._samples["added"],
            samples_removed=self._samples["removed"],
            samples_changed=self._samples["changed"],
            labels_added=sum(one.added for one in by_class),
            labels_removed=sum(one.removed for one in by_class),
            labels_changed=sum(one.changed for one in by_class),
            by_class=by_class,
        )
