"""What several people say together, one situation a kind of label."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from services.alignment.matching import iou_pairs
from services.consensus.build import consensus
from services.consensus.places import cuboid_iou, median_angle
from services.consensus.regions import counts_of_runs, majority_runs, run_iou, runs_of_counts
from services.consensus.things import FAMILIES
from services.contracts.annotations import LABEL_KINDS, Annotation
from services.contracts.consensus import Answer, Consensus, ConsensusLabel
from services.contracts.labels_spatial import Cuboid
from services.rules.consensus import ConsensusRules
from tests.label_examples import LABEL_EXAMPLES

LABEL: TypeAdapter[Annotation] = TypeAdapter(Annotation)


def label(kind: str, name: str = "a", class_id: str = "car", **fields: Any) -> Annotation:
    return LABEL.validate_python({"type": kind, "id": name, "stream": "s", "label": class_id, **fields})


def box(name: str, x: float, *, class_id: str = "car", width: float = 100, **fields: Any) -> Annotation:
    return label("box", name, class_id, box=[x, 0, x + width, 100], **fields)


def answers(*given: Annotation | list[Annotation] | None) -> list[Answer]:
    """One answer a person, named p0, p1, …; None is an answer without labels."""
    return [
        Answer(annotator=f"p{i}", annotations=tuple(one) if isinstance(one, list) else () if one is None else (one,))
        for i, one in enumerate(given)
    ]


def only(found: Consensus) -> ConsensusLabel:
    (one,) = found.labels
    return one


def test_nobody_answered_gives_nothing() -> None:
    assert consensus([]) == Consensus(annotators=(), labels=())


def test_answers_without_labels_agree_that_there_is_nothing() -> None:
    assert consensus(answers(None, None)) == Consensus(annotators=("p0", "p1"), labels=())


def test_one_person_alone_is_neither_agreed_nor_disputed() -> None:
    one = only(consensus(answers(box("b", 0))))
    assert (one.state, one.agreement, one.disputes) == ("single", None, ())
    assert one.annotation.id == "b"


def test_a_box_is_the_median_of_every_coordinate() -> None:
    one = only(consensus(answers(box("b", 0), box("b", 4), box("b", 10))))
    assert getattr(one.annotation, "box", None) == (4, 0, 104, 100)
    assert one.state == "agreed"
    assert [item.annotator for item in one.support] == ["p0", "p1", "p2"]
    assert one.annotation.author is not None
    assert one.annotation.author.kind == "consensus"


def test_one_person_far_off_moves_a_box_nowhere() -> None:
    rules = ConsensusRules(match_min=0.2)
    one = only(consensus(answers(box("b", 0), box("b", 0), box("b", 60)), rules))
    assert getattr(one.annotation, "box", None) == (0, 0, 100, 100)


def test_agreement_is_the_product_of_its_three_shares() -> None:
    one = only(consensus(answers(box("b", 0), box("b", 5), box("b", 0, class_id="van"), None)))
    overlap = float(iou_pairs(np.array([0, 0, 100, 100.0]), np.array([5, 0, 105, 100.0])))
    place = (2 * overlap + 1.0) / 3
    assert one.place == pytest.approx(place)
    assert one.agreement == pytest.approx(3 / 4 * place * 2 / 3)
    assert one.absent == ("p3",)
    assert one.votes == {"car": 2, "van": 1}


def test_what_one_of_three_saw_is_told_as_disputed_and_not_left_out() -> None:
    found = consensus(answers([box("b", 0), box("c", 500)], box("b", 0), box("b", 0)))
    assert [(one.state, one.disputes) for one in found.labels] == [("agreed", ()), ("disputed", ("few_supporters",))]


def test_boxes_apart_are_two_things() -> None:
    assert len(consensus(answers(box("b", 0), box("b", 300))).labels) == 2


def test_neighbours_are_matched_so_that_all_find_their_own() -> None:
    # The second person's left box lies between both of the first; only the assignment as a whole is right.
    found = consensus(answers([box("a", 0), box("b", 40)], [box("c", 24), box("d", 60)]), ConsensusRules(match_min=0.4))
    assert [sorted(item.annotation_ids[0] for item in one.support) for one in found.labels] == [["a", "c"], ["b", "d"]]


def test_two_things_at_one_place_find_their_own_class() -> None:
    both = [box("a", 0, class_id="person"), box("b", 10, class_id="bicycle")]
    moved = [box("c", 6, class_id="person"), box("d", 4, class_id="bicycle")]
    found = consensus(answers(both, moved))
    assert sorted(tuple(one.votes.items()) for one in found.labels) == [(("bicycle", 2.0),), (("person", 2.0),)]


def test_a_class_tie_goes_to_the_first_name_and_is_told() -> None:
    one = only(consensus(answers(box("b", 0, class_id="van"), box("b", 0, class_id="car"))))
    assert one.annotation.label == "car"
    assert (one.state, one.disputes) == ("disputed", ("class_tied",))


def test_weights_decide_a_class_and_end_a_tie() -> None:
    given = answers(box("b", 0, class_id="van"), box("b", 0, class_id="car"))
    one = only(consensus(given, weights={"p0": 3.0, "p1": 1.0}))
    assert (one.annotation.label, one.state) == ("van", "agreed")


def test_a_label_given_twice_is_one_with_both_ids() -> None:
    one = only(consensus(answers([box("a", 0), box("b", 0), box("c", 1)], box("d", 0))))
    assert [item.annotation_ids for item in one.support] == [("a", "b", "c"), ("d",)]
    assert one.state == "agreed"


def test_two_answers_of_one_person_count_as_one_person() -> None:
    given = [Answer(annotator="p", annotations=(box("a", 0),)), Answer(annotator="p", annotations=(box("b", 0),))]
    found = consensus(given)
    assert found.annotators == ("p",)
    assert only(found).state == "single"


def test_an_accepted_label_stays_word_for_word_whatever_is_said_later() -> None:
    accepted = box("kept", 8, class_id="truck")
    found = consensus(answers(box("b", 0), [box("b", 2), box("x", 500)], box("b", 0)), accepted=(accepted,))
    first, second = sorted(found.labels, key=lambda one: one.state)
    assert first.annotation == accepted
    assert (first.state, first.disputes, len(first.support)) == ("accepted", (), 3)
    assert second.state == "disputed"


def test_an_accepted_label_that_nobody_repeats_stays_too() -> None:
    one = only(consensus(answers(None, None), accepted=(box("kept", 0),)))
    assert (one.state, one.agreement, one.support) == ("accepted", 0.0, ())


def test_the_id_that_most_gave_is_kept_unless_two_things_claim_it() -> None:
    kept = only(consensus(answers(box("pre-1", 0), box("pre-1", 0), box("new", 0))))
    assert kept.annotation.id == "pre-1"
    found = consensus(answers(box("b", 0), box("b", 300)))
    assert len({one.annotation.id for one in found.labels} | {"b"}) == 3


def test_attributes_are_voted_and_numbers_are_a_median_somebody_gave() -> None:
    given = [
        box("b", 0, attributes={"colour": "red", "doors": 2, "odd": True}),
        box("b", 0, attributes={"colour": "blue", "doors": 4}),
        box("b", 0, attributes={"colour": "red", "doors": 5}),
    ]
    assert only(consensus(answers(*given))).annotation.attributes == {"colour": "red", "doors": 4}


def test_turned_boxes_told_a_quarter_turn_apart_are_the_same() -> None:
    given = [
        label("rotated_box", center_px=[50, 50], size_px=[40, 10], angle_deg=10),
        label("rotated_box", center_px=[50, 50], size_px=[10, 40], angle_deg=100),
        label("rotated_box", center_px=[52, 50], size_px=[44, 10], angle_deg=12),
    ]
    one: Any = only(consensus(answers(*given)))
    assert one.state == "agreed"
    assert one.annotation.center_px == (50, 50)
    told = (one.annotation.size_px, one.annotation.angle_deg)
    assert told in [((40, 10), 10), ((10, 40), 100)]


def test_cuboids_overlap_by_their_volumes() -> None:
    one = Cuboid(id="a", stream="s", label="car", center_m=(0, 0, 0), size_m=(4, 2, 2), yaw_rad=0.0)
    quarter = one.model_copy(update={"yaw_rad": math.pi / 2})
    raised = one.model_copy(update={"center_m": (0, 0, 1)})
    turned = one.model_copy(update={"yaw_rad": None, "rotation_wxyz": (math.sqrt(0.5), 0, 0, math.sqrt(0.5))})
    found = cuboid_iou([one], [one, quarter, raised, turned])
    assert found[0].tolist() == pytest.approx([1.0, 8 / 24, 8 / 24, 8 / 24])


def test_the_yaw_of_cuboids_is_a_median_round_the_circle() -> None:
    assert median_angle([3.1, -3.1, 3.12]) == pytest.approx(3.12)
    assert median_angle([0.1, 0.3]) == pytest.approx(0.2)
    given = [
        label("cuboid", center_m=[0, 0, z], size_m=[4, 2, 2], yaw_rad=yaw)
        for z, yaw in ((0, 3.1), (0.1, -3.1), (0, 3.12))
    ]
    one: Any = only(consensus(answers(*given)))
    assert one.annotation.center_m == (0, 0, 0)
    assert one.annotation.yaw_rad == pytest.approx(3.12)


def test_a_polygon_is_the_one_closest_to_all_others() -> None:
    def square(x: float, *, hole: bool = False) -> Annotation:
        ring = [[x, 0], [x + 10, 0], [x + 10, 10], [x, 10]]
        holes = [[[x + 2, 2], [x + 8, 2], [x + 8, 8], [x + 2, 8]]] if hole else []
        return label("polygon", points_px=ring, holes_px=holes)

    one: Any = only(consensus(answers(square(0), square(1), square(3))))
    assert one.annotation.points_px[0] == (1, 0)
    assert one.place == pytest.approx((9 / 11 + 8 / 12 + 7 / 13) / 3)
    # A hole is no part of a region: 36 of 100 pixels, closeness 0.64.
    holed = only(consensus(answers(square(0, hole=True), square(0))))
    assert holed.place == pytest.approx(0.64)
    assert holed.disputes == ("place_apart",)


def test_a_mask_is_voted_pixel_by_pixel() -> None:
    def mask(*counts: int) -> Annotation:
        return label("mask", rle={"size": [2, 5], "counts": list(counts)})

    one: Any = only(consensus(answers(mask(0, 6, 4), mask(1, 6, 3), mask(1, 5, 4))))
    assert one.annotation.rle.counts == (1, 5, 4)
    # With two people half is no majority: the medoid's pixels stand.
    two: Any = only(consensus(answers(mask(0, 6, 4), mask(1, 5, 4))))
    assert two.annotation.rle.counts in [(0, 6, 4), (1, 5, 4)]


def test_runs_are_compared_without_unfolding_them() -> None:
    far = runs_of_counts([10**9, 10, 5, 10])
    assert counts_of_runs(far, 10**9 + 25) == [10**9, 10, 5, 10]
    assert run_iou(far, runs_of_counts([10**9 + 5, 20])) == pytest.approx(15 / 25)
    empty = runs_of_counts([7])
    assert (run_iou(empty, empty), run_iou(empty, far), counts_of_runs(empty, 7)) == (1.0, 0.0, [7])
    dense = [np.array(list(bits), dtype=bool) for bits in itertools.product([0, 1], repeat=4)]
    for a, b, c in itertools.product(dense, repeat=3):
        voted = majority_runs([_runs(one) for one in (a, b, c)], _runs(a))
        assert _bits(voted, 4).tolist() == ((a.astype(int) + b + c) >= 2).tolist()


def _runs(bits: Any) -> Any:
    steps = np.diff(np.concatenate([[0], bits.astype(int), [0]]))
    return np.stack([np.nonzero(steps == 1)[0], np.nonzero(steps == -1)[0]], axis=1)


def _bits(runs: Any, size: int) -> Any:
    bits = np.zeros(size, dtype=bool)
    for first, end in runs:
        bits[first:end] = True
    return bits


def test_keypoints_are_joined_point_by_point() -> None:
    def pose(x: float, *, ear: bool = True) -> Annotation:
        points = [{"name": "nose", "x_px": x, "y_px": 0}, {"name": "foot", "x_px": x, "y_px": 200}]
        return label("keypoints", keypoints=[*points, {"name": "ear", "x_px": x + 9, "y_px": 0}] if ear else points)

    one: Any = only(consensus(answers(pose(0), pose(2, ear=False), pose(4, ear=False))))
    assert [(point.name, point.x_px) for point in one.annotation.keypoints] == [("nose", 2), ("foot", 2)]


def test_spans_take_the_lower_median_and_the_text_that_fits() -> None:
    given = [label("entity_span", start_char=a, end_char=b, text="x" * (b - a)) for a, b in ((0, 10), (1, 10), (1, 12))]
    one: Any = only(consensus(answers(*given)))
    assert (one.annotation.start_char, one.annotation.end_char, one.annotation.text) == (1, 10, "x" * 9)


def test_moments_are_matched_by_their_distance() -> None:
    def moment(at_s: float) -> Annotation:
        return label("event", start_s=at_s, end_s=at_s, phase="moment")

    assert only(consensus(answers(moment(1.0), moment(1.1)))).state == "agreed"
    assert len(consensus(answers(moment(1.0), moment(9.0))).labels) == 2


def test_a_transcript_is_voted_word_by_word() -> None:
    def said(text: str, start_s: float = 0.0) -> Annotation:
        return label("transcript_segment", class_id="speech", start_s=start_s, end_s=start_s + 4, text=text)

    heard = ["The cat sat on the mat.", "the cat sat on a mat", "A cat sat on the mat today", "the bat sat on the mat"]
    one: Any = only(consensus(answers(*(said(text) for text in heard))))
    assert one.annotation.text.casefold().rstrip(".") == "the cat sat on the mat"
    # Distances over the longer text: 1/6, 2/7, 1/6; 3/7, 2/6; 3/7.
    assert one.place == pytest.approx(1 - (1 / 6 + 2 / 7 + 1 / 6 + 3 / 7 + 2 / 6 + 3 / 7) / 6)
    # The same words at another time are another segment, also of the same person.
    assert len(consensus(answers([said("yes"), said("yes", 50)], said("yes"))).labels) == 2


def test_whole_classes_are_a_majority_and_several_classes_are_several_labels() -> None:
    one = only(consensus(answers(*(label("image_classification", class_id=name) for name in ("cat", "dog", "cat")))))
    assert one.agreement == pytest.approx(2 / 3)
    assert (one.annotation.label, one.place) == ("cat", None)
    both = [label("image_classification", name, name) for name in ("cat", "dog")]
    found = consensus(answers(both, both[:1], both))
    assert sorted((item.annotation.label, item.state, len(item.support)) for item in found.labels) == [
        ("cat", "agreed", 3),
        ("dog", "agreed", 2),
    ]


def test_a_field_is_voted_by_its_value() -> None:
    def field(value: float, name: str = "age") -> Annotation:
        return label("metadata_field", class_id=name, value={"kind": "quantity", "value": value, "unit": "a"})

    found: Any = consensus(answers(field(30), field(31), field(30)))
    one = only(found)
    assert one.annotation.value.value == 30  # type: ignore[union-attr]
    assert one.agreement == pytest.approx(2 / 3)
    assert only(consensus(answers(field(1), field(2)))).disputes == ("class_tied",)


def test_tracks_are_matched_over_time_and_keep_the_frames_that_half_have() -> None:
    def track(frames: range, x: float = 0.0, name: str = "o") -> Annotation:
        boxes = [{"frame": frame, "box": [x + frame, 0, x + frame + 50, 50]} for frame in frames]
        return label("track", object_id=name, boxes=boxes)

    one: Any = only(consensus(answers(track(range(10)), track(range(9), 2.0, "p"), track(range(12)))))
    assert [item.frame for item in one.annotation.boxes] == list(range(10))
    assert one.annotation.boxes[3].box == (3, 0, 53, 50)
    assert one.annotation.object_id == "o"
    # Lost half-way is half as close.
    half = only(consensus(answers(track(range(10)), track(range(5)))))
    assert half.place == pytest.approx(0.5)


def test_relations_are_the_same_where_they_lead_from_and_to_the_same_things() -> None:
    def scene(first: str, second: str, x: float, *, back: bool = False) -> list[Annotation]:
        ends = (second, first) if back else (first, second)
        between = label("relation", f"{first}{second}", "rides", from_id=ends[0], to_id=ends[1])
        return [box(first, x), box(second, 500 + x), between]

    found = consensus(answers(scene("a", "b", 0), scene("k", "m", 2), scene("x", "y", 1, back=True)))
    relations: list[Any] = [one for one in found.labels if one.annotation.type == "relation"]
    boxes = {one.annotation.id for one in found.labels if one.annotation.type == "box"}
    assert sorted((len(one.support), one.state) for one in relations) == [(1, "disputed"), (2, "agreed")]
    assert all({one.annotation.from_id, one.annotation.to_id} == boxes for one in relations)


def test_lines_are_close_by_their_distance_and_not_by_their_points() -> None:
    one = label("lane_marking", points_m=[[0, 0, 0], [10, 0, 0]])
    finer = label("lane_marking", points_m=[[0, 0.1, 0], [5, 0.1, 0], [10, 0.1, 0]])
    assert only(consensus(answers(one, finer))).place == pytest.approx(0.9)


def test_every_kind_of_label_has_a_rule() -> None:
    assert set(FAMILIES) == {kind.model_fields["type"].default for kind in LABEL_KINDS}


@pytest.mark.parametrize("name", sorted(LABEL_EXAMPLES))
def test_what_all_say_alike_is_what_they_say(name: str) -> None:
    example = LABEL.validate_python(LABEL_EXAMPLES[name])
    ends = [box(end, x) for x, end in ((0, "from"), (500, "to"))]
    if example.type == "relation":
        example = example.model_copy(update={"from_id": "from", "to_id": "to"})
    found = consensus(answers(*([example, *(ends if example.type == "relation" else [])] for _ in range(3))))
    (one,) = [item for item in found.labels if item.annotation.type == example.type]
    left_out = {"author", "confidence"}
    told = one.annotation.model_dump(mode="json", exclude=left_out)
    if example.type == "mask":
        told["rle"] = example.model_dump(mode="json")["rle"]
    assert told == example.model_dump(mode="json", exclude=left_out)
    assert one.state == "agreed"
    assert one.agreement == pytest.approx(1.0)
    LABEL.validate_python(one.annotation.model_dump(mode="json"))
