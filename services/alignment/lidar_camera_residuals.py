"""Distances between cuboids and their boxes, with the noise to expect: what causes are estimated from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from services.alignment.geometry import Bools, Floats, Ints, matrix_from_rotation_vector
from services.alignment.lidar_camera_scene import UNKNOWN_OCCLUSION, Scene, rows_of_frame
from services.alignment.matching import assign, iou_matrix
from services.alignment.projection import project_cuboids
from services.rules.lidar_camera import LidarCameraCauseRules, LidarCameraRules

TRUNCATE = 36.0
"""Where the squared residual of a pair stops to count: six standard deviations."""

INLIER = 3.0
"""Standard deviations within which an object agrees with a cause."""

_BORDER_PX = 2.0
_MIN_DEPTH_M = 0.5
_LINK_IOU = 0.2
_NOT_WORSE = 1.0

_SIDE_NOISE = 2.5
"""A single side of a box is noisier than its centre: cuboids that project too large err on both sides alike."""


@dataclass(frozen=True, slots=True)
class CauseEstimate:
    """What one cause would be, and how well it explains the residuals.

    Attributes:
        kind: ``calibration_shift`` or ``time_offset``.
        statistic: Fall of the truncated squared residual by the correction; larger is better.
        threshold: What the statistic must exceed.
        remaining: Mean truncated squared residual of the objects after the correction.
        agreement: Share of the objects that come closer and end within their noise.
        residual_before_px: Median distance of the centres without the correction.
        residual_after_px: With it.
        pairs: Pairs used.
        objects: Objects they belong to.
        rotation_rad: Shape (3,): the calibration's error as a rotation vector in the camera's frame:
            p_camera as calibrated = R(rotation_rad) @ p_camera in truth. Zero for a time offset.
        rotation_std_rad: Shape (3,): its standard deviations.
        offset_frames: How many frames the spatial labels are late; zero for a rotation.
        offset_std_frames: Its standard deviation.
    """

    kind: str
    statistic: float
    threshold: float
    remaining: float
    agreement: float
    residual_before_px: float
    residual_after_px: float
    pairs: int
    objects: int
    rotation_rad: Floats
    rotation_std_rad: Floats
    offset_frames: float = 0.0
    offset_std_frames: float = 0.0

    def is_proved(self, rules: LidarCameraCauseRules) -> bool:
        """Whether enough pairs and objects agree, better than chance."""
        return (
            self.pairs >= rules.min_pairs
            and self.objects >= rules.min_objects
            and self.statistic >= self.threshold
            and self.agreement >= rules.min_agreement
        )

    @property
    def correction(self) -> Floats:
        """Shape (3, 3): turns the camera's frame as calibrated into the true one."""
        return matrix_from_rotation_vector(-self.rotation_rad)


@dataclass(frozen=True, slots=True)
class Residuals:
    """Anchors of k pairs: a box's centre, or along an axis on which the image cuts it off, the side that is free.

    An axis on which both sides are cut off has infinite noise, so it never counts.

    Attributes:
        cuboids: Shape (k,): rows of the cuboids.
        shares: Shape (k, 4): what each side of a box adds to its anchor.
        target_px: Shape (k, 2): anchors of the camera's boxes.
        noise_px: Shape (k, 2): standard deviation of the difference that careful labels have.
        tracks: Shape (k,): a number for each object of the scene.
        objects: Shape (k,): the same, counted from 0 without gaps.
        votes: Shape (k,): weights; those of one object sum to one.
    """

    cuboids: Ints
    shares: Floats
    target_px: Floats
    noise_px: Floats
    tracks: Ints
    objects: Ints
    votes: Floats

    def normalised(self, anchors_px: Floats) -> Floats:
        """Return the residuals in standard deviations, (..., k, 2)."""
        return np.asarray((self.target_px - anchors_px) / self.noise_px)

    def cost(self, normalised: Floats) -> Floats:
        """Return the truncated squared residual, summed over the objects: (..., k, 2) to (...)."""
        squared = np.minimum((normalised**2).sum(axis=-1), TRUNCATE)
        return np.asarray((squared * self.votes).sum(axis=-1))

    def per_object(self, values: Floats) -> Floats:
        """Return the mean of each object's values: (k,) to (number of objects,)."""
        return np.asarray(np.bincount(self.objects, weights=values * self.votes), dtype=np.float64)


def build_residuals(
    scene: Scene,
    rules: LidarCameraRules,
    cuboids: Ints,
    boxes: Ints,
    tracks: Ints,
    *,
    corners_m: Floats | None = None,
) -> Residuals | None:
    """Return the residuals of those pairs that can be measured, or None where no pair can.

    Args:
        scene: The labels.
        rules: Thresholds.
        cuboids: Shape (k,): rows of the cuboids.
        boxes: Shape (k,): rows of their boxes.
        tracks: Shape (number of cuboids,): an object's number, as :func:`object_tracks` gives it.
        corners_m: All cuboids' corners in the camera's frame, where the caller has them already.
    """
    camera = scene.camera
    box = scene.boxes.boxes_px[boxes]
    size = box[:, 2:] - box[:, :2]
    limits = np.array([camera.width_px, camera.height_px])
    low_cut, high_cut = box[:, :2] <= _BORDER_PX, box[:, 2:] >= limits - _BORDER_PX
    cut = low_cut & high_cut
    low = np.where(low_cut, 0.0, np.where(high_cut, 1.0, 0.5))
    shares = np.concatenate([low, 1.0 - low], axis=1)
    share = np.array([scene.box_thresholds[row].center_noise_share for row in boxes.tolist()])
    noise = np.hypot(rules.cause.center_noise_px, share[:, None] * size)
    noise = np.where(cut, np.inf, np.where(low_cut | high_cut, _SIDE_NOISE * noise, noise))
    corners = (scene.corners_in_camera() if corners_m is None else corners_m)[cuboids]
    distance = np.linalg.norm(corners.mean(axis=1), axis=1)
    usable = (
        ~cut.all(axis=1)
        & _is_seen(scene, cuboids, boxes)
        & (size[:, 1] >= rules.min_height_px)
        & (distance <= rules.max_range_m)
    )
    if camera.model == "pinhole":
        usable &= corners[:, :, 2].min(axis=1) > max(rules.near_plane_m, _MIN_DEPTH_M)
    if not usable.any():
        return None
    cuboids, box, shares = cuboids[usable], box[usable], shares[usable]
    objects = np.unique(tracks[cuboids], return_inverse=True)[1]
    votes = 1.0 / np.bincount(objects)[objects]
    return Residuals(cuboids, shares, _anchors(box, shares), noise[usable], tracks[cuboids], objects, votes)


def _is_seen(scene: Scene, cuboids: Ints, boxes: Ints) -> Bools:
    result = np.ones(len(cuboids), dtype=np.bool_)
    for rows, index in ((scene.cuboids, cuboids), (scene.boxes, boxes)):
        occlusion = rows.occlusion[index]
        result &= ((occlusion < 2) | (occlusion == UNKNOWN_OCCLUSION)) & ~rows.ignore[index]
    return result


def _anchors(boxes_px: Floats, shares: Floats) -> Floats:
    parts = boxes_px * shares
    return np.asarray(parts[:, :2] + parts[:, 2:])


def projected_anchors(scene: Scene, data: Residuals, rules: LidarCameraRules, rotation: Floats | None = None) -> Floats:
    """Return the anchors of the projected cuboids, (k, 2) pixels, not clipped to the image.

    Args:
        scene: The labels.
        data: The pairs.
        rules: Thresholds.
        rotation: Shape (3, 3): turns the camera's frame first.
    """
    corners = scene.corners_in_camera(rotation)[data.cuboids]
    return anchors_of(data, project_cuboids(scene.camera, corners, near_m=rules.near_plane_m).unclipped_px)


def anchors_of(data: Residuals, unclipped_px: Floats) -> Floats:
    """Return the anchors, (k, 2) pixels, of the pairs' projected cuboids, (k, 4) pixels."""
    return _anchors(unclipped_px, data.shares)


def agreement(before: Floats, after: Floats) -> float:
    """Return the share of objects, by their mean normalised residual, that a correction does not harm and settles."""
    return float(np.mean((after <= before + _NOT_WORSE) & (after <= INLIER)))


def noise_excess(normalised: Floats) -> float:
    """Return by how much the spread left after a correction exceeds the expected, as a variance ratio of at least 1."""
    return max(1.0, float(np.median((normalised**2).sum(axis=1))) / float(chdtri(2, 0.5)))


def median_px(data: Residuals, normalised: Floats) -> float:
    """Return the median length of residuals, pixels, over the coordinates that count."""
    noise = np.where(np.isfinite(data.noise_px), data.noise_px, 0.0)
    return float(np.median(np.linalg.norm(normalised * noise, axis=1)))


def object_tracks(scene: Scene, rules: LidarCameraRules) -> Ints:
    """Number the objects behind the cuboids: by object_id, else by overlap from one frame to the next.

    Returns:
        Shape (number of cuboids,).
    """
    numbers: dict[str, int] = {}
    tracks = np.empty(len(scene.cuboids), dtype=np.intp)
    unnamed = []
    for row, object_id in enumerate(scene.cuboids.object_ids):
        if object_id is None:
            unnamed.append(row)
        else:
            tracks[row] = numbers.setdefault(object_id, len(numbers))
    if not unnamed:
        return tracks
    rows = np.array(unnamed, dtype=np.intp)
    boxes = scene.project(rules.near_plane_m).boxes_px
    following = len(numbers)
    previous, previous_frame = np.empty(0, dtype=np.intp), -1
    frames = scene.cuboids.frames[rows]
    for frame in np.unique(frames).tolist():
        current = rows[rows_of_frame(frames, frame)]
        tracks[current] = np.arange(following, following + len(current))
        following += len(current)
        if frame == previous_frame + 1 and len(previous):
            old, new = assign(iou_matrix(boxes[previous], boxes[current]), minimum=_LINK_IOU)
            tracks[current[new]] = tracks[previous[old]]
        previous, previous_frame = current, frame
    return tracks
