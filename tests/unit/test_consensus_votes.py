"""Majority, votes on words, and Dawid and Skene's estimation."""

from __future__ import annotations

import numpy as np
import pytest

from services.agreement.ratings import MISSING, Ints
from services.agreement.word_errors import word_closeness
from services.consensus.dawid_skene import dawid_skene
from services.consensus.votes import common_attributes, majority
from services.consensus.words import vote_words

# A. P. Dawid and A. M. Skene (1979), table 1: 45 patients graded 1 to 4 before surgery; three gradings of the first
# anaesthetist, then one of each of four others.
ANAESTHETISTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212 1211111
1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""


def test_a_vote_without_voters_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        majority([])


def test_a_tie_goes_to_the_value_that_sorts_first_and_is_told() -> None:
    vote = majority([("a", "dog"), ("b", "cat"), ("c", "dog"), ("d", "cat")])
    assert (vote.winner, vote.share, vote.tied) == ("cat", 0.5, True)


def test_weights_count_and_those_of_nobody_leave_everybody() -> None:
    votes = [("a", "dog"), ("b", "cat"), ("c", "cat")]
    assert majority(votes, {"a": 5.0}).winner == "dog"
    assert majority(votes, dict.fromkeys("abc", 0.0)).winner == "cat"


def test_true_is_not_one() -> None:
    assert common_attributes([("a", {"x": True}), ("b", {"x": True}), ("c", {"x": 1})]) == {"x": True}


def votes_of(truth: Ints, rights: list[float], rng: np.random.Generator, classes: int) -> Ints:
    """Everybody is right with their own probability, and else says any other class."""
    columns = []
    for right in rights:
        wrong = (truth + rng.integers(1, classes, len(truth))) % classes
        columns.append(np.where(rng.random(len(truth)) < right, truth, wrong))
    return np.stack(columns, axis=1).astype(np.intp)


@pytest.mark.parametrize("seed", range(5))
def test_known_confusions_are_found_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 2_000)
    rights = [0.95, 0.8, 0.7, 0.6, 0.5]
    found = dawid_skene(votes_of(truth, rights, rng, 3), 3)
    assert found.converged
    assert np.einsum("rcc->r", found.confusions) / 3 == pytest.approx(rights, abs=0.05)
    assert (found.codes == truth).mean() > 0.95


def test_who_says_the_opposite_is_worth_as_much_as_who_is_right() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 1_000)
    votes = votes_of(truth, [0.9, 0.9, 0.9, 0.05, 0.05], rng, 2)
    majority_right = (votes.sum(axis=1) >= 3) == truth
    found = dawid_skene(votes, 2)
    assert (found.codes == truth).mean() > max(0.98, float(majority_right.mean()))
    assert found.skills[3] == 0.0


def test_the_anaesthetists_are_as_published() -> None:
    codes = np.array([[int(grade) - 1 for grade in row] for row in ANAESTHETISTS.split()], dtype=np.intp)
    found = dawid_skene(codes, 4, raters=np.array([0, 0, 0, 1, 2, 3, 4], dtype=np.intp), smoothing=1e-9)
    assert found.prior == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.006)
    # What the paper estimates the first of them to say where each grade was true.
    first = [[0.89, 0.11, 0.00, 0.00], [0.07, 0.88, 0.05, 0.00], [0.00, 0.34, 0.66, 0.00], [0.00, 0.00, 0.56, 0.44]]
    assert found.confusions[0] == pytest.approx(np.array(first), abs=0.006)


def test_what_all_say_is_true_and_needs_no_luck() -> None:
    found = dawid_skene(np.array([[0, 0], [1, 1], [1, 1]], dtype=np.intp), 2)
    assert found.codes.tolist() == [0, 1, 1]
    assert not found.tied.any()


def test_a_tie_goes_to_the_lowest_code_and_is_told() -> None:
    # Two people who never agree can not be told apart.
    found = dawid_skene(np.array([[0, 1], [1, 0]], dtype=np.intp), 2)
    assert found.codes.tolist() == [0, 0]
    assert found.tied.tolist() == [True, True]


def test_no_votes_no_classes_and_one_class_are_answered() -> None:
    empty = dawid_skene(np.empty((0, 2), dtype=np.intp), 2)
    assert (len(empty.codes), empty.converged) == (0, True)
    unvoted = dawid_skene(np.array([[MISSING, MISSING], [1, 1], [1, 1]], dtype=np.intp), 2)
    assert unvoted.posteriors[0] == pytest.approx(unvoted.prior, abs=1e-3)
    assert dawid_skene(np.zeros((3, 2), dtype=np.intp), 1).posteriors.tolist() == [[1.0]] * 3
    with pytest.raises(ValueError, match="at least one class"):
        dawid_skene(np.zeros((1, 1), dtype=np.intp), 0)


def test_the_order_of_people_and_units_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    votes = votes_of(rng.integers(0, 2, 60), [0.9, 0.7, 0.6], rng, 2)
    votes[rng.random(votes.shape) < 0.2] = MISSING
    units, people = rng.permutation(60), rng.permutation(3)
    found, moved = dawid_skene(votes, 2), dawid_skene(votes[units][:, people], 2)
    assert moved.posteriors == pytest.approx(found.posteriors[units], abs=1e-6)
    assert moved.confusions == pytest.approx(found.confusions[people], abs=1e-6)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["go left", "go left", "go right"], "go left"),
        (["go", "go now", "go now"], "go now"),
        (["go now", "go", "go"], "go"),
        (["turn it off", "turn off", "turn it of"], "turn it off"),
        (["", "", "noise"], ""),
        (["one"], "one"),
        (["Paris, please", "paris please", "Paris, please"], "Paris, please"),
        (["a b c", "b c", "a c"], "a b c"),
        # Of two everything is a tie, and the first by its words stands.
        (["big cat", "pig cat"], "big cat"),
    ],
)
def test_words_are_voted_slot_by_slot(texts: list[str], expected: str) -> None:
    assert vote_words([(f"p{i}", text) for i, text in enumerate(texts)]).text == expected


def test_weights_decide_words() -> None:
    given = [("a", "big cat"), ("b", "pig cat"), ("c", "pig cat")]
    assert vote_words(given, {"a": 5.0}).text == "big cat"


def test_words_are_compared_without_case_and_marks() -> None:
    assert word_closeness("It\u2019s, well \u2013 fine!", "it's well fine") == 1.0
    assert word_closeness("", "") == 1.0
    assert word_closeness("", "a") == 0.0
    assert word_closeness("a b c d", "a b x") == pytest.approx(0.5)
