"""``coverage``: is what the rule set requires of a sample there?

For each requirement whose conditions hold: ``missing_modality`` and ``missing_stream`` (what was not sent),
``incomplete_stream`` (a stream without the clock, frame or calibration it must have),
``missing_content`` (a stream with labels only), ``missing_labels`` and ``low_time_coverage`` (what was not labelled),
``missing_attribute`` (a fact by which scenarios are counted). A value that no dimension of the rule set knows is an
``unexpected_value``. Nothing is measured but counts and the length of the union of intervals.

What a dataset must contain is judged by :func:`services.alignment.dataset_coverage.dataset_coverage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.alignment.coverage_facts import facts_of, fitting_labels, holds, lacking, shown
from services.alignment.event_labels import durations_of
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding, Measured, NotApplicable, finding_id
from services.contracts.label_base import TimedLabel
from services.rules.coverage import CoverageKind, CoverageRules, RequiredLabels, RequiredStream, SampleRequirement
from services.rules.rule_set import RuleSet

CHECK = "coverage"


def check_coverage(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return what the sample lacks of what the rule set requires.

    Args:
        sample: Its context, streams and labels; assets are not read.
        rules: The section ``coverage``; without it, or without requirements, nothing is asked for.
    """
    section = rules.coverage
    if section is None:
        return CheckOutcome()
    run = _Run(sample, rules, section)
    for requirement in section.requirements:
        if holds(sample, requirement.when):
            run.judge(requirement)
    run.values()
    return CheckOutcome(tuple(run.findings.values()), (), tuple(run.not_applicable))


class _Run:
    """The findings of one call; one requirement that stands in two rules is one finding."""

    def __init__(self, sample: CheckSample, rules: RuleSet, section: CoverageRules) -> None:
        self._sample = sample
        self._rules = rules
        self._section = section
        self.findings: dict[str, Finding] = {}
        self.not_applicable: list[NotApplicable] = []

    def _add(
        self, kind: CoverageKind, message: str, place: str, *, streams: Sequence[str] = (),
        measured: Measured | None = None,
    ) -> None:  # fmt: skip
        identity = finding_id(CHECK, kind, self._rules.id, streams=tuple(streams), place=place)
        self.findings[identity] = Finding(
            finding_id=identity,
            check=CHECK,
            kind=kind,
            severity=self._section.severity_of(kind),
            message=message[:2_000],
            measured=measured,
            streams=tuple(streams),
            rule=self._rules.reference,
        )

    def judge(self, requirement: SampleRequirement) -> None:
        """Hold the sample to one requirement."""
        streams = self._sample.manifest.streams
        absent = [name for name in requirement.modalities if all(stream.modality != name for stream in streams)]
        for modality in absent:
            message = f"{requirement.name}: the sample has no {modality} stream; send one as a new revision."
            self._add("missing_modality", message, modality)
        present = {name for stream in streams for name in (stream.id, stream.sensor)}
        for sensor in requirement.sensors:
            if sensor not in present:
                message = f"{requirement.name}: the sample has no stream of {sensor}; send it as a new revision."
                self._add("missing_stream", message, sensor)
        for wanted in requirement.streams:
            self._stream(requirement.name, wanted)
        if requirement.content:
            for stream in streams:
                if stream.modality in requirement.modalities and stream.uri is None and stream.inline is None:
                    message = f"{requirement.name}: the stream {stream.id} has labels only; send its {stream.modality}."
                    self._add("missing_content", message, "", streams=[stream.id])
        for required in requirement.labels:
            # A stream that was not sent can not be labelled: that is told once, above.
            if required.modality not in absent:
                self._labels(requirement.name, required)
        for field in requirement.attributes:
            if not facts_of(self._sample, field):
                message = f"{requirement.name}: {field} is not known, so the sample counts for no scenario of it."
                self._add("missing_attribute", message, field)

    def _stream(self, name: str, wanted: RequiredStream) -> None:
        streams = [
            stream
            for stream in self._sample.manifest.streams
            if stream.modality == wanted.modality and wanted.id in (None, stream.id, stream.sensor)
        ]
        if not streams:
            which = f"{wanted.modality} stream" + (f" {wanted.id}" if wanted.id else "")
            message = f"{name}: the sample has no {which}; send it as a new revision."
            self._add("missing_stream", message, f"{wanted.modality}/{wanted.id or ''}")
        for stream in streams:
            lacks = list(lacking(stream, wanted))
            if lacks:
                message = f"{name}: the stream {stream.id} has no {' and no '.join(lacks)}; send it as a new revision."
                self._add("incomplete_stream", message, f"{wanted.modality}/{wanted.id or ''}", streams=[stream.id])

    def _labels(self, name: str, required: RequiredLabels) -> None:
        labels = fitting_labels(self._sample, required)
        streams = [item.id for item in self._sample.manifest.streams if item.modality == required.modality]
        for stream in streams if required.each_stream else [None]:
            own = [label for label in labels if stream in (None, label.stream)]
            where = [stream] if stream is not None else streams if len(streams) == 1 else []
            on = f" on {stream}" if stream is not None else ""
            if len(own) < required.min_count:
                self._add(
                    "missing_labels",
                    f"{name}: {shown(required)}{on} are required, at least {required.min_count}; there are {len(own)}.",
                    _place(required),
                    streams=where,
                    measured=Measured(value=len(own), unit="labels", threshold=required.min_count),
                )
            elif required.min_time_share is not None:
                self._time(name, required, own)

    def _time(self, name: str, required: RequiredLabels, labels: Sequence[Annotation]) -> None:
        durations = durations_of(self._sample)
        for stream in sorted({label.stream for label in labels}):
            spans = [
                (label.start_s, label.end_s)
                for label in labels
                if isinstance(label, TimedLabel) and label.stream == stream
            ]
            length_s = durations.get(stream, 0.0)
            if length_s <= 0:
                reason = f"{name}: nothing says how long {stream} is, so the share that labels cover can not be told"
                self.not_applicable.append(NotApplicable(check=CHECK, reason=reason, streams=(stream,)))
                continue
            share = covered_s(spans, length_s) / length_s
            least = required.min_time_share or 0.0
            if share < least:
                self._add(
                    "low_time_coverage",
                    f"{name}: {shown(required)} cover {share:.1%} of {stream} ({length_s:.1f} s); {least:.1%} are "
                    "required.",
                    _place(required),
                    streams=[stream],
                    measured=Measured(value=share, unit="share", threshold=least),
                )

    def values(self) -> None:
        """Report values of the context that no dimension knows: a new scenario, or a misspelt one."""
        for dimension in self._section.dimensions:
            if dimension.field.startswith(("labels.", "label_attributes.")):
                continue
            known = {value.casefold() for value in dimension.values}
            for value in sorted(facts_of(self._sample, dimension.field) - known):
                message = f"{dimension.field} is {value!r}; the rule set knows {', '.join(dimension.values[:20])}."
                self._add("unexpected_value", message, f"{dimension.field}={value}")


def _place(required: RequiredLabels) -> str:
    attributes = ";".join(f"{name}={','.join(values)}" for name, values in sorted(required.attributes.items()))
    return f"{required.type or ''}/{required.label or ''}/{required.modality or ''}/{attributes}"


def covered_s(spans: Sequence[tuple[float, float]], length_s: float) -> float:
    """Return how many seconds of a recording the union of ``spans`` covers."""
    return sum(end - start for start, end in _merged(spans, length_s))


def _merged(spans: Sequence[tuple[float, float]], length_s: float) -> Iterator[tuple[float, float]]:
    reached = 0.0
    for start, end in sorted(spans):
        low, high = max(start, reached), min(end, length_s)
        if high > low:
            yield low, high
            reached = high
