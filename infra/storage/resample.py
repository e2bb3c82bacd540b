"""Recordings at another rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resampled(samples: NDArray[np.float32], rate_hz: int, wanted_hz: int) -> NDArray[np.float32]:
    """Return samples at another rate, by a polyphase filter; as they are where the rate is the wanted one.

    Args:
        samples: Shape (n,), mono.
        rate_hz: Their rate.
        wanted_hz: The rate of the result.
    """
    if rate_hz == wanted_hz or len(samples) == 0:
        return samples.astype(np.float32, copy=False)
    divisor = int(np.gcd(rate_hz, wanted_hz))
    from scipy.signal import resample_poly  # noqa: PLC0415 - a second to import, for the few workers that need it

    changed: NDArray[np.float32] = resample_poly(samples, wanted_hz // divisor, rate_hz // divisor)
    return changed.astype(np.float32)
