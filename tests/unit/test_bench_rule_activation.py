"""What the benchmark of an activation is made of: its dictations, and what it takes for a proof."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest

from infra.bench.rule_activation.fill import (
    KINDS,
    PROJECT,
    is_asked,
    is_decided,
    is_still_asked,
    is_wrong,
    manifest_of,
    number_of,
    rules_after,
    rules_before,
    sample_id_of,
)
from infra.bench.rule_activation.prove import ActivationProof, Compared, Outcome, Seen
from services.alignment.engine import run_checks
from services.alignment.sample import CheckSample
from services.contracts.findings import CheckReport
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import CheckRun
from services.contracts.rule_changes import DryRunCounts, FindingChange, SampleTrial
from services.rules.rule_set import RuleSet

OLD, NEW = rules_before(), rules_after()
REF = RevisionRef(project=PROJECT, sample_id=sample_id_of(5), revision=1)


def report(number: int, rules: RuleSet) -> CheckReport:
    manifest = SampleManifest.model_validate(manifest_of(number))
    return run_checks(CheckSample(manifest=manifest, annotations=manifest.annotations), rules)


def test_the_second_rules_find_less_of_the_doses_and_the_sides_too() -> None:
    found = {
        number: [Counter(finding.severity for finding in report(number, rules).findings) for rules in (OLD, NEW)]
        for number in range(KINDS)
    }
    nothing, grave = Counter[str](), Counter({"critical": 1})
    assert all(found[number] == [nothing, nothing] for number in range(4))
    for number in (4, 5, 6):
        assert [sum(counts.values()) for counts in found[number]] == [1, 0]
    assert [sum(counts.values()) for counts in found[7]] == [1, 1]
    assert found[8] == [nothing, grave]
    assert [sum(counts.values()) for counts in found[9]] == [1, 2]
    assert [bool(found[number][0]) for number in range(KINDS)] == [is_asked(number) for number in range(KINDS)]


def test_people_decide_on_some_that_are_wrong_and_some_that_are_not() -> None:
    decided = [number for number in range(1_000) if is_decided(number)]
    assert all(is_asked(number) for number in decided)
    assert {number % KINDS for number in decided if is_still_asked(number)} == {7, 9}
    assert 20 < sum(map(is_wrong, decided)) < len(decided) - 20
    assert [number_of(sample_id_of(number)) for number in decided] == decided


def seen(stage: Stage, *reports: CheckReport) -> Seen:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    runs = tuple(
        CheckRun(
            run_id=UUID(int=place), ref=REF, label_version=1, rule=made.rule, rule_sha256="0" * 64, report=made,
            seconds=0.0, created_at=at,
        )
        for place, made in enumerate(reports)
    )  # fmt: skip
    return Seen(stage, runs, ())


def trial(*, rechecked: bool = True, changes: tuple[FindingChange, ...] = ()) -> SampleTrial:
    return SampleTrial(
        ref=REF, stage=Stage.IN_REVIEW, risk="low", label_version=1, rule_before=OLD.reference, rechecked=rechecked,
        changes=changes,
    )  # fmt: skip


def test_anything_that_was_not_said_is_noticed() -> None:
    before, after = report(5, OLD), report(5, NEW)
    (finding,) = before.findings
    gone = FindingChange(
        finding_id=finding.finding_id, check=finding.check, kind=finding.kind, before=finding.severity,
        blocks_before=True, blocks_after=False, message=finding.message,
    )  # fmt: skip
    was, now = seen(Stage.IN_REVIEW, before), seen(Stage.COMMITTED, before, after)
    assert Outcome(trial(changes=(gone,)), was, now).is_as_said
    assert not Outcome(trial(), was, now).is_as_said, "a finding went that should have stayed"
    assert not Outcome(trial(changes=(gone,)), was, was).is_as_said, "it was not checked again"
    assert not Outcome(trial(changes=(gone,)), was, seen(Stage.IN_REVIEW, before, after)).is_as_said
    assert Outcome(trial(rechecked=False), was, was).is_as_said
    assert not Outcome(trial(rechecked=False), was, now).is_as_said, "nothing was to happen to it"


@pytest.mark.parametrize(("said", "differing", "holds"), [(3, (), True), (2, (), False), (3, ("visit-1",), False)])
def test_a_proof_holds_where_all_numbers_and_all_samples_agree(
    said: int, differing: tuple[str, ...], holds: bool
) -> None:
    proof = ActivationProof(
        samples=3, decided=0, dry_run=DryRunCounts(), kinds=(), queues=(), differing=differing, calls=1,
        compared=(Compared(what="tasks", said=said, done=3),), fill_s=0, decide_s=0, dry_run_s=0, activation_s=0,
        longest_call_s=0, recheck_s=0,
    )  # fmt: skip
    assert proof.holds is holds
