"""Overlap of regions: polygons and turned boxes by their outlines, masks and segmented points by their runs.

Outlines are intersected by GEOS (shapely), moved to a common origin first, because areas of small shapes far from the
origin lose their digits. Runs are compared as sorted intervals; no mask is ever unfolded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from services.agreement.ratings import Floats, Ints
from services.alignment.matching import iou_matrix

Ring = Sequence[tuple[float, float]]
Runs = Ints
"""Shape (n, 2): (first, one past the last), ascending and disjoint."""

_TURNED: Floats = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def turned_boxes(centers: Floats, sizes: Floats, angles_rad: Floats) -> Floats:
    """Return the corners of turned boxes.

    Args:
        centers: Shape (n, 2).
        sizes: Shape (n, 2), along the box's own x and y.
        angles_rad: Shape (n,), from the first axis towards the second.

    Returns:
        Shape (n, 4, 2).
    """
    local = _TURNED[None] * sizes[:, None, :]
    cos, sin = np.cos(angles_rad), np.sin(angles_rad)
    turn = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    return np.asarray(np.einsum("nij,nkj->nki", turn, local) + centers[:, None, :])


def outlines(shapes: Sequence[tuple[Ring, Sequence[Ring]]]) -> Floats:
    """Return outlines with their holes as geometries; what crosses itself is mended, and keeps its outer area."""
    found = np.empty(len(shapes), dtype=object)
    for index, (ring, holes) in enumerate(shapes):
        polygon = shapely.Polygon(ring, [hole for hole in holes if len(hole) >= 3])
        found[index] = polygon if polygon.is_valid else shapely.make_valid(polygon)
    return found


def shared_areas(one: Floats, other: Floats) -> Floats:
    """Return the area that every geometry of (n,) shares with every one of (m,): (n, m)."""
    result = np.zeros((len(one), len(other)))
    if result.size:
        bounds, others = shapely.bounds(one), shapely.bounds(other)
        rows, columns = np.nonzero(iou_matrix(bounds, others) > 0)
        result[rows, columns] = shapely.area(shapely.intersection(one[rows], other[columns]))
    return result


def outline_iou(one: Floats, other: Floats) -> Floats:
    """Return the intersection over union of every geometry of (n,) with every one of (m,): (n, m)."""
    shared = shared_areas(one, other)
    union = shapely.area(one)[:, None] + shapely.area(other)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def runs_of_counts(counts: Sequence[int]) -> Runs:
    """Return the intervals of a run-length mask, whose runs begin with zeros."""
    ends = np.cumsum(np.asarray(counts, dtype=np.intp))
    starts = np.concatenate([[0], ends[:-1]]).astype(np.intp)
    runs = np.stack([starts[1::2], ends[1::2]], axis=1) if len(ends) > 1 else np.empty((0, 2), dtype=np.intp)
    return np.asarray(runs[runs[:, 1] > runs[:, 0]])


def counts_of_runs(runs: Runs, size: int) -> list[int]:
    """Return the run-length mask of intervals: the inverse of :func:`runs_of_counts`."""
    flat = np.concatenate([[0], runs.ravel(), [size]])
    counts: list[int] = np.diff(flat).tolist()
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]


def covered(runs: Sequence[Runs], weights: Sequence[float]) -> tuple[Ints, Floats]:
    """Return where the weight of several sets of intervals changes, and the weight from there on: (k,) and (k,)."""
    at = np.concatenate([item.ravel() for item in runs]) if runs else np.empty(0, dtype=np.intp)
    steps = np.concatenate(
        [np.tile([weight, -weight], len(item)) for item, weight in zip(runs, weights, strict=True)] or [np.empty(0)]
    )
    places, inverse = np.unique(at, return_inverse=True)
    return np.asarray(places, dtype=np.intp), np.cumsum(np.bincount(inverse, weights=steps, minlength=len(places)))


def where(places: Ints, wanted: Sequence[bool] | np.typing.NDArray[np.bool_]) -> Runs:
    """Return the intervals that begin at the places that are wanted, neighbours joined."""
    keep = np.concatenate([[False], np.asarray(wanted, dtype=bool), [False]])
    starts, ends = np.nonzero(keep[1:] & ~keep[:-1])[0], np.nonzero(~keep[1:] & keep[:-1])[0]
    if not len(starts):
        return np.empty((0, 2), dtype=np.intp)
    return np.stack([places[starts], places[ends]], axis=1)


def size_of(runs: Runs) -> int:
    """Return how much intervals cover."""
    return int((runs[:, 1] - runs[:, 0]).sum())


def run_iou(one: Runs, other: Runs) -> float:
    """Return the intersection over union of two sets of intervals; 1 where both are empty."""
    places, depth = covered([one, other], [1.0, 1.0])
    if len(places) < 2:
        return 1.0
    lengths = np.diff(places)
    union = float(lengths[depth[:-1] > 0.5].sum())
    return float(lengths[depth[:-1] > 1.5].sum()) / union if union else 1.0


def majority_runs(runs: Sequence[Runs], tie: Runs) -> Runs:
    """Return what more than half of the sets of intervals cover; where it is exactly half, what ``tie`` covers."""
    extra = 0.5
    places, depth = covered([*runs, tie], [*(1.0 for _ in runs), extra])
    return where(places, depth > (len(runs) + extra) / 2)
