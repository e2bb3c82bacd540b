"""The same arrays from public recordings: KITTI tracking sequences, repeated until there are enough rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infra.bench.beside.arrays import LIFE_FRAMES, MIN_IOU, SWITCHED_EVERY, Given, made_up
from infra.storage import kitti_folder
from services.alignment.geometry import quaternion_from_matrix
from services.alignment.lidar_camera_scene import BoxRows, Scene
from services.alignment.lidar_camera_sources import collect_scenes
from services.alignment.sample import CheckSample
from services.rules.lidar_camera import LidarCameraRules

_PAUSE_FRAMES = 40
"""Between two repetitions, so that no object of the one is taken for one of the other."""


def recorded(data: Path, boxes: int) -> Iterator[tuple[str, Given]]:
    """Yield (name, arrays) of every sequence below ``data``/kitti_tracking, with about ``boxes`` rows.

    Tables of overlaps stay made up: recordings have none of that size.
    """
    if not (data / "kitti_tracking").is_dir():
        return
    for manifest in kitti_folder.iter_manifests(data / "kitti_tracking", "bench", clip_frames=10_000):
        scenes, _ = collect_scenes(CheckSample(manifest, manifest.annotations), LidarCameraRules())
        for scene in scenes:
            if len(scene.boxes) and len(scene.cuboids):
                yield manifest.sample_id, made_up(boxes) | _cuboids(scene, boxes) | _tracks(scene.boxes, boxes)


def _repeated(frames: np.ndarray, period: int, boxes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for as many repetitions as ``boxes`` rows take: the row, the repetition and the frame of each."""
    times = max(1, -(-boxes // len(frames)))
    order = np.argsort(frames, kind="stable")
    row, turn = np.tile(order, times), np.repeat(np.arange(times), len(frames))
    return row, turn, frames[row] + turn * period


def _cuboids(scene: Scene, boxes: int) -> Given:
    camera, cuboids, seen = scene.camera, scene.cuboids, scene.boxes
    period = int(max(cuboids.frames.max(), seen.frames.max())) + 1
    row, turn, frames = _repeated(cuboids.frames, period, boxes)
    labelled = np.flatnonzero(~seen.ignore)
    box_times = int(turn.max()) + 1
    box_row, _, box_frames = _repeated(seen.frames[labelled], period, box_times * len(labelled))
    return {
        "intrinsics": camera.intrinsics,
        "size_px": np.array([camera.width_px, camera.height_px]),
        "camera_from_lidar": scene.camera_from_spatial,
        "min_iou": np.array(MIN_IOU),
        "frames": frames,
        "centers_m": cuboids.centers_m[row],
        "sizes_m": cuboids.sizes_m[row],
        "rotations_wxyz": np.array([quaternion_from_matrix(one) for one in cuboids.rotations])[row],
        "box_frames": box_frames,
        "boxes_px": seen.boxes_px[labelled][box_row],
    }


def _tracks(seen: BoxRows, boxes: int) -> Given:
    named = np.flatnonzero(~seen.ignore & np.array([name is not None for name in seen.object_ids]))
    numbers = np.unique([seen.object_ids[row] or "" for row in named.tolist()], return_inverse=True)[1]
    own = seen.frames[named]
    row, turn, frames = _repeated(own, int(own.max()) + 1 + _PAUSE_FRAMES, boxes)
    objects = int(numbers.max()) + 1
    ids = numbers[row] + turn * objects
    first, last = (np.array([edge(own[numbers == one]) for one in range(objects)]) for edge in (np.min, np.max))
    halfway = (own >= (first + last)[numbers] / 2)[row]
    lasting = (last - first + 1 >= LIFE_FRAMES // 2)[numbers][row]
    changed = halfway & lasting & (ids % SWITCHED_EVERY == 3)
    return {
        "truth_frames": frames,
        "truth_ids": ids,
        "truth_px": seen.boxes_px[named][row],
        "label_frames": frames,
        "label_ids": np.where(changed, ids + int(ids.max()) + 1, ids),
        "label_px": seen.boxes_px[named][row],
    }
