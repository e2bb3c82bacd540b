"""``record_agreement``: do the labels say what the health record, inventory, catalogue or maintenance record says?

The rule set's section ``record_agreement`` binds labels to fields of records. A record is a stream of modality
``record``: its document, flat or JSON, and the ``metadata_field`` labels that stand on it. Each binding says where the
label's value is (its class, an attribute, its text, or how many labels there are), which fields hold the same, and how
to compare: equal, one of, within a tolerance with units, a window of dates, or a distance of texts (normalised Indel
similarity, as rapidfuzz computes it).

Kinds: ``field_mismatch``; ``not_in_record`` where a field that has several values has none that agrees;
``not_labelled`` for the other way round; ``record_missing_field`` and ``label_missing_value``; ``unit_mismatch`` where
the units measure different things, or where one usual conversion (lb for kg, °F for °C) explains the difference;
``value_unreadable`` where a value is no number or date. From several labels on that disagree with one field in one
way, the field is the cause, ``record_field``, and the single findings are folded under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from services.alignment.record_compare import Compared, Value, compare, nearest
from services.alignment.record_values import plain, says_nothing
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.canonical import parse_json
from services.contracts.findings import (
    Cause,
    Finding,
    LabelPatch,
    Measured,
    NotApplicable,
    Severity,
    Suggestion,
    finding_id,
)
from services.contracts.labels_spatial import FieldValue, MetadataField
from services.errors import MalformedJsonError
from services.rules.record_agreement import EqualComparison, RecordAgreementKind, RecordAgreementRules, RecordBinding
from services.rules.rule_set import RuleSet

CHECK = "record_agreement"
_SEVERITIES: dict[RecordAgreementKind, Severity] = {
    "field_mismatch": "major", "not_in_record": "major", "not_labelled": "minor", "record_missing_field": "minor",
    "label_missing_value": "minor", "unit_mismatch": "major", "value_unreadable": "minor",
}  # fmt: skip
_DISAGREES = frozenset({"field_mismatch", "not_in_record", "unit_mismatch"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a record."""

    stream: str
    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class Claim:
    """What one label, or a number of them, says.

    Attributes:
        labels: The labels behind it, by id.
        value: None where the label does not say it.
    """

    labels: tuple[Annotation, ...]
    value: Value | None


def check_record_agreement(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return every label that disagrees with the sample's records, by the bindings of the rule set."""
    section = rules.record_agreement
    if section is None or not section.bindings:
        return CheckOutcome(
            not_applicable=(NotApplicable(check=CHECK, reason="the rule set binds no label to a record"),)
        )
    records, unread = _records(sample, section)
    if not records:
        reason = "the sample has no record" if not unread else "no record of the sample can be read in place"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason, streams=unread),))
    run = _Run(sample, rules, section, records)
    for binding in sorted(section.bindings, key=lambda item: item.id):
        run.check(binding)
    missing = tuple(NotApplicable(check=CHECK, reason="the record is not in place", streams=(name,)) for name in unread)
    return CheckOutcome(tuple(run.findings), tuple(run.folded), missing)


def _records(sample: CheckSample, section: RecordAgreementRules) -> tuple[dict[str, list[Entry]], tuple[str, ...]]:
    named = {name for binding in section.bindings for name in binding.records}
    records: dict[str, list[Entry]] = {}
    unread: list[str] = []
    for stream in sample.manifest.streams:
        if stream.modality != "record" and stream.id not in named:
            continue
        document = stream.inline if stream.inline is not None else getattr(sample, "texts", {}).get(stream.id)
        fields = _fields(document)
        entries = [Entry(stream.id, name, Value(value, _unit_beside(name, fields))) for name, value in fields.items()]
        for label in sample.annotations:
            if label.stream == stream.id and isinstance(label, MetadataField):
                entries.extend(Entry(stream.id, label.label, value) for value in _values_of(label.value))
        if entries or fields:
            records[stream.id] = sorted(entries, key=lambda item: (item.field, str(item.value.value)))
        else:
            unread.append(stream.id)
    return records, tuple(sorted(unread))


def _fields(document: Mapping[str, Scalar] | str | None) -> dict[str, Scalar]:
    """Return the fields of a record, those of a nested JSON document with dots: ``order.items.0.sku``."""
    if isinstance(document, Mapping):
        return dict(document)
    if document is None or not document.lstrip().startswith(("{", "[")):
        return {}
    try:
        value = parse_json(document.encode())
    except (MalformedJsonError, UnicodeEncodeError):
        return {}
    fields: dict[str, Scalar] = {}
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, item = waiting.pop()
        if isinstance(item, Mapping):
            waiting.extend((f"{name}.{key}" if name else key, inner) for key, inner in item.items())
        elif isinstance(item, list):
            waiting.extend((f"{name}.{index}" if name else str(index), inner) for index, inner in enumerate(item))
        elif item is not None and name:
            fields[name] = item
    return fields


def _unit_beside(name: str, fields: Mapping[str, Scalar]) -> str | None:
    unit = fields.get(f"{name}_unit", fields.get(f"{name}.unit"))
    return unit if isinstance(unit, str) and unit.strip() else None


def _values_of(value: FieldValue) -> Iterator[Value]:
    match value.kind:
        case "quantity":
            yield Value(value.value, value.unit)
        case "timestamp":
            yield Value(value.at.isoformat())
        case "text":
            yield Value(value.text)
        case "flag" | "confidence":
            yield Value(value.value)
        case "user_role":
            yield Value(value.role)
        case "sensor":
            yield Value(value.sensor)
        case "device":
            yield from (Value(item) for item in (value.serial, value.model, value.make) if item is not None)
        case "context":
            yield from (Value(item) for item in value.facts.values())
        case "location":
            yield Value(f"{value.latitude_deg}, {value.longitude_deg}")


def claims_of(binding: RecordBinding, annotations: Sequence[Annotation], records: frozenset[str]) -> list[Claim]:
    """Return what the labels of a binding say, ordered by label id.

    Args:
        binding: Which labels, and where their value is.
        annotations: All labels of the sample.
        records: Ids of record streams, whose own fields are no claims unless the binding names the stream.
    """
    chosen = [
        label
        for label in sorted(annotations, key=lambda item: item.id)
        if (not binding.label_kinds or label.type in binding.label_kinds)
        and (not binding.labels or label.label in binding.labels)
        and (label.stream in binding.streams if binding.streams else label.stream not in records)
        and not getattr(label, "ignore", False)
    ]
    if binding.value == "count":
        return [Claim(tuple(chosen), Value(len(chosen)))]
    return [Claim((label,), _value_in(label, binding.value)) for label in chosen]


def _value_in(label: Annotation, source: str) -> Value | None:
    if source.startswith("attributes."):
        name = source.removeprefix("attributes.")
        found = label.attributes.get(name)
        return None if found is None else Value(found, _unit_beside(name, label.attributes))
    if source == "value":
        return next(_values_of(label.value), None) if isinstance(label, MetadataField) else None
    found = getattr(label, source, None)
    return None if found is None else Value(found)


class _Run:
    """The state of one call."""

    def __init__(
        self, sample: CheckSample, rules: RuleSet, section: RecordAgreementRules, records: dict[str, list[Entry]]
    ) -> None:
        self._sample = sample
        self._rules = rules
        self._section = section
        self._records = records
        self.findings: list[Finding] = []
        self.folded: list[Finding] = []

    def check(self, binding: RecordBinding) -> None:
        """Judge all labels of one binding."""
        names = [name for name in sorted(self._records) if not binding.records or name in binding.records]
        if not names:
            return
        claims = claims_of(binding, self._sample.annotations, frozenset(self._records))
        entries = [
            entry
            for name in names
            for entry in self._records[name]
            if any(fnmatchcase(entry.field, field) for field in binding.fields)
            and not says_nothing(entry.value.value, self._section.empty_values)
        ]
        if not entries:
            if binding.required_in_record and claims:
                self.findings.append(self._record_lacks(binding, names, claims))
            return
        groups: dict[tuple[str, ...], list[Finding]] = {}
        agreed: set[tuple[str, str, str]] = set()
        for claim in claims:
            for key, finding in self._judge(binding, claim, entries, agreed):
                groups.setdefault(key, []).append(finding)
        for key in sorted(groups):
            self._report(binding, groups[key])
        if binding.both_ways and binding.value != "count":
            self.findings.extend(self._not_labelled(binding, entries, agreed))

    def _judge(
        self, binding: RecordBinding, claim: Claim, entries: Sequence[Entry], agreed: set[tuple[str, str, str]]
    ) -> Iterator[tuple[tuple[str, ...], Finding]]:
        if claim.value is None or says_nothing(claim.value.value, self._section.empty_values):
            if binding.required_in_label:
                what = binding.value.removeprefix("attributes.")
                message = f"{_named(claim)} does not say {what}, which the record has as {_shown(entries[0])}."
                yield (
                    ("label_missing_value", what),
                    self._make(binding, "label_missing_value", claim, message, entries[:1]),
                )
            return
        compared = [compare(claim.value, entry.value, binding, self._section) for entry in entries]
        agreeing = [entry for entry, item in zip(entries, compared, strict=True) if item.verdict == "same"]
        if agreeing:
            agreed.update((entry.stream, entry.field, str(entry.value.value)) for entry in agreeing)
            return
        best = nearest(compared)
        entry = entries[compared.index(best)]
        several = len({item.field for item in entries}) > 1 or any("*" in field for field in binding.fields)
        kind: RecordAgreementKind = "field_mismatch" if best.verdict == "same" else best.verdict
        if several and kind == "field_mismatch":
            kind = "not_in_record"
        yield (kind, plain(claim.value.value), entry.field), self._disagreement(binding, kind, claim, entry, best)

    def _disagreement(
        self, binding: RecordBinding, kind: RecordAgreementKind, claim: Claim, entry: Entry, best: Compared
    ) -> Finding:
        says = f"{_named(claim)} says {_text(claim.value)}"
        why = f" ({best.why})" if best.why else ""
        if kind == "not_in_record":
            message = f"{says}; no value of {', '.join(binding.fields[:3])} in {entry.stream} agrees{why}."
            return self._make(binding, kind, claim, message, (), measured=best.measured)
        message = f"{says}; {entry.stream} has {_shown(entry)}{why}."
        cause = None
        if best.units is not None:
            group = finding_id(
                CHECK, kind, self._rules.id, streams=(entry.stream,), place=f"{binding.id}/{entry.field}"
            )
            cause = Cause(kind="wrong_unit", group=group, estimate={"written": best.units[0], "meant": best.units[1]})
        suggestion = self._suggestion(binding, claim, entry) if kind == "field_mismatch" else None
        return self._make(
            binding, kind, claim, message, (entry,), measured=best.measured, suggestion=suggestion, cause=cause
        )

    def _suggestion(self, binding: RecordBinding, claim: Claim, entry: Entry) -> Suggestion | None:
        if not binding.record_is_right or len(claim.labels) != 1:
            return None
        (label,) = claim.labels
        value = entry.value.value
        if binding.value.startswith("attributes."):
            name = binding.value.removeprefix("attributes.")
            changes: dict[str, object] = {"attributes": {**label.attributes, name: value}}
        elif binding.value == "label" and isinstance(binding.comparison, EqualComparison) and isinstance(value, str):
            changes = {"label": value.strip()}
        else:
            return None
        fixed = label.model_copy(update=changes)
        again = _value_in(fixed, binding.value)
        if again is None or compare(again, entry.value, binding, self._section).verdict != "same":
            return None
        summary = f"Take {value!r} from {entry.field} of {entry.stream}."
        return Suggestion(summary=summary[:2_000], patch=LabelPatch(upsert=(fixed,)))

    def _record_lacks(self, binding: RecordBinding, names: Sequence[str], claims: Sequence[Claim]) -> Finding:
        fields = " or ".join(binding.fields[:5])
        message = f"The record {', '.join(names)} has no {fields}, which {len(claims)} labels are to agree with."
        return self._make(binding, "record_missing_field", Claim((), None), message, (), streams=tuple(names))

    def _not_labelled(
        self, binding: RecordBinding, entries: Sequence[Entry], agreed: set[tuple[str, str, str]]
    ) -> Iterator[Finding]:
        for entry in entries:
            if (entry.stream, entry.field, str(entry.value.value)) not in agreed:
                message = f"The record {entry.stream} has {_shown(entry)}, which no label says."
                yield self._make(binding, "not_labelled", Claim((), None), message, (entry,))

    def _report(self, binding: RecordBinding, members: list[Finding]) -> None:
        if len(members) < self._section.cause_min_labels or members[0].kind not in _DISAGREES:
            self.findings.extend(members)
            return
        first = members[0]
        identity = finding_id(CHECK, first.kind, self._rules.id, streams=first.streams, place=f"all/{binding.id}")
        estimate: dict[str, Scalar] = {"labels": len(members), "binding": binding.id}
        self.findings.append(
            first.model_copy(
                update={
                    "finding_id": identity,
                    "message": f"{len(members)} labels disagree with the record in one way. {first.message}"[:2_000],
                    "measured": Measured(value=float(len(members)), unit="labels"),
                    "annotations": tuple(name for item in members for name in item.annotations),
                    "frames": tuple(sorted({frame for item in members for frame in item.frames})),
                    "streams": tuple(sorted({name for item in members for name in item.streams})),
                    "cause": Cause(kind="record_field", group=identity, estimate=estimate),
                    "suggestion": _joined(members),
                    "explains": tuple(item.finding_id for item in members),
                }
            )
        )
        self.folded.extend(members)

    def _make(
        self,
        binding: RecordBinding,
        kind: RecordAgreementKind,
        claim: Claim,
        message: str,
        entries: Sequence[Entry],
        *,
        measured: Measured | None = None,
        suggestion: Suggestion | None = None,
        cause: Cause | None = None,
        streams: tuple[str, ...] = (),
    ) -> Finding:
        ids = tuple(label.id for label in claim.labels)
        concerned = {*streams, *(label.stream for label in claim.labels), *(entry.stream for entry in entries)}
        default = binding.severity if binding.severity is not None and kind in _DISAGREES else _SEVERITIES[kind]
        place = binding.id
        if not ids:
            place = "/".join((binding.id, *(f"{entry.field}={entry.value.value}" for entry in entries)))
        return Finding(
            finding_id=finding_id(CHECK, kind, self._rules.id, streams=streams, annotations=ids, place=place),
            check=CHECK,
            kind=kind,
            severity=self._section.severities.get(kind, default),
            message=message[:2_000],
            measured=measured,
            streams=tuple(sorted(concerned)),
            annotations=ids,
            frames=tuple(sorted({label.frame for label in claim.labels if label.frame is not None})),
            cause=cause,
            rule=self._rules.reference,
            suggestion=suggestion,
        )


def _joined(members: Sequence[Finding]) -> Suggestion | None:
    patches = [item.suggestion.patch for item in members if item.suggestion is not None and item.suggestion.patch]
    if len(patches) != len(members) or len(patches) > 10_000 or members[0].suggestion is None:
        return None
    labels = {label.id: label for patch in patches for label in patch.upsert}
    return Suggestion(summary=members[0].suggestion.summary, patch=LabelPatch(upsert=tuple(labels.values())))


def _named(claim: Claim) -> str:
    if len(claim.labels) == 1:
        return f"The label {claim.labels[0].id} ({claim.labels[0].label!r})"
    return f"The number of {len(claim.labels)} labels"


def _text(value: Value | None) -> str:
    if value is None:
        return "nothing"
    shown = repr(value.value) if isinstance(value.value, str) else str(value.value)
    return f"{shown[:200]}{' ' + value.unit if value.unit else ''}"


def _shown(entry: Entry) -> str:
    return f"{entry.field} = {_text(entry.value)}"
