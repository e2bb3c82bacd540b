"""Replays of votes: fixed overlap, and asking by the expected value of another answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.agreement.ratings import Floats, Ints
from services.consensus.dawid_skene import DawidSkene, dawid_skene
from services.review.asking import Asking, Question, after_answer, what_to_ask
from services.rules.asking import AskingRules

_SMOOTHING = 0.1
AVERAGE = "anybody"


@dataclass(frozen=True, slots=True)
class People:
    """What is known of the people from their earlier answers.

    Attributes:
        confusions: Shape (people, classes, classes).
        average: Shape (classes, classes): of somebody whom nobody chose.
        prior: Shape (classes,).
    """

    confusions: Floats
    average: Floats
    prior: Floats


def learned(votes: Ints, classes: int, pooling: float) -> People:
    """Learn how good people are from their votes alone; the truth is not looked at."""
    found: DawidSkene = dawid_skene(votes, classes, smoothing=_SMOOTHING, pooling=pooling)
    given = (votes >= 0).sum(axis=0).astype(np.float64)
    average = np.einsum("rcv,r->cv", found.confusions, given / max(1.0, given.sum()))
    return People(found.confusions, average, found.prior)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay gave: a decision for each question, and how many votes it took."""

    decided: Ints
    votes: Ints


def majority_of(votes: Ints, classes: int) -> int:
    """Return what most say; of equal ones the lowest code."""
    return int(np.argmax(np.bincount(votes, minlength=classes)))


def posterior_of(question: Ints, asked: Ints, people: People) -> Floats:
    """Return the probabilities of one question after the votes of those who were asked."""
    posterior = people.prior
    for person in asked:
        posterior = after_answer(posterior, people.confusions[person], int(question[person]))
    return posterior


def fixed(votes: Ints, classes: int, overlap: float, rng: np.random.Generator, people: People | None) -> Replayed:
    """Ask equally many about every question, in random order; decide by majority, or by probability.

    Args:
        votes: Shape (questions, people).
        classes: Number of classes.
        overlap: Votes a question; between two whole numbers, some questions get one more.
        rng: Who comes first.
        people: Decide by probability with what is known of people; None: by majority.
    """
    decided, used = [], []
    for question in votes:
        order = rng.permutation(np.nonzero(question >= 0)[0])
        asked = order[: int(overlap) + int(rng.random() < overlap - int(overlap))]
        used.append(len(asked))
        if people is None:
            decided.append(majority_of(question[asked], classes))
        else:
            decided.append(int(np.argmax(posterior_of(question, asked, people))))
    return Replayed(np.array(decided, dtype=np.intp), np.array(used, dtype=np.intp))


@dataclass(frozen=True, slots=True)
class Course:
    """How asking about one question goes on.

    Attributes:
        values: What the next answer is worth after 0, 1, … answers; 0 at the end.
        decided: What would be decided then.
    """

    values: tuple[float, ...]
    decided: tuple[int, ...]

    def stopped(self, rules: AskingRules) -> tuple[int, int]:
        """Return what is decided and after how many answers, once another one is not worth its price."""
        last = min(rules.max_answers, len(self.values) - 1)
        for answers in range(last):
            if answers >= rules.min_answers and self.values[answers] < rules.price:
                return self.decided[answers], answers
        return self.decided[last], last


def courses(votes: Ints, people: People, rules: AskingRules, rng: np.random.Generator, *, choose: bool) -> list[Course]:
    """Ask one after the other, and note what each next answer is worth.

    Whom to ask does not depend on the price, so a course at a low price tells what happens at every higher one.

    Args:
        votes: Shape (questions, people).
        people: What is known of people.
        rules: How far ahead is thought, and the price below which nothing is noted.
        rng: Who comes first.
        choose: Ask the person whose answer is worth most; else whoever comes next, as from a queue, and the value is
            that of an average person's answer.
    """
    found = []
    for number, question in enumerate(votes):
        left = [int(person) for person in rng.permutation(np.nonzero(question >= 0)[0])]
        posterior = people.prior
        values: list[float] = []
        decided = [int(np.argmax(posterior))]
        while left:
            asking = _asking(number, posterior, len(values), left, people, rules, choose=choose)
            if len(values) >= rules.min_answers and asking.value < rules.price:
                break
            person = int(asking.whom) if choose and asking.whom is not None else left[0]
            left.remove(person)
            posterior = after_answer(posterior, people.confusions[person], int(question[person]))
            values.append(asking.value)
            decided.append(int(np.argmax(posterior)))
        found.append(Course((*values, 0.0), tuple(decided)))
    return found


def asked_by_value(found: list[Course], rules: AskingRules) -> Replayed:
    """Ask about each question while another answer is worth its price."""
    stopped = np.array([course.stopped(rules) for course in found], dtype=np.intp).reshape(-1, 2)
    return Replayed(stopped[:, 0], stopped[:, 1])


def _asking(
    number: int, posterior: Floats, answers: int, left: list[int], people: People, rules: AskingRules, *, choose: bool
) -> Asking:
    if choose:
        candidates = {f"{person:06d}": people.confusions[person] for person in left}
    else:
        candidates = {AVERAGE: people.average} if left else {}
    return what_to_ask(Question(str(number), posterior, answers, 1.0, candidates), rules)
