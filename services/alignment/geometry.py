"""Rigid geometry in numpy: rotations, transforms and cuboids. Metres, radians, right-handed frames.

A transform is a 4x4 matrix named ``dst_from_src``: ``p_dst = dst_from_src @ p_src``. Method: R. Hartley and
A. Zisserman, *Multiple View Geometry in Computer Vision*, 2nd ed., chapters 2 and 6; rotations after
K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

CORNER_SIGNS: Floats = np.array(
    [[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)], dtype=np.float64
)
"""Shape (8, 3): the corners of a unit cuboid about its centre; corner ``4i + 2j + k`` has the signs i, j, k."""

CUBOID_EDGES: Ints = np.array([(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit], dtype=np.intp)
"""Shape (12, 2): the corner indices that each edge joins."""


def matrices_from_quaternions(wxyz: ArrayLike) -> Floats:
    """Return rotation matrices of quaternions.

    Args:
        wxyz: Shape (..., 4), scalar first; normalised here, so any length above zero will do.

    Returns:
        Shape (..., 3, 3).

    Raises:
        ValueError: A quaternion has length zero.
    """
    quaternions = np.asarray(wxyz, dtype=np.float64)
    norms = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    if np.any(norms == 0):
        raise ValueError("a quaternion of length zero is no rotation")
    w, x, y, z = np.moveaxis(quaternions / norms, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(rotation: ArrayLike) -> Floats:
    """Return the unit quaternion (w, x, y, z), w ≥ 0, of one rotation matrix of shape (3, 3).

    The largest component is computed first (S. W. Shepperd, "Quaternion from rotation matrix", 1978), so that no
    angle loses precision.
    """
    m = np.asarray(rotation, dtype=np.float64)
    trace = float(np.trace(m))
    diagonal = np.array([trace, m[0, 0], m[1, 1], m[2, 2]])
    largest = int(np.argmax(diagonal))
    quaternion = np.empty(4)
    if largest == 0:
        quaternion[:] = (1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1])
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        quaternion[0] = m[k, j] - m[j, k]
        quaternion[1 + i] = 1 + m[i, i] - m[j, j] - m[k, k]
        quaternion[1 + j] = m[j, i] + m[i, j]
        quaternion[1 + k] = m[k, i] + m[i, k]
    quaternion /= np.linalg.norm(quaternion)
    return -quaternion if quaternion[0] < 0 else quaternion


def matrices_from_yaw(yaw_rad: ArrayLike) -> Floats:
    """Return rotations about +z, counter-clockwise seen from above: shape (...) to (..., 3, 3)."""
    yaw = np.asarray(yaw_rad, dtype=np.float64)
    result = np.zeros((*yaw.shape, 3, 3))
    result[..., 0, 0] = result[..., 1, 1] = np.cos(yaw)
    result[..., 1, 0] = np.sin(yaw)
    result[..., 0, 1] = -result[..., 1, 0]
    result[..., 2, 2] = 1.0
    return result


def matrix_from_rotation_vector(vector_rad: ArrayLike) -> Floats:
    """Return the rotation by ``|vector_rad|`` about ``vector_rad`` (Rodrigues' formula): shape (3,) to (3, 3)."""
    vector = np.asarray(vector_rad, dtype=np.float64)
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # sinc keeps the formula exact at zero: np.sinc(t) is sin(pi t) / (pi t).
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def nearest_rotation(matrix: ArrayLike) -> Floats:
    """Return the rotation closest to a nearly orthonormal (3, 3) matrix, by its polar decomposition."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=np.float64))
    flip = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(u @ vt)))])
    return np.asarray(u @ flip @ vt)


def rigid(rotation: ArrayLike, translation_m: ArrayLike) -> Floats:
    """Return the 4x4 transform of a (3, 3) rotation and a (3,) translation."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation_m
    return transform


def invert_rigid(dst_from_src: Floats) -> Floats:
    """Return ``src_from_dst`` of a 4x4 rigid transform."""
    rotation = dst_from_src[:3, :3].T
    return rigid(rotation, -rotation @ dst_from_src[:3, 3])


def transform_points(dst_from_src: Floats, points_src: NDArray[np.floating[Any]]) -> Floats:
    """Return points of shape (..., 3), metres, in the destination frame."""
    return np.asarray(points_src @ dst_from_src[:3, :3].T + dst_from_src[:3, 3], dtype=np.float64)


def cuboid_corners(centers_m: Floats, sizes_m: Floats, rotations: Floats) -> Floats:
    """Return the corners of cuboids.

    Args:
        centers_m: Shape (n, 3).
        sizes_m: Shape (n, 3): length, width, height along each cuboid's own x, y, z.
        rotations: Shape (n, 3, 3): frame from cuboid.

    Returns:
        Shape (n, 8, 3), metres, in the order of :data:`CORNER_SIGNS`.
    """
    local = CORNER_SIGNS[None] * sizes_m[:, None, :]
    return np.asarray(np.einsum("nij,nkj->nki", rotations, local) + centers_m[:, None, :])


def count_points_in_cuboids(
    points_m: NDArray[np.floating[Any]],
    centers_m: Floats,
    sizes_m: Floats,
    rotations: Floats,
    *,
    margin_m: float = 0.0,
) -> Ints:
    """Count the points inside each cuboid, faces included.

    Args:
        points_m: Shape (p, 3); rows with a value that is not finite are never inside.
        centers_m: Shape (n, 3).
        sizes_m: Shape (n, 3).
        rotations: Shape (n, 3, 3): frame from cuboid.
        margin_m: How far each face is moved outwards before counting.

    Returns:
        Shape (n,).
    """
    counts = np.zeros(len(centers_m), dtype=np.intp)
    half = sizes_m / 2 + margin_m
    reach = np.linalg.norm(half, axis=1)
    x = points_m[:, 0]
    order = np.argsort(x, kind="stable")
    x_sorted = x[order]
    lower = np.searchsorted(x_sorted, centers_m[:, 0] - reach, side="left")
    upper = np.searchsorted(x_sorted, centers_m[:, 0] + reach, side="right")
    for index in range(len(centers_m)):
        near = points_m[order[lower[index] : upper[index]]] - centers_m[index]
        local = near @ rotations[index]
        counts[index] = np.count_nonzero(np.all(np.abs(local) <= half[index], axis=1))
    return counts
