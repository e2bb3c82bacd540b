"""True classes and everybody's confusions at once, by expectation maximisation.

Source: A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
Applied Statistics 28(1), 1979. Each rater has a matrix of the probabilities to say one class where another is true;
classes and matrices are estimated in turns, beginning with the shares of the votes. A little is added to every count
(``smoothing``), so that a rater who was never wrong in a few units is not taken to be infallible.

The tie rule: the class with the greatest posterior; among equal ones, the one with the lowest code. ``tied`` says which
units were decided so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.agreement.ratings import Floats, Ints, counts_of

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the estimation gave.

    Attributes:
        posteriors: Shape (units, classes): probability of each class; a unit without a vote has the prior.
        confusions: Shape (raters, classes, classes): probability to say the second where the first is true.
        prior: Shape (classes,): share of each class.
        log_likelihood: Of the votes, in nats.
        iterations: Turns that were made.
        converged: Whether the last turn changed no posterior by more than the tolerance.
    """

    posteriors: Floats
    confusions: Floats
    prior: Floats
    log_likelihood: float
    iterations: int
    converged: bool

    @property
    def codes(self) -> Ints:
        """The most probable class of each unit, by the tie rule: shape (units,)."""
        most = self.posteriors.max(axis=1, keepdims=True)
        return np.asarray(np.argmax(self.posteriors >= most - _SAME, axis=1), dtype=np.intp)

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Which units have more than one most probable class: shape (units,)."""
        most = self.posteriors.max(axis=1, keepdims=True)
        return np.asarray((self.posteriors >= most - _SAME).sum(axis=1) > 1)

    @property
    def skills(self) -> Floats:
        """Weight of each rater in a vote: shape (raters,).

        The logarithm of the odds to be right, over those of a coin among as many classes; a rater who is no better
        than that has 0. With two classes and equal errors a vote so weighted is the most probable class (S. Nitzan and
        J. Paroush, "Optimal decision rules in uncertain dichotomous choice situations", 1982).
        """
        right = np.clip(np.einsum("rcc,c->r", self.confusions, self.prior), 1e-6, 1.0 - 1e-6)
        chance = np.log(max(1, len(self.prior) - 1))
        return np.asarray(np.maximum(0.0, np.log(right / (1.0 - right)) + chance))


def dawid_skene(
    codes: Ints,
    categories: int,
    *,
    raters: Ints | None = None,
    smoothing: float = 0.01,
    pooling: float = 0.0,
    max_iterations: int = 500,
    tolerance: float = 1e-7,
) -> DawidSkene:
    """Estimate true classes and confusions.

    Args:
        codes: Shape (units, columns), from 0; negative where missing.
        categories: Number of classes.
        raters: Shape (columns,), from 0: whose column it is, where somebody judged the same units more than once. Left
            out, every column is another rater's.
        smoothing: Added to every count of a confusion and of the prior.
        pooling: How many judgements of each class everybody is taken to have made as all of them together do, beside
            their own: somebody new is then as good as people are on the whole, and who judged much is what they are
            (a hierarchical prior, estimated from the same votes).
        max_iterations: Most turns.
        tolerance: A turn that changes no posterior by more ends the estimation.

    Raises:
        ValueError: There is no class.
    """
    if categories < 1:
        raise ValueError("there must be at least one class")
    given = np.stack([codes == value for value in range(categories)], axis=2).astype(np.float64)
    if raters is not None:
        own = np.eye(int(raters.max(initial=-1)) + 1)[raters]
        given = np.einsum("ukv,kr->urv", given, own)
    counts = counts_of(codes, categories)
    voted = counts.sum(axis=1)
    posteriors = np.full((len(codes), categories), 1.0 / categories)
    posteriors[voted > 0] = counts[voted > 0] / voted[voted > 0, None]
    confusions, prior = _maximise(posteriors, given, voted, smoothing, pooling)
    likelihood, iterations, converged = 0.0, 0, False
    while iterations < max_iterations and not converged:
        logs = np.log(prior) + np.einsum("urv,rcv->uc", given, np.log(confusions))
        most = logs.max(axis=1, keepdims=True)
        shares = np.exp(logs - most)
        sums = shares.sum(axis=1, keepdims=True)
        after = shares / sums
        likelihood = float((most + np.log(sums))[voted > 0].sum())
        converged = not len(codes) or bool(np.abs(after - posteriors).max() <= tolerance)
        posteriors = after
        confusions, prior = _maximise(posteriors, given, voted, smoothing, pooling)
        iterations += 1
    return DawidSkene(posteriors, confusions, prior, likelihood, iterations, converged)


def _maximise(
    posteriors: Floats, given: Floats, voted: Floats, smoothing: float, pooling: float
) -> tuple[Floats, Floats]:
    counts = np.einsum("uc,urv->rcv", posteriors, given) + smoothing
    if pooling:
        together = counts.sum(axis=0)
        counts = counts + pooling * together / together.sum(axis=1, keepdims=True)
    confusions = counts / counts.sum(axis=2, keepdims=True)
    shares = posteriors[voted > 0].sum(axis=0) + smoothing
    return np.asarray(confusions), np.asarray(shares / shares.sum())
