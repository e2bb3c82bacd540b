"""Cohen's kappa of two raters, and Gwet's AC1 and AC2 of any number, plain and weighted.

Sources: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 1960,
and "Weighted kappa", Psychological Bulletin 70, 1968; K. L. Gwet, "Computing inter-rater reliability and its variance
in the presence of high agreement", British Journal of Mathematical and Statistical Psychology 61, 2008, and *Handbook
of Inter-Rater Reliability*, 4th ed., 2014.

Kappa is 0 / 0 where both raters use one and the same value only: ``no_variation``. AC1 is 1 there as soon as more than
one value was possible, because its chance term falls to zero; with a single possible value it is ``no_variation`` too.
"""

from __future__ import annotations

import numpy as np

from services.agreement.ratings import Agreement, Floats, Ints, Level, counts_of


def agreement_weights(categories: int, level: Level = "nominal") -> Floats:
    """Return how much two values agree, 1 on the diagonal: (categories, categories).

    ``nominal`` is the identity; ``ordinal`` (linear) falls with the number of steps, ``interval`` (quadratic) with
    their square. The values are taken to be evenly spaced.
    """
    if level == "nominal" or categories < 2:
        return np.eye(categories)
    steps = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))) / (categories - 1)
    return np.asarray(1.0 - (steps if level == "ordinal" else steps**2))


def cohen_kappa(a: Ints, b: Ints, categories: int, weights: Floats | None = None) -> Agreement:
    """Return Cohen's kappa of two raters, weighted where ``weights`` are given.

    Args:
        a: Codes from 0 of the first rater, shape (units,); negative where missing. Units that only one judged are
            left out.
        b: Codes of the second rater.
        categories: Number of possible values.
        weights: Shape (categories, categories), 1 for full agreement; left out, only equal values agree.
    """
    both = (a >= 0) & (b >= 0)
    n = int(both.sum())
    if n == 0:
        return Agreement(None, float("nan"), float("nan"), 0, 0, "no_pairs")
    table = np.bincount(a[both] * categories + b[both], minlength=categories**2).reshape(categories, categories) / n
    return kappa_of_table(table, n, weights)


def kappa_of_table(table: Floats, units: int, weights: Floats | None = None) -> Agreement:
    """Return Cohen's kappa of a contingency table of counts or shares, rows the first rater.

    Args:
        table: Shape (categories, categories).
        units: Number of units behind it.
        weights: As for :func:`cohen_kappa`.
    """
    shares = table / table.sum()
    worth = np.eye(len(shares)) if weights is None else weights
    observed = float((worth * shares).sum())
    expected = float((worth * np.outer(shares.sum(axis=1), shares.sum(axis=0))).sum())
    if expected >= 1.0 - 1e-12:
        return Agreement(None, observed, expected, units, 2 * units, "no_variation")
    return Agreement((observed - expected) / (1.0 - expected), observed, expected, units, 2 * units)


def gwet_ac(codes: Ints, categories: int, weights: Floats | None = None) -> Agreement:
    """Return Gwet's AC1, or AC2 where ``weights`` are given.

    The chance term looks at how evenly the values are used and not at who uses them, so that a rare class does not
    turn high agreement into a low coefficient, as it does with kappa.

    Args:
        codes: Shape (units, raters), from 0; negative where missing. Units with one rating count for the chance term.
        categories: Number of possible values, those that nobody used included.
        weights: Shape (categories, categories), 1 for full agreement.
    """
    counts = counts_of(codes, categories)
    r = counts.sum(axis=1)
    paired = r >= 2
    units, ratings = int(paired.sum()), int(r[paired].sum())
    if units == 0:
        return Agreement(None, float("nan"), float("nan"), 0, 0, "no_pairs")
    worth = np.eye(categories) if weights is None else weights
    own = counts[paired]
    agreeing = (own * (own @ worth.T - 1.0)).sum(axis=1) / (r[paired] * (r[paired] - 1.0))
    observed = float(agreeing.mean())
    if categories < 2:
        return Agreement(None, observed, 1.0, units, ratings, "no_variation")
    share = (counts[r > 0] / r[r > 0, None]).mean(axis=0)
    expected = float(worth.sum() / (categories * (categories - 1)) * (share * (1.0 - share)).sum())
    if expected >= 1.0 - 1e-12:
        return Agreement(None, observed, expected, units, ratings, "no_variation")
    return Agreement((observed - expected) / (1.0 - expected), observed, expected, units, ratings)
