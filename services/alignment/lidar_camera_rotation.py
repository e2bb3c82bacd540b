"""Estimate a rotated calibration from the distances between cuboids and their boxes.

Maximum consensus over a grid of yaw and pitch (M. Fischler and R. Bolles, "Random sample consensus", 1981, with the
grid in place of the samples, so that the answer is deterministic), then iteratively reweighted Gauss-Newton steps
with Tukey's biweight (P. Huber, *Robust Statistics*, 1981) on all three angles. The uncertainty is the greater of the
model's covariance and the cluster sandwich covariance over objects (K.-Y. Liang and S. Zeger, 1986).
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri

from services.alignment.geometry import Floats, matrix_from_rotation_vector
from services.alignment.lidar_camera_pairs import Pairs, associate, coarse_shift, pair_by_id
from services.alignment.lidar_camera_residuals import (
    INLIER,
    CauseEstimate,
    Residuals,
    agreement,
    build_residuals,
    median_px,
    noise_excess,
    object_tracks,
    projected_anchors,
)
from services.alignment.lidar_camera_scene import Scene
from services.rules.lidar_camera import LidarCameraRules

_TUKEY = 4.685
_STEP_RAD = 1e-4
_GRID_STEP_DEG = 0.125
_MAX_STEPS = 12


def estimate_rotation(scene: Scene, rules: LidarCameraRules) -> CauseEstimate | None:
    """Return the rotation error of the calibration that the pairs agree on best, or None where nothing is wrong.

    Args:
        scene: The labels.
        rules: Thresholds.
    """
    pairs = _pairs_for_rotation(scene, rules)
    data = build_residuals(scene, rules, pairs.cuboids, pairs.boxes, object_tracks(scene, rules))
    if data is None:
        return None
    before = data.normalised(projected_anchors(scene, data, rules))
    threshold = float(chdtri(3, rules.cause.false_alarm_rate))
    if data.cost(before) < threshold:
        return None  # even a perfect correction would not prove anything
    estimate = _consensus(data, before, _jacobian(scene, data, rules, np.zeros(3)), rules)
    covariance = np.eye(3)
    for _ in range(_MAX_STEPS):
        anchors = projected_anchors(scene, data, rules, matrix_from_rotation_vector(estimate))
        if not np.isfinite(anchors).all():
            return None
        step, covariance = _gauss_newton(
            data, data.normalised(anchors), _jacobian(scene, data, rules, estimate), estimate, rules
        )
        estimate = estimate + step
        if np.abs(step).max() < 1e-6:
            break
    after = data.normalised(projected_anchors(scene, data, rules, matrix_from_rotation_vector(estimate)))
    objects = data.per_object(np.linalg.norm(after, axis=1))
    return CauseEstimate(
        kind="calibration_shift",
        statistic=float(data.cost(before) - data.cost(after)) / noise_excess(after),
        threshold=threshold,
        remaining=float(data.cost(after)) / len(objects),
        agreement=agreement(data.per_object(np.linalg.norm(before, axis=1)), objects),
        residual_before_px=median_px(data, before),
        residual_after_px=median_px(data, after),
        pairs=len(data.cuboids),
        objects=len(objects),
        rotation_rad=-estimate,
        rotation_std_rad=np.sqrt(np.diag(covariance)),
    )


def _jacobian(scene: Scene, data: Residuals, rules: LidarCameraRules, at: Floats) -> Floats:
    """Return the derivative of the normalised projected centres by the rotation vector: (k, 2, 3)."""
    columns = []
    for axis in np.eye(3):
        high = projected_anchors(scene, data, rules, matrix_from_rotation_vector(at + _STEP_RAD * axis))
        low = projected_anchors(scene, data, rules, matrix_from_rotation_vector(at - _STEP_RAD * axis))
        columns.append((high - low) / (2 * _STEP_RAD) / data.noise_px)
    return np.stack(columns, axis=-1)


def _consensus(data: Residuals, before: Floats, jacobian: Floats, rules: LidarCameraRules) -> Floats:
    """Return the yaw and pitch of a grid that bring most objects within their noise, as a rotation vector."""
    reach = int(rules.cause.max_rotation_deg / _GRID_STEP_DEG)
    grid = np.radians(np.arange(-reach, reach + 1) * _GRID_STEP_DEG)
    # Yaw and pitch are searched apart, yaw twice: their shifts are nearly orthogonal in the image.
    best = np.zeros(3)
    for axis, coordinate in ((1, 0), (0, 1), (1, 0)):
        slope = jacobian[:, coordinate]
        moved = before[:, coordinate] - slope @ best + slope[:, axis] * best[axis]
        left = moved[None] - grid[:, None] * slope[None, :, axis]
        cost = (np.minimum(left**2, INLIER**2) * data.votes).sum(axis=1)
        best[axis] = grid[int(np.argmin(cost + 1e-9 * np.abs(grid)))]
    return best


def _gauss_newton(
    data: Residuals, normalised: Floats, jacobian: Floats, at: Floats, rules: LidarCameraRules
) -> tuple[Floats, Floats]:
    length = np.sqrt((normalised**2).sum(axis=1))
    weight = np.where(length < _TUKEY, (1 - (length / _TUKEY) ** 2) ** 2, 0.0) * data.votes
    # A weak prior of the search range keeps an angle that the pairs do not show, such as roll of one object, finite.
    prior = np.eye(3) / np.radians(rules.cause.max_rotation_deg) ** 2
    information = np.einsum("k,kri,krj->ij", weight, jacobian, jacobian) + prior
    gradient = np.einsum("k,kri,kr->ki", weight, jacobian, normalised)
    inverse = np.linalg.inv(information)
    step = inverse @ (gradient.sum(axis=0) - prior @ at)
    scores = np.stack([np.bincount(data.objects, weights=gradient[:, i]) for i in range(3)], axis=1)
    scores -= scores.mean(axis=0)
    count = len(scores)
    meat = scores.T @ scores * (count / max(count - 1, 1))
    sandwich = inverse @ meat @ inverse
    larger = np.sqrt(np.maximum(np.diag(sandwich), np.diag(inverse)) / np.diag(inverse))
    return step, inverse * np.outer(larger, larger)


def _pairs_for_rotation(scene: Scene, rules: LidarCameraRules) -> Pairs:
    projected = scene.project(rules.near_plane_m).boxes_px
    if associate(scene, projected, rules).ids_shared:
        cuboids, boxes = pair_by_id(scene)
        return Pairs(cuboids, boxes, np.ones(len(cuboids), dtype=np.bool_), ids_shared=True)
    shift = coarse_shift(scene, projected, rules.cause.max_rotation_deg)
    return associate(scene, projected, rules, shift_px=shift)
