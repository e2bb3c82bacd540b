"""Estimate how many frames the cuboids are late against the camera's boxes.

The cuboids are paired with the boxes of other frames, lag by lag; the lag with the least residual is refined by the
parabola through its neighbours, whose curvature gives the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from services.alignment.geometry import Floats, Ints
from services.alignment.lidar_camera_pairs import IdentityIndex, associate, identity_index
from services.alignment.lidar_camera_residuals import (
    TRUNCATE,
    CauseEstimate,
    agreement,
    anchors_of,
    build_residuals,
    median_px,
    noise_excess,
    object_tracks,
)
from services.alignment.lidar_camera_scene import Scene
from services.alignment.projection import ProjectedCuboids, project_cuboids
from services.rules.lidar_camera import LidarCameraRules


@dataclass(frozen=True, slots=True)
class _Trial:
    """What no lag changes: a delay moves cuboids to other frames, and not in space.

    Attributes:
        scene: The labels as they are.
        tracks: An object's number for each cuboid.
        corners_m: Shape (number of cuboids, 8, 3), in the camera's frame.
        projected: The cuboids in the image.
        identities: Who pairs by id; None where the two streams name their objects apart.
    """

    scene: Scene
    tracks: Ints
    corners_m: Floats
    projected: ProjectedCuboids
    identities: IdentityIndex | None


@dataclass(frozen=True, slots=True)
class _Lag:
    """One lag tried; arrays hold a value for each object that has a pair at this lag."""

    tracks: Ints
    cost: Floats
    length: Floats
    pairs: int
    median_px: float
    excess: float


def estimate_offset(scene: Scene, rules: LidarCameraRules) -> CauseEstimate | None:
    """Return the delay of the cuboids that makes most objects agree, or None where nothing is wrong.

    Args:
        scene: The labels.
        rules: Thresholds.
    """
    reach = min(rules.cause.max_offset_frames, _span(scene) - 1)
    if reach < 1:
        return None
    trial = _trial(scene, rules)
    threshold = float(chdtri(1, rules.cause.false_alarm_rate / (2 * reach)))
    still = _try(trial, rules, 0)
    if still is None or float(still.cost.sum()) < threshold:
        return None  # even a perfect correction would not prove anything
    lags: dict[int, _Lag] = {}
    for lag in range(-reach, reach + 1):
        tried = _try(trial, rules, lag)
        if tried is not None:
            lags[lag] = tried
    lags[0] = still
    gains = {lag: _gain(lags[0], lags[lag]) / lags[lag].excess for lag in lags}
    able = [lag for lag in lags if gains[lag] >= threshold and len(lags[lag].tracks) >= rules.cause.min_objects]
    if not able:
        return None
    best = min(able, key=lambda lag: (float(lags[lag].cost.mean()), abs(lag), lag))
    offset, std = _refine(lags, best)
    if abs(offset) < rules.cause.min_offset_frames:
        return None
    # An object that has no pair without the correction agrees if it ends within its noise.
    before = np.full(len(lags[best].tracks), np.inf)
    matched, moved = _common(still, lags[best])
    before[moved] = still.length[matched]
    return CauseEstimate(
        kind="time_offset",
        statistic=gains[best],
        threshold=threshold,
        remaining=float(lags[best].cost.mean()),
        agreement=agreement(before, lags[best].length),
        residual_before_px=lags[0].median_px,
        residual_after_px=lags[best].median_px,
        pairs=lags[best].pairs,
        objects=len(before),
        rotation_rad=np.zeros(3),
        rotation_std_rad=np.zeros(3),
        offset_frames=offset,
        offset_std_frames=std,
    )


def _span(scene: Scene) -> int:
    low = max(int(scene.boxes.frames.min()), int(scene.cuboids.frames.min()))
    high = min(int(scene.boxes.frames.max()), int(scene.cuboids.frames.max()))
    return high - low + 1


def _trial(scene: Scene, rules: LidarCameraRules) -> _Trial:
    corners_m = scene.corners_in_camera()
    projected = project_cuboids(scene.camera, corners_m, near_m=rules.near_plane_m)
    ids_shared = associate(scene, projected.boxes_px, rules).ids_shared
    identities = identity_index(scene) if ids_shared else None
    return _Trial(scene, object_tracks(scene, rules), corners_m, projected, identities)


def _try(trial: _Trial, rules: LidarCameraRules, lag: int) -> _Lag | None:
    scene = trial.scene
    if trial.identities is not None:
        cuboids, boxes = trial.identities.pairs(lag)
    else:
        pairs = associate(scene.delayed(lag) if lag else scene, trial.projected.boxes_px, rules)
        cuboids, boxes = pairs.cuboids, pairs.boxes
    data = build_residuals(scene, rules, cuboids, boxes, trial.tracks, corners_m=trial.corners_m)
    if data is None:
        return None
    normalised = data.normalised(anchors_of(data, trial.projected.unclipped_px[data.cuboids]))
    squared = np.minimum((normalised**2).sum(axis=1), TRUNCATE)
    return _Lag(
        tracks=np.unique(data.tracks),
        cost=data.per_object(squared),
        length=data.per_object(np.linalg.norm(normalised, axis=1)),
        pairs=len(data.cuboids),
        median_px=median_px(data, normalised),
        excess=noise_excess(normalised),
    )


def _common(a: _Lag, b: _Lag) -> tuple[Ints, Ints]:
    return np.intersect1d(a.tracks, b.tracks, assume_unique=True, return_indices=True)[1:]


def _gain(still: _Lag, moved: _Lag) -> float:
    before, after = _common(still, moved)
    return float((still.cost[before] - moved.cost[after]).sum())


def _refine(lags: dict[int, _Lag], best: int) -> tuple[float, float]:
    if best - 1 not in lags or best + 1 not in lags:
        return float(best), 0.5
    rise_left = max(_gain(lags[best - 1], lags[best]), 0.0)
    rise_right = max(_gain(lags[best + 1], lags[best]), 0.0)
    curvature = (rise_left + rise_right) / 2
    if curvature <= 0:
        return float(best), 0.5
    shift = float(np.clip((rise_left - rise_right) / (4 * curvature), -0.5, 0.5))
    return best + shift, float(1 / np.sqrt(curvature))
