"""Bare numpy: what the same work can not do without, written down straight, for no other case than the arrays'."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from infra.bench.beside.serve import Arrays, Done, Work, serve

Floats = NDArray[np.float64]
_SIGNS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def _projected(arrays: Arrays) -> Floats:
    """Rotate, move, divide, least and greatest, cut; every corner is taken to be in front of the camera."""
    w, x, y, z = arrays["rotations_wxyz"].T
    rotations = np.empty((len(w), 3, 3))
    rotations[:, 0, 0], rotations[:, 0, 1], rotations[:, 0, 2] = (
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
    )
    rotations[:, 1, 0], rotations[:, 1, 1], rotations[:, 1, 2] = (
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
    )
    rotations[:, 2, 0], rotations[:, 2, 1], rotations[:, 2, 2] = (
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    )
    corners = (_SIGNS * arrays["sizes_m"][:, None, :]) @ rotations.transpose(0, 2, 1) + arrays["centers_m"][:, None, :]
    to = arrays["camera_from_lidar"]
    pixels = (corners @ to[:3, :3].T + to[:3, 3]) @ arrays["intrinsics"].T
    pixels = pixels[..., :2] / pixels[..., 2:]
    width_px, height_px = arrays["size_px"].tolist()
    return np.asarray(np.clip(np.hstack([pixels.min(axis=1), pixels.max(axis=1)]), 0.0, [width_px, height_px] * 2))


def project(arrays: Arrays) -> Work:
    """Return the work: numbers of cuboids to boxes in the image."""
    return lambda: {"boxes_px": _projected(arrays)}


def match(arrays: Arrays) -> Work:
    """Return the work: the same; one stack of overlaps for all frames, and SciPy's assignment in each."""
    begins, box_begins = (
        np.searchsorted(arrays[name], np.arange(int(arrays[name].max()) + 2)) for name in ("frames", "box_frames")
    )
    minimum = float(arrays["min_iou"])

    def work() -> Done:
        projected = _projected(arrays)
        tables = _stacked(projected, begins, arrays["boxes_px"], box_begins)
        tables = np.where(tables >= minimum, tables, 0.0)
        pairs: list[NDArray[Any]] = []
        for frame, table in enumerate(tables):
            rows, columns = linear_sum_assignment(table, maximize=True)
            good = table[rows, columns] > 0.0
            pairs.append(np.stack([rows[good] + begins[frame], columns[good] + box_begins[frame]], axis=1))
        return {"pairs": np.concatenate(pairs)}

    return work


def _stacked(a_px: Floats, begins: NDArray[Any], b_px: Floats, box_begins: NDArray[Any]) -> Floats:
    sides = []
    frames = min(len(begins), len(box_begins)) - 1
    for boxes, starts in ((a_px, begins), (b_px, box_begins)):
        counts = np.diff(starts[: frames + 1])
        padded = np.zeros((frames, int(counts.max()), 4))
        row = np.arange(starts[frames])
        frame = np.repeat(np.arange(frames), counts)
        padded[frame, row - starts[frame]] = boxes[: starts[frames]]
        sides.append(padded)
    return _iou(*sides)


def _iou(a_px: Floats, b_px: Floats) -> Floats:
    a_low_x, a_low_y, a_high_x, a_high_y = np.moveaxis(a_px[..., :, None, :], -1, 0)
    b_low_x, b_low_y, b_high_x, b_high_y = np.moveaxis(b_px[..., None, :, :], -1, 0)
    width = np.maximum(np.minimum(a_high_x, b_high_x) - np.maximum(a_low_x, b_low_x), 0.0)
    height = np.maximum(np.minimum(a_high_y, b_high_y) - np.maximum(a_low_y, b_low_y), 0.0)
    shared = width * height
    both = (a_high_x - a_low_x) * (a_high_y - a_low_y) + (b_high_x - b_low_x) * (b_high_y - b_low_y)
    return np.asarray(shared / np.maximum(both - shared, 1e-12))


def iou_table(arrays: Arrays) -> Work:
    """Return the work: one table of many boxes with many boxes."""
    return lambda: {"iou": _iou(arrays["iou_a_px"], arrays["iou_b_px"])}


def iou_frames(arrays: Arrays) -> Work:
    """Return the work: a small table for each frame, all at once."""
    return lambda: {"iou": _iou(arrays["frames_a_px"], arrays["frames_b_px"])}


def identity(arrays: Arrays) -> Work:
    """Return the work: order rows by object, ask a constant velocity where each leads, and who is near that place.

    An object goes on under another id where its last row leads to another object's first one.
    """

    def work() -> Done:
        order = np.lexsort((arrays["label_frames"], arrays["label_ids"]))
        ids, frames, boxes = (arrays[f"label_{name}"][order] for name in ("ids", "frames", "px"))
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        scales = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        begins = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
        ends = np.append(begins[1:], len(ids)) - 1
        spread = 4.0 * float(np.ptp(centers)) + 1.0
        tree = cKDTree(np.column_stack([frames * spread, centers]))
        rows = np.arange(len(ids))
        first = np.repeat(begins, np.diff(np.append(begins, len(ids))))
        last = np.repeat(ends, np.diff(np.append(begins, len(ids))))
        ahead = np.empty((0, 2))
        for step, bound in ((1, first), (-1, last)):
            other = np.maximum(rows - 3, bound) if step > 0 else np.minimum(rows + 3, bound)
            span = np.where(frames == frames[other], 1, np.abs(frames - frames[other]))
            ahead = centers + (centers - centers[other]) / span[:, None]
            tree.query(np.column_stack([(frames + step) * spread, ahead]), k=4, distance_upper_bound=spread)
        aim = centers[ends] + (centers[ends] - centers[np.maximum(ends - 3, begins)]) / 3
        near = cKDTree(np.column_stack([frames[begins] * spread, centers[begins]]))
        apart, _ = near.query(np.column_stack([(frames[ends] + 1) * spread, aim]))
        return {"switches": np.array(int((apart < 0.45 * scales[ends]).sum()))}

    return work


WORKS = {
    "project": project,
    "match": match,
    "iou_table": iou_table,
    "iou_frames": iou_frames,
    "identity": identity,
}

if __name__ == "__main__":
    serve(WORKS, ("numpy", "scipy"), sys.argv[1:])
