"""``metadata_source``: does the metadata of a sample point to this sample, or to another source?

Every statement about the origin (the manifest, its context, records, metadata labels, and what the files say of
themselves, such as EXIF) is compared with the other statements of the same fact. Where most agree, those that
do not are named; where it is one against one, the one that is harder to get wrong is believed: a GPS time before
``captured_at`` before a stream's clock before a camera's clock. A camera's clock without a time zone contradicts
UTC only beyond every zone of the earth (UTC-12 to UTC+14), so that a clock which is a day off shows and a zone does
not. Distances are great-circle (haversine, mean earth radius of IUGG).

Kinds: ``wrong_sensor``, ``wrong_subject``, ``outside_time_window``, ``outside_area``, ``device_mismatch``; over
several samples also ``swapped_with`` (:mod:`services.alignment.metadata_swaps`). Whether a file is there, readable
and has the declared hash (``asset_missing``, ``asset_unreadable``, ``hash_mismatch``) is told by who reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from services.alignment.metadata_statements import (
    Moment,
    Origin,
    described_stream,
    fields_of,
    moments_of,
    places_of,
    same_device,
    subjects_of,
)
from services.alignment.sample import AssetFacts, CheckOutcome, CheckSample
from services.contracts.findings import Cause, Finding, Measured, NotApplicable, Severity, finding_id
from services.contracts.labels_spatial import DeviceValue, SensorValue
from services.rules.metadata_source import Area, MetadataSourceKind, MetadataSourceRules
from services.rules.rule_set import RuleSet

CHECK = "metadata_source"
_CAMERAS = frozenset(("image", "video"))
_RANGERS = frozenset(("lidar", "radar"))
_DAY_S = 86_400.0
_MAX_VOTERS = 500


class _Stated(Protocol):
    @property
    def origin(self) -> Origin: ...


S = TypeVar("S", bound=_Stated)


def check_metadata_source(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Compare what a sample says about its origin.

    Args:
        sample: The sample; ``asset_facts`` holds what its files say of themselves.
        rules: The section ``metadata_source``.
    """
    section = rules.metadata_source or MetadataSourceRules()
    judge = _Judge(sample, rules, section)
    findings = [*judge.sensors(), *judge.devices(), *judge.subjects(), *judge.times(), *judge.places()]
    if findings or judge.compared:
        return CheckOutcome(tuple(findings))
    reason = "no two statements about the sample's origin can be compared"
    return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))


class _Judge:
    def __init__(self, sample: CheckSample, rules: RuleSet, section: MetadataSourceRules) -> None:
        self._sample = sample
        self._rules = rules
        self._section = section
        self.compared = 0

    def sensors(self) -> Iterator[Finding]:
        for field in fields_of(self._sample):
            stream = described_stream(self._sample, field)
            if not isinstance(field.value, SensorValue) or stream is None or stream.sensor is None:
                continue
            self.compared += 1
            if field.value.sensor != stream.sensor:
                owner = [other.id for other in self._sample.manifest.streams if other.sensor == field.value.sensor]
                hint = f"; that is the sensor of {', '.join(owner)}" if owner else ""
                yield self._make(
                    "wrong_sensor",
                    f"The field {field.label} says that {stream.id} comes from {field.value.sensor}, the stream says "
                    f"{stream.sensor}{hint}.",
                    streams=(field.stream, stream.id),
                    annotations=(field.id,),
                )
        by_sensor: dict[str, list[str]] = {}
        kinds: dict[str, set[bool]] = {}
        for stream in self._sample.manifest.streams:
            if stream.sensor is not None and stream.modality in _CAMERAS | _RANGERS:
                by_sensor.setdefault(stream.sensor, []).append(stream.id)
                kinds.setdefault(stream.sensor, set()).add(stream.modality in _CAMERAS)
        for sensor, streams in sorted(by_sensor.items()):
            if len(kinds[sensor]) > 1:
                yield self._make(
                    "wrong_sensor",
                    f"The sensor {sensor} can not have recorded pictures and ranges: {', '.join(streams)} name it.",
                    streams=tuple(streams),
                    place=sensor,
                )

    def devices(self) -> Iterator[Finding]:
        known = {name: _device(facts) for name, facts in self._sample.asset_facts.items()}
        for stream in self._sample.manifest.streams:
            expected = self._section.devices.get(stream.sensor or "")
            found = known.get(stream.id)
            if expected is not None and found is not None:
                yield from self._device(
                    f"the sensor {stream.sensor} of {stream.id}", expected, found, (stream.id,), (), "sensor"
                )
        for field in fields_of(self._sample):
            field_stream = described_stream(self._sample, field)
            if isinstance(field.value, DeviceValue) and field_stream is not None:
                found = known.get(field_stream.id)
                if found is not None:
                    what = f"the field {field.label}"
                    yield from self._device(
                        what, field.value, found, (field.stream, field_stream.id), (field.id,), "field"
                    )

    def _device(
        self,
        what: str,
        said: DeviceValue,
        found: DeviceValue,
        streams: Sequence[str],
        labels: tuple[str, ...],
        place: str,
    ) -> Iterator[Finding]:
        self.compared += 1
        part = same_device(said, found)
        if part:
            yield self._make(
                "device_mismatch",
                f"By {what} the device is {_shown(said)}, by the file it is {_shown(found)}: the {part} differs.",
                streams=streams,
                annotations=labels,
                place=place,
            )

    def subjects(self) -> Iterator[Finding]:
        for name, statements in sorted(subjects_of(self._sample, self._section).items()):
            outliers, agreed = self._outliers(statements, lambda one, other: one.key == other.key)
            for group in outliers:
                odd, believed = group[0], agreed[0]
                yield self._make(
                    "wrong_subject",
                    f"{_who(group)} says {odd.field} {odd.value}, {believed.origin.what} says {believed.value}.",
                    streams=_streams(group, agreed),
                    annotations=_labels(group, agreed),
                    place=f"{name}:{odd.origin.what}",
                    severity="critical",
                )

    def times(self) -> Iterator[Finding]:
        lengths = [stream.duration_s or 0.0 for stream in self._sample.manifest.streams]
        lengths += [audio.duration_s for audio in self._sample.audio.values()]
        limit_s = self._section.max_time_difference_s + max(lengths, default=0.0)
        moments = list(moments_of(self._sample, self._section))
        outliers, agreed = self._outliers(moments, lambda one, other: one.apart_s(other) <= limit_s)
        for group in outliers:
            odd, believed = group[0], agreed[0]
            apart_s = odd.apart_s(believed)
            cause = self._clock_cause(odd, believed)
            zoned = "any time zone" if odd.local or believed.local else "the same moment"
            clock = f"; its clock is {cause.estimate['days']:+d} day(s) off" if cause is not None else ""
            yield self._make(
                "outside_time_window",
                f"{_who(group)} says {odd.at:%Y-%m-%d %H:%M:%S}{' local time' if odd.local else ''}, "
                f"{believed.origin.what} says {believed.at:%Y-%m-%d %H:%M:%S}: {_duration(apart_s)} beyond {zoned}"
                f"{clock}.",
                streams=_streams(group, agreed),
                annotations=_labels(group, agreed),
                place=odd.origin.what,
                measured=Measured(value=apart_s, unit="s", threshold=limit_s),
                cause=cause,
            )
        captured_at = agreed[0].at if agreed else None
        for name, bound, outside in (
            ("not_before", self._section.not_before, captured_at is not None and self._before(agreed[0])),
            ("not_after", self._section.not_after, captured_at is not None and self._after(agreed[0])),
        ):
            if bound is not None and captured_at is not None:
                self.compared += 1
                if outside:
                    yield self._make(
                        "outside_time_window",
                        f"The sample is of {captured_at:%Y-%m-%d %H:%M} by {agreed[0].origin.what}; the project's "
                        f"recordings {'begin' if name == 'not_before' else 'end'} at {bound:%Y-%m-%d %H:%M}.",
                        streams=_streams(agreed),
                        annotations=_labels(agreed),
                        place=name,
                        measured=Measured(value=abs((captured_at - bound).total_seconds()), unit="s", threshold=0.0),
                    )

    def _before(self, moment: Moment) -> bool:
        bound = self._section.not_before
        return bound is not None and moment.at < bound and moment.apart_s(Moment(moment.origin, bound)) > 0

    def _after(self, moment: Moment) -> bool:
        bound = self._section.not_after
        return bound is not None and moment.at > bound and moment.apart_s(Moment(moment.origin, bound)) > 0

    def _clock_cause(self, odd: Moment, believed: Moment) -> Cause | None:
        """Explain a local clock by whole days and a time zone, if that leaves less than the tolerance."""
        facts = self._sample.asset_facts.get(odd.origin.stream or "")
        if not odd.local or believed.local or believed.day_only or facts is None:
            return None
        difference_s = (odd.at - believed.at).total_seconds()
        # Inhabited zones: -12 h to +14 h; the nearest whole day leaves the zone that is most usual.
        days = round(difference_s / _DAY_S)
        zone_s = round((difference_s - days * _DAY_S) / 900) * 900.0
        residual_s = difference_s - days * _DAY_S - zone_s
        if days == 0:
            return None
        device = "-".join(filter(None, (facts.make, facts.model, facts.serial))) or "unknown"
        group = "camera_clock:" + "".join(letter if letter.isalnum() else "-" for letter in device.casefold())[:150]
        return Cause(
            kind="camera_clock",
            group=group if group.isascii() else "camera_clock:unnamed",
            estimate={"days": days, "utc_offset_h": zone_s / 3_600, "residual_s": residual_s, "uncertainty_s": 450.0},
        )

    def places(self) -> Iterator[Finding]:
        limit_m = self._section.max_distance_m
        outliers, agreed = self._outliers(list(places_of(self._sample)), lambda a, b: a.apart_m(b) <= limit_m)
        for group in outliers:
            odd = group[0]
            apart_m = odd.apart_m(agreed[0])
            yield self._make(
                "outside_area",
                f"{_who(group)} lies at {odd.latitude_deg:.5f}, {odd.longitude_deg:.5f}, which is "
                f"{apart_m / 1000:.1f} km from {agreed[0].origin.what}.",
                streams=_streams(group, agreed),
                annotations=_labels(group, agreed),
                place=odd.origin.what,
                measured=Measured(value=apart_m, unit="m", threshold=limit_m),
            )
        region = self._sample.manifest.context.region
        areas = [area for area in self._section.areas if area.region == region]
        for place in agreed[:1] if areas else ():
            self.compared += 1
            if not any(_inside(area, place.latitude_deg, place.longitude_deg) for area in areas):
                yield self._make(
                    "outside_area",
                    f"{_upper(place.origin.what)} lies at {place.latitude_deg:.5f}, {place.longitude_deg:.5f}, outside "
                    f"the region {region} of the context.",
                    streams=_streams([place]),
                    annotations=_labels([place]),
                    place="region",
                )

    def _outliers(self, statements: Sequence[S], agree: Callable[[S, S], bool]) -> tuple[list[list[S]], list[S]]:
        """Return (groups that contradict the most agreed statement, those that agree), most believed first.

        Statements that contradict it in one way are one group: they have one cause.
        """
        ordered = sorted(statements, key=lambda x: (x.origin.rank, x.origin.what, x.origin.annotation or ""))
        if len(ordered) > 1:
            self.compared += 1
        if not ordered:
            return [], []
        voters = ordered[:_MAX_VOTERS]
        votes = [sum(agree(one, other) for other in voters) for one in voters]
        believed = voters[votes.index(max(votes))]
        agreed = [believed, *(item for item in ordered if item is not believed and agree(believed, item))]
        groups: list[list[S]] = []
        for item in ordered:
            if not agree(believed, item):
                alike = next((group for group in groups[:_MAX_VOTERS] if agree(group[0], item)), None)
                if alike is None:
                    groups.append([item])
                else:
                    alike.append(item)
        return groups, agreed

    def _make(
        self,
        kind: MetadataSourceKind,
        message: str,
        *,
        streams: Sequence[str] = (),
        annotations: tuple[str, ...] = (),
        place: str = "",
        severity: Severity = "major",
        measured: Measured | None = None,
        cause: Cause | None = None,
    ) -> Finding:
        unique = tuple(dict.fromkeys(streams))
        return Finding(
            finding_id=finding_id(CHECK, kind, self._rules.id, streams=unique, annotations=annotations, place=place),
            check=CHECK,
            kind=kind,
            severity=self._section.severities.get(kind, severity),
            message=message[:2_000],
            measured=measured,
            streams=unique,
            annotations=annotations,
            cause=cause,
            rule=self._rules.reference,
        )


def _device(facts: AssetFacts) -> DeviceValue | None:
    make, model, serial = ((value or "").strip()[:200] or None for value in (facts.make, facts.model, facts.serial))
    return DeviceValue(make=make, model=model, serial=serial) if make or model or serial else None


def _shown(device: DeviceValue) -> str:
    serial = f"serial {device.serial}" if device.serial else None
    return " ".join(filter(None, (device.make, device.model, serial))) or "not named"


def _inside(area: Area, latitude_deg: float, longitude_deg: float) -> bool:
    if not area.south_deg <= latitude_deg <= area.north_deg:
        return False
    if area.west_deg <= area.east_deg:
        return area.west_deg <= longitude_deg <= area.east_deg
    return longitude_deg >= area.west_deg or longitude_deg <= area.east_deg


def _streams(group: Sequence[_Stated], agreed: Sequence[_Stated] = ()) -> tuple[str, ...]:
    origins = [item.origin for item in (*group, *agreed[:1])]
    return tuple(dict.fromkeys(origin.stream for origin in origins if origin.stream is not None))


def _labels(group: Sequence[_Stated], agreed: Sequence[_Stated] = ()) -> tuple[str, ...]:
    """Return the labels that state it; where none does, the label that it contradicts."""
    own = {item.origin.annotation for item in group if item.origin.annotation is not None}
    others = {item.origin.annotation for item in agreed[:1] if item.origin.annotation is not None}
    return tuple(sorted(own or others))


def _who(group: Sequence[_Stated]) -> str:
    return _upper(group[0].origin.what) + (f" (and {len(group) - 1} more)" if len(group) > 1 else "")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _duration(seconds: float) -> str:
    whole = timedelta(seconds=round(seconds))
    return f"{seconds / _DAY_S:.1f} days" if whole >= timedelta(days=2) else str(whole)
