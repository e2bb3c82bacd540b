"""A synthetic sample whose boxes are exactly what the camera sees of its cuboids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from services.alignment.geometry import cuboid_corners, matrices_from_yaw, transform_points
from services.alignment.projection import Camera, project_cuboids
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest

SIZE_PX = (1242, 375)
INTRINSICS = [[720.0, 0.0, 610.0], [0.0, 720.0, 175.0], [0.0, 0.0, 1.0]]
LIDAR_FROM_CAMERA = np.array([[0.0, 0, 1, 0.3], [-1, 0, 0, 0], [0, -1, 0, -0.1], [0, 0, 0, 1]])
SIZES_M = {"car": (4.2, 1.8, 1.5), "pedestrian": (0.7, 0.6, 1.75), "truck": (9.0, 2.5, 3.2)}

SCENE: tuple[tuple[str, str, tuple[float, float, float], float], ...] = (
    ("car-1", "car", (15.0, 4.0, -0.9), 0.1),
    ("car-2", "car", (25.0, -6.0, -0.9), 1.5),
    ("car-3", "car", (38.0, 9.0, -0.9), -0.4),
    ("person-1", "pedestrian", (12.0, -3.0, -0.8), 0.3),
    ("truck-1", "truck", (45.0, -14.0, 0.0), 0.0),
)


def cuboid(object_id: str, label: str, center: tuple[float, float, float], yaw: float, frame: int = 0) -> Cuboid:
    return Cuboid(
        id=f"c-{object_id}-{frame}", stream="lidar", label=label, object_id=object_id, frame=frame,
        center_m=center, size_m=SIZES_M[label], yaw_rad=yaw,
    )  # fmt: skip


def camera_of(calibration: Mapping[str, Any] | None = None) -> Camera:
    calibration = calibration or {}
    return Camera(
        calibration.get("model", "pinhole"), np.array(INTRINSICS), tuple(calibration.get("distortion", ())), *SIZE_PX
    )


def box_of(label: Cuboid, camera: Camera | None = None) -> Box | None:
    corners = cuboid_corners(
        np.array([label.center_m]), np.array([label.size_m]), matrices_from_yaw(np.array([label.yaw_rad or 0.0]))
    )
    projected = project_cuboids(camera or camera_of(), transform_points(np.linalg.inv(LIDAR_FROM_CAMERA), corners))
    if not projected.visible[0]:
        return None
    return Box(
        id=label.id.replace("c-", "b-", 1), stream="cam", label=label.label, object_id=label.object_id,
        frame=label.frame, box=tuple(projected.boxes_px[0].tolist()), truncation=float(projected.truncation[0]),
    )  # fmt: skip


def manifest(**calibration: Any) -> SampleManifest:
    whole = {
        "model": "pinhole",
        "intrinsics": INTRINSICS,
        "extrinsics": {"to": "lidar", "matrix": LIDAR_FROM_CAMERA.tolist()},
        **calibration,
    }
    return SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "synthetic",
            "project": "av",
            "streams": [
                {"id": "cam", "modality": "video", "calibration": whole, "image_size_px": SIZE_PX,
                 "clock": {"rate_hz": 10.0}},
                {"id": "lidar", "modality": "lidar", "clock": {"rate_hz": 10.0}},
            ],
        }
    )  # fmt: skip


def labels(scene: tuple[tuple[str, str, tuple[float, float, float], float], ...] = SCENE) -> dict[str, Annotation]:
    """Return cuboids and boxes of one frame, by id without the frame."""
    found: dict[str, Annotation] = {}
    for entry in scene:
        space = cuboid(*entry)
        seen = box_of(space)
        found[f"c-{entry[0]}"] = space
        if seen is not None:
            found[f"b-{entry[0]}"] = seen
    return found


def sample_of(annotations: Mapping[str, Annotation] | tuple[Annotation, ...], **more: Any) -> CheckSample:
    chosen = tuple(annotations.values()) if isinstance(annotations, Mapping) else annotations
    return CheckSample(more.pop("manifest", None) or manifest(), chosen, **more)


def edited(found: Mapping[str, Annotation], key: str, **changes: Any) -> dict[str, Annotation]:
    return {**found, key: found[key].model_copy(update=changes)}


def driving(frames: int = 20, camera: Camera | None = None) -> tuple[Annotation, ...]:
    """Return labels of a sequence in which everything moves on its own way."""
    speeds = {"car-1": (-0.4, 0.3), "car-2": (0.8, 0.5), "car-3": (-0.9, -0.6), "person-1": (0.0, 0.25),
              "truck-1": (-0.5, 0.2)}  # fmt: skip
    result: list[Annotation] = []
    for frame in range(frames):
        for object_id, label, (x, y, z), yaw in SCENE:
            vx, vy = speeds[object_id]
            space = cuboid(object_id, label, (x + vx * frame * 0.3, y + vy * frame, z), yaw, frame)
            result.append(space)
            seen = box_of(space, camera)
            if seen is not None:
                result.append(seen)
    return tuple(result)
