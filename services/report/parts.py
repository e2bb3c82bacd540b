"""Inconsistent labels, misaligned modalities, inaccurate timestamps: numbers of the parts of samples that checks judge.

A part is a label or a stream. A finding that names labels says that these fail; one that names none, such as a cause
that explains many symptoms or something that nobody labelled, is a thing of its own. So one label with three findings
is one entry, and one calibration error is one entry, not as many as there are boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.alignment.metadata_statements import moments_of
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.dataset_report import Issue, ReportEntry
from services.contracts.findings import Finding
from services.contracts.label_base import TimedLabel
from services.contracts.labels_spatial import SPATIAL_KINDS
from services.contracts.labels_visual import VISUAL_KINDS
from services.report.sample import ReportSample, judged
from services.report.tally import Tally, entry_of
from services.rules.metadata_source import MetadataSourceRules
from services.rules.rule_set import RuleSet

Looks = Callable[[CheckSample, RuleSet], set[str]]
"""From a sample to the ids of those of its labels that a check compares."""
_BOXES = frozenset({"box", "track", "cuboid", "spatial_track"})
_SPOKEN = frozenset({"transcript_segment", "speaker_turn"})
_SEEN = frozenset(
    {str(kind.model_fields["type"].default) for kind in (*VISUAL_KINDS, *SPATIAL_KINDS)} | {"entity_span"}
) - {"action", "event"}
_MOODS = frozenset({"emotion", "sentiment", "text_classification", "intent"})


def _types(names: frozenset[str]) -> Looks:
    return lambda sample, rules: {label.id for label in sample.annotations if label.type in names}


def _tracked(sample: CheckSample, rules: RuleSet) -> set[str]:
    del rules
    return {
        label.id
        for label in sample.annotations
        if label.type in _BOXES and (label.object_id is not None or "track" in label.type)
    }


def _spoken_twice(sample: CheckSample, rules: RuleSet) -> set[str]:
    """Return what is said where it stands there twice: as segments and as turns, or in two transcripts."""
    del rules
    spoken = [label for label in sample.annotations if label.type in _SPOKEN]
    tellings = {(label.type, label.stream, label.author.id if label.author else "") for label in spoken}
    return {label.id for label in spoken} if len(tellings) > 1 else set()


def _events(sample: CheckSample, rules: RuleSet) -> list[Annotation]:
    section = rules.event_structure
    return [] if section is None else [label for label in sample.annotations if label.type in section.types]


def _event_ids(sample: CheckSample, rules: RuleSet) -> set[str]:
    return {label.id for label in _events(sample, rules)}


def _events_elsewhere(sample: CheckSample, rules: RuleSet) -> set[str]:
    """Return the events of a class that some stream of another modality has too, under the same name or another."""
    section = rules.event_structure
    if section is None or not section.cross_modal.enabled:
        return set()
    modality = {stream.id: str(stream.modality) for stream in sample.manifest.streams}
    where: dict[str, set[str]] = {}
    for label in _events(sample, rules):
        where.setdefault(label.label.casefold(), set()).add(modality.get(label.stream, ""))
    elsewhere: dict[str, set[str]] = {}
    for name in where:
        names = [
            pattern
            for same in section.cross_modal.same_events
            for side, other in ((same.labels, same.counterparts), (same.counterparts, same.labels))
            if any(_fits(pattern, name) for pattern in side)
            for pattern in other
        ]
        if section.cross_modal.same_class:
            names.append(name)
        elsewhere[name] = {
            there for other, places in where.items() for there in places if any(_fits(one, other) for one in names)
        }
    return {
        label.id
        for label in _events(sample, rules)
        if elsewhere[label.label.casefold()] - {modality.get(label.stream, "")}
    }


def _fits(pattern: str, name: str) -> bool:
    pattern = pattern.casefold()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _bound(sample: CheckSample, rules: RuleSet) -> set[str]:
    """Return the labels that some binding of ``record_agreement`` means."""
    section = rules.record_agreement
    if section is None:
        return set()
    records = {stream.id for stream in sample.manifest.streams if stream.modality == "record"}
    return {
        label.id
        for label in sample.annotations
        for binding in section.bindings
        if (not binding.label_kinds or label.type in binding.label_kinds)
        and (not binding.labels or label.label in binding.labels)
        and (label.stream in binding.streams if binding.streams else label.stream not in records)
    }


_LOOKS: Mapping[Issue, Mapping[str, Looks]] = {
    "inconsistent_labels": {
        "track_identity": _tracked,
        "lidar_camera": _types(_BOXES),
        "audio_transcript": _spoken_twice,
        "affect_agreement": _types(_MOODS),
        "event_structure": _event_ids,
        "record_agreement": _bound,
    },
    "misaligned_modalities": {
        "lidar_camera": _types(_BOXES),
        "audio_transcript": _types(_SPOKEN),
        "affect_agreement": _types(_MOODS),
        "event_structure": _events_elsewhere,
        "text_visual": _types(_SEEN),
    },
    "inaccurate_timestamps": {"audio_transcript": _types(_SPOKEN), "event_structure": _event_ids},
}
"""Which labels a check looks at, for each issue."""


def count_parts(item: ReportSample, rules: RuleSet, issue: Issue, tally: Tally) -> None:
    """Count one sample for one of the three issues."""
    by_check = judged(item, rules, issue)
    labels = {label.id: label for label in item.sample.annotations}
    parts: set[tuple[str, str]] = set()
    for check, looks in _LOOKS[issue].items():
        if check in by_check.left_out:
            skipped = by_check.left_out[check]
            compared = looks(item.sample, rules)
            if not compared:
                tally.not_judged("no label of the sample is one that the check compares in this way", check)
            parts |= {("label", name) for name in compared if labels[name].stream not in skipped}
    if issue == "inaccurate_timestamps":
        parts |= _clocks(item, rules, by_check.left_out)
    failing: dict[tuple[str, str], list[Finding]] = {}
    for finding in item.findings_of(issue):
        for part in _parts_of(finding, labels):
            failing.setdefault(part, []).append(finding)
    entries = [_entry(item, part, findings, labels) for part, findings in sorted(failing.items())]
    tally.add_sample(len(parts | failing.keys()), entries)
    for reason, check in by_check.reasons:
        tally.not_judged(reason, check)


def _clocks(item: ReportSample, rules: RuleSet, left_out: Mapping[str, frozenset[str]]) -> set[tuple[str, str]]:
    parts: set[tuple[str, str]] = set()
    if "clock" in left_out:
        parts |= {
            ("stream", stream.id)
            for stream in item.sample.manifest.streams
            if stream.clock is not None and stream.id not in left_out["clock"]
        }
    if "metadata_source" in left_out:
        section = rules.metadata_source or MetadataSourceRules()
        if len(list(moments_of(item.sample, section))) > 1:
            parts.add(("sample", "stated times"))
    return parts


def _parts_of(finding: Finding, labels: Mapping[str, Annotation]) -> list[tuple[str, str]]:
    named = [("label", name) for name in finding.annotations if name in labels]
    if named:
        return named
    if finding.check == "clock" and len(finding.streams) == 1:
        return [("stream", finding.streams[0])]
    if finding.check == "metadata_source":
        return [("sample", "stated times" if finding.kind == "outside_time_window" else finding.finding_id)]
    return [("finding", finding.finding_id)]


def _entry(
    item: ReportSample, part: tuple[str, str], findings: list[Finding], labels: Mapping[str, Annotation]
) -> ReportEntry:
    what, name = part
    if what == "label":
        place = place_of_label(labels[name])
    elif what == "stream":
        place = f"stream {name}"
    else:
        place = place_of_finding(findings[0])
    return entry_of(item.sample.manifest, place, findings)


def place_of_label(label: Annotation) -> str:
    """Return where a label is, for people."""
    frame = f", frame {label.frame}" if label.frame is not None else ""
    times = f", {label.start_s:g} to {label.end_s:g} s" if isinstance(label, TimedLabel) else ""
    return f"{label.type} {label.id} ({label.label}) on {label.stream}{frame}{times}"


def place_of_finding(finding: Finding) -> str:
    """Return where a finding is that stands for itself."""
    streams = " and ".join(finding.streams[:5])
    where = f"stream{'' if len(finding.streams) == 1 else 's'} {streams}" if streams else "the sample"
    frames = f", frame {finding.frames[0]}" if finding.frames else ""
    times = f", {finding.interval_s[0]:g} to {finding.interval_s[1]:g} s" if finding.interval_s else ""
    return f"{where}{frames}{times}"
