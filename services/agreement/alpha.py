"""Krippendorff's alpha for nominal, ordinal and interval data, with a bootstrap interval.

Alpha is ``1 - D_o / D_e``: observed over expected disagreement among all pairable ratings, for any number of raters
and with missing ratings (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011; *Content Analysis*, 2004,
chapter 11). The ordinal metric is the interval metric over mid-ranks, since the number of ratings between two values,
half of the ends included, is the difference of their mid-ranks.

The interval resamples units with replacement and takes percentiles (A. Zapf et al., "Measuring inter-rater reliability
for nominal data", BMC Medical Research Methodology 16:93, 2016); where units are not independent, such as the frames of
one video, whole clusters of units are resampled.

Where all pairable ratings are one value, D_o and D_e are both zero. There is no coefficient then: ``value`` is None
and ``degenerate`` is ``no_variation``. Neither 1 (they may press one key all day) nor 0 (they may be right) is a
measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.agreement.ratings import Agreement, Floats, Interval, Ints, Level

_BATCH = 2_000_000


@dataclass(frozen=True, slots=True)
class _Parts:
    """What alpha is a function of, one row a cluster; rows of a resample are added up.

    Attributes:
        counts: Shape (clusters, values): pairable ratings of each value.
        coincidences: Shape (clusters, values, values) for ordinal data, else empty.
        disagreement: Shape (clusters,): observed disagreement where it does not depend on the other units.
        values: Shape (values,): the numbers behind the values.
    """

    counts: Floats
    coincidences: Floats
    disagreement: Floats
    values: Floats


def krippendorff_alpha(values: Floats, level: Level = "nominal") -> Agreement:
    """Return alpha.

    Args:
        values: Shape (units, raters); NaN where a rater did not judge the unit. For nominal data any distinct numbers.
        level: How far apart two values are: different or not, by rank, or by their squared difference.
    """
    parts, units, ratings = _parts(values, level, np.arange(len(values)))
    if ratings == 0:
        return Agreement(None, float("nan"), float("nan"), 0, 0, "no_pairs")
    observed, expected = (float(item[0]) for item in _disagreements(parts, np.ones((1, len(parts.counts))), level))
    if expected <= 0:
        return Agreement(None, 0.0, 0.0, units, ratings, "no_variation")
    return Agreement(1.0 - observed / expected, observed, expected, units, ratings)


def alpha_interval(
    values: Floats,
    level: Level = "nominal",
    *,
    seed: int,
    clusters: Ints | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval | None:
    """Return the percentile bootstrap interval of alpha; None with fewer than two clusters or without variation.

    Args:
        values: As for :func:`krippendorff_alpha`.
        level: As for :func:`krippendorff_alpha`.
        seed: Of the resampling; the same seed gives the same interval, whatever the order of the units.
        clusters: Shape (units,): the cluster of each unit; left out, every unit is its own.
        resamples: Number of resamples; those without variation give no value and are left out.
        confidence: Nominal coverage.
    """
    groups = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    parts, _, ratings = _parts(values, level, groups)
    size = len(parts.counts)
    if ratings == 0 or size < 2:
        return None
    kinds, weights = _kinds(parts)
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH // max(1, len(weights) + kinds.counts.shape[1] ** (2 if level == "ordinal" else 1)))
    found: list[Floats] = []
    for start in range(0, resamples, batch):
        drawn = rng.multinomial(size, weights, size=min(batch, resamples - start)).astype(np.float64)
        observed, expected = _disagreements(kinds, drawn, level)
        usable = expected > 0
        found.append(1.0 - observed[usable] / expected[usable])
    alphas = np.concatenate(found)
    if not len(alphas):
        return None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(alphas, [tail, 1.0 - tail])
    return Interval(float(low), float(high), float(alphas.std()), confidence, len(alphas), size)


def _parts(values: Floats, level: Level, clusters: Ints) -> tuple[_Parts, int, int]:
    present = ~np.isnan(values)
    pairable = present.sum(axis=1) >= 2
    values, present, clusters = values[pairable], present[pairable], clusters[pairable]
    domain, codes = np.unique(values[present], return_inverse=True)
    units, size = len(values), len(domain)
    rows = np.nonzero(present)[0]
    counts = np.bincount(rows * size + codes, minlength=units * size).reshape(units, size).astype(np.float64)
    m = counts.sum(axis=1)
    if level == "ordinal":
        pairs = counts[:, :, None] * counts[:, None, :]
        pairs[:, np.arange(size), np.arange(size)] -= counts
        coincidences = pairs / (m - 1)[:, None, None]
        disagreement = np.zeros(units)
    else:
        coincidences = np.zeros((units, 0, 0))
        if level == "nominal":
            disagreement = (m * m - (counts * counts).sum(axis=1)) / (m - 1)
        else:
            # Shifted to the middle first: squares of large numbers would lose the differences.
            domain = domain - (domain.mean() if size else 0.0)
            sums, squares = counts @ domain, counts @ (domain * domain)
            disagreement = 2.0 * (m * squares - sums * sums) / (m - 1)
    names, first = np.unique(clusters, return_inverse=True)
    if len(names) < units:
        order = np.argsort(first, kind="stable")
        starts = np.searchsorted(first[order], np.arange(len(names)))
        counts = np.add.reduceat(counts[order], starts, axis=0)
        coincidences = np.add.reduceat(coincidences[order], starts, axis=0) if size else coincidences
        disagreement = np.add.reduceat(disagreement[order], starts)
    return _Parts(counts, coincidences, disagreement, domain), units, int(m.sum())


def _kinds(parts: _Parts) -> tuple[_Parts, Floats]:
    """Return the distinct rows and their shares: equal clusters need not be drawn one by one."""
    flat = np.concatenate(
        [parts.disagreement[:, None], parts.counts, parts.coincidences.reshape(len(parts.counts), -1)], axis=1
    )
    _, index, repeats = np.unique(flat, axis=0, return_index=True, return_counts=True)
    kinds = _Parts(parts.counts[index], parts.coincidences[index], parts.disagreement[index], parts.values)
    return kinds, repeats / len(flat)


def _disagreements(parts: _Parts, weights: Floats, level: Level) -> tuple[Floats, Floats]:
    """Return observed and expected disagreement for each row of weights: (rows, clusters) to two of (rows,)."""
    totals = weights @ parts.counts
    n = totals.sum(axis=1)
    if level == "nominal":
        observed = weights @ parts.disagreement
        expected = n * n - (totals * totals).sum(axis=1)
    elif level == "interval":
        observed = weights @ parts.disagreement
        sums, squares = totals @ parts.values, totals @ (parts.values * parts.values)
        expected = 2.0 * (n * squares - sums * sums)
    else:
        size = totals.shape[1]
        ranks = np.cumsum(totals, axis=1) - totals / 2.0
        apart = (ranks[:, :, None] - ranks[:, None, :]) ** 2
        pooled = (weights @ parts.coincidences.reshape(len(parts.counts), -1)).reshape(-1, size, size)
        observed = (pooled * apart).sum(axis=(1, 2))
        expected = (totals[:, :, None] * totals[:, None, :] * apart).sum(axis=(1, 2))
    safe = np.maximum(n, 2.0)
    tiny = 1e-12 * np.maximum(1.0, n * n)
    expected = np.where(expected <= tiny * _scale(parts, level), 0.0, expected)
    return observed / safe, expected / (safe * (safe - 1.0))


def _scale(parts: _Parts, level: Level) -> float:
    if level == "interval" and len(parts.values):
        return float(np.max(parts.values**2)) or 1.0
    return 1e-3
