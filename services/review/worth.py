"""What another answer to a sample is worth: the questions its labels are, and the expected value of one more. Pure.

A label that several people see is one question with the classes they gave it and ``NOTHING``, that there is no such
thing. Its probabilities begin with what a model says, where one does, and change with every answer by how often its
author is right about such things (one number a person and class: the rest is shared by the other classes). Where people
differ about its place, whether the common place is right is a second question, of two answers.

An answer answers all questions of a sample at once, so it is worth what they are worth together. A label that was
accepted can not change any more, so another answer is worth nothing to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.agreement.ratings import Floats
from services.alignment.answer_agreement import disputed
from services.consensus.things import FAMILIES, group_of
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus, ConsensusLabel
from services.contracts.findings import Finding
from services.contracts.manifest import Risk
from services.contracts.quality import AnnotatorSkill
from services.review.asking import Asking, Question, after_answer, in_order, prior_of, stakes_of, what_to_ask
from services.rules.asking import AskingRules
from services.rules.consensus import ConsensusRules
from services.rules.rule_set import RuleSet

NOTHING = "(nothing)"
SHARE_BEFORE_ANY = 0.8
"""How often anybody is right before a single answer was seen."""
_ANYBODY = "anybody"
_PLACE = "\x1fplace"


@dataclass(frozen=True, slots=True)
class Skills:
    """How often people are right.

    Attributes:
        shares: Probability to be right by person and class; None for everybody, and for all classes.
    """

    shares: Mapping[tuple[str | None, str | None], float] = field(default_factory=dict)

    @classmethod
    def of(cls, skills: Iterable[AnnotatorSkill]) -> Skills:
        """Return them as they were learned."""
        return cls({(skill.actor_id, skill.label): skill.share for skill in skills})

    def share(self, person: str | None, label: str) -> float:
        """Return how often a person is right about a class, as closely as it is known."""
        for known in ((person, label), (None, label), (person, None), (None, None)):
            if known in self.shares:
                return self.shares[known]
        return SHARE_BEFORE_ANY

    def confusion(self, person: str | None, classes: Sequence[str]) -> Floats:
        """Return the probability to say the second where the first is true, shape (classes, classes)."""
        right = np.clip([self.share(person, name) for name in classes], 1e-6, 1.0 - 1e-6)
        others = max(1, len(classes) - 1)
        return np.asarray(np.diag(right) + (1.0 - np.eye(len(classes))) * ((1.0 - right) / others)[:, None])

    def weights(self, people: Iterable[str]) -> dict[str, float]:
        """Return the weight of each person's vote: the logarithm of their odds to be right.

        With equal errors such a vote is the most probable class (S. Nitzan and J. Paroush, 1982); nobody weighs less
        than nothing.
        """
        found = {}
        for person in people:
            share = self.shares.get((person, None), self.shares.get((None, None), SHARE_BEFORE_ANY))
            right = min(1.0 - 1e-6, max(1e-6, share))
            found[person] = max(0.0, float(np.log(right / (1.0 - right))))
        return found


@dataclass(frozen=True, slots=True)
class Case:
    """What the worth of an answer hangs on, beside the answers so far.

    Attributes:
        rules: The project's rule set.
        risk: The sample's.
        skills: How often people are right.
        findings: Open findings about the sample.
        predicted: What models say, with their confidence.
        min_answers: Answers that are asked for in any case.
        max_answers: Answers after which nobody is asked any more.
    """

    rules: RuleSet
    risk: Risk
    skills: Skills = Skills()
    findings: tuple[Finding, ...] = ()
    predicted: tuple[Annotation, ...] = ()
    min_answers: int = 1
    max_answers: int = 100

    @property
    def asking(self) -> AskingRules:
        """What an answer may cost, within the answers that the project asks for."""
        section = self.rules.asking or AskingRules()
        return section.model_copy(update={"min_answers": self.min_answers, "max_answers": self.max_answers})

    def stakes(self, about: str | None, own: Iterable[Finding] = ()) -> float:
        """Return what a wrong label costs, by the findings about it."""
        found = [*own, *(finding for finding in self.findings if about is None or about in finding.annotations)]
        return stakes_of([finding.severity for finding in found], self.risk, self.asking)


def questions_of(found: Consensus, case: Case) -> tuple[Question, ...]:
    """Return the questions that the labels of a sample are, accepted ones aside.

    Where nobody labelled anything, what the models say is asked about; and if they say nothing either, whether there is
    anything at all.

    Args:
        found: What those say together who have answered, if any.
        case: What it hangs on.
    """
    predicted = _predictions_of(found, case)
    questions = [
        question
        for item in found.labels
        if item.state != "accepted"
        for question in _of_label(item, case, predicted.get(item.annotation.id))
    ]
    if found.annotators:
        return tuple(questions) or (_of_nothing(found.annotators, case),)
    return tuple(_of_prediction(label, case) for label in case.predicted) or (_of_nothing((), case),)


def worth_of(questions: Iterable[Question], case: Case) -> float:
    """Return what one more answer to all of these is worth, in units of one wrong label of full weight."""
    return sum(what_to_ask(question, case.asking).value for question in questions)


def next_askings(found: Consensus, unsettled: Container[str], case: Case) -> list[Asking]:
    """Return what one more answer is worth asking for, the most valuable first.

    Args:
        found: What those say together who have answered.
        unsettled: Ids of the labels that one more answer could settle.
        case: What its worth hangs on.
    """
    questions = [one for one in questions_of(found, case) if one.name.removesuffix(_PLACE) in unsettled]
    return in_order(questions, case.asking)


def _predictions_of(found: Consensus, case: Case) -> dict[str, Annotation]:
    """Return the prediction that is of the same thing as each label, by the label's id, where there is one."""
    rules = case.rules.consensus or ConsensusRules()
    predicted: dict[object, list[Annotation]] = defaultdict(list)
    for label in case.predicted:
        predicted[group_of(label)].append(label)
    asked: dict[object, list[Annotation]] = defaultdict(list)
    for item in found.labels:
        # A relation is of the same thing as another only by the common ids of its ends, which a model does not know.
        if item.state != "accepted" and item.annotation.type != "relation":
            asked[group_of(item.annotation)].append(item.annotation)
    closest: dict[str, Annotation] = {}
    for group, labels in asked.items():
        near = predicted.get(group)
        if near:
            close = FAMILIES[labels[0].type].closeness(labels, near, rules)
            least = rules.match_of(labels[0].type)
            for label, row in zip(labels, close, strict=True):
                best = int(np.argmax(row))
                if row[best] >= least:
                    closest[label.id] = near[best]
    return closest


def _of_label(item: ConsensusLabel, case: Case, predicted: Annotation | None) -> list[Question]:
    answers = len(item.support) + len(item.absent)
    stakes = case.stakes(item.annotation.id, disputed(item, case.rules))
    said = {one.annotator: one.voted or one.label for one in item.support} | dict.fromkeys(item.absent, NOTHING)
    classes = sorted({*said.values(), NOTHING, *(() if predicted is None else (predicted.label,))})
    posterior = _prior(classes, predicted, case)
    for person, label in sorted(said.items()):
        posterior = after_answer(posterior, case.skills.confusion(person, classes), classes.index(label))
    anybody = {_ANYBODY: case.skills.confusion(None, classes)}
    found = [Question(item.annotation.id, posterior, answers, stakes, anybody)]
    if item.near is not None:
        labels = (item.annotation.label, NOTHING)
        both = case.skills.confusion(None, labels)
        place = np.array([0.5, 0.5])
        for near in [True] * item.near + [False] * (len(item.support) - item.near):
            place = after_answer(place, both, 0 if near else 1)
        found.append(Question(item.annotation.id + _PLACE, place, answers, stakes, {_ANYBODY: both}))
    return found


def _of_prediction(label: Annotation, case: Case) -> Question:
    classes = sorted({label.label, NOTHING})
    anybody = {_ANYBODY: case.skills.confusion(None, classes)}
    return Question(label.id, _prior(classes, label, case), 0, case.stakes(label.id), anybody)


def _of_nothing(people: Sequence[str], case: Case) -> Question:
    """Whether there is anything that nobody labelled."""
    classes = (NOTHING, "(anything)")
    posterior = np.array([0.5, 0.5])
    for person in people:
        posterior = after_answer(posterior, case.skills.confusion(person, classes), 0)
    return Question(
        NOTHING, posterior, len(people), case.stakes(None), {_ANYBODY: case.skills.confusion(None, classes)}
    )


def _prior(classes: Sequence[str], predicted: Annotation | None, case: Case) -> Floats:
    even = np.full(len(classes), 1.0 / len(classes))
    if predicted is None:
        return even
    return prior_of(even, case.asking, predicted=classes.index(predicted.label), confidence=predicted.confidence)
