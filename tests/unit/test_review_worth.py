"""What another answer to a sample is worth."""

from __future__ import annotations

import numpy as np
import pytest

from services.contracts.annotations import Annotation
from services.contracts.consensus import Answer, Consensus
from services.contracts.findings import Finding
from services.contracts.overlap import Overlap
from services.contracts.quality import AnnotatorSkill
from services.review.overlap import agreed_labels, merged, unsettled
from services.review.worth import NOTHING, SHARE_BEFORE_ANY, Case, Skills, next_askings, questions_of, worth_of
from services.rules.asking import AskingRules
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.test_consensus import answers, box, label

CASE = Case(DEFAULT_RULE_SET, "low")


def skill(person: str | None, name: str | None, share: float) -> AnnotatorSkill:
    return AnnotatorSkill(actor_id=person, label=name, judged=100, right=100 * share, share=share, low=0, high=1)


def worth(given: list[Answer] | Consensus, case: Case = CASE) -> float:
    found = given if isinstance(given, Consensus) else merged(given, None)
    return worth_of(questions_of(found, case), case)


def of_class(*names: str) -> list[Answer]:
    return answers(*(label("image_classification", class_id=name) for name in names))


def predicted(confidence: float | None, name: str = "a") -> Annotation:
    return box(name, 0, confidence=confidence)


def test_an_answer_is_worth_less_the_more_people_agree() -> None:
    assert worth(of_class("cat", "dog")) > worth(of_class("cat", "cat", "dog")) > worth(of_class("cat", "cat", "cat"))


def test_a_tie_between_two_is_worth_the_risk_that_one_more_is_expected_to_take_away() -> None:
    even = Case(DEFAULT_RULE_SET.model_copy(update={"asking": AskingRules(lookahead=1)}), "medium")
    (question,) = questions_of(merged(of_class("cat", "dog"), None), even)
    # cat, dog: 0.8 times 0.1 each; nothing: 0.1 times 0.1; one in three classes, right four times of five.
    assert question.posterior == pytest.approx([1 / 17, 8 / 17, 8 / 17])
    assert question.stakes == 1.0
    # One answer says the first or the second, and is then believed: 0.8 of either is right, or it says neither.
    assert worth_of([question], even) == pytest.approx(8 / 17 - (2 * 8 / 17 * 0.1 + 8 / 17 * 0.1), abs=1e-9)


def test_the_graver_the_finding_and_the_risk_the_more_it_is_worth() -> None:
    split = of_class("cat", "dog")
    about = Finding(
        finding_id="f", check="c", kind="k", severity="critical", message="m", annotations=("a",),
        rule=DEFAULT_RULE_SET.reference,
    )  # fmt: skip
    assert worth(split, Case(DEFAULT_RULE_SET, "high")) == pytest.approx(4 * worth(split))
    assert worth(split, Case(DEFAULT_RULE_SET, "low", findings=(about,))) == pytest.approx(4 * worth(split))


def test_the_better_people_are_the_less_is_left_to_ask() -> None:
    both = of_class("cat", "cat")
    good = Case(DEFAULT_RULE_SET, "low", Skills.of([skill(None, None, 0.95)]))
    poor = Case(DEFAULT_RULE_SET, "low", Skills.of([skill(None, None, 0.6)]))
    assert worth(both, good) < worth(both, poor)


def test_the_word_of_who_is_right_more_often_weighs_more() -> None:
    skills = Skills.of([skill("p0", None, 0.95), skill("p1", None, 0.55), skill(None, None, 0.75)])
    (question,) = questions_of(merged(of_class("cat", "dog"), None), Case(DEFAULT_RULE_SET, "low", skills))
    assert question.posterior[1] > 0.9
    assert worth(of_class("cat", "dog"), Case(DEFAULT_RULE_SET, "low", skills)) < worth(of_class("cat", "dog"))


def test_before_any_answer_what_a_model_is_sure_of_is_worth_least_and_what_nobody_knows_most() -> None:
    nobody = Consensus(annotators=(), labels=())
    sure, unsure, mute = (
        worth(nobody, Case(DEFAULT_RULE_SET, "low", predicted=said))
        for said in ((predicted(0.99),), (predicted(0.2),), ())
    )
    assert sure < unsure < mute


def test_a_model_that_says_the_same_makes_an_answer_surer_and_another_one_does_not() -> None:
    one = answers(box("a", 0))
    with_model = worth(one, Case(DEFAULT_RULE_SET, "low", predicted=(predicted(0.9),)))
    elsewhere = worth(one, Case(DEFAULT_RULE_SET, "low", predicted=(box("b", 500, confidence=0.9),)))
    assert with_model < elsewhere == pytest.approx(worth(one))


def test_a_place_on_which_people_differ_is_a_question_of_its_own() -> None:
    apart, together = answers(box("a", 0), box("a", 30)), answers(box("a", 0), box("a", 1))
    assert worth(apart) > worth(together)
    place = next(one for one in questions_of(merged(apart, None), CASE) if one.name != "a")
    assert place.posterior == pytest.approx([0.5, 0.5])


def test_what_was_accepted_is_worth_nothing_any_more() -> None:
    both = answers(*[[box("a", 0), box("b", 500)]] * 2)
    accepted = agreed_labels(merged(both, None))
    assert worth(merged(both, None, accepted=accepted)) == pytest.approx(worth(answers(None, None)))
    assert worth(merged(both, None)) > 0


def test_the_more_say_that_there_is_nothing_the_less_an_answer_is_worth() -> None:
    assert worth(answers(None)) > worth(answers(None, None)) > worth(answers(None, None, None))


def test_one_more_is_asked_only_about_what_is_disputed_and_worth_its_price() -> None:
    given = answers([box("a", 0), box("b", 500)], [box("a", 0), box("b", 500, class_id="van")])
    found = merged(given, None)
    open_labels = unsettled(found, Overlap(answers=2, max_answers=5))
    assert open_labels == {"b"}
    cheap = Case(DEFAULT_RULE_SET, "low", min_answers=2, max_answers=5)
    assert [asking.name for asking in next_askings(found, open_labels, cheap)] == ["b"]
    dear = Case(
        DEFAULT_RULE_SET.model_copy(update={"asking": AskingRules(price=0.9)}), "low", min_answers=2, max_answers=5
    )
    assert next_askings(found, open_labels, dear) == []
    full = Case(DEFAULT_RULE_SET, "low", min_answers=2, max_answers=2)
    assert next_askings(found, open_labels, full) == []


def test_what_is_known_of_a_person_is_taken_as_closely_as_it_is_known() -> None:
    skills = Skills.of(
        [skill("p0", "cat", 0.9), skill("p0", None, 0.7), skill(None, "dog", 0.6), skill(None, None, 0.5)]
    )
    assert skills.share("p0", "cat") == 0.9
    assert skills.share("p0", "dog") == 0.6
    assert skills.share("p0", NOTHING) == 0.7
    assert skills.share("p9", NOTHING) == 0.5
    assert Skills().share("p9", "cat") == SHARE_BEFORE_ANY
    assert np.allclose(skills.confusion("p0", ("cat", "dog")), [[0.9, 0.1], [0.4, 0.6]])


def test_nobody_who_is_no_better_than_a_coin_has_a_vote() -> None:
    weights = Skills.of([skill("p0", None, 0.9), skill("p1", None, 0.5), skill("p2", None, 0.3)]).weights(
        ("p0", "p1", "p2")
    )
    assert weights["p0"] == pytest.approx(np.log(9))
    assert weights["p1"] == pytest.approx(0.0, abs=1e-12)
    assert weights["p2"] == 0.0
