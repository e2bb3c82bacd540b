"""``clock``: do the streams' clocks run forward, steadily, and together?

1. Each clock by itself (:mod:`services.alignment.clock_single`): ``no_progress``, ``non_monotonic``,
   ``duplicate_timestamp``, ``drop``, ``jitter``.
2. Against what else is known of the stream: ``skew`` (expected or decoded rate), ``contradictory_clock`` (start,
   length, unit, ``captured_at``), ``frame_outside_clock``.
3. Against each other (:mod:`services.alignment.clock_pairs`): one ``offset``, ``drift`` or ``step`` with its
   uncertainty for each stream that differs, and ``no_overlap`` where two streams share no moment.

Thresholds are in :class:`services.rules.clock.ClockRules`. A rate alone is no clock to compare: it says nothing
about single items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.alignment.clock_pairs import groups_of, pair_findings, unit_findings
from services.alignment.clock_series import CHECK, Maker, Series, readable, series_of
from services.alignment.clock_single import (
    contradiction_findings,
    frame_findings,
    order_findings,
    rate_findings,
    rhythm_findings,
)
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.findings import Finding, Measured, NotApplicable
from services.rules.rule_set import RuleSet

_SAME_SHARE = 0.25


def check_clock(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return every fault of the sample's clocks.

    Args:
        sample: Streams with a clock: a start and a rate, or a timestamp for each item.
        rules: The section ``clock``; without it nothing is judged.
    """
    section = rules.clock
    if section is None:
        return CheckOutcome()
    streams = sorted(sample.manifest.streams, key=lambda stream: stream.id)
    if not any(stream.clock for stream in streams):
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason="no stream of the sample has a clock"),))
    maker = Maker(rules, section)
    series = series_of(sample, section)
    by_id = {item.stream.id: item for item in series}
    findings: list[Finding] = []
    for item in series:
        findings += [*order_findings(maker, item), *rhythm_findings(maker, item), *frame_findings(maker, sample, item)]
    for stream in streams:
        findings += rate_findings(maker, sample, stream, by_id.get(stream.id))
        findings += contradiction_findings(maker, sample, stream, by_id.get(stream.id))
    units = list(unit_findings(maker, series))
    strange = {finding.streams[0] for finding in units}
    comparable = [item for item in series if item.stream.id not in strange]
    explained: set[str] = set()
    for group, known in groups_of(comparable, section):
        for finding in pair_findings(maker, group, known=known):
            findings.append(finding)
            explained.update(finding.streams)
    findings += units
    findings += _apart(maker, [item for item in comparable if item.stream.id not in explained])
    captured = list(_captured(maker, sample, series))
    findings += captured
    few = tuple(item.stream.id for item in series if len(item.times_s) < section.min_items)
    reason = f"fewer than {section.min_items} timestamps: neither period nor drift can be told"
    missing = (NotApplicable(check=CHECK, reason=reason, streams=few),) if few else ()
    kept, folded = _folded(findings, frozenset(finding.finding_id for finding in captured))
    return CheckOutcome(kept, folded, missing)


def _folded(findings: Sequence[Finding], captured: frozenset[str]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Fold what a cause explains: the gap at a step, and a clock that is as far from ``captured_at`` as it is off."""
    symptoms: dict[str, Finding] = {}
    kept: list[Finding] = []
    for cause in findings:
        explains = [
            item.finding_id
            for item in findings
            if item.finding_id not in symptoms and _explained(item, cause, captured=item.finding_id in captured)
        ]
        symptoms |= {item.finding_id: item for item in findings if item.finding_id in explains}
        kept.append(cause.model_copy(update={"explains": tuple(explains)}) if explains else cause)
    return tuple(item for item in kept if item.finding_id not in symptoms), tuple(symptoms.values())


def _explained(item: Finding, cause: Finding, *, captured: bool) -> bool:
    if item.streams[0] not in cause.streams or cause.measured is None or item.measured is None:
        return False
    if cause.kind == "step" and item.kind == "drop" and item.frames[-1:] == cause.frames:
        return abs(item.measured.value - abs(cause.measured.value)) <= 0.5 * item.measured.value
    if cause.kind == "offset" and captured:
        return abs(item.measured.value - abs(cause.measured.value)) <= _SAME_SHARE * item.measured.value
    return False


def _apart(maker: Maker, series: Sequence[Series]) -> Iterator[Finding]:
    """Yield ``no_overlap`` for each stream that shares no moment with the longest one."""
    for absolute in (False, True):
        alike = [item for item in series if item.absolute is absolute and item.span_s > 0]
        if len(alike) < 2:
            continue
        longest = max(alike, key=lambda item: (item.span_s, item.stream.id))
        low, high = (longest.origin_s + float(f(longest.times_s)) for f in (min, max))
        for item in alike:
            first, last = (item.origin_s + float(f(item.times_s)) for f in (min, max))
            gap_s = max(first - high, low - last)
            if item is not longest and gap_s > maker.section.tolerance_s:
                yield maker.make(
                    "no_overlap",
                    f"{item.stream.id} and {longest.stream.id} share no moment: {readable(gap_s)} lie between them.",
                    [item.stream.id, longest.stream.id],
                    measured=Measured(value=gap_s, unit="s", threshold=maker.section.tolerance_s),
                )


def _captured(maker: Maker, sample: CheckSample, series: Sequence[Series]) -> Iterator[Finding]:
    """Yield ``contradictory_clock`` where a clock says another time than the sample's ``captured_at``."""
    captured_at = sample.manifest.captured_at
    if captured_at is None:
        return
    spans = {
        item.stream.id: tuple(item.origin_s + float(f(item.times_s)) for f in (min, max))
        for item in series
        if item.absolute
    }
    for stream in sample.manifest.streams:
        if stream.clock is not None and stream.clock.start is not None:
            start_s = stream.clock.start.timestamp()
            spans.setdefault(stream.id, (start_s, start_s + (stream.duration_s or 0.0)))
    for name, (first, last) in sorted(spans.items()):
        moment = captured_at.timestamp()
        gap_s = max(first - moment, moment - last)
        if gap_s > maker.section.capture_tolerance_s:
            yield maker.make(
                "contradictory_clock",
                f"The clock of {name} is {readable(gap_s)} {'after' if first > moment else 'before'} captured_at "
                f"({captured_at:%Y-%m-%d %H:%M:%S} UTC).",
                [name],
                measured=Measured(value=gap_s, unit="s", threshold=maker.section.capture_tolerance_s),
                place="captured_at",
            )
