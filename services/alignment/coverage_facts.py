"""Facts about a sample that requirements and scenarios speak of, and the labels that fit a requirement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.manifest import Policy, Stream
from services.rules.coverage import RequiredLabels, RequiredStream

_SAME_RATE = 0.01


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


def lacking(stream: Stream, wanted: RequiredStream) -> Iterator[str]:
    """Yield what a stream does not state of what is required of it, in words that follow "has no"."""
    if wanted.coordinate_frame is not None and stream.coordinate_frame != wanted.coordinate_frame:
        yield f"coordinate frame {wanted.coordinate_frame} (it states {stream.coordinate_frame or 'none'})"
    clock = stream.clock
    if wanted.clock and (clock is None or (clock.rate_hz is None and not clock.timestamps)):
        yield "clock: neither a rate nor timestamps"
    elif wanted.rate_hz is not None and (
        clock is None or clock.rate_hz is None or abs(clock.rate_hz / wanted.rate_hz - 1) > _SAME_RATE
    ):
        stated = f"{clock.rate_hz:g} Hz" if clock is not None and clock.rate_hz is not None else "none"
        yield f"rate of {wanted.rate_hz:g} Hz (it states {stated})"
    if wanted.calibrated_to is not None:
        extrinsics = stream.calibration.extrinsics if stream.calibration is not None else None
        if extrinsics is None or extrinsics.to != wanted.calibrated_to:
            led = f"it leads to {extrinsics.to}" if extrinsics is not None else "it has no extrinsics"
            yield f"calibration to {wanted.calibrated_to} ({led})"
        elif stream.modality in ("image", "video") and (stream.calibration is None or stream.calibration.model is None):
            yield "camera model with intrinsics"


def shown(required: RequiredLabels) -> str:
    """Return what a requirement means, for a message."""
    what = f"{required.type or 'label'} labels" if required.label is None else f"{required.label!r} labels"
    where = f" on {required.modality} streams" if required.modality else ""
    of = "".join(f" with {name} {' or '.join(values)}" for name, values in sorted(required.attributes.items()))
    return what + where + of
