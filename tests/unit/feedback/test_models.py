"""What became of predictions, and the numbers that are made of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from services.contracts.annotations import Annotation
from services.contracts.feedback import ClassQuality
from services.feedback.matching import outcomes_of
from services.feedback.models import QualityTally, share_of
from services.rules.consensus import ConsensusRules
from tests.label_examples import LABEL_EXAMPLES
from tests.review_world import box

LABEL: TypeAdapter[Annotation] = TypeAdapter(Annotation)
RULES = ConsensusRules()
MODEL = ("detector", "1")


def wide(name: str, left: float, **changes: Any) -> Annotation:
    """A box of 10 by 10 pixels."""
    return box(name, box=(left, 0.0, left + 10.0, 10.0), **changes)


def changes_of(predicted: list[Annotation], committed: list[Annotation]) -> list[str | None]:
    return sorted((one.change for one in outcomes_of(predicted, committed, RULES)), key=str)


@pytest.mark.parametrize(
    ("committed", "expected"),
    [
        ([wide("t", 0.0)], [None]),
        ([wide("t", 0.0, confidence=0.3, taxonomy_version="2")], [None]),
        ([wide("t", 1.0)], ["geometry"]),
        ([wide("t", 0.0, label="van")], ["class"]),
        ([wide("t", 1.0, label="van")], ["class"]),
        ([wide("t", 0.0, attributes={"parked": True})], ["attributes"]),
        ([wide("t", 0.0, object_id="car-7")], ["attributes"]),
        ([], ["removed"]),
        ([wide("t", 8.0)], ["missed", "removed"]),
        ([wide("t", 0.0, frame=1)], ["missed", "removed"]),
        ([wide("t", 0.0, ignore=True)], []),
        ([wide("t", 0.0), wide("u", 50.0, ignore=True)], [None]),
    ],
)
def test_what_became_of_one_prediction(committed: list[Annotation], expected: list[str | None]) -> None:
    assert changes_of([wide("p", 0.0)], committed) == expected


@pytest.mark.parametrize("name", sorted(LABEL_EXAMPLES))
def test_a_label_of_any_kind_that_was_committed_as_predicted_is_confirmed(name: str) -> None:
    label = LABEL.validate_python(LABEL_EXAMPLES[name])
    expected = [] if label.type == "relation" else [None]
    assert changes_of([label], [label.model_copy(update={"id": "other"})]) == expected


def test_a_thing_that_was_predicted_twice_is_found_once() -> None:
    assert changes_of([wide("p", 0.0), wide("q", 0.0), wide("r", 0.01)], [wide("t", 0.0)]) == [
        None,
        "removed",
        "removed",
    ]


def test_things_that_almost_cover_each_other_are_each_found() -> None:
    near = [wide("p", 0.0), wide("q", 0.1)]
    assert changes_of(near, near) == [None, None]


def of_class(tally: QualityTally, label: str, scope: str = "class") -> ClassQuality:
    (found,) = [one for one in tally.classes() if one.label == label and one.scope == scope]
    return found


def test_precision_and_recall_of_a_class() -> None:
    tally = QualityTally()
    said = [wide("a", 0.0), wide("b", 20.0), wide("c", 40.0), wide("d", 60.0)]
    truth = [wide("a", 0.0), wide("b", 21.0), wide("c", 40.0, label="van"), wide("m", 90.0)]
    tally.add([(MODEL, said)], truth)
    car, van, whole = of_class(tally, "car"), of_class(tally, "van"), of_class(tally, "all", "kind")
    assert (car.predictions, car.confirmed, car.corrected_geometry, car.corrected_class, car.removed) == (4, 1, 1, 1, 1)
    assert (car.truth, car.missed, car.precision.value, car.recall.value) == (3, 1, 0.5, 2 / 3)
    assert car.mean_closeness == pytest.approx((1.0 + 90 / 110) / 2)
    assert (van.predictions, van.truth, van.taken_for_another, van.recall.value) == (0, 1, 1, 0.0)
    assert van.precision.value is None
    assert (whole.predictions, whole.truth, whole.found) == (4, 4, 2)


def test_a_kind_that_a_model_never_predicts_is_not_missed() -> None:
    tally = QualityTally()
    spoken = LABEL.validate_python(LABEL_EXAMPLES["transcript_segment"])
    tally.add([(MODEL, [wide("a", 0.0)])], [wide("a", 0.0), spoken])
    tally.add([(MODEL, [])], [wide("a", 0.0)])
    assert {one.kind for one in tally.classes()} == {"box"}
    assert of_class(tally, "car").missed == 1


def test_each_version_of_a_model_has_its_own_numbers() -> None:
    tally = QualityTally()
    tally.add([(("m", "1"), [wide("a", 0.0)]), (("m", "2"), [wide("a", 5.0)]), (("m", None), [])], [wide("a", 0.0)])
    found = [(one.version, one.precision.value) for one in tally.classes() if one.scope == "class"]
    assert found == [("1", 1.0), ("2", 0.0)]


def test_what_is_compared_with_nothing_is_counted_and_is_in_no_share() -> None:
    tally = QualityTally()
    for why in ("unpredicted", "unjudged", "erased"):
        tally.skip(why, [wide("a", 0.0)])
    found = tally.finish("p")
    assert (found.records, found.unpredicted, found.unjudged, found.erased, found.models) == (0, 1, 1, 1, ())
    assert tally.truth == {("box", "car"): 3}


def test_the_interval_of_a_share_holds_it_and_nothing_tried_tells_nothing() -> None:
    assert share_of(0, 0).model_dump() == {"value": None, "low": 0.0, "high": 1.0, "of": 0}
    for hits, trials in ((0, 3), (2, 3), (3, 3), (999, 1000)):
        share = share_of(hits, trials)
        assert share.value is not None
        assert share.low <= share.value <= share.high
