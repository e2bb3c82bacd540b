"""What verdicts on findings say about the thresholds these were made with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.contracts.feedback import ThresholdAdvice
from services.contracts.findings import Finding, Measured, RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, FindingResolution, TaskKind, Verdict
from services.feedback import thresholds
from services.feedback.thresholds import Ruling, ThresholdTally, ruling_on

REF = RevisionRef(project="p", sample_id="s", revision=1)


def finding(value: float | None, threshold: float | None = 10.0, name: str = "f-1") -> Finding:
    return Finding(
        finding_id=name, check="lidar_camera", kind="offset", severity="major", message="It is off.",
        measured=None if value is None else Measured(value=value, unit="px", threshold=threshold),
        rule=RuleReference(id="default", version=1),
    )  # fmt: skip


def decision(number: int, verdict: Verdict, **given: Any) -> Decision:
    return Decision(
        decision_id=UUID(int=number), task_id=UUID(int=100 + number), ref=REF, task_kind=TaskKind.REVIEW,
        actor_id="rita", verdict=verdict, fence=1, label_version_before=1, label_version_after=1,
        content_sha256="0" * 64, decided_at=datetime(2026, 3, 1, tzinfo=UTC), finding_ids=("f-1",), **given,
    )  # fmt: skip


def advice_of(found: list[tuple[float, Ruling]], target: float = 0.5, threshold: float = 10.0) -> ThresholdAdvice:
    tally = ThresholdTally()
    for value, ruling in found:
        tally.add(finding(value, threshold), ruling)
    (advice,) = tally.finish(target)
    return advice


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], None),
        ([Verdict.FIX], "right"),
        ([Verdict.REJECT], "right"),
        ([Verdict.APPROVE], "wrong"),
        ([Verdict.ACCEPT_CONFLICT], "accepted"),
        ([Verdict.ESCALATE], None),
        ([Verdict.DISCARD], None),
        ([Verdict.FIX, Verdict.APPROVE], "wrong"),
        ([Verdict.ESCALATE, Verdict.FIX], "right"),
        ([Verdict.FIX, Verdict.ESCALATE], "right"),
    ],
)
def test_the_last_verdict_counts(verdicts: list[Verdict], expected: Ruling | None) -> None:
    decisions = [decision(number, verdict) for number, verdict in enumerate(verdicts, start=1)]
    assert ruling_on("f-1", decisions) == expected
    assert ruling_on("f-2", decisions) is None


def test_a_finding_may_be_judged_otherwise_than_by_the_verdict() -> None:
    own = (FindingResolution(finding_id="f-1", verdict=Verdict.APPROVE),)
    assert ruling_on("f-1", [decision(1, Verdict.FIX, resolutions=own)]) == "wrong"


def test_the_loosest_threshold_that_reaches_the_target_is_suggested() -> None:
    found: list[tuple[float, Ruling]] = [(10.0 + step, "wrong") for step in range(10)]
    found += [(20.0 + step, "right") for step in range(10)]
    advice = advice_of(found)
    assert (advice.direction, advice.judged, advice.right, advice.present) == ("above", 20, 10, 10.0)
    assert (advice.reason, advice.suggested) == ("tighten", 18.0)
    chosen = next(point for point in advice.points if point.threshold == advice.suggested)
    assert (chosen.kept, chosen.right, chosen.recall.value) == (12, 10, 1.0)
    assert chosen.precision.low >= 0.5
    before = advice.points[advice.points.index(chosen) - 1]
    assert before.precision.low < 0.5
    assert advice.points[0].model_dump(include={"threshold", "kept", "right"}) == {
        "threshold": 10.0, "kept": 20, "right": 10,
    }  # fmt: skip


def test_below_a_threshold_tighter_is_less() -> None:
    found: list[tuple[float, Ruling]] = [(0.4, "wrong") for _ in range(5)]
    found += [(0.2, "right") for _ in range(8)]
    advice = advice_of(found, 0.6, 0.5)
    assert (advice.direction, advice.reason, advice.suggested) == ("below", "tighten", 0.2)
    assert [point.threshold for point in advice.points] == [0.5, 0.4, 0.2]


def test_a_threshold_that_is_good_enough_is_kept_and_too_few_verdicts_reach_nothing() -> None:
    assert advice_of([(12.0, "right")] * 50, 0.9).reason == "keep"
    few = advice_of([(12.0, "right")] * 3, 0.9)
    assert (few.reason, few.suggested) == ("out_of_reach", None)


def test_only_the_tightest_threshold_that_findings_were_made_with_is_judged() -> None:
    tally = ThresholdTally()
    for value, threshold in ((6.0, 5.0), (12.0, 5.0), (11.0, 10.0)):
        tally.add(finding(value, threshold), "right")
    (advice,) = tally.finish(0.1)
    assert (advice.present, advice.loosest, advice.judged) == (10.0, 5.0, 3)
    assert advice.points[0].kept == 2


def test_what_has_no_number_or_no_verdict_is_in_no_share() -> None:
    tally = ThresholdTally()
    tally.add(finding(None), "right")
    tally.add(finding(12.0, None), "right")
    tally.add(finding(12.0), "accepted")
    assert tally.finish(0.5) == ()
    tally.add(finding(13.0), "wrong")
    (advice,) = tally.finish(0.5)
    assert (advice.judged, advice.accepted) == (1, 1)


def test_no_more_is_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "MAX_HELD", 2)
    advice = advice_of([(12.0, "right"), (13.0, "right"), (14.0, "wrong")])
    assert (advice.judged, advice.left_out) == (2, 1)


def test_many_values_make_few_points() -> None:
    advice = advice_of([(10.0 + step, "right") for step in range(1000)])
    assert len(advice.points) <= 21


def test_a_signed_number_is_judged_by_its_size() -> None:
    found: list[tuple[float, Ruling]] = [(-12.0, "wrong"), (11.0, "wrong"), (-30.0, "right"), (40.0, "right")]
    advice = advice_of(found, 0.3)
    assert (advice.direction, advice.judged, advice.present, advice.suggested) == ("either_side", 4, 10.0, 30.0)
    # An agreement may be negative and is nevertheless a number that is too small.
    assert advice_of([(-0.2, "right"), (0.3, "right")], threshold=0.7).direction == "below"


def test_on_the_threshold_a_finding_is_of_the_side_of_the_others() -> None:
    assert advice_of([(10.0, "right"), (9.0, "right")]).direction == "below"
    assert advice_of([(10.0, "right"), (11.0, "right")]).direction == "above"
    assert advice_of([(10.0, "right")]).direction == "above"
    tally = ThresholdTally()
    for value in (9.0, 10.0, 11.0):
        tally.add(finding(value), "right")
    assert [(one.direction, one.judged) for one in tally.finish(0.5)] == [("above", 2), ("below", 1)]


def test_a_threshold_that_is_a_fact_of_each_sample_is_named_and_not_judged() -> None:
    tally = ThresholdTally()
    for number in range(thresholds.MAX_THRESHOLDS):
        tally.add(finding(number + 1.0, float(number)), "right")
    assert tally.varying() == ()
    assert len(tally.finish(0.5)) == 1
    for rate in (50.0, 60.0):
        tally.add(finding(rate + 1.0, rate), "right")
    assert tally.varying() == ("lidar_camera/offset",)
    assert tally.finish(0.5) == ()
