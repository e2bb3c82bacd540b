"""How a time grows with the number of labels: an exponent fitted to medians, held against that of n log n."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.contracts.base import Contract

NOISE = 0.1
"""What an exponent may lie above that of n log n: caches, the collector and a busy machine bend a line so far."""

_END = 110
_DECADE = 10
_ALMOST_A_DECADE = 9
"""Made-up samples have about the number of labels that was asked for, and these two leave room for that."""


class Growth(Contract):
    """How one measured series grows.

    Attributes:
        exponent: Slope of the line through all (log n, log t), by least squares.
        end_exponent: The same over the last two decades, where a constant part no longer hides the growth.
        limit: Slope of n log n over these two decades, and the noise allowed.
        holds: Whether ``end_exponent`` is at most ``limit``; None where two sizes or more than a decade are missing.
    """

    exponent: float | None
    end_exponent: float | None
    limit: float | None
    holds: bool | None


def growth_of(points: Sequence[tuple[int, float]]) -> Growth:
    """Fit a series.

    Args:
        points: (labels, seconds), both above zero.
    """
    ordered = sorted(points)
    largest = ordered[-1][0] if ordered else 0
    end = [(n, t) for n, t in ordered if n * _END >= largest]
    if len(end) < 2 or end[-1][0] < _ALMOST_A_DECADE * end[0][0]:
        return Growth(exponent=_rounded(slope(ordered)), end_exponent=_rounded(slope(end)), limit=None, holds=None)
    at_end = slope(end) or 0.0
    limit = (slope([(n, n * math.log(n)) for n, _ in end]) or 0.0) + NOISE
    return Growth(
        exponent=_rounded(slope(ordered)),
        end_exponent=_rounded(at_end),
        limit=_rounded(limit),
        holds=at_end <= limit,
    )


def slope(points: Sequence[tuple[int, float]]) -> float | None:
    """Return the least squares slope of log t over log n; None for fewer than two sizes."""
    logs = [(math.log(n), math.log(t)) for n, t in points]
    if len({x for x, _ in logs}) < 2:
        return None
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def sizes_up_to(largest: int, smallest: int = 100) -> list[int]:
    """Return the powers of ten from ``smallest`` on, and ``largest`` itself at the end."""
    sizes = [smallest]
    while sizes[-1] * _DECADE < largest:
        sizes.append(sizes[-1] * _DECADE)
    return [*sizes, largest] if sizes[-1] < largest else [min(smallest, largest)] if largest < smallest else sizes


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
