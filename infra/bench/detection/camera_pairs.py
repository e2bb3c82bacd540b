"""Recorded objects in two cameras of one rig: the boxes of the labelled camera, and those of its neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected
from infra.storage import kitti_folder
from services.alignment.geometry import cuboid_corners, matrices_from_quaternions, transform_points
from services.alignment.projection import Camera, project_cuboids
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import Stream
from services.formats.kitti import KittiCalibration, parse_calibration

RIGHT = "cam_right"
_RIGHT_CAMERA = 3
_LEAST_PX = 25.0
_WHOLE = 0.05


def camera_pairs(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield KITTI tracking sequences with the boxes of the right colour camera beside those of the left one.

    KITTI labels the left camera alone. The right one's boxes are its projections of the same cuboids, with their ids.
    """
    folder = data / "kitti_tracking"
    if not folder.is_dir():
        return
    for manifest in kitti_folder.iter_manifests(folder, "bench", clip_frames=10_000):
        sequence = manifest.sample_id.split("-")[2]
        path = next(folder.rglob(f"calib/{sequence}.txt"))
        calibration = parse_calibration(path.read_text(encoding="utf-8"), source=path.name)
        left = manifest.stream(kitti_folder.CAMERA_STREAM)
        right = left.model_copy(
            update={
                "id": RIGHT,
                "sensor": RIGHT,
                "coordinate_frame": RIGHT,
                "calibration": calibration.calibration(to=kitti_folder.LIDAR_STREAM, camera=_RIGHT_CAMERA),
            }
        )
        labels = (*manifest.annotations, *_boxes(manifest.annotations, calibration, right))
        both = manifest.model_copy(update={"streams": (*manifest.streams, right), "annotations": labels})
        yield "-".join(manifest.sample_id.split("-")[:3]), CheckSample(both, labels)


def _boxes(labels: tuple[Annotation, ...], calibration: KittiCalibration, stream: Stream) -> Iterator[Box]:
    cuboids = [label for label in labels if isinstance(label, Cuboid)]
    if not cuboids:
        return
    corners = cuboid_corners(
        np.array([one.center_m for one in cuboids]),
        np.array([one.size_m for one in cuboids]),
        matrices_from_quaternions([one.rotation_wxyz or (1.0, 0.0, 0.0, 0.0) for one in cuboids]),
    )
    size = stream.image_size_px or kitti_folder.TRACKING_SIZE_PX
    camera = Camera("pinhole", calibration.intrinsics(_RIGHT_CAMERA), (), float(size[0]), float(size[1]))
    seen = project_cuboids(camera, transform_points(calibration.camera_from_lidar(_RIGHT_CAMERA), corners))
    for cuboid, box, visible, truncation in zip(
        cuboids, seen.boxes_px.tolist(), seen.visible, seen.truncation, strict=True
    ):
        if visible and truncation <= _WHOLE and box[3] - box[1] >= _LEAST_PX:
            yield Box(
                id=f"right-{cuboid.id}", stream=stream.id, label=cuboid.label, object_id=cuboid.object_id,
                frame=cuboid.frame, box=(box[0], box[1], box[2], box[3]),
            )  # fmt: skip


def exchange_in_one_camera(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Exchange the ids of two objects in the right camera, for all their frames."""
    frames: dict[str, int] = {}
    for label in sample.annotations:
        if isinstance(label, Box) and label.stream == RIGHT and label.object_id is not None:
            frames[label.object_id] = frames.get(label.object_id, 0) + 1
    names = sorted(name for name, count in frames.items() if count >= 5)
    if len(names) < 2:
        return None
    one, other = (names[int(place)] for place in rng.choice(len(names), 2, replace=False))
    renamed = {one: other, other: one}
    changed = [
        label.model_copy(update={"object_id": renamed[label.object_id]})
        if isinstance(label, Box) and label.stream == RIGHT and label.object_id in renamed
        else label
        for label in sample.annotations
    ]
    concerned = {
        label.id
        for label in sample.annotations
        if isinstance(label, Box) and label.stream == RIGHT and label.object_id in renamed
    }
    return replace(sample, annotations=tuple(changed)), frozenset(concerned)
