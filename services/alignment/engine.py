"""Run every enabled check over one sample and put what they say into one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.alignment.affect_agreement import check_affect_agreement
from services.alignment.answer_agreement import check_answer_agreement
from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.clock import check_clock
from services.alignment.context_gate import check_context_gate
from services.alignment.coverage import check_coverage
from services.alignment.definition_drift import check_definition_drift
from services.alignment.event_structure import check_event_structure
from services.alignment.lidar_camera import check_lidar_camera
from services.alignment.metadata_source import check_metadata_source
from services.alignment.record_agreement import check_record_agreement
from services.alignment.sample import CheckOutcome, CheckSample
from services.alignment.taxonomy_conformance import check_taxonomy_conformance
from services.alignment.text_visual import check_text_visual
from services.alignment.track_identity import check_track_identity
from services.contracts.findings import SEVERITY_ORDER, CheckReport, Finding, NotApplicable
from services.rules.rule_set import RuleSet

Check = Callable[[CheckSample, RuleSet], CheckOutcome]
"""One check: a pure, deterministic function of a sample and a rule set."""

CHECKS: Mapping[str, Check] = {
    "affect_agreement": check_affect_agreement,
    "answer_agreement": check_answer_agreement,
    "audio_transcript": check_audio_transcript,
    "clock": check_clock,
    "context_gate": check_context_gate,
    "coverage": check_coverage,
    "definition_drift": check_definition_drift,
    "event_structure": check_event_structure,
    "lidar_camera": check_lidar_camera,
    "metadata_source": check_metadata_source,
    "record_agreement": check_record_agreement,
    "taxonomy_conformance": check_taxonomy_conformance,
    "text_visual": check_text_visual,
    "track_identity": check_track_identity,
}


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return (-SEVERITY_ORDER[finding.severity], finding.check, finding.kind, finding.finding_id)


def run_checks(sample: CheckSample, rules: RuleSet, checks: Mapping[str, Check] = CHECKS) -> CheckReport:
    """Return the report of all ``checks``: gravest first, in an order that does not depend on the input's.

    Args:
        sample: The sample with its decoded assets.
        rules: Thresholds and exemptions; a check whose section is missing or disabled is not run.
        checks: Check functions by id.
    """
    findings: dict[str, Finding] = {}
    folded: dict[str, Finding] = {}
    not_applicable: list[NotApplicable] = []
    for name in sorted(checks):
        if name in RuleSet.model_fields and getattr(rules, name) is None:
            continue  # the rule set was written before this check, or does not ask for it
        section = getattr(rules, name, None)
        if section is not None and not section.enabled:
            not_applicable.append(NotApplicable(check=name, reason="the rule set disables this check"))
            continue
        outcome = checks[name](sample, rules)
        findings.update((finding.finding_id, finding) for finding in outcome.findings)
        folded.update((finding.finding_id, finding) for finding in outcome.folded)
        not_applicable.extend(outcome.not_applicable)
    return CheckReport(
        rule=rules.reference,
        findings=tuple(sorted(findings.values(), key=_order)),
        folded=tuple(sorted(folded.values(), key=_order)),
        not_applicable=tuple(not_applicable),
    )
