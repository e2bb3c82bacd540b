"""Which labels of several people are of one thing.

Each two people's labels are matched one to one with the greatest total closeness (the assignment of
:func:`services.alignment.matching.assign`). The matches are then joined from the closest on: two groups become one if
nobody has a label in both and the mean closeness between them reaches the minimum. For two people this is the optimal
assignment; for more an optimal one can not be found in reasonable time (the multidimensional assignment problem is
NP-hard), and average linkage keeps one bad match from chaining two things together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from services.agreement.ratings import Floats
from services.alignment.matching import assign
from services.consensus.items import Item, by_annotator, joined
from services.contracts.annotations import Annotation

Closeness = Callable[[Sequence[Annotation], Sequence[Annotation]], Floats]
"""From n and m labels to (n, m) numbers from 0, nothing in common, to 1, the same."""

_SAME = 1e-12


def without_duplicates(items: Sequence[Item], closeness: Closeness, minimum: float) -> list[Item]:
    """Join labels of one class that one person gave one thing twice."""
    kept: list[Item] = []
    for places in by_annotator(items).values():
        own: list[Item] = []
        for index in places:
            item = items[index]
            near = closeness([item.label], [one.label for one in own])[0] if own else np.zeros(0)
            twin = next(
                (at for at, one in enumerate(own) if one.label.label == item.label.label and near[at] >= minimum), None
            )
            if twin is None:
                own.append(item)
            else:
                own[twin] = joined(own[twin], item)
        kept += own
    return sorted(kept, key=lambda item: (item.key, item.annotator))


def clusters_of(
    items: Sequence[Item], closeness: Closeness, *, minimum: float, class_penalty: float
) -> list[list[Item]]:
    """Return groups of labels of one thing each, at most one label a person.

    Args:
        items: Labels of one kind at one place, in a stable order.
        closeness: How close two labels are.
        minimum: Least closeness of a group.
        class_penalty: Share by which labels of different classes are less close.
    """
    near: dict[tuple[int, int], float] = {}
    edges: list[tuple[float, int, int]] = []
    for one, other in combinations(by_annotator(items).values(), 2):
        score = _penalised([items[i] for i in one], [items[j] for j in other], closeness, class_penalty)
        rows, columns = np.nonzero(score >= minimum / 2)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            near[_pair(one[row], other[column])] = float(score[row, column])
        rows, columns = assign(score, minimum=minimum)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            i, j = _pair(one[row], other[column])
            edges.append((-round(float(score[row, column]), 12), i, j))
    group = {index: index for index in range(len(items))}
    members = {index: [index] for index in range(len(items))}
    for _, i, j in sorted(edges):
        a, b = group[i], group[j]
        if a != b and _may_join(items, members[a], members[b], near, minimum):
            members[a] += members.pop(b)
            group.update((index, a) for index in members[a])
    return [[items[index] for index in sorted(places)] for places in members.values()]


def matched_to(
    anchors: Sequence[Annotation], items: Sequence[Item], closeness: Closeness, *, minimum: float, class_penalty: float
) -> tuple[list[list[Item]], list[Item]]:
    """Return, for each label that stands already, the items that are of it, and the items of none.

    Everybody's labels are assigned to the anchors one to one, whatever the others say.
    """
    found: list[list[Item]] = [[] for _ in anchors]
    left = list(items)
    if anchors:
        fixed = [Item("", (label.id,), label, b"") for label in anchors]
        left = []
        for places in by_annotator(items).values():
            own = [items[index] for index in places]
            rows, columns = assign(_penalised(fixed, own, closeness, class_penalty), minimum=minimum)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                found[row].append(own[column])
            taken = set(columns.tolist())
            left += [item for index, item in enumerate(own) if index not in taken]
        left.sort(key=lambda item: (item.key, item.annotator))
    return found, left


def _penalised(one: Sequence[Item], other: Sequence[Item], closeness: Closeness, class_penalty: float) -> Floats:
    score = closeness([item.label for item in one], [item.label for item in other])
    names = np.array([item.label.label for item in one], dtype=object)
    others = np.array([item.label.label for item in other], dtype=object)
    return np.where(names[:, None] == others[None, :], score, score * (1.0 - class_penalty))


def _pair(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _may_join(
    items: Sequence[Item], a: Sequence[int], b: Sequence[int], near: dict[tuple[int, int], float], minimum: float
) -> bool:
    if {items[index].annotator for index in a} & {items[index].annotator for index in b}:
        return False
    values = [near.get(_pair(i, j), 0.0) for i in a for j in b]
    return sum(values) / len(values) >= minimum - _SAME
