"""Cameras: from points and cuboids in a camera's frame to pixels.

A camera's frame has x to the right, y down and z along the view. Pixels are the contract's: x to the right, y
down. Method: the pinhole model with Brown-Conrady distortion (D. C. Brown, "Close-range camera calibration",
1971; the rational form and the coefficient order are OpenCV's ``k1 k2 p1 p2 k3 k4 k5 k6``), and the equidistant
fisheye (J. Kannala and S. Brandt, "A generic camera model and calibration method", PAMI 2006, four coefficients).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from services.alignment.geometry import CUBOID_EDGES, Bools, Floats

EDGE_SAMPLES_CURVED = 16
"""Points an edge is sampled at where lenses bend it; the sagitta left over is far under a pixel."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera.

    Attributes:
        model: ``pinhole`` or ``fisheye``.
        intrinsics: Shape (3, 3), pixels.
        distortion: Coefficients in the contract's order; empty for none.
        width_px: Image width.
        height_px: Image height.
    """

    model: str
    intrinsics: Floats
    distortion: tuple[float, ...]
    width_px: float
    height_px: float

    @property
    def is_curved(self) -> bool:
        """Whether straight lines may be bent in the image."""
        return self.model == "fisheye" or any(self.distortion)

    @property
    def focal_px(self) -> float:
        """The geometric mean of the two focal lengths, pixels."""
        return float(np.sqrt(abs(self.intrinsics[0, 0] * self.intrinsics[1, 1])))


def project_points(camera: Camera, points_m: Floats) -> Floats:
    """Return the pixels of points, shape (..., 3) to (..., 2), unclipped.

    A pinhole needs z > 0: points at or behind its plane give NaN. A fisheye takes any direction up to the angle
    at which its own polynomial stops rising; beyond it the image radius is held, so that nothing folds back.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = _bend_fisheye(camera, points_m) if camera.model == "fisheye" else _bend_pinhole(camera, points_m)
    k = camera.intrinsics
    x, y = bent[..., 0], bent[..., 1]
    return np.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]], axis=-1)


def _bend_pinhole(camera: Camera, points_m: Floats) -> Floats:
    z = np.where(points_m[..., 2:] > 0, points_m[..., 2:], np.nan)
    plane = points_m[..., :2] / z
    if not any(camera.distortion):
        return np.asarray(plane)
    k1, k2, p1, p2, k3, k4, k5, k6 = (*camera.distortion, *(0.0,) * (8 - len(camera.distortion)))
    radius = np.linalg.norm(plane, axis=-1, keepdims=True)
    limit = _monotone_limit(lambda r: r * _radial_ratio(r * r, k1, k2, k3, k4, k5, k6), 4.0)
    plane = plane * np.minimum(1.0, limit / np.maximum(radius, 1e-12))
    x, y = plane[..., 0], plane[..., 1]
    r2 = x * x + y * y
    ratio = _radial_ratio(r2, k1, k2, k3, k4, k5, k6)
    return np.stack(
        [
            x * ratio + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * ratio + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def _radial_ratio(r2: Floats, k1: float, k2: float, k3: float, k4: float, k5: float, k6: float) -> Floats:
    return np.asarray((1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6))))


def _bend_fisheye(camera: Camera, points_m: Floats) -> Floats:
    k1, k2, k3, k4 = camera.distortion or (0.0,) * 4

    def bend(theta: Floats) -> Floats:
        t2 = theta * theta
        return np.asarray(theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))))

    x, y, z = np.moveaxis(points_m, -1, 0)
    radius = np.hypot(x, y)
    theta = np.minimum(np.arctan2(radius, z), _monotone_limit(bend, np.pi))
    scale = np.where(radius > 1e-12, bend(theta) / np.maximum(radius, 1e-12), 0.0)
    return np.stack([x * scale, y * scale], axis=-1)


def _monotone_limit(bend: Callable[[Floats], Floats], end: float) -> float:
    grid = np.linspace(0.0, end, 2_001)
    values = bend(grid)
    falling = np.flatnonzero((np.diff(values) <= 0) | ~np.isfinite(np.diff(values)))
    return float(grid[falling[0]]) if len(falling) else float("inf")


@dataclass(frozen=True, slots=True)
class ProjectedCuboids:
    """What a camera sees of n cuboids.

    Attributes:
        boxes_px: Shape (n, 4): the box around the part in front of the near plane, clipped to the image; zeros
            where nothing is visible.
        unclipped_px: Shape (n, 4): the same before it is clipped to the image; NaN where all is behind.
        visible: Shape (n,): some of the cuboid is inside the image.
        depth_m: Shape (n,): z of the centre in the camera's frame.
        truncation: Shape (n,): share of the unclipped box outside the image, 1 where nothing is visible.
        clipped_near: Shape (n,): part of the cuboid lies behind the near plane.
    """

    boxes_px: Floats
    unclipped_px: Floats
    visible: Bools
    depth_m: Floats
    truncation: Floats
    clipped_near: Bools = field(repr=False)


def project_cuboids(camera: Camera, corners_m: Floats, *, near_m: float = 0.1) -> ProjectedCuboids:
    """Project cuboids and box them in.

    The hull of a cuboid in front of the near plane is spanned by its corners there and by the points where its
    edges cross the plane, so a cuboid partly behind the camera projects correctly. Where the lens bends lines,
    each edge is sampled. A fisheye has no near plane; directions beyond its range are left out instead.

    Args:
        camera: The camera.
        corners_m: Shape (n, 8, 3) in the camera's frame, as :func:`~services.alignment.geometry.cuboid_corners`
            orders them.
        near_m: Distance of the near plane.
    """
    depth = corners_m[:, :, 2].mean(axis=1)
    if camera.model == "fisheye":
        points, inside = _sample(corners_m[:, CUBOID_EDGES[:, 0]], corners_m[:, CUBOID_EDGES[:, 1]])
        distance = np.linalg.norm(points, axis=-1)
        inside &= (distance >= near_m) & (points[..., 2] > -0.9 * distance)
        return _box_in(camera, *_reach(camera, points, inside), depth, np.asarray(~inside.all(axis=1)))
    clipped_near: Bools = np.asarray((corners_m[:, :, 2] < near_m).any(axis=1))
    if camera.is_curved:
        return _box_in(camera, *_reach(camera, *_edges(camera, corners_m, near_m)), depth, clipped_near)
    # In front of the near plane the corners alone span the hull: the edges add no point.
    low, high, seen = _reach(camera, corners_m, None)
    if clipped_near.any():
        cut = _reach(camera, *_edges(camera, corners_m[clipped_near], near_m))
        low[clipped_near], high[clipped_near], seen[clipped_near] = cut
    return _box_in(camera, low, high, seen, depth, clipped_near)


def _edges(camera: Camera, corners_m: Floats, near_m: float) -> tuple[Floats, Bools]:
    """Return points on the edges, (n, k, 3), cut at the near plane, and which of them lie before it, (n, k)."""
    starts, ends = corners_m[:, CUBOID_EDGES[:, 0]], corners_m[:, CUBOID_EDGES[:, 1]]
    starts, ends, kept = _clip_near(starts, ends, near_m)
    if camera.is_curved:
        points, inside = _sample(starts, ends)
        return points, np.asarray(inside & np.repeat(kept, EDGE_SAMPLES_CURVED, axis=1))
    return np.concatenate([starts, ends], axis=1), np.concatenate([kept, kept], axis=1)


def _clip_near(starts: Floats, ends: Floats, near_m: float) -> tuple[Floats, Floats, Bools]:
    z0, z1 = starts[..., 2], ends[..., 2]
    behind0, behind1 = z0 < near_m, z1 < near_m
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.clip(np.nan_to_num((near_m - z0) / (z1 - z0)), 0.0, 1.0)
    crossing = starts + t[..., None] * (ends - starts)
    crossing[..., 2] = near_m
    kept = ~(behind0 & behind1)
    return (
        np.where((behind0 & kept)[..., None], crossing, starts),
        np.where((behind1 & kept)[..., None], crossing, ends),
        kept,
    )


def _sample(starts: Floats, ends: Floats) -> tuple[Floats, Bools]:
    t = np.linspace(0.0, 1.0, EDGE_SAMPLES_CURVED)[None, None, :, None]
    points = starts[:, :, None, :] * (1 - t) + ends[:, :, None, :] * t
    points = points.reshape(len(starts), -1, 3)
    return points, np.ones(points.shape[:2], dtype=np.bool_)


def _reach(camera: Camera, points: Floats, inside: Bools | None) -> tuple[Floats, Floats, Bools]:
    """Return the least and greatest pixels of points, (n, 2) each, and which rows have any point inside, (n,).

    Args:
        camera: The camera.
        points: Shape (n, k, 3).
        inside: Shape (n, k): which points count; None for all.
    """
    if inside is None:
        x, y = np.moveaxis(project_points(camera, points), -1, 0)
        low, high = np.stack([x.min(axis=1), y.min(axis=1)], axis=1), np.stack([x.max(axis=1), y.max(axis=1)], axis=1)
        return low, high, np.ones(len(points), dtype=np.bool_)
    pixels = project_points(camera, np.where(inside[..., None], points, np.array([0.0, 0.0, 1.0])))
    low = np.where(inside[..., None], pixels, np.inf).min(axis=1, initial=np.inf)
    high = np.where(inside[..., None], pixels, -np.inf).max(axis=1, initial=-np.inf)
    return low, high, np.asarray(inside.any(axis=1))


def _box_in(
    camera: Camera, low: Floats, high: Floats, seen: Bools, depth: Floats, clipped_near: Bools
) -> ProjectedCuboids:
    unclipped = np.concatenate([low, high], axis=1)
    limits = np.array([camera.width_px, camera.height_px] * 2)
    boxes = np.clip(unclipped, 0.0, limits)
    extent = boxes[:, 2:] - boxes[:, :2]
    visible = seen & (extent > 0).all(axis=1)
    boxes = np.where(visible[:, None], boxes, 0.0)
    whole = np.where(visible, np.prod(high - low, axis=1, where=visible[:, None]), 1.0)
    truncation = np.where(visible, 1.0 - np.prod(extent, axis=1) / np.maximum(whole, 1e-9), 1.0)
    unclipped = np.where(np.isfinite(unclipped), unclipped, np.nan)
    return ProjectedCuboids(boxes, unclipped, visible, depth, truncation, clipped_near)
