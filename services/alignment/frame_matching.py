"""One-to-one pairs of boxes in every frame of a recording at once.

The pairs are those of :func:`services.alignment.matching.assign` in each frame, found without a table for each. An
overlap that is greater than the best other ones of its two boxes together is part of every best assignment: to do
without it would lose more than the two others can bring. Taking such pairs leaves smaller problems, in which the same
holds again. Only frames where that ends early, with objects that cover each other, are assigned as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.alignment.geometry import Bools, Floats, Ints
from services.alignment.matching import assign, iou_matrix, iou_pairs

_BLOCK = 500_000
"""Pairs that are looked at at once."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one stream.

    Attributes:
        frames: Shape (n,), ascending.
        boxes_px: Shape (n, 4).
        names: Shape (n,): numbers of identities, -1 for none; boxes with two different ones have no overlap. None
            where identities play no role.
    """

    frames: Ints
    boxes_px: Floats
    names: Ints | None = None

    def overlaps(self, rows: Ints, other: Boxes, columns: Ints) -> Floats:
        """Return the overlap of each of these rows with the row of ``other`` at the same place, (k,)."""
        iou = iou_pairs(self.boxes_px[rows], other.boxes_px[columns])
        if self.names is None or other.names is None:
            return iou
        return np.where(_differ(self.names[rows], other.names[columns]), 0.0, iou)

    def table(self, begin: int, end: int, other: Boxes, other_begin: int, other_end: int) -> Floats:
        """Return the overlaps of two runs of rows, (end - begin, other_end - other_begin)."""
        iou = iou_matrix(self.boxes_px[begin:end], other.boxes_px[other_begin:other_end])
        if self.names is None or other.names is None:
            return iou
        apart = _differ(self.names[begin:end, None], other.names[None, other_begin:other_end])
        return np.where(apart, 0.0, iou)


def _differ(a: Ints, b: Ints) -> Bools:
    return np.asarray((a >= 0) & (b >= 0) & (a != b))


def assign_in_frames(a: Boxes, b: Boxes, *, minimum: float) -> tuple[Ints, Ints]:
    """Return the one-to-one pairs with the greatest total overlap in each frame.

    Args:
        a: The boxes of one stream.
        b: The boxes of the other.
        minimum: The least overlap of a pair.

    Returns:
        Rows of ``a``, ascending, and rows of ``b``.
    """
    rows, columns, scores = _edges(a, b, minimum)
    taken, crowded = _sure(rows, columns, scores)
    found = [(rows[taken], columns[taken])]
    frames = np.unique(a.frames[rows[crowded]])
    if len(frames):
        # In these frames the table has the last word on all pairs, so that ties fall as they do in one table.
        alone = ~np.isin(a.frames[found[0][0]], frames)
        found = [(found[0][0][alone], found[0][1][alone])]
        begins, ends = np.searchsorted(a.frames, frames), np.searchsorted(a.frames, frames, side="right")
        b_begins, b_ends = np.searchsorted(b.frames, frames), np.searchsorted(b.frames, frames, side="right")
        for begin, end, b_begin, b_end in zip(
            begins.tolist(), ends.tolist(), b_begins.tolist(), b_ends.tolist(), strict=True
        ):
            i, j = assign(a.table(begin, end, b, b_begin, b_end), minimum=minimum)
            found.append((i + begin, j + b_begin))
    all_rows, all_columns = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(all_rows, kind="stable")
    return all_rows[order], all_columns[order]


def _edges(a: Boxes, b: Boxes, minimum: float) -> tuple[Ints, Ints, Floats]:
    """Return the pairs of one frame that overlap enough, rows ascending: rows of ``a``, of ``b``, overlaps."""
    found: list[tuple[Ints, Ints, Floats]] = []
    for rows, columns in _pairs(a.frames, b.frames):
        scores = a.overlaps(rows, b, columns)
        kept = scores >= minimum
        found.append((rows[kept], columns[kept], scores[kept]))
    if not found:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    if len(found) == 1:
        return found[0]
    return (
        np.concatenate([rows for rows, _, _ in found]),
        np.concatenate([columns for _, columns, _ in found]),
        np.concatenate([scores for _, _, scores in found]),
    )


def _pairs(a_frames: Ints, b_frames: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield all pairs of rows of one frame, in blocks, rows of the first ascending."""
    begins = np.searchsorted(b_frames, a_frames)
    counts = np.searchsorted(b_frames, a_frames, side="right") - begins
    ends = np.cumsum(counts)
    first = 0
    while first < len(a_frames):
        done = int(ends[first] - counts[first])
        last = max(int(np.searchsorted(ends, done + _BLOCK, side="right")), first + 1)
        here = counts[first:last]
        rows = np.repeat(np.arange(first, last), here)
        if len(rows):
            columns = np.arange(len(rows)) + np.repeat(begins[first:last] - (ends[first:last] - here - done), here)
            yield rows, columns
        first = last


def _sure(rows: Ints, columns: Ints, scores: Floats) -> tuple[Ints, Ints]:
    """Return which pairs are part of every best assignment, and which are left beside them undecided."""
    left = np.arange(len(rows))
    taken: list[Ints] = []
    while len(left):
        r, c, s = rows[left], columns[left], scores[left]
        sure = s > _best_other(r, s) + _best_other(c, s) + _ROUNDING
        if not sure.any():
            break
        taken.append(left[sure])
        left = left[~(_among(r, r[sure]) | _among(c, c[sure]))]
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, np.intp), left


def _best_other(groups: Ints, scores: Floats) -> Floats:
    """Return for each pair the greatest score of the others of its group, or 0."""
    size = int(groups.max()) + 1
    best, second = np.zeros(size), np.zeros(size)
    np.maximum.at(best, groups, scores)
    is_best = scores == best[groups]
    np.maximum.at(second, groups[~is_best], scores[~is_best])
    # Where two share the best score, each is the best other of the other one.
    shared = np.bincount(groups[is_best], minlength=size) > 1
    second[shared] = best[shared]
    return np.where(is_best, second[groups], best[groups])


def _among(values: Ints, chosen: Ints) -> Bools:
    marked = np.zeros(int(values.max()) + 1, dtype=np.bool_)
    marked[chosen] = True
    return marked[values]
