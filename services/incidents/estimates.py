"""Estimates of one cause from many samples: whether they agree, and what they say together. Pure functions.

Samples are combined with random effects: beside its own uncertainty every sample has a scatter that all share, which is
estimated by moments (DerSimonian and Laird, "Meta-analysis in clinical trials", 1986). What lies far from the median is
left out first, so that one wild estimate does not move the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from services.contracts.base import Scalar
from services.contracts.incidents import CombinedEstimate, CombinedValue, MemberValue
from services.rules.incidents import CauseValue

Values = Sequence[MemberValue]
_MAD_TO_STD = 1.4826
_LEAST_SHARE_OF_TOLERANCE = 0.1  # a sample that states no uncertainty, or none at all, is not infinitely sure


def combine(
    samples: Sequence[Values], wanted: Sequence[CauseValue], *, sigmas: float, same: Mapping[str, Scalar] | None = None
) -> CombinedEstimate:
    """Return what the samples say together.

    Args:
        samples: Each sample's own estimate.
        wanted: The values to combine, with the difference that is none.
        sigmas: How far from the median, in standard deviations, a sample still counts.
        same: What is equal in all of them.
    """
    combined = []
    for value in wanted:
        own = [item for values in samples for item in values if item.name == value.name]
        if own:
            combined.append(_combined(own, value, sigmas))
    return CombinedEstimate(samples=len(samples), values=tuple(combined), same=dict(same or {}))


def agrees(values: Values, estimate: CombinedEstimate, wanted: Sequence[CauseValue], *, sigmas: float) -> bool:
    """Whether a sample's own estimate is the same as the combined one, within tolerance and uncertainty.

    A value that one of the two lacks makes them different; a cause without values is the same by its key alone.
    """
    own = {item.name: item for item in values}
    for value in wanted:
        mine, theirs = own.get(value.name), estimate.value(value.name)
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and theirs is not None:
            spread = math.hypot(_std(mine, value), theirs.std, theirs.scatter)
            if abs(mine.value - theirs.mean) > value.tolerance + sigmas * spread:
                return False
    return True


def distance(values: Values, estimate: CombinedEstimate, wanted: Sequence[CauseValue]) -> float:
    """Return how far a sample is from an estimate, in tolerances and standard deviations; 0 without values."""
    own = {item.name: item for item in values}
    gaps = [0.0]
    for value in wanted:
        mine, theirs = own.get(value.name), estimate.value(value.name)
        if mine is not None and theirs is not None:
            spread = math.hypot(_std(mine, value), theirs.std, theirs.scatter)
            gaps.append(abs(mine.value - theirs.mean) / (value.tolerance + spread))
    return math.hypot(*gaps)


def agreeing(
    first: Values, others: Sequence[Values], wanted: Sequence[CauseValue], *, sigmas: float
) -> tuple[int, ...]:
    """Return the places in ``others`` of the samples that have one cause with ``first``.

    Those that agree with the first are combined, and those that agree with what they say together stay.
    """
    chosen = [
        place
        for place, values in enumerate(others)
        if agrees(values, combine([first], wanted, sigmas=sigmas), wanted, sigmas=sigmas)
    ]
    together = combine([first, *(others[place] for place in chosen)], wanted, sigmas=sigmas)
    if not agrees(first, together, wanted, sigmas=sigmas):
        return ()
    return tuple(place for place in chosen if agrees(others[place], together, wanted, sigmas=sigmas))


def axis_of(estimate: CombinedEstimate, wanted: Sequence[CauseValue]) -> str | None:
    """Return the value that stands out most against its tolerance: the one by which samples are told apart."""
    tolerance = {value.name: value.tolerance for value in wanted}
    if not estimate.values:
        return None
    return max(estimate.values, key=lambda value: (abs(value.mean) / tolerance[value.name], value.name)).name


def position_of(values: Values, axis: str | None) -> float | None:
    """Return a sample's value on the axis."""
    return next((item.value for item in values if item.name == axis), None)


def _combined(own: Sequence[MemberValue], wanted: CauseValue, sigmas: float) -> CombinedValue:
    middle = median(item.value for item in own)
    spread = _MAD_TO_STD * median(abs(item.value - middle) for item in own)
    kept = [
        item
        for item in own
        if abs(item.value - middle) <= wanted.tolerance + sigmas * math.hypot(_std(item, wanted), spread)
    ]
    variances = [_std(item, wanted) ** 2 for item in kept]
    mean, std = _weighted([item.value for item in kept], variances)
    scatter2 = _scatter2([item.value for item in kept], variances, mean)
    if scatter2 > 0:
        mean, std = _weighted([item.value for item in kept], [variance + scatter2 for variance in variances])
    return CombinedValue(
        name=wanted.name,
        mean=mean,
        std=std,
        scatter=math.sqrt(scatter2),
        lowest=min(item.value for item in own),
        highest=max(item.value for item in own),
    )


def _std(item: MemberValue, wanted: CauseValue) -> float:
    least = _LEAST_SHARE_OF_TOLERANCE * wanted.tolerance
    return max(item.std or 0.0, least)


def _weighted(values: Sequence[float], variances: Sequence[float]) -> tuple[float, float]:
    weights = [1.0 / variance for variance in variances]
    total = math.fsum(weights)
    mean = math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    return mean, math.sqrt(1.0 / total)


def _scatter2(values: Sequence[float], variances: Sequence[float], mean: float) -> float:
    """Return the variance between samples beyond their own, by the method of moments; 0 where there is none."""
    weights = [1.0 / variance for variance in variances]
    total = math.fsum(weights)
    scale = total - math.fsum(weight * weight for weight in weights) / total
    if len(values) < 2 or scale <= 0:
        return 0.0
    q = math.fsum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True))
    return max(0.0, (q - (len(values) - 1)) / scale)
