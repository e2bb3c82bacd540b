"""What every side is given: numbers of cuboids, boxes and tracks, made up from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.bench.checks.scenes import INTRINSICS, OBJECTS, SIZE_PX, camera_from_lidar, drive

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Given = dict[str, NDArray[Any]]

MIN_IOU = 0.1
TABLE_SIDE = 1_000
"""Boxes on each side of the one large table of overlaps."""

LIFE_FRAMES = 60
"""Frames that an object of the tracks is seen in."""

SWITCHED_EVERY = 10
"""One object in so many gets another id half-way."""

_IMAGE_PX = (1920.0, 1080.0)
_LANE_PX = 90.0


def made_up(boxes: int, seed: int = 1) -> Given:
    """Return arrays of a drive and of tracks with ``boxes`` rows each.

    Names with ``px`` are boxes (x_min, y_min, x_max, y_max). Rows are ordered by frame, frames begin at 0.
    """
    return _scene(boxes, seed) | _overlaps(boxes, seed) | tracks(boxes, seed)


def _scene(boxes: int, seed: int) -> Given:
    scene = drive(boxes, seed)
    half = scene.yaw_rad / 2
    nothing = np.zeros(boxes)
    # The boxes stand in another order than the cuboids, as two files' labels do.
    mixed = np.lexsort((np.random.default_rng(seed).random(boxes), scene.frames))
    return {
        "intrinsics": np.array(INTRINSICS),
        "size_px": np.array(SIZE_PX),
        "camera_from_lidar": camera_from_lidar(),
        "min_iou": np.array(MIN_IOU),
        "frames": scene.frames,
        "centers_m": scene.centers_m,
        "sizes_m": scene.sizes_m,
        "rotations_wxyz": np.stack([np.cos(half), nothing, nothing, np.sin(half)], axis=1),
        "box_frames": scene.frames[mixed],
        "boxes_px": np.clip(scene.boxes_px, 0.0, np.array([*SIZE_PX, *SIZE_PX], dtype=np.float64))[mixed],
    }


def _overlaps(boxes: int, seed: int) -> Given:
    rng = np.random.default_rng(seed)
    frames = max(1, boxes // OBJECTS)

    def some(*shape: int) -> Floats:
        low = rng.uniform(0.0, 900.0, (*shape, 2))
        return np.concatenate([low, low + rng.uniform(20.0, 300.0, (*shape, 2))], axis=-1)

    return {
        "iou_a_px": some(TABLE_SIDE),
        "iou_b_px": some(TABLE_SIDE),
        "frames_a_px": some(frames, OBJECTS),
        "frames_b_px": some(frames, OBJECTS),
    }


def tracks(boxes: int, seed: int = 1) -> Given:
    """Return a truth and labels of it, where one object in :data:`SWITCHED_EVERY` gets another id half-way.

    Ten objects a frame cross the image in lanes of their own, half of them to the left; each gives way to another one
    after :data:`LIFE_FRAMES` frames. Labels have a labeller's jitter.
    """
    rng = np.random.default_rng(seed)
    index = np.arange(boxes)
    frames, slots = index // OBJECTS, index % OBJECTS
    lives, ages = frames // LIFE_FRAMES, frames % LIFE_FRAMES
    ids = lives * OBJECTS + slots
    own = rng.uniform(-1.0, 1.0, (int(ids.max(initial=0)) + 1, 3))[ids]
    speed_px = 25.0 + 3.0 * own[:, 0]
    along = 60.0 + 40.0 * own[:, 1] + speed_px * ages
    x = np.where(slots % 2, _IMAGE_PX[0] - along, along)
    y = 100.0 + _LANE_PX * slots
    half = np.stack([40.0 + 8.0 * own[:, 2], 36.0 + 6.0 * own[:, 2]], axis=1)
    center = np.stack([x, y], axis=1)
    truth = np.hstack([center - half, center + half])
    changed = (ids % SWITCHED_EVERY == 3) & (ages >= LIFE_FRAMES // 2)
    return {
        "truth_frames": frames,
        "truth_ids": ids,
        "truth_px": truth,
        "label_frames": frames,
        "label_ids": np.where(changed, ids + int(ids.max(initial=0)) + 1, ids),
        "label_px": truth + rng.normal(0.0, 0.7, truth.shape),
    }


def write(given: dict[str, Any], file: Path) -> None:
    """Write arrays where both sides read them."""
    np.savez(file, **given)
