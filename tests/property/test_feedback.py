"""What must hold of model quality and thresholds whatever was predicted, committed and judged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.findings import Finding, Measured, RuleReference
from services.feedback.matching import outcomes_of
from services.feedback.models import QualityTally
from services.feedback.thresholds import ThresholdTally
from services.rules.consensus import ConsensusRules
from tests.review_world import box

_edge = st.integers(0, 12).map(float)
_labels = st.lists(
    st.tuples(_edge, _edge, st.sampled_from(["car", "van", "bus"]), st.booleans()), max_size=8
)  # fmt: skip


def _boxes(rows: list[tuple[float, float, str, bool]]) -> list[Annotation]:
    return [
        box(f"a{index}", box=(x, y, x + 10.0, y + 10.0), label=label, attributes={"parked": parked})
        for index, (x, y, label, parked) in enumerate(rows)
    ]


@given(_labels, _labels, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_every_prediction_and_every_label_has_one_outcome(
    said: list[tuple[float, float, str, bool]], truth: list[tuple[float, float, str, bool]], order: random.Random
) -> None:
    predicted, committed = _boxes(said), _boxes(truth)
    found = outcomes_of(predicted, committed, ConsensusRules())
    assert sorted(one.predicted.id for one in found if one.predicted) == sorted(label.id for label in predicted)
    assert sorted(one.committed.id for one in found if one.committed) == sorted(label.id for label in committed)
    shuffled = order.sample(predicted, len(predicted))
    again = outcomes_of(shuffled, order.sample(committed, len(committed)), ConsensusRules())
    assert [one.change for one in again] == [one.change for one in found]


@given(st.lists(st.tuples(_labels, _labels), max_size=6))
@settings(max_examples=30, deadline=None)
def test_counts_add_up_and_do_not_depend_on_the_order(
    samples: list[tuple[list[tuple[float, float, str, bool]], list[tuple[float, float, str, bool]]]],
) -> None:
    tallies = QualityTally(), QualityTally()
    for said, truth in samples:
        tallies[0].add([(("m", "1"), _boxes(said))], _boxes(truth))
    for said, truth in reversed(samples):
        tallies[1].add([(("m", "1"), _boxes(said))], _boxes(truth))
    one, other = (tally.classes() for tally in tallies)
    for row, same in zip(one, other, strict=True):
        assert row.mean_closeness == pytest.approx(same.mean_closeness)
        assert row.model_copy(update={"mean_closeness": None}) == same.model_copy(update={"mean_closeness": None})
    rows = [row for row in one if row.scope == "class"]
    if rows:
        assert sum(row.predictions for row in rows) == sum(len(said) for said, _ in samples)
        assert sum(row.truth for row in rows) == sum(len(truth) for _, truth in samples)
        # Each prediction that was committed as another class is of a label that was taken for another.
        assert sum(row.corrected_class for row in rows) == sum(row.taken_for_another for row in rows)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.2, 0.5, 0.9]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_a_tighter_threshold_keeps_less_and_the_suggestion_reaches_the_target(
    judged: list[tuple[int, bool]], target: float, order: random.Random
) -> None:
    def report(rows: list[tuple[int, bool]]) -> ThresholdTally:
        tally = ThresholdTally()
        for index, (value, right) in enumerate(rows):
            finding = Finding(
                finding_id=f"f-{index}", check="c", kind="k", severity="minor", message="It is off.",
                measured=Measured(value=10 + value, unit="px", threshold=10), rule=RuleReference(id="r", version=1),
            )  # fmt: skip
            tally.add(finding, "right" if right else "wrong")
        return tally

    (advice,) = report(judged).finish(target)
    assert report(order.sample(judged, len(judged))).finish(target) == (advice,)
    assert advice.points[0].kept == len(judged)
    for looser, tighter in zip(advice.points, advice.points[1:], strict=False):
        assert looser.threshold < tighter.threshold
        assert looser.kept >= tighter.kept
        assert looser.right >= tighter.right
    for point in advice.points:
        assert point.kept == sum(10 + value >= point.threshold for value, _ in judged)
    reached = [point for point in advice.points if point.precision.low >= target]
    assert advice.suggested == (reached[0].threshold if reached else None)
