from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from infra.demo.faults import Injection
from infra.demo.plan import PlannedSample
from infra.demo.report import DemoReport, SampleOutcome, build_report, show
from services.contracts.findings import Finding, RuleReference, Severity
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest, Stream
from services.contracts.review import FindingState, StoredFinding, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_INJECTION = Injection("a", "lost_segment", "audio_transcript", frozenset({"speech_untranscribed"}), ("s1",), "gone")


def _manifest(name: str) -> SampleManifest:
    return SampleManifest(
        format="concord.sample/1", sample_id=name, project="demo", streams=(Stream(id="call", modality="audio"),)
    )


def _found(name: str, kind: str, severity: Severity = "major", annotations: tuple[str, ...] = ()) -> StoredFinding:
    finding = Finding(
        finding_id=f"f-{name}-{kind}", check="audio_transcript", kind=kind, severity=severity,
        message=f"{kind} in {name}", annotations=annotations, rule=RuleReference(id="demo", version=1),
    )  # fmt: skip
    return StoredFinding(
        ref=RevisionRef(project="demo", sample_id=name, revision=1), finding=finding, state=FindingState.RESOLVED,
        blocking=True, labels_sha256="0" * 64, label_version=1, found_at=NOW, updated_at=NOW,
    )  # fmt: skip


def _planned(name: str, *, fault: bool) -> PlannedSample:
    return PlannedSample(_manifest(name), _manifest(name), replace(_INJECTION, sample_id=name) if fault else None)


def _report(planned: list[PlannedSample], findings: Mapping[str, tuple[StoredFinding, ...]]) -> DemoReport:
    outcomes = {
        one.posted.sample_id: SampleOutcome(
            sample_id=one.posted.sample_id, stage="committed", revision=1,
            findings=findings.get(one.posted.sample_id, ()), verdicts=(("rex", Verdict.FIX),),
        )
        for one in planned
    }  # fmt: skip
    return build_report(planned, outcomes, lineage_verified=True, audit_verified=True, faults=(), seconds=1.0)


def test_a_finding_of_the_expected_kind_counts_as_found() -> None:
    report = _report([_planned("a", fault=True)], {"a": (_found("a", "speech_untranscribed"),)})

    assert (report.injected, report.found, report.false_alarms) == (1, 1, 0)
    assert report.findings == {"audio_transcript": {"speech_untranscribed": 1}}


def test_a_finding_of_another_kind_does_not_count_as_found_and_is_a_false_alarm() -> None:
    report = _report([_planned("a", fault=True)], {"a": (_found("a", "offset"),)})

    assert (report.found, report.false_alarms) == (0, 1)


def test_a_finding_of_the_expected_kind_elsewhere_finds_nothing_and_is_a_false_alarm() -> None:
    report = _report([_planned("a", fault=True)], {"a": (_found("a", "speech_untranscribed", annotations=("s7",)),)})

    assert (report.found, report.false_alarms) == (0, 1)


def test_what_was_lost_is_found_where_it_was() -> None:
    there, elsewhere = (4.5, 5.5), (9.0, 10.0)
    injection = replace(_INJECTION, interval_s=(4.0, 6.0))
    finding = _found("a", "speech_untranscribed").finding

    assert injection.is_named_by(finding.model_copy(update={"interval_s": there}))
    assert not injection.is_named_by(finding.model_copy(update={"interval_s": elsewhere}))


def test_a_finding_that_quotes_brackets_is_printed_as_it_is() -> None:
    text = io.StringIO()
    found = _found("a", "speech_untranscribed")
    said = found.finding.model_copy(update={"message": "The text is '[/noise]'."})
    show(_report([_planned("a", fault=True)], {"a": (found.model_copy(update={"finding": said}),)}), Console(file=text))

    assert "[/noise]" in text.getvalue()


def test_a_grave_finding_on_a_clean_sample_is_a_false_alarm_and_a_minor_one_is_not() -> None:
    findings = {"a": (_found("a", "offset"),), "b": (_found("b", "offset", "minor"),)}
    report = _report([_planned("a", fault=False), _planned("b", fault=False)], findings)

    assert (report.injected, report.false_alarms) == (0, 1)


def test_the_printed_report_names_what_was_found_decided_and_verified() -> None:
    text = io.StringIO()
    report = _report([_planned("a", fault=True)], {"a": (_found("a", "speech_untranscribed"),)})
    show(report, Console(file=text, width=200))

    for words in ("speech_untranscribed in a", "rex: fix", "1 committed", "1, of which 1 found", "verified"):
        assert words in text.getvalue()
