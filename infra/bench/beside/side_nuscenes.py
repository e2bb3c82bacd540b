"""nuscenes-devkit: one ``Box`` after the other is moved into the camera's frame, asked for and projected."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import BoxVisibility, box_in_image, view_points
from pyquaternion import Quaternion

from infra.bench.beside.per_frame import pair_frames
from infra.bench.beside.serve import Arrays, Done, Work, serve

Floats = NDArray[np.float64]


def project(arrays: Arrays) -> Work:
    """Return the work: numbers of cuboids to boxes in the image."""
    intrinsics, size_px = arrays["intrinsics"], tuple(arrays["size_px"].tolist())
    lidar_from_camera = np.linalg.inv(arrays["camera_from_lidar"])
    position = lidar_from_camera[:3, 3]
    turn = Quaternion(matrix=lidar_from_camera[:3, :3], atol=1e-6, rtol=1e-6).inverse
    limits = np.array([*size_px, *size_px], dtype=np.float64)

    def work() -> Done:
        boxes_px = np.zeros((len(arrays["centers_m"]), 4))
        for row, (center, size, wxyz) in enumerate(
            zip(arrays["centers_m"], arrays["sizes_m"], arrays["rotations_wxyz"], strict=True)
        ):
            length, width, height = size
            box = Box(center, (width, length, height), Quaternion(wxyz))
            box.translate(-position)
            box.rotate(turn)
            if box_in_image(box, intrinsics, size_px, BoxVisibility.ANY):
                pixels = view_points(box.corners(), intrinsics, normalize=True)[:2]
                boxes_px[row] = np.clip([*pixels.min(axis=1), *pixels.max(axis=1)], 0.0, limits)
        return {"boxes_px": boxes_px}

    return work


def match(arrays: Arrays) -> Work:
    """Return the work: the same, and the boxes paired with the camera's frame by frame."""
    projected = project(arrays)
    return lambda: {"pairs": pair_frames(arrays, projected()["boxes_px"])}


if __name__ == "__main__":
    serve({"project": project, "match": match}, ("numpy", "nuscenes-devkit"), sys.argv[1:])
