"""What a sample says about its own origin, statement by statement: who, when, where, by which device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.alignment.sample import CheckSample
from services.contracts.base import Scalar
from services.contracts.labels_spatial import (
    DeviceValue,
    LocationValue,
    MetadataField,
    QuantityValue,
    TextValue,
    TimestampValue,
)
from services.contracts.manifest import Stream
from services.rules.metadata_source import MetadataSourceRules
from services.taxonomy.words import folded

RECORDS = frozenset(("record", "metadata", "text"))
EARTH_RADIUS_M = 6_371_008.8
_EAST_OF_UTC = timedelta(hours=14)
_WEST_OF_UTC = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a statement stands.

    Attributes:
        what: For messages, such as ``the EXIF of front``.
        rank: How far it is believed where it is one against one; lower is more.
        stream: Its stream.
        annotation: Its label.
    """

    what: str
    rank: int
    stream: str | None = None
    annotation: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A statement of time; ``at`` is UTC, or a device's local time of an unknown zone if ``local``."""

    origin: Origin
    at: datetime
    local: bool = False
    day_only: bool = False

    def apart_s(self, other: Moment) -> float:
        """Return by how many seconds two statements contradict each other; 0 if a time zone explains it."""
        earliest, latest = self._range()
        other_earliest, other_latest = other._range()
        gap = max(earliest - other_latest, other_earliest - latest)
        return max(gap.total_seconds(), 0.0)

    def _range(self) -> tuple[datetime, datetime]:
        before = _EAST_OF_UTC if self.local or self.day_only else timedelta()
        after = (_WEST_OF_UTC if self.local or self.day_only else timedelta()) + timedelta(days=int(self.day_only))
        # Times near the ends of the calendar stay inside it.
        return _shifted(self.at, -before), _shifted(self.at, after)


@dataclass(frozen=True, slots=True)
class Place:
    """A statement of place, WGS 84."""

    origin: Origin
    latitude_deg: float
    longitude_deg: float
    accuracy_m: float = 0.0

    def apart_m(self, other: Place) -> float:
        """Return the distance on the great circle (haversine), less both accuracies, metres."""
        one, two = math.radians(self.latitude_deg), math.radians(other.latitude_deg)
        turn = math.radians(other.longitude_deg - self.longitude_deg)
        chord = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * math.sin(turn / 2) ** 2
        distance = 2 * EARTH_RADIUS_M * math.asin(min(math.sqrt(chord), 1.0))
        return max(distance - self.accuracy_m - other.accuracy_m, 0.0)


@dataclass(frozen=True, slots=True)
class Subject:
    """A statement of whom or what the sample is about."""

    origin: Origin
    field: str
    value: str
    key: str


def _shifted(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return at


def fields_of(sample: CheckSample) -> list[MetadataField]:
    """Return the metadata labels by id."""
    return sorted((x for x in sample.annotations if isinstance(x, MetadataField)), key=lambda x: x.id)


def described_stream(sample: CheckSample, field: MetadataField) -> Stream | None:
    """Return the stream a metadata label is about: its own, or the only recording beside a record."""
    streams = {stream.id: stream for stream in sample.manifest.streams}
    own = streams.get(field.stream)
    if own is None or own.modality not in RECORDS:
        return own
    recordings = [stream for stream in sample.manifest.streams if stream.modality not in RECORDS]
    return recordings[0] if len(recordings) == 1 else None


def moments_of(sample: CheckSample, section: MetadataSourceRules) -> Iterator[Moment]:
    """Yield every statement of when the sample was recorded."""
    if sample.manifest.captured_at is not None:
        yield _moment(Origin("captured_at", 1), sample.manifest.captured_at)
    for stream in sample.manifest.streams:
        if stream.modality in RECORDS:
            continue
        start = stream.clock.start if stream.clock is not None else None
        if start is None and stream.clock is not None and stream.clock.timestamps:
            first = stream.clock.timestamps[0]
            start = first if isinstance(first, datetime) else None
        if start is not None:
            yield _moment(Origin(f"the clock of {stream.id}", 2, stream.id), start)
        facts = sample.asset_facts.get(stream.id)
        if facts is not None and facts.gps_at is not None:
            yield Moment(Origin(f"the GPS time in {stream.id}", 0, stream.id), facts.gps_at.astimezone(UTC))
        if facts is not None and facts.camera_at is not None:
            local = facts.camera_at.tzinfo is None
            at = facts.camera_at.replace(tzinfo=UTC) if local else facts.camera_at.astimezone(UTC)
            yield Moment(Origin(f"the camera's clock in {stream.id}", 3, stream.id), at, local=local)
    wanted = {folded(name) for name in section.time_fields}
    for field in fields_of(sample):
        if isinstance(field.value, TimestampValue) and folded(field.label) in wanted:
            yield _moment(Origin(f"the field {field.label}", 4, field.stream, field.id), field.value.at)


def _moment(origin: Origin, at: datetime) -> Moment:
    at = at.astimezone(UTC)
    return Moment(origin, at, day_only=at.hour == at.minute == at.second == at.microsecond == 0)


def places_of(sample: CheckSample) -> Iterator[Place]:
    """Yield every statement of where the sample was recorded."""
    attributes = sample.manifest.context.attributes
    latitude, longitude = attributes.get("latitude_deg"), attributes.get("longitude_deg")
    if _is_degrees(latitude, 90) and _is_degrees(longitude, 180):
        yield Place(Origin("the context", 1), float(latitude or 0), float(longitude or 0))
    for stream in sample.manifest.streams:
        facts = sample.asset_facts.get(stream.id)
        if facts is not None and facts.latitude_deg is not None and facts.longitude_deg is not None:
            yield Place(Origin(f"the GPS in {stream.id}", 0, stream.id), facts.latitude_deg, facts.longitude_deg)
    for field in fields_of(sample):
        if isinstance(field.value, LocationValue):
            value = field.value
            origin = Origin(f"the field {field.label}", 2, field.stream, field.id)
            yield Place(origin, value.latitude_deg, value.longitude_deg, value.accuracy_m or 0.0)


def _is_degrees(value: Scalar | None, limit: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= limit


def subjects_of(sample: CheckSample, section: MetadataSourceRules) -> dict[str, list[Subject]]:
    """Return every statement of the subject, by the field's folded name."""
    wanted = {folded(name): name for name in section.subject_fields}
    found: dict[str, list[Subject]] = {}

    def add(name: str, value: object, origin: Origin) -> None:
        key = folded(name)
        text = "" if isinstance(value, bool) or value is None else str(value).strip()
        if key in wanted and text:
            found.setdefault(key, []).append(Subject(origin, wanted[key], text, subject_key(text, section)))

    context = sample.manifest.context
    for name, value in sorted(context.attributes.items()):
        add(name, value, Origin("the context", 0))
    for stream in sample.manifest.streams:
        if isinstance(stream.inline, Mapping):
            for name, value in sorted(stream.inline.items()):
                add(name, value, Origin(f"the record {stream.id}", 1, stream.id))
    for field in fields_of(sample):
        text = field.value.text if isinstance(field.value, TextValue) else None
        if isinstance(field.value, QuantityValue) and field.value.value == int(field.value.value):
            text = str(int(field.value.value))
        add(field.label, text, Origin(f"the field {field.label}", 2, field.stream, field.id))
    for name in section.product_fields:
        if context.product is not None and folded(name) in found and not _in_context(found[folded(name)]):
            add(name, context.product, Origin("the context's product", 0))
    return found


def _in_context(subjects: list[Subject]) -> bool:
    return any(subject.origin.rank == 0 for subject in subjects)


def subject_key(value: str, section: MetadataSourceRules) -> str:
    """Return an identifier without case and separators, and without leading zeros if they do not count."""
    key = "".join(character for character in value.casefold() if character.isalnum())
    return (key.lstrip("0") or "0") if section.ignore_leading_zeros else key


def same_device(one: DeviceValue, other: DeviceValue) -> str:
    """Return what two descriptions of a device contradict each other in; empty if they may be of one.

    ``NIKON CORPORATION`` and ``NIKON`` are one maker, and a model may repeat its maker.
    """
    if one.make and other.make:
        makes = [folded(value).split() for value in (one.make, other.make)]
        if makes[0][:1] != makes[1][:1]:
            return "make"
    if one.model and other.model:
        makers = {word for value in (one.make, other.make) if value for word in folded(value).split()}
        models = ["".join(w for w in folded(value).split() if w not in makers) for value in (one.model, other.model)]
        if models[0] != models[1]:
            return "model"
    if one.serial and other.serial and _letters(one.serial) != _letters(other.serial):
        return "serial"
    return ""


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum()).lstrip("0")
