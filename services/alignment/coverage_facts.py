"""Facts about a sample that requirements and scenarios speak of, and the labels that fit a requirement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.manifest import Policy
from services.rules.coverage import RequiredLabels


def facts_of(sample: CheckSample, field: str) -> frozenset[str]:
    """Return the values that a field has in a sample, without case; none where nothing is known.

    Args:
        sample: The sample.
        field: See :data:`services.rules.coverage.FactField`.
    """
    context, (kind, _, name) = sample.manifest.context, field.partition(".")
    found: Iterable[object]
    if kind == "attributes":
        found = [context.attributes.get(name)]
    elif kind == "labels":
        found = [label.label for label in sample.annotations if label.type == name]
    elif kind == "label_attributes":
        found = [label.attributes.get(name) for label in sample.annotations]
    elif kind in ("modality", "sensor"):
        found = [getattr(stream, kind) for stream in sample.manifest.streams]
    else:
        found = [getattr(context, kind)]
    return frozenset(_text(value) for value in found if value is not None and value != "")


def _text(value: object) -> str:
    if isinstance(value, Policy):
        value = value.id
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).casefold()


def holds(sample: CheckSample, conditions: Mapping[str, Sequence[str]]) -> bool:
    """Whether each field has one of its values."""
    return all(
        not facts_of(sample, field).isdisjoint(value.casefold() for value in values)
        for field, values in conditions.items()
    )


def fitting_labels(sample: CheckSample, required: RequiredLabels) -> list[Annotation]:
    """Return the labels that a requirement means, in the order of the label set."""
    modality = {stream.id: stream.modality for stream in sample.manifest.streams}
    return [
        label
        for label in sample.annotations
        if required.type in (None, label.type)
        and (required.label is None or _named(required.label, label.label))
        and (required.modality is None or modality.get(label.stream) == required.modality)
        and all(_has(label, name, values) for name, values in required.attributes.items())
    ]


def _named(pattern: str, label: str) -> bool:
    pattern, label = pattern.casefold(), label.casefold()
    return label.startswith(pattern[:-1]) if pattern.endswith("*") else label == pattern


def _has(label: Annotation, name: str, values: Sequence[str]) -> bool:
    value: object = label.attributes.get(name)
    if value is None and name in type(label).model_fields:
        value = getattr(label, name)
    return value is not None and _text(value) in {item.casefold() for item in values}


def shown(required: RequiredLabels) -> str:
    """Return what a requirement means, for a message."""
    what = f"{required.type or 'label'} labels" if required.label is None else f"{required.label!r} labels"
    where = f" on {required.modality} streams" if required.modality else ""
    of = "".join(f" with {name} {' or '.join(values)}" for name, values in sorted(required.attributes.items()))
    return what + where + of
