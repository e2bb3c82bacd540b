"""Agreement on where things are: boundaries, overlap, and means with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.agreement.ratings import Floats, Interval, Ints

_BATCH = 2_000_000


def f1(matched: float, one: float, other: float) -> float:
    """Return the F1 of two lists: twice what they share over what both have; it is the same whichever is the reference.

    With two people and no reference it stands for chance-corrected agreement, since kappa approaches it as the number
    of places that neither marks grows (G. Hripcsak and A. S. Rothschild, "Agreement, the F-measure, and reliability in
    information retrieval", JAMIA 12, 2005).
    """
    return 2.0 * matched / (one + other) if one + other else 1.0


def matched_boundaries(one: Sequence[float], other: Sequence[float], tolerance: float) -> int:
    """Return how many boundaries of two lists are the same, each used once, within the tolerance.

    Both are walked from the beginning, and of two that could be the same the earliest are taken: on a line this gives
    the most matches there can be.
    """
    a, b = sorted(one), sorted(other)
    i = j = found = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= tolerance:
            found, i, j = found + 1, i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return found


def ratio_interval(
    numerators: Floats,
    denominators: Floats,
    clusters: Ints,
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval | None:
    """Return the percentile bootstrap interval of a ratio of sums; None with fewer than two clusters.

    Whole clusters are drawn with replacement (A. C. Davison and D. V. Hinkley, *Bootstrap Methods and their
    Application*, 1997, section 3.8): the frames of one sample are no independent evidence.

    Args:
        numerators: Shape (n,).
        denominators: Shape (n,), not negative.
        clusters: Shape (n,): what belongs together.
        seed: Of the resampling.
        resamples: Number of resamples; those without a denominator are left out.
        confidence: Nominal coverage.
    """
    names, rows = np.unique(clusters, return_inverse=True)
    size = len(names)
    if size < 2:
        return None
    tops = np.bincount(rows, weights=numerators, minlength=size)
    bottoms = np.bincount(rows, weights=denominators, minlength=size)
    # Equal clusters are drawn together, in an order of their own: whose turn it is changes no interval.
    kinds, repeats = np.unique(np.stack([tops, bottoms], axis=1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH // len(kinds))
    found: list[Floats] = []
    for start in range(0, resamples, batch):
        drawn = rng.multinomial(size, repeats / size, size=min(batch, resamples - start)).astype(np.float64)
        top, bottom = drawn @ kinds[:, 0], drawn @ kinds[:, 1]
        found.append(top[bottom > 0] / bottom[bottom > 0])
    values = np.concatenate(found)
    if not len(values):
        return None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(float(low), float(high), float(values.std()), confidence, len(values), size)
