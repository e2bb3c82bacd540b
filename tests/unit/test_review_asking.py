"""Whom to ask next, and when to stop."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agreement.ratings import Floats
from services.review.asking import (
    Question,
    after_answer,
    in_order,
    prior_of,
    stakes_of,
    values_of_answers,
    what_to_ask,
)
from services.rules.asking import AskingRules


def coin(right: float, classes: int = 2) -> Floats:
    """Somebody who is right with this probability, and else says any other class."""
    wrong = (1.0 - right) / (classes - 1)
    return np.full((classes, classes), wrong) + np.eye(classes) * (right - wrong)


def value(posterior: list[float], confusion: Floats, lookahead: int) -> float:
    return float(values_of_answers(np.array(posterior), confusion[None], lookahead)[0])


def by_enumeration(posterior: list[float], confusion: Floats, answers: int) -> float:
    """The gain per answer, over every sequence of answers."""
    risk = 0.0
    for said in itertools.product(range(len(posterior)), repeat=answers):
        joint = [p * math.prod(confusion[true, one] for one in said) for true, p in enumerate(posterior)]
        risk += sum(joint) - max(joint)
    return (1.0 - max(posterior) - risk) / answers


@pytest.mark.parametrize("right", [0.6, 0.75, 0.9])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_the_value_is_what_enumeration_gives(share: float, right: float) -> None:
    posterior, confusion = [1.0 - share, share], coin(right)
    expected = max(by_enumeration(posterior, confusion, answers) for answers in range(1, 6))
    assert value(posterior, confusion, 5) == pytest.approx(max(0.0, expected), abs=1e-12)


def test_one_answer_that_can_not_turn_the_vote_is_worth_what_several_are() -> None:
    assert value([0.1, 0.9], coin(0.7), 1) == 0.0
    assert value([0.1, 0.9], coin(0.7), 5) > 0.0


def test_a_coin_is_worth_nothing_and_who_is_always_right_is_worth_the_whole_risk() -> None:
    assert value([0.4, 0.6], coin(0.5), 7) == pytest.approx(0.0, abs=1e-12)
    assert value([0.4, 0.6], coin(1.0), 7) == pytest.approx(0.4)
    # Who says the opposite tells as much as who is right.
    assert value([0.4, 0.6], coin(0.0), 7) == pytest.approx(0.4)


def test_nothing_is_worth_asking_where_there_is_one_class() -> None:
    assert values_of_answers(np.array([1.0]), np.ones((2, 1, 1)), 3).tolist() == [0.0, 0.0]
    assert values_of_answers(np.array([0.5, 0.5]), np.zeros((0, 2, 2)), 3).tolist() == []


@given(st.floats(0.01, 0.99), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 8))
def test_a_value_lies_between_nothing_and_the_risk(share: float, a: float, b: float, lookahead: int) -> None:
    confusion = np.array([[a, 1 - a], [1 - b, b]])
    found = value([share, 1 - share], confusion, lookahead)
    assert 0.0 <= found <= min(share, 1 - share) + 1e-9
    assert found <= value([share, 1 - share], confusion, lookahead + 1) + 1e-9


def test_an_answer_moves_the_probabilities_by_bayes_rule() -> None:
    assert after_answer(np.array([0.5, 0.5]), coin(0.8), 1) == pytest.approx([0.2, 0.8])
    # An answer that is held to be impossible teaches nothing.
    assert after_answer(np.array([1.0, 0.0]), coin(1.0), 1).tolist() == [1.0, 0.0]


def test_a_models_confidence_counts_before_anybody_answered() -> None:
    even, rules = np.array([0.5, 0.5]), AskingRules(model_trust=0.5)
    assert prior_of(even, rules, predicted=1, confidence=0.8).tolist() == pytest.approx([0.3, 0.7])
    assert prior_of(even, rules, predicted=1) is even
    sure = prior_of(even, AskingRules(model_trust=1.0), predicted=1, confidence=0.99)
    assert value(sure.tolist(), coin(0.8), 7) < value([0.5, 0.5], coin(0.8), 7)


def test_a_grave_finding_and_a_high_risk_make_an_answer_worth_more() -> None:
    rules = AskingRules()
    assert stakes_of((), "low", rules) == 0.25
    assert stakes_of(("minor", "critical"), "high", rules) == 8.0
    assert stakes_of(("info",), "medium", rules) < stakes_of(("major",), "medium", rules)


def question(name: str, posterior: list[float], answers: int = 3, stakes: float = 1.0, **people: float) -> Question:
    candidates = {person: coin(right) for person, right in (people or {"ana": 0.8}).items()}
    return Question(name, np.array(posterior), answers, stakes, candidates)


def test_whom_to_ask_is_who_is_expected_to_help_most() -> None:
    asking = what_to_ask(question("q", [0.4, 0.6], ana=0.7, ben=0.9, cem=0.9), AskingRules())
    assert (asking.ask, asking.whom, asking.why) == (True, "ben", "worth_its_price")


@pytest.mark.parametrize(
    ("posterior", "answers", "why", "ask"),
    [
        ([0.01, 0.99], 1, "too_few_answers", True),
        ([0.3, 0.7], 2, "worth_its_price", True),
        ([0.0001, 0.9999], 2, "certain_enough", False),
        ([0.5, 0.5], 7, "enough_answers", False),
    ],
)  # fmt: skip
def test_asking_stops_for_a_reason(posterior: list[float], answers: int, why: str, ask: bool) -> None:
    asking = what_to_ask(question("q", posterior, answers), AskingRules())
    assert (asking.why, asking.ask) == (why, ask)


def test_nobody_left_is_said() -> None:
    asking = what_to_ask(Question("q", np.array([0.5, 0.5]), 0, 1.0, {}), AskingRules())
    assert (asking.why, asking.ask, asking.whom) == ("nobody_left", False, None)


def test_the_most_valuable_question_comes_first_whatever_the_order() -> None:
    questions = [
        question("sure", [0.0001, 0.9999]),
        question("even", [0.5, 0.5]),
        question("grave", [0.2, 0.8], stakes=8.0),
        question("leaning", [0.2, 0.8]),
        question("also-even", [0.5, 0.5]),
    ]
    for order in itertools.permutations(questions):
        assert [one.name for one in in_order(order, AskingRules())] == ["grave", "also-even", "even", "leaning"]
