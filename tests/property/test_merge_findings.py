"""What a check run means for known findings: idempotent, independent of order, and never a silent pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.findings import CheckReport, Finding, NotApplicable, Severity
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import FindingState, StoredFinding
from services.lifecycle.merge import merge_findings
from services.review.authorship import concerned_sha256
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

REF = RevisionRef(project="p", sample_id="s", revision=1)
THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)
NAMES = ("f-1", "f-2", "f-3", "f-4")
DECISION = UUID(int=7)
CLOSED = (FindingState.DISMISSED, FindingState.ACCEPTED)


def a_label(number: int, word: str = "yes") -> Intent:
    return Intent(id=f"a{number}", type="intent", stream="note", label=word)


LABELS = tuple(a_label(number) for number in range(1, 5))


def a_finding(name: str, severity: Severity = "major", *, check: str = "wording", named: bool = True) -> Finding:
    return Finding(
        finding_id=name,
        check=check,
        kind="wrong_word",
        severity=severity,
        message="It says the wrong thing.",
        streams=("note",),
        annotations=(f"a{name[-1]}",) if named else (),
        rule=DEFAULT_RULE_SET.reference,
    )


def a_stored(finding: Finding, state: FindingState, *, changed: bool = False) -> StoredFinding:
    judged = (a_label(int(finding.finding_id[-1]), "before"),) if changed else LABELS
    closed = state in (*CLOSED, FindingState.FIXED)
    return StoredFinding(
        ref=REF,
        finding=finding,
        state=state,
        blocking=state is not FindingState.NOTED,
        labels_sha256=concerned_sha256(finding, judged),
        label_version=1,
        decision_id=DECISION if closed else None,
        fixed_by_label_version=2 if state is FindingState.FIXED else None,
        found_at=THEN,
        updated_at=THEN,
    )


def merged(
    stored: tuple[StoredFinding, ...], report: CheckReport, rules: RuleSet = DEFAULT_RULE_SET, version: int = 2
) -> tuple[StoredFinding, ...]:
    return merge_findings(
        stored,
        report,
        ref=REF,
        rules=rules,
        annotations=LABELS,
        label_version=version,
        now=NOW,
        decision_of_version={2: DECISION},
    )


def a_report(*findings: Finding, folded: tuple[Finding, ...] = (), skipped: tuple[str, ...] = ()) -> CheckReport:
    return CheckReport(
        rule=DEFAULT_RULE_SET.reference,
        findings=findings,
        folded=folded,
        not_applicable=tuple(NotApplicable(check=check, reason="no input") for check in skipped),
    )


severities: st.SearchStrategy[Severity] = st.sampled_from(["info", "minor", "major", "critical"])
findings = st.builds(
    a_finding,
    st.sampled_from(NAMES),
    severities,
    check=st.sampled_from(["wording", "context_gate"]),
    named=st.booleans(),
)
stored_findings = st.lists(
    st.builds(a_stored, findings, st.sampled_from(list(FindingState)), changed=st.booleans()),
    unique_by=lambda item: item.finding.finding_id,
)
reports = st.builds(
    lambda found, folded, skipped: a_report(*found, folded=tuple(folded), skipped=tuple(skipped)),
    st.lists(findings, unique_by=lambda item: item.finding_id),
    st.lists(findings, unique_by=lambda item: item.finding_id),
    st.lists(st.sampled_from(["wording", "context_gate"]), unique=True),
)


@given(stored_findings, reports)
def test_merging_the_same_report_again_changes_nothing(stored: list[StoredFinding], report: CheckReport) -> None:
    once = merged(tuple(stored), report)
    assert merged(once, report) == once


@given(stored_findings, reports, st.randoms(use_true_random=False))
def test_order_does_not_matter(stored: list[StoredFinding], report: CheckReport, random: Random) -> None:
    shuffled, found = list(stored), list(report.findings)
    random.shuffle(shuffled)
    random.shuffle(found)
    again = merged(tuple(shuffled), report.model_copy(update={"findings": tuple(found)}))
    assert again == merged(tuple(stored), report)


@given(stored_findings, reports)
def test_nothing_is_forgotten_and_nothing_blocking_is_passed_over(
    stored: list[StoredFinding], report: CheckReport
) -> None:
    before = {item.finding.finding_id: item for item in stored}
    after = {item.finding.finding_id: item for item in merged(tuple(stored), report)}
    assert after.keys() == before.keys() | {finding.finding_id for finding in report.findings}
    for finding in report.findings:
        item = after[finding.finding_id]
        assert item.finding == finding
        assert item.state in (FindingState.OPEN, FindingState.NOTED, *CLOSED)
        if item.state in CLOSED:
            assert before[finding.finding_id].state is item.state
            assert before[finding.finding_id].labels_sha256 == item.labels_sha256
        else:
            assert (item.state is FindingState.OPEN) == DEFAULT_RULE_SET.blocks(finding) == item.blocking
    assert all(item.state is not FindingState.FIXED for item in after.values())


@given(stored_findings, reports)
def test_finding_that_does_not_change_keeps_its_time(stored: list[StoredFinding], report: CheckReport) -> None:
    before = {item.finding.finding_id: item for item in stored}
    for item in merged(tuple(stored), report):
        known = before.get(item.finding.finding_id)
        assert item.updated_at == (THEN if known == item else NOW)
        assert item.found_at == (NOW if known is None else THEN)


def test_new_finding_is_open_or_noted_by_its_severity() -> None:
    grave, slight = merged((), a_report(a_finding("f-1"), a_finding("f-2", "minor")))
    assert (grave.state, grave.blocking) == (FindingState.OPEN, True)
    assert (slight.state, slight.blocking) == (FindingState.NOTED, False)


def test_fixed_finding_found_again_is_open_again_and_otherwise_resolved_with_its_fix() -> None:
    stored = (a_stored(a_finding("f-1"), FindingState.FIXED), a_stored(a_finding("f-2"), FindingState.FIXED))
    again, gone = merged(stored, a_report(a_finding("f-1")))
    assert (again.state, again.decision_id, again.fixed_by_label_version) == (FindingState.OPEN, None, None)
    assert (gone.state, gone.decision_id, gone.fixed_by_label_version) == (FindingState.RESOLVED, DECISION, 2)


def test_judged_finding_stays_closed_until_a_label_of_it_changes() -> None:
    stored = (
        a_stored(a_finding("f-1"), FindingState.ACCEPTED),
        a_stored(a_finding("f-2"), FindingState.DISMISSED, changed=True),
    )
    same, changed = merged(stored, a_report(a_finding("f-1"), a_finding("f-2")))
    assert (same.state, same.decision_id) == (FindingState.ACCEPTED, DECISION)
    assert (changed.state, changed.decision_id) == (FindingState.OPEN, None)


def test_judged_finding_without_labels_of_its_own_is_about_its_whole_stream() -> None:
    offset = a_finding("f-1", named=False)
    stored = a_stored(offset, FindingState.ACCEPTED)
    assert merged((stored,), a_report(offset))[0].state is FindingState.ACCEPTED
    (other,) = merge_findings(
        (stored,),
        a_report(offset),
        ref=REF,
        rules=DEFAULT_RULE_SET,
        annotations=(*LABELS[1:], a_label(1, "no")),
        label_version=3,
        now=NOW,
    )
    assert other.state is FindingState.OPEN


def test_open_finding_that_another_fix_took_along_is_linked_to_it() -> None:
    (item,) = merged((a_stored(a_finding("f-1"), FindingState.OPEN),), a_report())
    assert (item.state, item.fixed_by_label_version, item.decision_id) == (FindingState.RESOLVED, 2, DECISION)


def test_open_finding_gone_without_new_labels_claims_no_fix() -> None:
    (item,) = merged((a_stored(a_finding("f-1"), FindingState.OPEN),), a_report(), version=1)
    assert (item.state, item.fixed_by_label_version, item.decision_id) == (FindingState.RESOLVED, None, None)


def test_check_without_its_input_is_no_pass_but_a_disabled_one_asks_nobody() -> None:
    stored = (a_stored(a_finding("f-1", check="context_gate"), FindingState.OPEN),)
    report = a_report(skipped=("context_gate",))
    assert merged(stored, report)[0].state is FindingState.OPEN
    gate = DEFAULT_RULE_SET.context_gate.model_copy(update={"enabled": False})
    disabled = DEFAULT_RULE_SET.model_copy(update={"context_gate": gate})
    assert merged(stored, report, disabled)[0].state is FindingState.RESOLVED


def test_symptom_that_is_folded_under_a_cause_is_noted() -> None:
    stored = (a_stored(a_finding("f-1"), FindingState.OPEN),)
    cause = a_finding("f-2").model_copy(update={"explains": ("f-1",)})
    symptom, found = merged(stored, a_report(cause, folded=(a_finding("f-1"),)))
    assert (symptom.state, symptom.blocking) == (FindingState.NOTED, False)
    assert found.state is FindingState.OPEN
    (open_again, _) = merged((symptom, found), a_report(a_finding("f-1")))
    assert open_again.state is FindingState.OPEN


def test_finding_below_a_raised_blocking_severity_is_noted() -> None:
    lenient = DEFAULT_RULE_SET.model_copy(update={"blocking_severity": "critical"})
    (item,) = merged((a_stored(a_finding("f-1"), FindingState.OPEN),), a_report(a_finding("f-1")), lenient)
    assert (item.state, item.blocking) == (FindingState.NOTED, False)
