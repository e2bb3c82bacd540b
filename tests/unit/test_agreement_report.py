"""How far people agree, from answers to numbers with lists."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from services.agreement.measures import f1, matched_boundaries, ratio_interval
from services.agreement.word_errors import word_errors
from services.contracts.agreement import AgreementMeasure, AgreementReport
from services.contracts.annotations import Annotation
from services.contracts.consensus import Answer
from services.contracts.label_base import Author
from services.report.agreement_build import AgreementBuilder
from services.report.agreement_units import answers_by_author
from services.rules.consensus import ConsensusRules
from tests.unit.test_agreement import ABSTRACTORS, FOUR_OBSERVERS, units_of
from tests.unit.test_consensus import box, label

Given = Sequence[tuple[str, Sequence[Answer]]]


def report(given: Given, *, max_listed: int | None = None, **rules: Any) -> AgreementReport:
    builder = AgreementBuilder(ConsensusRules(**rules), max_listed=max_listed)
    for sample_id, answers in given:
        builder.add("p", sample_id, answers)
    return builder.finish()


def find(found: AgreementReport, metric: str, view: str = "all", name: str = "all") -> AgreementMeasure:
    (one,) = [one for one in found.measures if (one.metric, one.view, one.name) == (metric, view, name)]
    return one


def classes(*said: str | None, kind: str = "image_classification") -> list[Answer]:
    """What p0, p1, … call one picture; None: they were not asked."""
    return [
        Answer(annotator=f"p{index}", annotations=(label(kind, class_id=name),))
        for index, name in enumerate(said)
        if name is not None
    ]


def observers() -> Given:
    rows = [[None if np.isnan(value) else f"c{value:.0f}" for value in row] for row in FOUR_OBSERVERS]
    return [(f"s{index}", classes(*row)) for index, row in enumerate(rows)]


def test_krippendorffs_four_observers_are_as_published_and_every_number_has_its_list() -> None:
    found = report(observers())
    alpha = find(found, "krippendorff_alpha")
    assert alpha.value == pytest.approx(0.743, abs=6e-4)
    assert alpha.low is not None
    assert alpha.high is not None
    assert alpha.low < 0.743 < alpha.high
    # The twelfth unit has one rating: it is in no number, and said to be left out.
    assert (alpha.compared, found.samples, found.left_out) == (11, 11, 1)
    differing = {f"s{row}" for row, values in enumerate(FOUR_OBSERVERS) if len(set(values[~np.isnan(values)])) > 1}
    assert {entry.sample_id for entry in alpha.entries} == differing
    assert all(len(one.entries) == one.differing for one in found.measures)


def test_the_kappa_of_a_pair_is_as_published() -> None:
    given = [(f"s{i}", classes(*(f"c{code}" for code in row))) for i, row in enumerate(units_of(ABSTRACTORS))]
    kappa = find(report(given), "cohen_kappa", "pair", "p0 / p1")
    # irrCAC's output on the data of Gwet's example: 0.7964094; the share of agreement is 89 of 100.
    assert kappa.value == pytest.approx(0.7964094, abs=1e-6)
    assert kappa.observed == pytest.approx(0.89)
    assert kappa.differing == 11


def test_all_of_one_mind_on_one_class_is_no_coefficient_and_says_so() -> None:
    found = report([(f"s{i}", classes("cat", "cat", "cat")) for i in range(4)])
    alpha = find(found, "krippendorff_alpha")
    assert (alpha.value, alpha.degenerate, alpha.observed, alpha.differing) == (None, "no_variation", 1.0, 0)


def test_all_of_one_mind_on_several_classes_is_one() -> None:
    found = report([(f"s{i}", classes(name, name)) for i, name in enumerate(("cat", "dog", "cat"))])
    assert find(found, "krippendorff_alpha").value == 1.0
    assert find(found, "gwet_ac1").value == 1.0
    assert not found.confusions


def test_nothing_in_common_is_no_pair() -> None:
    found = report([("s", [Answer(annotator="a", annotations=(box("b", 0),)), Answer(annotator="b")])])
    assert find(found, "krippendorff_alpha").degenerate == "no_pairs"


def test_nobody_gives_an_empty_report() -> None:
    assert report([]) == AgreementReport(samples=0)
    assert report([("s", classes("cat"))]).left_out == 1


def test_classes_with_an_order_are_half_agreed_where_they_are_neighbours() -> None:
    near = [("near", "positive", "neutral"), ("a", "negative", "negative"), ("b", "positive", "positive")]
    far = [("far", "positive", "negative"), *near[1:]]
    alphas = []
    for rows in (near, far):
        found = report([(name, classes(one, other, kind="sentiment")) for name, one, other in rows])
        alphas.append(find(found, "krippendorff_alpha").value)
        assert any(one.metric == "gwet_ac2" for one in found.measures)
    assert alphas[0] is not None
    assert alphas[1] is not None
    assert alphas[0] > alphas[1]


def test_each_person_is_measured_against_all_others() -> None:
    names = ["cat", "dog", "cat", "dog"] * 5
    given = [(f"s{i}", classes(name, name, "dog" if name == "cat" else "cat")) for i, name in enumerate(names)]
    found = report(given)
    by_person = {name: find(found, "krippendorff_alpha", "person", name).value for name in found.people}
    assert by_person["p0"] == by_person["p1"]
    assert by_person["p2"] is not None
    assert by_person["p0"] is not None
    assert by_person["p2"] < by_person["p0"]
    assert find(found, "cohen_kappa", "pair", "p0 / p1").value == 1.0
    assert find(found, "cohen_kappa", "pair", "p0 / p2").value == -1.0


def test_teams_are_measured_inside_and_against_each_other() -> None:
    team = {"p0": "blue", "p1": "blue", "p2": "red", "p3": "red"}
    given = []
    for i in range(6):
        name, other = ("cat", "dog") if i % 2 else ("dog", "cat")
        answers = classes(name, name, other, other)
        given.append((f"s{i}", [one.model_copy(update={"team": team[one.annotator]}) for one in answers]))
    found = report(given)
    assert find(found, "krippendorff_alpha", "team", "blue").value == 1.0
    between = find(found, "krippendorff_alpha", "teams", "blue / red")
    assert between.value is not None
    assert between.value < 0
    assert between.compared == 24


def test_a_window_holds_the_answers_of_its_days() -> None:
    def at(day: int, answers: list[Answer]) -> list[Answer]:
        moment = datetime(2026, 3, day, 12, tzinfo=UTC)
        return [one.model_copy(update={"answered_at": moment}) for one in answers]

    given = [("s0", at(2, classes("cat", "cat"))), ("s1", at(2, classes("dog", "dog"))),
             ("s2", at(20, classes("cat", "dog"))), ("s3", at(20, classes("dog", "cat")))]  # fmt: skip
    found = [one for one in report(given).measures if one.view == "window" and one.metric == "krippendorff_alpha"]
    assert [(one.name, one.compared, one.differing) for one in found] == [
        ("2026-02-26 to 2026-03-04", 2, 0),
        ("2026-03-19 to 2026-03-25", 2, 2),
    ]


def test_confusions_name_both_classes_and_every_pair_behind_them() -> None:
    given = [
        ("s0", classes("cat", "lynx", "lynx")),
        ("s1", classes("cat", "cat", "dog")),
        ("s2", classes("dog", "dog")),
    ]
    found = report(given)
    told = {(one.class_a, one.class_b): (one.times, round(one.share, 4)) for one in found.confusions}
    # Of six pairs in which somebody says either class, two.
    assert told == {("cat", "lynx"): (2, 0.3333), ("cat", "dog"): (2, 0.3333)}
    assert all(len(one.entries) == one.times for one in found.confusions)


def test_boxes_are_measured_by_overlap_and_by_being_found_at_all() -> None:
    one = Answer(annotator="a", annotations=(box("a1", 0), box("a2", 300), box("a3", 600)))
    two = Answer(annotator="b", annotations=(box("b1", 0), box("b2", 325)))
    found = report([("s", [one, two])])
    overlap = find(found, "mean_iou")
    assert overlap.value == pytest.approx((1 + 75 / 125) / 2)
    assert [entry.annotation_ids for entry in overlap.entries] == [("a2", "b2")]
    detected = find(found, "detection_f1")
    assert detected.value == pytest.approx(2 * 2 / (3 + 2))
    assert [entry.annotation_ids for entry in detected.entries] == [("a3",)]
    assert detected.compared == 3


def test_transcripts_are_measured_by_word_errors_and_boundaries() -> None:
    def said(text: str, end_s: float) -> tuple[Annotation, ...]:
        return (label("transcript_segment", class_id="speech", start_s=0, end_s=end_s, text=text),)

    answers = [Answer(annotator="a", annotations=said("one two three four", 4.0)),
               Answer(annotator="b", annotations=said("one too three", 4.6))]  # fmt: skip
    found = report([("s", answers)])
    assert find(found, "wer").value == pytest.approx(2 / 3.5)
    assert find(found, "boundary_f1").value == pytest.approx(0.5)
    assert find(report([("s", answers)], boundary_tolerance_s=0.6), "boundary_f1").value == 1.0


def test_a_limit_shortens_lists_and_not_numbers() -> None:
    whole, cut = report(observers()), report(observers(), max_listed=1)
    assert [one.value for one in cut.measures] == [one.value for one in whole.measures]
    assert [one.differing for one in cut.measures] == [one.differing for one in whole.measures]
    assert all(len(one.entries) <= 1 for one in cut.measures)
    worst = find(whole, "krippendorff_alpha").entries[0]
    assert find(cut, "krippendorff_alpha").entries == (worst,)


def test_neither_the_order_of_samples_nor_of_answers_changes_anything() -> None:
    moved = [(sample_id, list(answers)) for sample_id, answers in observers()]
    rng = random.Random(4)  # noqa: S311 - no secret
    rng.shuffle(moved)
    for _, answers in moved:
        rng.shuffle(answers)
    assert report(moved) == report(observers())


def test_importers_and_consensus_are_nobody_and_models_are_somebody() -> None:
    kinds = ("human", "model", "importer", "consensus")
    labels = [box(f"b{i}", 0, author=Author(kind=kind, id="x")) for i, kind in enumerate(kinds)]
    answers, unnamed = answers_by_author([*labels, box("b9", 0)])
    assert [answer.annotator for answer in answers] == ["model:x", "x"]
    assert unnamed == 1


def test_boundaries_are_matched_once_each() -> None:
    assert matched_boundaries([1.0, 1.1], [1.05], 0.1) == 1
    assert matched_boundaries([1.0, 2.0, 3.0], [3.05, 0.95, 9.0], 0.1) == 2
    assert matched_boundaries([0.0, 0.2], [0.2, 0.4], 0.2) == 2
    assert (f1(0, 0, 0), f1(0, 2, 0), f1(2, 2, 2)) == (1.0, 0.0, 1.0)


def test_word_errors_count_the_fewest_edits() -> None:
    assert word_errors("a b c", "a x c d") == (2, 3.5)
    assert word_errors("", "") == (0, 0.0)


def test_the_interval_of_a_ratio_draws_whole_clusters() -> None:
    rng = np.random.default_rng(7)
    values = np.repeat(rng.random(40), 10)
    ones = np.ones(400)
    alone = ratio_interval(values, ones, np.arange(400), seed=1)
    together = ratio_interval(values, ones, np.repeat(np.arange(40), 10), seed=1)
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.low < values.mean() < together.high
    assert ratio_interval(values, ones, np.zeros(400, dtype=np.intp), seed=1) is None
