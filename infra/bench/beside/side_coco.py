"""pycocotools: ``mask.iou`` on boxes, which is compiled C."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from infra.bench.beside.serve import Arrays, Done, Work, serve

Floats = NDArray[np.float64]


def _sized(boxes_px: Floats) -> Floats:
    """Return boxes as (x, y, width, height)."""
    return np.ascontiguousarray(np.concatenate([boxes_px[..., :2], boxes_px[..., 2:] - boxes_px[..., :2]], axis=-1))


def iou_table(arrays: Arrays) -> Work:
    """Return the work: one table of many boxes with many boxes."""
    a, b = _sized(arrays["iou_a_px"]), _sized(arrays["iou_b_px"])
    crowd = [0] * len(b)
    return lambda: {"iou": np.asarray(mask.iou(a, b, crowd))}


def iou_frames(arrays: Arrays) -> Work:
    """Return the work: a small table for each frame."""
    a, b = _sized(arrays["frames_a_px"]), _sized(arrays["frames_b_px"])
    crowd = [0] * b.shape[1]

    def work() -> Done:
        return {"iou": np.stack([mask.iou(one, other, crowd) for one, other in zip(a, b, strict=True)])}

    return work


if __name__ == "__main__":
    serve({"iou_table": iou_table, "iou_frames": iou_frames}, ("numpy", "pycocotools"), sys.argv[1:])
