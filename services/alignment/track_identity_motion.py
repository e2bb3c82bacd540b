"""Where an object's motion leads: how far one stretch of a track is from continuing another.

The motion is a constant velocity over the last few appearances (the state model of SORT: A. Bewley et al., *Simple
online and realtime tracking*, ICIP 2016), asked in both directions: where the earlier stretch leads, and where the
later one came from. Distances are in object sizes, so that one threshold fits near and far.
"""

from __future__ import annotations

import numpy as np

from services.alignment.geometry import Floats, Ints
from services.alignment.track_identity_rows import TrackTable

LAG = 3
"""Appearances back that a velocity is taken over: jitter is divided by it, and turns are still followed."""

_BLOCK = 50_000
"""Stretches that are compared at once, so that the dozen columns made for each stay small."""


def misses(table: TrackTable, ends: Ints, firsts: Ints, starts: Ints, lasts: Ints, lag: int = LAG) -> Floats:
    """Return how far stretches are from continuing others: shape (n, 2), forward and backward, in object sizes.

    Args:
        table: The rows.
        ends: Shape (n,): last rows of the earlier stretches.
        firsts: Shape (n,): first rows of the earlier stretches; velocities reach no farther back.
        starts: Shape (n,): first rows of the later stretches.
        lasts: Shape (n,): last rows of the later stretches.
        lag: Appearances a velocity is taken over.

    A stretch of one row borrows the velocity of the other. Sizes count as distances: a change by a factor of e is one
    object size.
    """
    result = np.empty((len(ends), 2))
    for begin in range(0, len(ends), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        result[part] = _misses(table, ends[part], firsts[part], starts[part], lasts[part], lag)
    return result


def _misses(table: TrackTable, ends: Ints, firsts: Ints, starts: Ints, lasts: Ints, lag: int) -> Floats:
    frames = table.frames
    elapsed = (frames[starts] - frames[ends]).astype(np.float64)
    earlier, later = back_rows(ends, firsts, lag), back_rows(starts, lasts, lag)
    before_span, after_span = _span(frames[earlier] - frames[ends]), _span(frames[later] - frames[starts])
    lone_before, lone_after = ends == firsts, starts == lasts
    some_lone = bool(lone_before.any() or lone_after.any())
    squares, sizes = [np.zeros(len(ends)) for _ in range(2)], [np.zeros(len(ends)) for _ in range(2)]
    # Coordinate by coordinate: numpy is several times slower along a last axis of two or three.
    for place, size in zip(table.centers.T, table.log_sizes.T, strict=True):
        place_ends, place_starts, size_ends, size_starts = place[ends], place[starts], size[ends], size[starts]
        before, after = (place[earlier] - place_ends) / before_span, (place[later] - place_starts) / after_span
        before_size, after_size = (size[earlier] - size_ends) / before_span, (size[later] - size_starts) / after_span
        if some_lone:
            before, after = np.where(lone_before, after, before), np.where(lone_after, before, after)
            before_size = np.where(lone_before, after_size, before_size)
            after_size = np.where(lone_after, before_size, after_size)
        apart, grown = place_starts - place_ends, size_starts - size_ends
        still = np.abs(grown)
        for index, (velocity, growth) in enumerate(((before, before_size), (after, after_size))):
            off = apart - velocity * elapsed
            squares[index] += off * off
            # Growth is only trusted where it explains the size better than no growth does.
            np.maximum(sizes[index], np.minimum(np.abs(grown - growth * elapsed), still), out=sizes[index])
    scale = np.sqrt(table.scales[starts] * table.scales[ends])
    return np.stack([np.hypot(np.sqrt(square) / scale, size) for square, size in zip(squares, sizes, strict=True)], 1)


def back_rows(rows: Ints, bounds: Ints, lag: int = LAG) -> Ints:
    """Return the rows up to ``lag`` rows from ``rows`` towards ``bounds``, shape (n,)."""
    return np.asarray(rows + np.clip(bounds - rows, -lag, lag))


def _span(frames: Ints) -> Floats:
    return np.where(frames == 0, 1, frames).astype(np.float64)


def labelled_misses(table: TrackTable) -> Floats:
    """Return the miss of each row from the next of its chain, (n - 1,); infinite where the chain ends.

    The benefit of the doubt: the smallest over both directions and two spans of the velocity, since a neighbouring
    fault disturbs one of them only.
    """
    n = len(table)
    if n < 2:
        return np.empty(0)
    rows = np.arange(n - 1)
    chain = table.chains
    firsts, lasts = table.starts[chain[:-1]], table.starts[chain[1:] + 1] - 1
    result = np.full(n - 1, np.inf)
    for lag in (LAG, 1):
        np.minimum(result, misses(table, rows, firsts, rows + 1, lasts, lag).min(axis=1), out=result)
    return np.where(chain[1:] == chain[:-1], result, np.inf)
