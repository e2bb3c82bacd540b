"""Incomplete metadata, and missing domain context: facts that a sample must state."""

from __future__ import annotations

from collections.abc import Iterator

from services.contracts.dataset_report import ReportEntry
from services.contracts.findings import Finding
from services.contracts.manifest import SampleManifest, Stream
from services.report.parts import place_of_finding
from services.report.sample import ReportSample, judged
from services.report.tally import Tally, entry_of
from services.rules.report import MetadataFact, ReportRules
from services.rules.rule_set import RuleSet

_RECORDED = frozenset({"image", "video", "audio", "lidar", "radar"})
_TIMED = frozenset({"video", "audio", "lidar", "radar"})
_CAMERAS = frozenset({"image", "video"})
_RANGES = frozenset({"lidar", "radar"})


def count_metadata(item: ReportSample, rules: RuleSet, tally: Tally) -> None:
    """Count the facts that the rule set asks of a sample and its streams, and findings about statements."""
    section = rules.report or ReportRules()
    manifest = item.sample.manifest
    asked = list(_facts(manifest, section))
    entries = [
        ReportEntry(
            project=manifest.project, sample_id=manifest.sample_id, place=place, sentence=sentence,
            reasons=(f"no_{fact}",),
        )
        for fact, place, sentence, is_there in asked
        if not is_there
    ]  # fmt: skip
    findings = item.findings_of("incomplete_metadata")
    entries += [entry_of(manifest, place_of_finding(finding), [finding]) for finding in findings]
    tally.add_sample(len(asked) + len(findings), entries)
    for reason, check in judged(item, rules, "incomplete_metadata").reasons:
        tally.not_judged(reason, check)


def _facts(manifest: SampleManifest, section: ReportRules) -> Iterator[tuple[MetadataFact, str, str, bool]]:
    """Yield (fact, place, what to do where it lacks, whether it is there) for each that is asked for."""
    modalities = {stream.modality for stream in manifest.streams}
    together = bool(modalities & _CAMERAS) and bool(modalities & _RANGES)
    for fact in section.metadata:
        if fact == "captured_at":
            yield fact, "captured_at", "Nothing says when it was recorded; send captured_at.", (
                manifest.captured_at is not None
            )  # fmt: skip
            continue
        for stream in manifest.streams:
            if not _applies(fact, stream, together=together):
                continue
            yield fact, f"stream {stream.id}, {fact}", _ADVICE[fact].format(stream=stream.id), _has(fact, stream)


_ADVICE: dict[MetadataFact, str] = {
    "content": "Stream {stream} has neither uri nor inline content, so its labels can be compared with nothing.",
    "sha256": "Nothing says which bytes of stream {stream} were labelled; send their sha256.",
    "sensor": "Nothing says which sensor recorded stream {stream}; send its sensor.",
    "clock": "Nothing says when the items of stream {stream} were taken; send its clock.",
    "calibration": "Camera {stream} has no calibration with intrinsics and extrinsics, though a range sensor is beside "
    "it; send it.",
}


def _applies(fact: MetadataFact, stream: Stream, *, together: bool) -> bool:
    if fact == "sha256":
        return stream.uri is not None
    if fact == "sensor":
        return stream.modality in _RECORDED
    if fact == "clock":
        return stream.modality in _TIMED
    return fact == "content" or (together and stream.modality in _CAMERAS)


def _has(fact: MetadataFact, stream: Stream) -> bool:
    if fact == "content":
        return stream.uri is not None or stream.inline is not None
    if fact == "clock":
        clock = stream.clock
        return clock is not None and bool(clock.rate_hz or clock.timestamps or clock.start)
    if fact == "calibration":
        seen = stream.calibration
        return seen is not None and seen.intrinsics is not None and seen.extrinsics is not None
    return getattr(stream, fact) is not None


def count_context(item: ReportSample, rules: RuleSet, tally: Tally) -> None:
    """Count what the context gate asks of one sample: required fields, limited values, clauses of the policy."""
    manifest = item.sample.manifest
    gate = rules.context_gate
    if not gate.enabled:
        tally.not_judged("the rule set disables this check", "context_gate")
        return
    findings: list[Finding] = item.findings_of("missing_domain_context")
    context, policy = manifest.context, manifest.context.policy
    asked = len(gate.required)
    for field in gate.allowed:
        name = field.removeprefix("attributes.")
        value = context.attributes.get(name) if name != field else getattr(context, field)
        asked += value is not None
    if policy is not None:
        dates = (policy.effective_from, policy.effective_to)
        asked += 1 + bool(policy.regions and context.region is not None)
        asked += sum(date is not None for date in dates) if manifest.captured_at is not None else 0
    entries = [entry_of(manifest, _field_of(finding), [finding]) for finding in findings]
    tally.add_sample(max(asked, len(entries)), entries)
    if not asked:
        tally.not_judged(
            "the rule set requires no context (context_gate.required) and the sample names no policy", "context_gate"
        )
    for missing in item.report.not_applicable:
        if missing.check == "context_gate":
            tally.not_judged(missing.reason, "context_gate")


def _field_of(finding: Finding) -> str:
    return f"context ({finding.kind.replace('_', ' ')})"
