"""av2: one ``Cuboid`` after the other, its vertices through ``PinholeCamera``."""

from __future__ import annotations

import sys

import numpy as np
from av2.geometry.camera.pinhole_camera import Intrinsics, PinholeCamera
from av2.geometry.se3 import SE3
from av2.structures.cuboid import Cuboid

from infra.bench.beside.per_frame import pair_frames
from infra.bench.beside.serve import Arrays, Done, Work, serve

_NEAR_M = 0.1


def project(arrays: Arrays) -> Work:
    """Return the work: numbers of cuboids to boxes in the image."""
    k, (width_px, height_px) = arrays["intrinsics"], arrays["size_px"].tolist()
    lidar_from_camera = np.linalg.inv(arrays["camera_from_lidar"])
    camera = PinholeCamera(
        ego_SE3_cam=SE3(rotation=lidar_from_camera[:3, :3], translation=lidar_from_camera[:3, 3]),
        intrinsics=Intrinsics(
            fx_px=float(k[0, 0]),
            fy_px=float(k[1, 1]),
            cx_px=float(k[0, 2]),
            cy_px=float(k[1, 2]),
            width_px=int(width_px),
            height_px=int(height_px),
        ),
        cam_name="camera",
    )
    limits = np.array([width_px, height_px, width_px, height_px], dtype=np.float64)

    def work() -> Done:
        boxes_px = np.zeros((len(arrays["centers_m"]), 4))
        rows = np.hstack([arrays["centers_m"], arrays["sizes_m"], arrays["rotations_wxyz"]])
        for row, numbers in enumerate(rows):
            pixels, points_m, inside = camera.project_ego_to_img(Cuboid.from_numpy(numbers).vertices_m)
            if inside.any() and (points_m[:, 2] > _NEAR_M).all():
                boxes_px[row] = np.clip([*pixels.min(axis=0), *pixels.max(axis=0)], 0.0, limits)
        return {"boxes_px": boxes_px}

    return work


def match(arrays: Arrays) -> Work:
    """Return the work: the same, and the boxes paired with the camera's frame by frame."""
    projected = project(arrays)
    return lambda: {"pairs": pair_frames(arrays, projected()["boxes_px"])}


if __name__ == "__main__":
    serve({"project": project, "match": match}, ("numpy", "av2"), sys.argv[1:])
