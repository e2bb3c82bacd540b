"""Ratings as arrays: one row a unit (the thing judged), one column a rater, missing ratings as -1 or NaN."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Level = Literal["nominal", "ordinal", "interval"]
Degenerate = Literal["no_pairs", "no_variation"]

MISSING = -1


@dataclass(frozen=True, slots=True)
class Agreement:
    """A chance-corrected coefficient, or why there is none.

    Attributes:
        value: 1 is perfect agreement, 0 is what chance gives; None where the coefficient is 0 / 0.
        observed: Observed agreement (kappa, AC), or observed disagreement (alpha); NaN without any pair.
        expected: What chance would give, on the same scale.
        units: Units that at least two raters judged.
        ratings: Ratings of those units.
        degenerate: Why ``value`` is None: ``no_pairs`` (no unit has two ratings) or ``no_variation`` (all ratings
            are one value, so agreement by skill can not be told from agreement by habit).
    """

    value: float | None
    observed: float
    expected: float
    units: int
    ratings: int
    degenerate: Degenerate | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        error: Standard deviation of the resampled values.
        confidence: Its nominal coverage, such as 0.95.
        resamples: Resamples that gave a value.
        clusters: How many independent clusters were resampled.
    """

    low: float
    high: float
    error: float
    confidence: float
    resamples: int
    clusters: int


def encode(ratings: Sequence[Mapping[str, Hashable]]) -> tuple[Ints, tuple[str, ...], tuple[Any, ...]]:
    """Return ratings as codes.

    Args:
        ratings: For each unit, the value by rater; a rater who did not judge it is left out.

    Returns:
        Codes of shape (units, raters), -1 where missing; the raters, sorted; the values, sorted by their text.
    """
    raters = tuple(sorted({rater for unit in ratings for rater in unit}))
    values = tuple(sorted({value for unit in ratings for value in unit.values()}, key=lambda item: (str(item),)))
    column = {rater: index for index, rater in enumerate(raters)}
    code = {value: index for index, value in enumerate(values)}
    codes = np.full((len(ratings), len(raters)), MISSING, dtype=np.intp)
    for row, unit in enumerate(ratings):
        for rater, value in unit.items():
            codes[row, column[rater]] = code[value]
    return codes, raters, values


def counts_of(codes: Ints, categories: int) -> Floats:
    """Return how many raters gave each value to each unit: (units, raters) to (units, categories).

    Args:
        codes: Values from 0 to ``categories`` - 1, negative where missing.
        categories: Number of values.
    """
    units = codes.shape[0]
    rows, columns = np.nonzero(codes >= 0)
    flat = rows * categories + codes[rows, columns]
    return np.bincount(flat, minlength=units * categories).reshape(units, categories).astype(np.float64)
