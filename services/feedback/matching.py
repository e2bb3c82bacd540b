"""What became of each predicted label: the same matching as between people, one to one, with committed labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from services.agreement.ratings import Floats
from services.consensus.clusters import matched_to
from services.consensus.family import Family
from services.consensus.items import Item, content_key
from services.consensus.things import FAMILIES, Group, group_of
from services.contracts.annotations import Annotation
from services.contracts.feedback import Change
from services.contracts.labels_language import Relation
from services.rules.consensus import ConsensusRules

_MODEL = "model"
_SAME = 1.0 - 1e-9
_UNTOLD = frozenset({"id", "author", "confidence", "taxonomy_version"})
"""What a person's label does not repeat of a model's, and what says nothing of the thing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one predicted label, or of one committed label that was not predicted.

    Attributes:
        change: What was corrected; None if the label was committed as predicted.
        predicted: What the model said; None if it missed the thing.
        committed: What was committed; None if the prediction was removed.
        closeness: How close the two are, from 0 to 1; None where the kind has no place, or there are no two.
    """

    change: Change | None
    predicted: Annotation | None
    committed: Annotation | None
    closeness: float | None = None


def outcomes_of(
    predicted: Iterable[Annotation], committed: Iterable[Annotation], rules: ConsensusRules
) -> tuple[Outcome, ...]:
    """Return what became of a model's labels of one sample, in an order that depends on the labels alone.

    Relations are left out, for their ends are other labels' ids, which a model does not know; so are regions that are
    deliberately unlabelled, and what was predicted in their place. A thing that was predicted twice is found once; what
    is left over was removed.

    Args:
        predicted: The labels of one model.
        committed: The labels that were committed.
        rules: When two labels are of one thing.
    """
    groups: dict[Group, tuple[list[Annotation], list[Annotation]]] = defaultdict(lambda: ([], []))
    for side, labels in enumerate((predicted, committed)):
        for label in sorted(labels, key=lambda label: (content_key(label), label.id)):
            if not isinstance(label, Relation) and not (side == 0 and _is_ignored(label)):
                groups[group_of(label)][side].append(label)
    found: list[Outcome] = []
    for group, (said, truth) in sorted(groups.items()):
        items = [Item(_MODEL, (label.id,), label, content_key(label)) for label in said]
        close = partial(_closeness, FAMILIES[group[0]], rules)
        matched, left = matched_to(
            truth, items, close, minimum=rules.match_of(group[0]), class_penalty=rules.class_penalty
        )
        for label, members in zip(truth, matched, strict=True):
            if _is_ignored(label):
                continue
            if members:
                found.append(_compared(members[0].label, label, rules))
            else:
                found.append(Outcome("missed", None, label))
        found += [Outcome("removed", item.label, None) for item in left]
    return tuple(found)


def _closeness(family: Family, rules: ConsensusRules, one: Sequence[Annotation], other: Sequence[Annotation]) -> Floats:
    return family.closeness(one, other, rules)


def _compared(predicted: Annotation, committed: Annotation, rules: ConsensusRules) -> Outcome:
    family = FAMILIES[predicted.type]
    near = None if family.whole else min(1.0, max(0.0, float(family.closeness([predicted], [committed], rules)[0, 0])))
    if (predicted.label, family.voted(predicted)) != (committed.label, family.voted(committed)):
        return Outcome("class", predicted, committed, near)
    if not family.whole and float(family.duplicate([predicted], [committed], rules)[0, 0]) < _SAME:
        return Outcome("geometry", predicted, committed, near)
    if _told(predicted) != _told(committed):
        return Outcome("attributes", predicted, committed, near)
    return Outcome(None, predicted, committed, near)


def _told(label: Annotation) -> dict[str, object]:
    return label.model_dump(mode="json", exclude=set(_UNTOLD))


def _is_ignored(label: Annotation) -> bool:
    return bool(getattr(label, "ignore", False))
