"""Boxes, turned boxes, cuboids, polygons, masks, points and keypoints.

Coordinates are joined by their medians, one by one: up to half of the people may be far off and move nothing far (P. J.
Huber, *Robust Statistics*, 1981). Medians of ordered coordinates are ordered, so a joined box is a box. Angles, which
have no order, are the medoid's: the angle of the label with the least distance to all. Outlines have no coordinates in
common and are the medoid's; masks are voted pixel by pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.agreement.ratings import Floats
from services.alignment.geometry import matrices_from_quaternions
from services.alignment.matching import iou_matrix
from services.consensus.family import Family, Labels, Members, keep_medoid, pairwise
from services.consensus.regions import (
    Runs,
    counts_of_runs,
    majority_runs,
    outline_iou,
    outlines,
    run_iou,
    runs_of_counts,
    shared_areas,
    turned_boxes,
)
from services.consensus.votes import majority
from services.contracts.labels_spatial import PointSegmentation
from services.contracts.labels_visual import Keypoint, Keypoints, Mask, RunLengths
from services.formats.rle import checked_counts
from services.rules.consensus import ConsensusRules


def median(values: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the medians of coordinates, (n, k) to (k,)."""
    return tuple(float(value) for value in np.median(np.array(values, dtype=np.float64), axis=0))


def _boxes(labels: Sequence[Any]) -> Floats:
    return np.array([label.box for label in labels], dtype=np.float64).reshape(-1, 4)


def _box_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return iou_matrix(_boxes(one), _boxes(other))


def _merge_boxes(members: Members, _: ConsensusRules) -> dict[str, object]:
    return {"box": median(_boxes(members.labels).tolist())}


def _turned(labels: Sequence[Any], origin: tuple[float, float]) -> Floats:
    centers = np.array([label.center_px for label in labels], dtype=np.float64).reshape(-1, 2) - origin
    sizes = np.array([label.size_px for label in labels], dtype=np.float64).reshape(-1, 2)
    angles = np.deg2rad(np.array([label.angle_deg for label in labels], dtype=np.float64))
    return outlines([(corners, ()) for corners in turned_boxes(centers, sizes, angles).tolist()])


def _turned_closeness(one: Sequence[Any], other: Sequence[Any], _: ConsensusRules) -> Floats:
    origin = one[0].center_px if one else (0.0, 0.0)
    return outline_iou(_turned(one, origin), _turned(other, origin))


def _merge_turned(members: Members, _: ConsensusRules) -> dict[str, object]:
    # The same box is told in four ways, a quarter turn apart: told as the medoid is, sides can be compared.
    medoid: Any = members.medoid
    told = [_told_like(label, medoid.angle_deg) for label in members.labels]
    offsets = [angle for _, angle in told]
    labels: Sequence[Any] = members.labels
    return {
        "center_px": median([label.center_px for label in labels]),
        "size_px": median([size for size, _ in told]),
        "angle_deg": _degrees(medoid.angle_deg + float(np.median(offsets))),
    }


def _told_like(label: Any, angle_deg: float) -> tuple[tuple[float, float], float]:
    """Return (size, offset from the angle) of a turned box, told so that the offset is at most 45°."""
    turns = round((label.angle_deg - angle_deg) / 90.0)
    width, height = label.size_px
    return ((height, width) if turns % 2 else (width, height)), label.angle_deg - angle_deg - 90.0 * turns


def _degrees(angle: float) -> float:
    return angle if -360.0 <= angle <= 360.0 else math.fmod(angle, 360.0)


def yaws_of(shapes: Sequence[Any]) -> Floats:
    """Return the yaw of cuboids in radians; of a full rotation, that of the object's x axis seen from above."""
    yaws = np.array([shape.yaw_rad or 0.0 for shape in shapes], dtype=np.float64)
    turned = np.array([shape.rotation_wxyz is not None for shape in shapes], dtype=bool)
    if turned.any():
        rotations = matrices_from_quaternions([shape.rotation_wxyz for shape in shapes if shape.rotation_wxyz])
        yaws[turned] = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return yaws


def cuboid_iou(one: Sequence[Any], other: Sequence[Any]) -> Floats:
    """Return the intersection over union of the volumes of cuboids that stand upright: (n,) and (m,) to (n, m)."""
    if not one or not other:
        return np.zeros((len(one), len(other)))
    origin = np.array(one[0].center_m)
    centers, others = (np.array([shape.center_m for shape in shapes]) - origin for shapes in (one, other))
    sizes, other_sizes = (np.array([shape.size_m for shape in shapes]) for shapes in (one, other))
    ground, other_ground = (
        outlines([(corners, ()) for corners in turned_boxes(at[:, :2], size[:, :2], yaws_of(shapes)).tolist()])
        for at, size, shapes in ((centers, sizes, one), (others, other_sizes, other))
    )
    low = np.maximum((centers - sizes / 2)[:, None, 2], (others - other_sizes / 2)[None, :, 2])
    high = np.minimum((centers + sizes / 2)[:, None, 2], (others + other_sizes / 2)[None, :, 2])
    shared = shared_areas(ground, other_ground) * np.maximum(high - low, 0.0)
    union = sizes.prod(axis=1)[:, None] + other_sizes.prod(axis=1)[None, :] - shared
    return np.asarray(np.clip(shared / union, 0.0, 1.0))


def merged_cuboid(shapes: Sequence[Any], medoid: Any) -> dict[str, object]:
    """Return centre and size by medians, and a turn: the angle with the least sum of distances to all others."""
    found: dict[str, object] = {
        "center_m": median([shape.center_m for shape in shapes]),
        "size_m": median([shape.size_m for shape in shapes]),
        "yaw_rad": medoid.yaw_rad,
        "rotation_wxyz": medoid.rotation_wxyz,
    }
    if all(shape.rotation_wxyz is None for shape in shapes) and any(shape.yaw_rad is not None for shape in shapes):
        found["yaw_rad"] = median_angle([shape.yaw_rad or 0.0 for shape in shapes])
    return found


def median_angle(angles: Sequence[float]) -> float:
    """Return the angle, radians, with the least sum of distances round the circle; the mean of the two middle ones.

    The circular median (K. V. Mardia and P. E. Jupp, *Directional Statistics*, 2000, section 2.3.2).
    """
    values = np.sort(np.asarray(angles, dtype=np.float64))
    apart = np.abs(_turn(values[:, None] - values[None, :])).sum(axis=1)
    middle = values[int(np.argmin(np.round(apart, 9)))]
    return float(middle + np.median(_turn(values - middle)))


def _turn(difference: Floats) -> Floats:
    return np.asarray((difference + np.pi) % (2 * np.pi) - np.pi)


def _cuboid_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return cuboid_iou(one, other)


def _merge_cuboids(members: Members, _: ConsensusRules) -> dict[str, object]:
    return merged_cuboid(members.labels, members.medoid)


def _polygon_closeness(one: Sequence[Any], other: Sequence[Any], _: ConsensusRules) -> Floats:
    origin = np.array(one[0].points_px[0]) if one else np.zeros(2)

    def moved(labels: Sequence[Any]) -> Floats:
        return outlines(
            [
                (
                    (np.array(label.points_px) - origin).tolist(),
                    [(np.array(hole) - origin).tolist() for hole in label.holes_px],
                )
                for label in labels
            ]
        )

    return outline_iou(moved(one), moved(other))


def _mask_runs(label: Mask) -> Runs:
    try:
        return runs_of_counts(checked_counts(label.rle.counts, label.rle.size))
    except ValueError:
        return np.empty((0, 2), dtype=np.intp)  # a mask that can not be read covers nothing; the checks say so


def _mask_closeness(one: Sequence[Any], other: Sequence[Any], _: ConsensusRules) -> Floats:
    runs, others = [_mask_runs(label) for label in one], [_mask_runs(label) for label in other]
    found = np.zeros((len(one), len(other)))
    for i, label in enumerate(one):
        for j, against in enumerate(other):
            if label.rle.size == against.rle.size:
                found[i, j] = run_iou(runs[i], others[j])
    return found


def _merge_masks(members: Members, _: ConsensusRules) -> dict[str, object]:
    medoid = members.medoid
    if not isinstance(medoid, Mask):
        return {}
    height, width = medoid.rle.size
    runs = [
        _mask_runs(label) for label in members.labels if isinstance(label, Mask) and label.rle.size == medoid.rle.size
    ]
    counts = counts_of_runs(majority_runs(runs, _mask_runs(medoid)), height * width)
    return {"rle": RunLengths(size=(height, width), counts=tuple(counts))}


def _point_runs(label: PointSegmentation) -> Runs:
    runs = np.array(label.runs, dtype=np.intp).reshape(-1, 2)
    return np.stack([runs[:, 0], runs[:, 0] + runs[:, 1]], axis=1)


def _points_closeness(one: Sequence[Any], other: Sequence[Any], _: ConsensusRules) -> Floats:
    return pairwise(
        one, other,
        lambda a, b: run_iou(_point_runs(a), _point_runs(b))
        if isinstance(a, PointSegmentation) and isinstance(b, PointSegmentation) else 0.0,
    )  # fmt: skip


def _merge_points(members: Members, _: ConsensusRules) -> dict[str, object]:
    if not isinstance(members.medoid, PointSegmentation):
        return {}
    runs = [_point_runs(label) for label in members.labels if isinstance(label, PointSegmentation)]
    joint = majority_runs(runs, _point_runs(members.medoid))
    return {"runs": tuple((int(first), int(end - first)) for first, end in joint)}


def _keypoint_closeness(one: Sequence[Any], other: Sequence[Any], rules: ConsensusRules) -> Floats:
    return pairwise(one, other, lambda a, b: _oks(a, b, rules) if isinstance(a, Keypoints) else 0.0)


def _placed(label: Any) -> dict[str, Keypoint]:
    return {point.name: point for point in label.keypoints if point.visibility}


def _oks(one: Any, other: Any, rules: ConsensusRules) -> float:
    """Return the object keypoint similarity of COCO, with the size of both and one spread for all points.

    Points that only one of them placed count as nothing in common.
    """
    a, b = _placed(one), _placed(other)
    named = a.keys() | b.keys()
    if not named:
        return 1.0
    points = np.array([[point.x_px, point.y_px] for point in (*a.values(), *b.values())])
    size = max(1.0, float(np.linalg.norm(points.max(axis=0) - points.min(axis=0))))
    apart = np.array(
        [[a[name].x_px - b[name].x_px, a[name].y_px - b[name].y_px] for name in sorted(a.keys() & b.keys())]
    )
    if not len(apart):
        return 0.0
    near = np.exp(-(apart**2).sum(axis=1) / (2 * (size * rules.keypoint_spread) ** 2))
    return float(near.sum()) / len(named)


def _merge_keypoints(members: Members, _: ConsensusRules) -> dict[str, object]:
    """Join point by point; a point that fewer than half of the people placed is left out, unless it was the last."""
    given = [(who, _placed(label)) for who, label in zip(members.annotators, members.labels, strict=True)]
    joint = []
    for name in dict.fromkeys(point.name for label in members.labels if isinstance(label, Keypoints)
                              for point in label.keypoints):  # fmt: skip
        points = [(who, placed[name]) for who, placed in given if name in placed]
        if not points or 2 * len(points) < len(given):
            continue
        x, y = median([(point.x_px, point.y_px) for _, point in points])
        seen = majority(((who, point.visibility) for who, point in points), members.weights).winner
        joint.append(Keypoint(name=name, x_px=x, y_px=y, visibility=seen))
    return {"keypoints": tuple(joint)} if joint else {}


BOX = Family(_box_closeness, _merge_boxes)
ROTATED_BOX = Family(_turned_closeness, _merge_turned)
CUBOID = Family(_cuboid_closeness, _merge_cuboids)
POLYGON = Family(_polygon_closeness, keep_medoid)
MASK = Family(_mask_closeness, _merge_masks)
POINTS = Family(_points_closeness, _merge_points)
KEYPOINTS = Family(_keypoint_closeness, _merge_keypoints)
