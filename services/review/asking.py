"""Whom to ask next: the expected value of another answer. Pure functions.

A label is a question with a probability for each possible class. Deciding now risks the probability that the likeliest
class is wrong; an answer is worth by how much it is expected to lower that risk (the expected value of sample
information: H. Raiffa and R. Schlaifer, *Applied Statistical Decision Theory*, 1961), times what a wrong label costs.
One answer alone can often not turn a vote and would be worth nothing, so the value is the greatest gain per answer
among one, two, … of them.

Probabilities come from everybody's answers and confusions (:mod:`services.consensus.dawid_skene`), and before anybody
answered from a model's confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Literal

import numpy as np

from services.agreement.ratings import Floats, Ints
from services.contracts.findings import SEVERITY_ORDER, Severity
from services.contracts.manifest import Risk
from services.rules.asking import AskingRules

_TINY = 1e-300
Why = Literal["too_few_answers", "worth_its_price", "certain_enough", "enough_answers", "nobody_left"]


@dataclass(frozen=True, slots=True)
class Question:
    """One label to decide.

    Attributes:
        name: Its id; among questions of equal value the name that sorts first comes first.
        posterior: Shape (classes,): probability of each class.
        answers: How many answers it has.
        stakes: What a wrong label costs.
        candidates: Who could be asked, and their confusions, shape (classes, classes): the probability to say the
            second where the first is true.
    """

    name: str
    posterior: Floats
    answers: int
    stakes: float
    candidates: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Asking:
    """What to do about a question.

    Attributes:
        name: The question's.
        ask: Whether another answer is to be asked for.
        why: What decided it.
        value: What the best candidate's answer is worth; 0 without a candidate.
        whom: The best candidate; of equal ones the name that sorts first.
    """

    name: str
    ask: bool
    why: Why
    value: float
    whom: str | None


def stakes_of(severities: Sequence[Severity], risk: Risk, rules: AskingRules) -> float:
    """Return what a wrong label costs.

    Args:
        severities: Of the findings about it that are open.
        risk: The sample's.
        rules: Weights.
    """
    gravest = max(severities, key=SEVERITY_ORDER.__getitem__, default=None)
    weight = rules.no_finding_weight if gravest is None else rules.severity_weights.get(gravest, 1.0)
    return weight * rules.risk_weights.get(risk, 1.0)


def prior_of(
    prior: Floats, rules: AskingRules, *, predicted: int | None = None, confidence: float | None = None
) -> Floats:
    """Return the probabilities before anybody answered.

    Args:
        prior: Shape (classes,): share of each class.
        rules: How far a model is believed.
        predicted: The class a model predicts, by its code.
        confidence: The model's confidence in it; a prediction without one is not believed.
    """
    if predicted is None or confidence is None:
        return prior
    own = np.zeros(len(prior))
    own[predicted] = 1.0
    believed = rules.model_trust * confidence
    return np.asarray(believed * own + (1.0 - believed) * prior)


def after_answer(posterior: Floats, confusion: Floats, said: int) -> Floats:
    """Return the probabilities after an answer.

    Args:
        posterior: Shape (classes,): before it.
        confusion: Shape (classes, classes): of the person who answered.
        said: The class they said, by its code.
    """
    joint = posterior * confusion[:, said]
    total = float(joint.sum())
    return np.asarray(joint / total) if total > 0 else posterior


def values_of_answers(posterior: Floats, confusions: Floats, lookahead: int) -> Floats:
    """Return by how much an answer of each person is expected to lower the probability of deciding wrongly.

    Looked at are the two likeliest classes, and answers that say the first, the second, or something else.

    Args:
        posterior: Shape (classes,).
        confusions: Shape (people, classes, classes).
        lookahead: Most answers of such a person to think ahead; the greatest gain per answer counts.

    Returns:
        Shape (people,).
    """
    if len(posterior) < 2 or not len(confusions):
        return np.zeros(len(confusions))
    first, second = (int(code) for code in np.argsort(-posterior, kind="stable")[:2])
    rows = confusions[:, [first, second], :]
    said = rows[:, :, [first, second]]
    chances = np.concatenate([said, np.maximum(0.0, 1.0 - said.sum(axis=2, keepdims=True))], axis=2)
    counts, ways, starts = _outcomes(lookahead, other=len(posterior) > 2)
    # A power of zero would have to be 1 where the count is zero too; so small a chance does it for all of them.
    likely = ways * np.exp(np.log(np.maximum(chances, _TINY)) @ counts.T)
    wrong = np.minimum(posterior[first] * likely[:, 0], posterior[second] * likely[:, 1])
    risks = np.add.reduceat(wrong, starts, axis=1)
    gains = (float(posterior[second]) - risks) / np.arange(1, lookahead + 1)
    return np.asarray(np.maximum(0.0, gains.max(axis=1)))


@lru_cache(maxsize=64)
def _outcomes(lookahead: int, *, other: bool) -> tuple[Floats, Floats, Ints]:
    """Return how often each of three things can be said in one, two, … answers, and in how many ways.

    Returns:
        Shape (n, 3); shape (n,); shape (lookahead,), where each number of answers begins.
    """
    counts: list[tuple[int, int, int]] = []
    starts: list[int] = []
    for answers in range(1, lookahead + 1):
        starts.append(len(counts))
        counts += [
            (i, j, answers - i - j)
            for i in range(answers + 1)
            for j in range(answers + 1 - i)
            if other or i + j == answers
        ]
    ways = [comb(i + j + k, i) * comb(j + k, j) for i, j, k in counts]
    return np.array(counts, dtype=np.float64), np.array(ways, dtype=np.float64), np.array(starts, dtype=np.intp)


def what_to_ask(question: Question, rules: AskingRules) -> Asking:
    """Return whether to ask once more, and whom."""
    names = sorted(question.candidates)
    confusions = np.array([question.candidates[name] for name in names])
    values = question.stakes * values_of_answers(question.posterior, confusions, rules.lookahead)
    whom: str | None = None
    value = 0.0
    if names:
        best = int(np.argmax(np.round(values, 12)))
        whom, value = names[best], float(values[best])
    why: Why
    if whom is None:
        why = "nobody_left"
    elif question.answers < rules.min_answers:
        why = "too_few_answers"
    elif question.answers >= rules.max_answers:
        why = "enough_answers"
    else:
        why = "worth_its_price" if value >= rules.price else "certain_enough"
    return Asking(question.name, why in ("too_few_answers", "worth_its_price"), why, value, whom)


def in_order(questions: Sequence[Question], rules: AskingRules) -> list[Asking]:
    """Return the questions that are to be asked once more, the one whose answer is worth most first."""
    asked = [asking for asking in (what_to_ask(question, rules) for question in questions) if asking.ask]
    return sorted(asked, key=lambda asking: (-round(asking.value, 12), asking.name))
