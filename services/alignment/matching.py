"""Overlap of boxes and optimal one-to-one assignment. Pixels; boxes are (x_min, y_min, x_max, y_max)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.alignment.geometry import Floats, Ints


def areas(boxes_px: Floats) -> Floats:
    """Return the areas of boxes of shape (..., 4), zero for empty ones."""
    extent = np.maximum(boxes_px[..., 2:] - boxes_px[..., :2], 0.0)
    return np.asarray(extent[..., 0] * extent[..., 1])


def intersections(a_px: Floats, b_px: Floats) -> Floats:
    """Return the areas that boxes share; the two shapes (..., 4) broadcast."""
    # Coordinate by coordinate: numpy is several times slower along a last axis of two.
    width, height = (_shared_side(a_px, b_px, axis) for axis in (0, 1))
    return np.asarray(np.multiply(width, height, out=width))


def _shared_side(a_px: Floats, b_px: Floats, axis: int) -> Floats:
    a_low, a_high, b_low, b_high = (
        np.ascontiguousarray(boxes[..., side]).reshape(boxes.shape[:-1])
        for boxes in (a_px, b_px)
        for side in (axis, axis + 2)
    )
    side = np.asarray(np.minimum(a_high, b_high))
    np.subtract(side, np.maximum(a_low, b_low), out=side)
    return np.asarray(np.maximum(side, 0.0, out=side))


def iou_pairs(a_px: Floats, b_px: Floats) -> Floats:
    """Return the intersection over union of boxes, element by element; the shapes (..., 4) broadcast.

    The Jaccard index; 0 where both boxes are empty.
    """
    shared = intersections(a_px, b_px)
    union = np.asarray(areas(a_px) + areas(b_px))
    np.subtract(union, shared, out=union)
    some = union > 0
    if some.all():
        return np.asarray(np.divide(shared, union, out=union))
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=some))


def iou_matrix(a_px: Floats, b_px: Floats) -> Floats:
    """Return the intersection over union of every box of (..., n, 4) with every one of (..., m, 4): (..., n, m)."""
    return iou_pairs(a_px[..., :, None, :], b_px[..., None, :, :])


def cover_matrix(a_px: Floats, b_px: Floats) -> Floats:
    """Return the share of each box of (n, 4) that each box of (m, 4) covers: (n, m)."""
    shared = intersections(a_px[:, None, :], b_px[None, :, :])
    own = areas(a_px)[:, None]
    return np.asarray(np.divide(shared, own, out=np.zeros_like(shared), where=own > 0))


def assign(score: Floats, *, minimum: float) -> tuple[Ints, Ints]:
    """Return the one-to-one assignment with the greatest total score, pairs below ``minimum`` left out.

    The Hungarian method (H. W. Kuhn, 1955; D. F. Crouse's algorithm, 2016). Scores below the minimum count as
    nothing, so that a hopeless pair never takes a partner from a good one.

    Args:
        score: Shape (n, m), higher is better.
        minimum: The least score of a pair.

    Returns:
        Row and column indices, rows ascending.
    """
    if score.size == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    usable = np.where(score >= minimum, score, 0.0)
    rows, columns = linear_sum_assignment(usable, maximize=True)
    keep = score[rows, columns] >= minimum
    return rows[keep], columns[keep]
