"""What consensus needs to know of a kind of label: how close two are, and what several are together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from services.agreement.ratings import Floats
from services.contracts.annotations import Annotation
from services.rules.consensus import ConsensusRules

Labels = Sequence[Annotation]
Weights = Mapping[str, float]
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Members:
    """Labels of one thing, one a person.

    Attributes:
        annotators: Who gave each.
        labels: The labels, in an order that depends on what they say.
        medoid: The label that is closest to all others; the first of those that are equally close.
        weights: Weights of the annotators' votes; who is missing has 1.
    """

    annotators: tuple[str, ...]
    labels: tuple[Annotation, ...]
    medoid: Annotation
    weights: Weights | None = None


def _class_of(label: Annotation) -> str:
    return label.label


def _nothing(_: Annotation) -> None:
    return None


def keep_medoid(_: Members, __: ConsensusRules) -> dict[str, object]:
    """Take the medoid as it is."""
    return {}


@dataclass(frozen=True, slots=True)
class Family:
    """One way to compare and to join.

    Attributes:
        closeness: From n and m labels to (n, m), from 0, nothing in common, to 1, the same; it says what is one thing.
        merge: The fields of the common label that tell where the thing is.
        place: How close two labels of one thing are, where that is not what says that they are of one thing.
        whole: Whether such labels are of a whole stream, frame or object, so that there is no place to agree on.
        voted: What people vote on; the class if left out.
        apart: What tells things of one kind apart beside stream and frame.
    """

    closeness: Callable[[Labels, Labels, ConsensusRules], Floats]
    merge: Callable[[Members, ConsensusRules], dict[str, object]]
    place: Callable[[Labels, Labels, ConsensusRules], Floats] | None = None
    whole: bool = False
    voted: Callable[[Annotation], str] = _class_of
    apart: Callable[[Annotation], Hashable] = _nothing

    def duplicate(self, one: Labels, other: Labels, rules: ConsensusRules) -> Floats:
        """Return how far two labels of one person are the same."""
        close = self.closeness(one, other, rules)
        return close if self.place is None else np.minimum(close, self.place(one, other, rules))


@dataclass(frozen=True, slots=True)
class Closeness:
    """How close the labels of one thing are.

    Attributes:
        medoid: Index of the label that is closest to all others.
        mean: Mean closeness of any two; None of fewer than two labels.
        farthest: Closeness of the two that are farthest apart.
        closest: Closeness of the two that are closest.
        near: How many labels are as close to the medoid as is asked for, itself among them.
    """

    medoid: int = 0
    mean: float | None = None
    farthest: float = 1.0
    closest: float = 1.0
    near: int = 1


def closeness_of(labels: Labels, family: Family, rules: ConsensusRules, minimum: float) -> Closeness:
    """Return how close labels of one thing are, ``minimum`` being asked for."""
    if len(labels) < 2:
        return Closeness()
    between = (family.place or family.closeness)(labels, labels, rules)
    either = np.clip((between + between.T) / 2, 0.0, 1.0)
    pairs = [float(either[i, j]) for i, j in combinations(range(len(labels)), 2)]
    # Rounded, so that the last digit of a sum does not choose between labels that are equally close.
    own = np.round(between.sum(axis=1) + between.sum(axis=0) - 2 * np.diag(between), 9)
    medoid = int(np.argmax(own))
    near = sum(bool(either[medoid, i] >= minimum - _SAME) for i in range(len(labels)) if i != medoid)
    return Closeness(medoid, sum(pairs) / len(pairs), min(pairs), max(pairs), 1 + near)


def pairwise(one: Labels, other: Labels, close: Callable[[Annotation, Annotation], float]) -> Floats:
    """Return the closeness of every two labels, one by one."""
    return np.array([[close(a, b) for b in other] for a in one], dtype=np.float64).reshape(len(one), len(other))
