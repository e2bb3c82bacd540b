"""Which frame of one stream was taken with which frame of another, by their clocks."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from services.alignment.geometry import Floats, Ints
from services.contracts.manifest import Clock

MAX_FRAME = 2_000_000
"""The highest frame that is paired, days of a recording: each frame up to the last has its place in arrays."""


def frame_period_s(clock: Clock | None) -> float | None:
    """Return the seconds from one frame to the next (their median), or None where the clock does not say."""
    if clock is None:
        return None
    if clock.rate_hz is not None:
        return 1.0 / clock.rate_hz
    times = _timestamps(clock)
    if len(times) < 2:
        return None
    period = float(np.median(np.diff(times)))
    return period if period > 0 else None


def nearest_frames(src: Clock | None, dst: Clock | None, last_frame: int) -> Ints:
    """Return, for each frame of ``src`` from 0, the frame of ``dst`` taken at the same time, or -1.

    Two frames belong together when each is the other's nearest, and they are no farther apart than half the longer
    period. Without two comparable clocks, frames with one index belong together.

    Args:
        src: The one clock.
        dst: The other clock.
        last_frame: The highest frame index in use, in either stream.

    Returns:
        Shape (last_frame + 1,).
    """
    identity = np.arange(last_frame + 1)
    times = _comparable(src, dst, last_frame)
    if times is None:
        return identity
    t_src, t_dst = times
    forth, back = _nearest(t_src, t_dst), _nearest(t_dst, t_src)
    periods = [float(np.median(np.diff(t))) for t in times if len(t) > 1]
    apart = np.abs(t_dst[forth] - t_src)
    mutual = (back[forth] == np.arange(len(t_src))) & (apart <= 0.5 * max(periods, default=np.inf) + 1e-9)
    result = np.full(last_frame + 1, -1, dtype=np.intp)
    # A clock may tell of more frames than the last that anybody labelled.
    count = min(len(t_src), last_frame + 1)
    result[:count] = np.where(mutual, forth, -1)[:count]
    return result


def _timestamps(clock: Clock) -> Floats:
    return np.array([t.timestamp() if isinstance(t, datetime) else t for t in clock.timestamps], dtype=np.float64)


def _comparable(src: Clock | None, dst: Clock | None, last_frame: int) -> tuple[Floats, Floats] | None:
    if src is None or dst is None or src == dst:
        return None
    (t_src, absolute_src), (t_dst, absolute_dst) = _times(src, last_frame), _times(dst, last_frame)
    if absolute_src != absolute_dst or len(t_src) <= 1 or len(t_dst) <= 1:
        return None
    if (np.diff(t_src) <= 0).any() or (np.diff(t_dst) <= 0).any():
        return None  # a clock that runs backwards is a fault of its own, and no way to pair frames
    return t_src, t_dst


def _times(clock: Clock, last_frame: int) -> tuple[Floats, bool]:
    start = clock.start.timestamp() if clock.start is not None else None
    if clock.rate_hz is not None:
        return (start or 0.0) + np.arange(last_frame + 1) / clock.rate_hz, start is not None
    times = _timestamps(clock)
    absolute = bool(clock.timestamps) and isinstance(clock.timestamps[0], datetime)
    if not absolute and start is not None:
        return start + times, True
    return times, absolute


def _nearest(a: Floats, b: Floats) -> Ints:
    right = np.clip(np.searchsorted(b, a), 1, len(b) - 1)
    return np.where(a - b[right - 1] <= b[right] - a, right - 1, right)
