"""Hold the labels that somebody made against the known ones, by the matching of consensus. Pure functions.

Both are joined as if two people had labelled the sample, so that each kind of label is matched by its own rule: boxes
by overlap, spans by their ends, transcripts by their words. A thing that both have is right if its class is that of the
known label and it lies as close as the rules ask of people who agree. A known label that is missing is wrong; so is
one too many, where the known labels are all there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.consensus.build import consensus
from services.contracts.annotations import Annotations
from services.contracts.consensus import Answer, ConsensusLabel, Support
from services.contracts.quality import GoldAnswer, LabelFault
from services.contracts.review import Decision, TaskKind, Verdict
from services.quality.scoring import JudgedSample
from services.review.worth import NOTHING
from services.rules.consensus import ConsensusRules

LABELS = "labels"
"""What stands in the place of a check where labels are scored; the kind beside it is that of the label."""
_KNOWN, _SAID, _EMPTY = "known", "said", "empty"


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """One thing that somebody was to label.

    Attributes:
        decision: By which they handed in their labels.
        name: Of the thing, one in its decision.
        kind: Of the label; ``(nothing)`` where it is known that there is nothing.
        known: Its class as known; None where there should be no label.
        said: Its class as they said; None where they did not label it.
        fault: What is wrong; None if it is right.
    """

    decision: Decision
    name: str
    kind: str
    known: str | None
    said: str | None
    fault: LabelFault | None

    @property
    def right(self) -> bool:
        """Whether it is right."""
        return self.fault is None

    @property
    def label(self) -> str:
        """The class that it counts for: the known one, else the one that was made up."""
        return self.known or self.said or NOTHING


def is_labelling(decision: Decision) -> bool:
    """Whether a decision hands in somebody's own labels of a sample."""
    return decision.task_kind is TaskKind.ANNOTATE and decision.verdict is Verdict.SUBMIT


def score_labels(sample: JudgedSample, rules: ConsensusRules | None) -> Iterator[ScoredLabel]:
    """Yield each thing of a revision that people were to label and of which it is known what it is.

    Args:
        sample: The revision's decisions and labels, with the known answer.
        rules: The project's thresholds for people who agree; the defaults if left out.
    """
    gold = sample.gold
    if gold is None or not gold.tells_labels:
        return
    for decision in sample.decisions:
        labels = sample.labels.get(decision.label_version_after)
        if is_labelling(decision) and labels is not None:
            yield from _scored(decision, labels, gold, rules or ConsensusRules())


def _scored(decision: Decision, labels: Annotations, gold: GoldAnswer, rules: ConsensusRules) -> Iterator[ScoredLabel]:
    answers = (Answer(annotator=_KNOWN, annotations=gold.labels), Answer(annotator=_SAID, annotations=labels))
    found = consensus(answers, rules).labels
    if gold.complete and not found:
        yield ScoredLabel(decision, _EMPTY, NOTHING, None, None, None)
    for item in found:
        by = {one.annotator: one for one in item.support}
        known, said = by.get(_KNOWN), by.get(_SAID)
        if known is None and not gold.complete:
            continue
        yield ScoredLabel(
            decision,
            item.annotation.id,
            item.annotation.type,
            None if known is None else known.label,
            None if said is None else said.label,
            _fault(item, known, said, rules),
        )


def _fault(
    item: ConsensusLabel, known: Support | None, said: Support | None, rules: ConsensusRules
) -> LabelFault | None:
    if known is None:
        return "added"
    if said is None:
        return "missed"
    if (known.label, known.voted) != (said.label, said.voted):
        return "class"
    if item.place is not None and item.place < rules.place_of(item.annotation.type):
        return "place"
    return None
