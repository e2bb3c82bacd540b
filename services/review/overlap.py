"""How many people label a sample, who they were, and whether one more is asked. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from fractions import Fraction

from services.consensus.build import consensus
from services.consensus.items import content_key
from services.contracts.annotations import Annotations
from services.contracts.consensus import Answer, Consensus, ConsensusLabel
from services.contracts.findings import RuleReference
from services.contracts.overlap import Overlap
from services.contracts.records import LabelSet
from services.contracts.review import Decision, GivenAnswer, ReviewTask, TaskKind, TaskState, Verdict
from services.rules.consensus import ConsensusRules

ANSWER_ORIGINS = frozenset({"annotator", "external"})
_ACCEPTING = frozenset({Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT})
_WHOLE = 2**64


def is_chosen(project: str, sample_id: str, rules: RuleReference, share: float) -> bool:
    """Whether a sample is among the share of the project's samples that get several answers.

    It hangs on nothing but what is given: whoever asks, and whenever, gets the same samples. The samples of a smaller
    share are among those of a greater one.
    """
    name = "\x1f".join((project, sample_id, rules.id, str(rules.version)))
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return Fraction(place, _WHOLE) < Fraction(share)


def answers_wanted(project: str, sample_id: str, rules: RuleReference, overlap: Overlap | None) -> int:
    """Return how many answers a sample gets before anybody has answered."""
    if overlap is None or not is_chosen(project, sample_id, rules, overlap.share):
        return 1
    return overlap.answers


def submissions(decisions: Iterable[Decision]) -> dict[object, Decision]:
    """Return the decisions that answer an annotate task, by their id."""
    return {
        decision.decision_id: decision
        for decision in decisions
        if decision.task_kind is TaskKind.ANNOTATE and decision.verdict is Verdict.SUBMIT
    }


def answered_before(person: str, task: ReviewTask, decisions: Iterable[Decision]) -> bool:
    """Whether a person has labelled the sample of an annotate task with another such task."""
    return task.kind is TaskKind.ANNOTATE and any(
        decision.actor_id == person and decision.task_id != task.task_id for decision in submissions(decisions).values()
    )


def handed_over(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the decisions by which annotators handed the sample to an expert instead of labelling it."""
    return tuple(
        decision
        for decision in decisions
        if decision.task_kind is TaskKind.ANNOTATE and decision.verdict is Verdict.ESCALATE
    )


def undecided(found: Consensus, decisions: Iterable[Decision]) -> Consensus:
    """Return what answers said together without the labels on which an expert has decided since, as a whole.

    What an expert decides about single labels closes the findings about them, and stays in.
    """
    decided = any(
        decision.task_kind is TaskKind.ADJUDICATE and not decision.finding_ids and decision.verdict in _ACCEPTING
        for decision in decisions
    )
    return found.model_copy(update={"labels": ()}) if decided else found


def labels_before_answers(label_sets: Sequence[LabelSet], decisions: Iterable[Decision]) -> LabelSet | None:
    """Return the labels that everybody who is asked to label a sample begins with: the newest that are no answer."""
    answers = submissions(decisions)
    return next(
        (item for item in reversed(label_sets) if item.origin != "prediction" and item.decision_id not in answers), None
    )


def newest_predictions(label_sets: Iterable[LabelSet]) -> Annotations:
    """Return the newest prediction of every model, in the order in which the models answered first."""
    newest = {labels.author.id: labels for labels in label_sets if labels.origin == "prediction"}
    return tuple(annotation for labels in newest.values() for annotation in labels.annotations)


def open_answers(label_sets: Sequence[LabelSet], decisions: Iterable[Decision]) -> list[Answer]:
    """Return the answers that nothing was made of yet: none where labels of another origin came after them."""
    answers = submissions(decisions)
    found: list[Answer] = []
    for item in label_sets:
        if item.origin == "prediction":
            continue
        if item.decision_id in answers:
            author = item.author
            found.append(
                Answer(annotator=author.id, team=author.team, answered_at=item.created_at, annotations=item.annotations)
            )
        else:
            found = []
    return found


def agreement_of(found: Consensus) -> float:
    """Return how far people agree on a sample: the mean over its labels, 1 where all say that there is nothing."""
    values = [item.agreement for item in found.labels if item.agreement is not None]
    return sum(values) / len(values) if values else 1.0


def unsettled(found: Consensus, overlap: Overlap) -> frozenset[str]:
    """Return the ids of the labels on which people agree less than the project asks for, each by itself."""
    return frozenset(
        item.annotation.id
        for item in found.labels
        if item.state == "disputed" and item.agreement is not None and item.agreement < overlap.min_agreement
    )


def may_ask_another(found: Consensus, tasks: Iterable[ReviewTask], overlap: Overlap | None) -> bool:
    """Whether one more person may be asked; whether that is worth its price is another question.

    Args:
        found: What those say together who have answered.
        tasks: All tasks of the revision: each annotate task that was not cancelled is an answer, given or asked for.
        overlap: The project's; none where nobody is ever asked beyond the first.
    """
    asked = sum(task.kind is TaskKind.ANNOTATE and task.state is not TaskState.CANCELLED for task in tasks)
    if overlap is None or overlap.max_answers is None or asked >= overlap.max_answers:
        return False
    return len(found.annotators) > 1 and bool(unsettled(found, overlap))


def given_answers(
    found: Consensus, label_sets: Iterable[LabelSet], disputed: Container[str]
) -> tuple[GivenAnswer, ...]:
    """Return what people said of labels in dispute, without their names and in the order of what they said.

    Args:
        found: What they say together.
        label_sets: All versions of the labels, their answers among them.
        disputed: Ids of the labels in dispute.
    """
    said = {
        (labels.author.id, label.id): label
        for labels in label_sets
        if labels.origin in ANSWER_ORIGINS
        for label in labels.annotations
    }
    answers: list[GivenAnswer] = []
    for item in found.labels:
        name = item.annotation.id
        if name not in disputed:
            continue
        given = [said.get((one.annotator, one.annotation_ids[0])) for one in item.support]
        shown = sorted((label for label in given if label is not None), key=content_key)
        answers += [
            GivenAnswer(annotation_id=name, label=label.model_copy(update={"id": name, "author": None}))
            for label in shown
        ]
        answers += [GivenAnswer(annotation_id=name)] * len(item.absent)
    return tuple(answers)


def agreed_labels(found: Consensus) -> Annotations:
    """Return the labels on which people agree, or agreed before: whatever later answers say, they stay."""
    return tuple(item.annotation for item in found.labels if item.state in ("agreed", "accepted"))


def merged(
    answers: Sequence[Answer],
    rules: ConsensusRules | None,
    *,
    accepted: Annotations = (),
    weights: Mapping[str, float] | None = None,
) -> Consensus:
    """Return what the answers say together, each label with the agreement on it as its confidence.

    Args:
        answers: Everybody's.
        rules: Thresholds.
        accepted: Labels that people agreed on before the last answers; they stay word for word.
        weights: Weights of the votes; None: all alike.
    """
    found = consensus(answers, rules, accepted=accepted, weights=weights)
    return found.model_copy(update={"labels": tuple(_with_confidence(item) for item in found.labels)})


def _with_confidence(item: ConsensusLabel) -> ConsensusLabel:
    if item.state == "accepted":
        return item
    return item.model_copy(update={"annotation": item.annotation.model_copy(update={"confidence": item.agreement})})
