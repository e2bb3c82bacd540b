"""Made-up drives of any length: ten objects a frame, seen by a camera and a LiDAR, with a known share of faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.alignment.geometry import cuboid_corners, invert_rigid, matrices_from_yaw, transform_points
from services.alignment.projection import Camera, project_cuboids
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

OBJECTS = 10
"""Objects in every frame."""

LIFE_FRAMES = 50
"""Frames that an object is seen in, until another takes its place."""

SIZE_PX = (1242, 375)
INTRINSICS = ((720.0, 0.0, 610.0), (0.0, 720.0, 175.0), (0.0, 0.0, 1.0))
LIDAR_FROM_CAMERA = ((0.0, 0.0, 1.0, 0.3), (-1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, -0.1), (0.0, 0.0, 0.0, 1.0))
CAR_M = (4.2, 1.8, 1.5)
_LANES_M = (-9.0, -4.5, 0.0, 4.5, 9.0)
_JITTER_PX = 0.7
_IGNORED_EVERY = 5


@dataclass(frozen=True, slots=True)
class Drive:
    """Objects of a drive as arrays; one row an object in a frame, ordered by frame.

    Attributes:
        frames: Shape (n,).
        slots: Shape (n,): which of the ten places an object drives in.
        centers_m: Shape (n, 3), in the LiDAR's frame.
        sizes_m: Shape (n, 3).
        yaw_rad: Shape (n,).
        boxes_px: Shape (n, 4): what the camera sees, with a labeller's jitter.
    """

    frames: Ints
    slots: Ints
    centers_m: Floats
    sizes_m: Floats
    yaw_rad: Floats
    boxes_px: Floats

    def object_id(self, row: int) -> str:
        """Return the identity of a row's object."""
        return f"o{int(self.frames[row]) // LIFE_FRAMES}-{int(self.slots[row])}"


def camera() -> Camera:
    """Return the drive's camera."""
    return Camera("pinhole", np.array(INTRINSICS), (), *SIZE_PX)


def camera_from_lidar() -> Floats:
    """Return the transform of shape (4, 4)."""
    return invert_rigid(np.array(LIDAR_FROM_CAMERA))


def drive(rows: int, seed: int = 1) -> Drive:
    """Return a drive of ``rows`` objects in frames: all in view, near and far, each with a path of its own."""
    rng = np.random.default_rng(seed)
    index = np.arange(rows)
    frames, slots = index // OBJECTS, index % OBJECTS
    lives = frames // LIFE_FRAMES
    own = rng.uniform(-1.0, 1.0, (int(lives.max(initial=0)) + 1, OBJECTS, 2))[lives, slots]
    speed_m = 0.2 + 0.1 * own[:, 0]
    x = np.where(slots < len(_LANES_M), 15.0, 36.0) + own[:, 1] + speed_m * (frames % LIFE_FRAMES)
    y = np.array(_LANES_M)[slots % len(_LANES_M)]
    centers = np.stack([x, y, np.full(rows, -0.9)], axis=1)
    sizes = np.tile(np.array(CAR_M), (rows, 1))
    yaw = 0.02 * own[:, 0]
    corners = transform_points(camera_from_lidar(), cuboid_corners(centers, sizes, matrices_from_yaw(yaw)))
    boxes = project_cuboids(camera(), corners).boxes_px + rng.normal(0.0, _JITTER_PX, (rows, 4))
    return Drive(frames, slots, centers, sizes, yaw, boxes)


def driving_sample(labels: int, seed: int = 1) -> CheckSample:
    """Return a drive as a sample: half of its labels are boxes, half cuboids.

    One label in a hundred is at fault in its place, one is missing, one has another class, one in five hundred stands
    twice, and one object in fifty changes its id half-way. Every fifth frame has a region that is to be ignored.
    """
    rows = max(OBJECTS, labels // 2)
    scene = drive(rows, seed)
    rng = np.random.default_rng(seed + 1)
    fault = rng.integers(0, 100, rows)
    annotations: list[Annotation] = []
    boxes, centers, yaw = scene.boxes_px.copy(), scene.centers_m.tolist(), scene.yaw_rad.tolist()
    boxes[fault == 0] += (0.5 * (boxes[:, 2] - boxes[:, 0]))[fault == 0, None] * np.array([1.0, 0.0, 1.0, 0.0])
    for row, box in enumerate(boxes.tolist()):
        frame, slot, name = int(scene.frames[row]), int(scene.slots[row]), scene.object_id(row)
        object_number = frame // LIFE_FRAMES * OBJECTS + slot
        changed = object_number % 50 == 3 and frame % LIFE_FRAMES >= LIFE_FRAMES // 2
        if fault[row] != 1:
            annotations.append(
                Box(
                    id=f"b{row}", stream="camera", frame=frame, box=tuple(box), occlusion=0,
                    label="pedestrian" if fault[row] == 2 else "car", object_id=f"{name}-again" if changed else name,
                )
            )  # fmt: skip
        if fault[row] == 4 and row % 5 == 0:
            x_min, y_min, x_max, y_max = box
            annotations.append(
                Box(
                    id=f"d{row}", stream="camera", frame=frame, label="car", object_id=name,
                    box=(x_min + 1, y_min, x_max + 2, y_max),
                )
            )  # fmt: skip
        if fault[row] != 3:
            annotations.append(
                Cuboid(
                    id=f"c{row}", stream="lidar", label="car", frame=frame, object_id=name,
                    center_m=tuple(centers[row]), size_m=CAR_M, yaw_rad=yaw[row],
                )
            )  # fmt: skip
        if slot == 0 and frame % _IGNORED_EVERY == 0:
            annotations.append(
                Box(id=f"i{row}", stream="camera", label="DontCare", frame=frame, box=(0, 0, 40, 40), ignore=True)
            )
    return CheckSample(driving_manifest(), tuple(annotations))


def driving_manifest(*, cloud_uri: str | None = None) -> SampleManifest:
    """Return the manifest of a drive: a calibrated camera and a LiDAR at 10 Hz."""
    calibration = {
        "model": "pinhole",
        "intrinsics": INTRINSICS,
        "extrinsics": {"to": "lidar", "matrix": LIDAR_FROM_CAMERA},
    }
    clock = {"rate_hz": 10.0}
    return SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "drive",
            "project": "bench",
            "streams": [
                {
                    "id": "camera",
                    "modality": "video",
                    "image_size_px": SIZE_PX,
                    "clock": clock,
                    "calibration": calibration,
                },
                {"id": "lidar", "modality": "lidar", "uri": cloud_uri, "clock": clock},
            ],
        }
    )
