"""What differs between two rule sets, counted."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.agreement.intervals import wilson_interval
from services.contracts.findings import CheckReport, Finding, RuleReference, Severity
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import Decision, FindingResolution, TaskKind, Verdict
from services.contracts.rule_changes import DryRunRequest, PlannedTask, SampleTrial, Truth
from services.rule_changes.comparing import (
    count_blocking,
    count_same,
    dry_run_counts,
    finding_changes,
    judged_findings,
    kind_accuracies,
    queue_changes,
    truths,
)
from services.rules.rule_set import DEFAULT_RULE_SET

OLD = DEFAULT_RULE_SET
STRICT = OLD.model_copy(update={"version": 2, "blocking_severity": "minor"})
REF = RevisionRef(project="p", sample_id="s", revision=1)


def finding(name: str, severity: Severity = "major", explains: tuple[str, ...] = ()) -> Finding:
    return Finding(
        finding_id=name, check="clock", kind="late", severity=severity, message=name, rule=OLD.reference,
        explains=explains,
    )  # fmt: skip


def report(*findings: Finding, folded: tuple[Finding, ...] = ()) -> CheckReport:
    return CheckReport(rule=OLD.reference, findings=findings, folded=folded)


def decision(verdict: Verdict, *names: str, resolutions: tuple[FindingResolution, ...] | None = None) -> Decision:
    return Decision(
        decision_id=uuid4(), task_id=uuid4(), ref=REF, task_kind=TaskKind.REVIEW, actor_id="ann", verdict=verdict,
        finding_ids=names, resolutions=resolutions, fence=1, label_version_before=1, label_version_after=1,
        content_sha256="0" * 64, decided_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def trial(**changes: object) -> SampleTrial:
    told = {"ref": REF, "stage": Stage.COMMITTED, "risk": "low", "label_version": 1, "rule_before": OLD.reference}
    return SampleTrial.model_validate({**told, "rechecked": False, **changes})


def test_findings_appear_disappear_are_folded_and_change_their_severity() -> None:
    before = report(finding("same"), finding("gone"), finding("symptom"), finding("graver", "minor"))
    after = report(
        finding("same"), finding("new", "minor"), finding("graver"), finding("cause", explains=("symptom",)),
        folded=(finding("symptom"),),
    )  # fmt: skip
    changes = {change.finding_id: change for change in finding_changes(before, after, OLD, STRICT)}
    assert {name: (c.before, c.after, c.folded) for name, c in changes.items()} == {
        "cause": (None, "major", False),
        "gone": ("major", None, False),
        "graver": ("minor", "major", False),
        "new": (None, "minor", False),
        "symptom": ("major", None, True),
    }
    assert (changes["new"].blocks_before, changes["new"].blocks_after) == (False, True), "minor blocks by the new rules"
    assert (changes["graver"].blocks_before, changes["graver"].blocks_after) == (False, True)
    assert count_same(before, after) == 1
    assert (count_blocking(before, OLD), count_blocking(after, STRICT)) == (3, 4)
    assert finding_changes(before, before, OLD, OLD) == ()


def test_the_last_judgement_of_a_finding_counts_and_handing_on_is_none() -> None:
    accepted = FindingResolution(finding_id="c", verdict=Verdict.ACCEPT_CONFLICT, reason_code="occlusion")
    judged = truths(
        [
            decision(Verdict.APPROVE, "a", "b"),
            decision(Verdict.ESCALATE, "a", "d"),
            decision(Verdict.FIX, "a", "c", resolutions=(accepted,)),
            decision(Verdict.REJECT, "e"),
        ]
    )
    assert judged == {"a": "true", "b": "false", "c": "exempt", "e": "true"}


def test_precision_and_recall_by_what_people_decided() -> None:
    names = ("hit", "missed", "noise", "quiet", "kept")
    said: dict[str, Truth] = dict(zip(names, ("true", "true", "false", "false", "exempt"), strict=True))
    known = [finding(name) for name in names]
    before = report(*known)
    # One true finding is below what blocks, one false one is not found, and a cause explains the other true one.
    after = report(
        finding("cause", explains=("hit",)), finding("missed", "minor"), finding("noise"), folded=(finding("hit"),)
    )
    judged = judged_findings(known, said, before, after, OLD, OLD)
    assert {item.finding_id for item in judged if item.after} == {"hit", "noise"}
    (kind,) = kind_accuracies([trial(judged=judged)])
    assert (kind.true, kind.false, kind.exempt) == (2, 2, 1)
    assert kind.before.precision is not None
    assert kind.before.recall is not None
    assert (kind.before.precision.hits, kind.before.precision.of, kind.before.recall.value) == (2, 4, 1.0)
    assert kind.after.precision is not None
    assert kind.after.recall is not None
    assert (kind.after.precision.hits, kind.after.precision.of) == (1, 2)
    assert (kind.after.recall.hits, kind.after.recall.of) == (1, 2)
    assert (kind.after.recall.low, kind.after.recall.high) == wilson_interval(1, 2)


def test_a_share_of_nothing_is_none() -> None:
    (kind,) = kind_accuracies(
        [trial(judged=judged_findings([finding("x")], {"x": "exempt"}, report(), report(), OLD, OLD))]
    )
    assert (kind.before.precision, kind.before.recall, kind.after.precision) == (None, None, None)


def test_hours_are_of_queues_that_were_measured_and_of_no_others() -> None:
    review, expert = (
        PlannedTask(queue="words", kind=TaskKind.REVIEW, finding_ids=("a",)),
        PlannedTask(queue="words.expert", kind=TaskKind.ADJUDICATE, finding_ids=("a",)),
    )
    trials = [
        trial(tasks_before=(review,), tasks_after=(expert,)),
        trial(tasks_before=(review,), tasks_after=()),
        trial(tasks_before=(review,), tasks_after=(review,)),
    ]
    queues = queue_changes(trials, {("words", "review"): 900.0})
    told = [(queue.queue, queue.before, queue.after, queue.hours) for queue in queues]
    assert told == [("words", 3, 1, -0.5), ("words.expert", 0, 1, None)]
    counts = dry_run_counts(trials, queues, skipped=1)
    assert (counts.samples, counts.skipped, counts.differ) == (3, 1, 2)
    assert (counts.tasks_before, counts.tasks_after) == (3, 2)
    assert (counts.escalations_before, counts.escalations_after) == (0, 1)
    assert (counts.hours, counts.tasks_not_measured) == (-0.5, 1)
    assert dry_run_counts([], [], skipped=0).hours is None


def test_a_dry_run_names_one_rule_set() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        DryRunRequest()
    with pytest.raises(ValueError, match="one of the two"):
        DryRunRequest(rules=OLD, rule_set=RuleReference(id="a", version=1))
