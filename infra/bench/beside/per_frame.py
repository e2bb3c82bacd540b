"""Pairing as people write it around a devkit, which has none for boxes of two streams: one frame after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from infra.bench.beside.serve import Arrays


def pair_frames(arrays: Arrays, projected_px: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the pairs (cuboid, box) with the greatest total overlap in each frame, shape (k, 2).

    Pairs below ``min_iou`` are left out. The table of overlaps is numpy's, the assignment SciPy's.
    """
    minimum = float(arrays["min_iou"])
    frames, box_frames, boxes_px = arrays["frames"], arrays["box_frames"], arrays["boxes_px"]
    last = int(max(frames.max(initial=-1), box_frames.max(initial=-1)))
    begins = np.searchsorted(frames, np.arange(last + 2))
    box_begins = np.searchsorted(box_frames, np.arange(last + 2))
    pairs: list[tuple[int, int]] = []
    for frame in range(last + 1):
        first, end = int(begins[frame]), int(begins[frame + 1])
        box_first, box_end = int(box_begins[frame]), int(box_begins[frame + 1])
        if first == end or box_first == box_end:
            continue
        overlap = overlaps(projected_px[first:end], boxes_px[box_first:box_end])
        rows, columns = linear_sum_assignment(np.where(overlap >= minimum, overlap, 0.0), maximize=True)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if overlap[row, column] >= minimum:
                pairs.append((first + row, box_first + column))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def overlaps(a_px: NDArray[Any], b_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union of boxes (n, 4) with boxes (m, 4): (n, m)."""
    width = np.minimum(a_px[:, None, 2], b_px[None, :, 2]) - np.maximum(a_px[:, None, 0], b_px[None, :, 0])
    height = np.minimum(a_px[:, None, 3], b_px[None, :, 3]) - np.maximum(a_px[:, None, 1], b_px[None, :, 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area_a = (a_px[:, 2] - a_px[:, 0]) * (a_px[:, 3] - a_px[:, 1])
    area_b = (b_px[:, 2] - b_px[:, 0]) * (b_px[:, 3] - b_px[:, 1])
    return np.asarray(shared / np.maximum(area_a[:, None] + area_b[None, :] - shared, 1e-12))
