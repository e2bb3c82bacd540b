from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.agreement.intervals import wilson_interval
from services.contracts.findings import Finding, RuleReference
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef
from services.contracts.quality import GoldAnswer
from services.contracts.review import Decision, FindingResolution, TaskKind, Verdict
from services.quality.report import QualityBuilder
from services.quality.scoring import JudgedSample, Scored, labels_agree, score_sample

REF = RevisionRef(project="p", sample_id="s-1", revision=1)
V = Verdict


def box(x_min: float = 10.0, label: str = "car", label_id: str = "a1") -> Box:
    return Box(id=label_id, type="box", stream="cam", label=label, frame=0, box=(x_min, 10.0, 50.0, 50.0))


def finding(name: str = "f-1", *annotations: str) -> Finding:
    return Finding(
        finding_id=name,
        check="lidar_camera",
        kind="low_overlap",
        severity="major",
        message="They do not overlap.",
        annotations=annotations or ("a1",),
        rule=RuleReference(id="default", version=1),
    )


def decision(number: int, actor: str, verdict: Verdict, kind: TaskKind = TaskKind.REVIEW, **given: Any) -> Decision:
    values: dict[str, Any] = {
        "decision_id": UUID(int=number),
        "task_id": UUID(int=100 + number),
        "ref": REF,
        "task_kind": kind,
        "actor_id": actor,
        "verdict": verdict,
        "finding_ids": ("f-1",),
        "fence": 1,
        "label_version_before": 1,
        "label_version_after": 1,
        "content_sha256": "ab" * 32,
        "decided_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number),
    }
    return Decision(**values | given)


def scored(*decisions: Decision, gold: GoldAnswer | None = None, **given: Any) -> list[Scored]:
    values: dict[str, Any] = {"findings": {"f-1": finding()}, "labels": {1: (box(),), 2: (box(20.0),)}}
    return list(score_sample(JudgedSample(decisions=decisions, gold=gold, **values | given)))


def expert(verdict: Verdict, number: int = 9, actor: str = "eva", **given: Any) -> Decision:
    return decision(number, actor, verdict, TaskKind.ADJUDICATE, **given)


@pytest.mark.parametrize(
    ("said", "later", "right"),
    [
        (V.APPROVE, V.APPROVE, True),
        (V.APPROVE, V.FIX, False),
        (V.APPROVE, V.REJECT, False),
        (V.APPROVE, V.DISCARD, False),
        (V.FIX, V.APPROVE, True),
        (V.FIX, V.FIX, False),
        (V.FIX, V.ACCEPT_CONFLICT, False),
        (V.ACCEPT_CONFLICT, V.ACCEPT_CONFLICT, True),
        (V.ACCEPT_CONFLICT, V.FIX, False),
    ],
)
def test_a_later_verdict_upholds_or_overturns(said: Verdict, later: Verdict, right: bool) -> None:
    (one,) = scored(decision(1, "rex", said), expert(later))
    assert (one.decision.actor_id, one.expected, one.right, one.reference) == ("rex", later, right, "later_verdict")
    assert one.classes == ("car",)


@pytest.mark.parametrize("said", [V.REJECT, V.ESCALATE])
def test_what_sends_on_is_not_judged_by_what_follows(said: Verdict) -> None:
    assert scored(decision(1, "rex", said), expert(V.APPROVE)) == []


def test_only_a_later_verdict_of_somebody_else_on_the_same_finding_counts() -> None:
    first = decision(5, "rex", V.APPROVE)
    assert scored(first) == []
    assert scored(expert(V.FIX, number=1), first) == [], "an earlier one"
    assert scored(first, expert(V.FIX, actor="rex")) == []
    assert scored(first, expert(V.FIX, finding_ids=("f-2",))) == []
    assert scored(first, decision(9, "ben", V.FIX)) == [], "a review is no reference"


@pytest.mark.parametrize("said", [V.APPROVE, V.FIX])
def test_a_higher_tier_overturns_the_experts_before_and_everybody_whom_they_upheld(said: Verdict) -> None:
    results = scored(decision(1, "rex", said), expert(V.APPROVE, 5, "eva"), expert(V.REJECT, 9, "max"))
    assert [(one.decision.actor_id, one.right, one.expected) for one in results] == [
        ("rex", False, V.REJECT),
        ("eva", False, V.REJECT),
    ]
    upheld = scored(decision(1, "rex", said), expert(V.APPROVE, 5, "eva"), expert(V.APPROVE, 9, "max"))
    assert [(one.decision.actor_id, one.right) for one in upheld] == [("rex", True), ("eva", True)]


def test_a_verdict_on_other_labels_of_the_finding_says_nothing_of_the_one_before() -> None:
    first = decision(1, "rex", V.APPROVE)
    assert scored(first, expert(V.FIX, label_version_before=2)) == []
    beside = {1: (box(),), 2: (box(), box(30.0, label_id="a2"))}
    (one,) = scored(first, expert(V.FIX, label_version_before=2), labels=beside)
    assert not one.right, "another label was changed"


def test_who_judges_a_sample_that_was_opened_again_overturns_what_was_said_before() -> None:
    first, eva = decision(1, "rex", V.APPROVE), expert(V.APPROVE, 2)
    ref = REF.model_copy(update={"revision": 2})

    def again(*decisions: Decision, labels: dict[int, Any] | None = None) -> list[tuple[str, bool]]:
        newer = JudgedSample(findings={"f-1": finding()}, decisions=decisions, labels=labels or {1: (box(),)})
        return [(one.decision.actor_id, one.right) for one in scored(first, eva, later=(newer,))]

    assert again() == [("rex", True)]
    fixed = decision(9, "ben", V.FIX, ref=ref)
    assert again(fixed) == [("rex", False), ("eva", False)]
    assert again(decision(9, "ben", V.APPROVE, ref=ref)) == [("rex", True), ("eva", True)]
    assert again(decision(9, "rex", V.FIX, ref=ref)) == [("rex", True), ("eva", False)], "their own is no reference"
    assert again(fixed, labels={1: (box(40.0),)}) == [("rex", True)], "the labels that came are others"


def test_what_is_said_about_one_finding_of_several_is_judged_by_itself() -> None:
    own = (FindingResolution(finding_id="f-2", verdict=V.ACCEPT_CONFLICT, reason_code="occlusion"),)
    both: dict[str, Any] = {"finding_ids": ("f-1", "f-2")}
    first = decision(1, "rex", V.FIX, resolutions=own, **both)
    findings = {"f-1": finding(), "f-2": finding("f-2")}
    result = scored(first, expert(V.APPROVE, **both), findings=findings)
    assert [(one.finding.finding_id, one.verdict, one.right) for one in result] == [
        ("f-1", V.FIX, True),
        ("f-2", V.ACCEPT_CONFLICT, False),
    ]


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (V.APPROVE, GoldAnswer(sample_id="s-1", verdict=V.APPROVE), True),
        (V.REJECT, GoldAnswer(sample_id="s-1", verdict=V.APPROVE), False),
        (V.REJECT, GoldAnswer(sample_id="s-1", verdict=V.REJECT), True),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX), True),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX, labels=(box(20.0),)), True),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX, labels=(box(21.5),), tolerance=2.0), True),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX, labels=(box(23.0),), tolerance=2.0), False),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX, labels=(box(20.0, "van"),), tolerance=2.0), False),
        (V.FIX, GoldAnswer(sample_id="s-1", verdict=V.FIX, labels=(box(label_id="gone"),)), False),
    ],
)
def test_a_known_answer_is_met_or_not(said: Verdict, answer: GoldAnswer, right: bool) -> None:
    after: dict[str, Any] = {"label_version_after": 2} if said is V.FIX else {}
    (one,) = scored(decision(1, "rex", said, **after), gold=answer)
    assert (one.right, one.expected, one.reference) == (right, answer.verdict, "gold")


def test_a_known_answer_goes_before_a_later_verdict_and_judges_experts_too() -> None:
    gold = GoldAnswer(sample_id="s-1", verdict=V.APPROVE)
    result = scored(decision(1, "rex", V.APPROVE), expert(V.REJECT), gold=gold)
    assert [(one.decision.actor_id, one.right) for one in result] == [("rex", True), ("eva", False)]
    assert scored(decision(1, "rex", V.ESCALATE), gold=gold) == []


def test_labels_agree_within_the_tolerance_whoever_made_them() -> None:
    assert labels_agree(box(10.0), box(11.0), 1.0)
    assert not labels_agree(box(10.0), box(11.1), 1.0)
    assert not labels_agree(box(), box(label="van"), 100.0)


def test_intervals_are_wilsons() -> None:
    # 81 of 263: the example worked out by R. G. Newcombe (1998), method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(20, 20)[1] == 1.0


def test_the_report_counts_by_person_check_and_class_and_names_who_is_below_the_bar() -> None:
    builder = QualityBuilder("p", bar=0.8, max_listed=2)
    for number in range(1, 13):
        builder.add(scored(decision(number, "rex", V.APPROVE), expert(V.FIX, number=50)), gold=False)
    builder.add(scored(decision(20, "ida", V.APPROVE), expert(V.FIX, number=50)), gold=False)
    builder.add((), gold=True)
    report = builder.finish()
    assert (report.samples, report.gold_samples, report.unlisted) == (14, 1, 11)
    assert [(one.actor_id, one.judged, one.right, one.below_bar) for one in report.people] == [
        ("ida", 1, 0, False),
        ("rex", 12, 0, True),
    ]
    assert [one.check for one in report.by_check] == ["lidar_camera/low_overlap"] * 2
    assert [one.label for one in report.by_label] == ["car"] * 2
    assert [one.decided_at.hour for one in report.wrong] == [20, 12], "the newest first"
