"""Intervals of shares."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Of the normal distribution, 95 % lies within so many standard deviations."""


def wilson_interval(hits: float, trials: float, z: float = Z95) -> tuple[float, float]:
    """Return the interval of a share (E. B. Wilson, "Probable inference", 1927); 0 to 1 without trials.

    Args:
        hits: How often it was so.
        trials: How often it could have been so.
        z: Standard deviations on either side.
    """
    if trials <= 0:
        return 0.0, 1.0
    share, scale = hits / trials, 1.0 + z * z / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
