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


def _velocities(table: TrackTable, rows: Ints, bounds: Ints, lag: int) -> tuple[Floats, Floats]:
    """Return the velocity a frame of centres and of log sizes from ``rows`` to ``lag`` rows towards ``bounds``."""
    towards = np.sign(bounds - rows)
    other = rows + towards * np.minimum(np.abs(bounds - rows), lag)
    span = (table.frames[other] - table.frames[rows]).astype(np.float64)
    span = np.where(span == 0, 1.0, span)[:, None]
    return (
        np.asarray((table.centers[other] - table.centers[rows]) / span),
        np.asarray((table.log_sizes[other] - table.log_sizes[rows]) / span),
    )


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
    before, before_size = _velocities(table, ends, firsts, lag)
    after, after_size = _velocities(table, starts, lasts, lag)
    lone_before, lone_after = (ends == firsts)[:, None], (starts == lasts)[:, None]
    before, after = np.where(lone_before, after, before), np.where(lone_after, before, after)
    before_size = np.where(lone_before, after_size, before_size)
    after_size = np.where(lone_after, before_size, after_size)
    elapsed = (table.frames[starts] - table.frames[ends]).astype(np.float64)[:, None]
    apart = table.centers[starts] - table.centers[ends]
    grown = table.log_sizes[starts] - table.log_sizes[ends]
    scale = np.sqrt(table.scales[starts] * table.scales[ends])
    result = []
    for velocity, growth in ((before, before_size), (after, after_size)):
        distance = np.linalg.norm(apart - velocity * elapsed, axis=1) / scale
        # Growth is only trusted where it explains the size better than no growth does.
        size = np.minimum(np.abs(grown - growth * elapsed), np.abs(grown)).max(axis=1)
        result.append(np.hypot(distance, size))
    return np.stack(result, axis=1)


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
