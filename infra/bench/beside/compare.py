"""Ratios of the rounds' times, held against the goals, and whether both sides found the same."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.bench.beside.turns import Done
from services.contracts.base import Contract

SAME_PX = 1e-3
SAME_IOU = 1e-9


class Agreement(Contract):
    """How far the results of two sides are apart.

    Attributes:
        measure: ``px`` and ``IoU``: the greatest difference; ``pairs``: how many only one side has; ``switches``:
            the difference of the two counts.
        difference: In that measure.
        compared: How many things both sides have.
        of: How many things either side has.
        agrees: Whether the difference is none but rounding.
    """

    measure: str
    difference: float
    compared: int
    of: int
    agrees: bool


@dataclass(frozen=True, slots=True)
class Ratio:
    """One side's time over ours.

    Attributes:
        median: Median over the rounds of the ratio within a round.
        lowest: The least of them.
        highest: The greatest of them.
    """

    median: float
    lowest: float
    highest: float


def ratio_of(ours_s: Sequence[float], theirs_s: Sequence[float]) -> Ratio:
    """Return how many times longer the others took, round by round.

    Args:
        ours_s: Our seconds in each round.
        theirs_s: Theirs, in the same rounds.
    """
    ratios = [theirs / max(ours, 1e-9) for ours, theirs in zip(ours_s, theirs_s, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def agreement_of(ours: Done, theirs: Done) -> Agreement:
    """Compare what two sides returned for one work."""
    if "boxes_px" in ours:
        return _boxes(ours["boxes_px"], theirs["boxes_px"])
    if "pairs" in ours:
        mine, other = (set(map(tuple, pairs.tolist())) for pairs in (ours["pairs"], theirs["pairs"]))
        apart, of = len(mine ^ other), len(mine | other)
        return Agreement(measure="pairs", difference=apart, compared=len(mine & other), of=of, agrees=apart == 0)
    if "iou" in ours:
        off = float(np.abs(ours["iou"] - theirs["iou"]).max(initial=0.0))
        size = int(ours["iou"].size)
        return Agreement(measure="IoU", difference=off, compared=size, of=size, agrees=off <= SAME_IOU)
    mine_count, other_count = int(ours["switches"]), int(theirs["switches"])
    return Agreement(
        measure="switches",
        difference=abs(mine_count - other_count),
        compared=min(mine_count, other_count),
        of=max(mine_count, other_count),
        agrees=mine_count == other_count,
    )


def _boxes(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Agreement:
    """Compare boxes that both sides see; what is partly behind the camera or out of view is defined differently."""
    seen = [(boxes[:, 2:] > boxes[:, :2]).all(axis=1) for boxes in (ours, theirs)]
    both = seen[0] & seen[1]
    off = float(np.abs(ours[both] - theirs[both]).max(initial=0.0))
    return Agreement(
        measure="px",
        difference=off,
        compared=int(both.sum()),
        of=int((seen[0] | seen[1]).sum()),
        agrees=bool(both.any()) and off <= SAME_PX,
    )
