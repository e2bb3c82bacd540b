"""Tracks as wholes, lines on the ground, and places.

Two tracks are as close as their boxes overlap over all frames that either of them has (the mean of the frames'
intersection over union, with 0 where one of them has no box), so that an object that one person lost half-way is half
as close. A joined track has each frame that at least half of those have who labelled the object, by medians.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.agreement.ratings import Floats
from services.alignment.matching import iou_pairs
from services.consensus.family import Family, Labels, Members, keep_medoid, pairwise
from services.consensus.places import cuboid_iou, median, merged_cuboid
from services.contracts.labels_visual import Track
from services.rules.consensus import ConsensusRules


def _frames(label: Any) -> dict[int, Any]:
    """Return what a track has in each frame; the first of two in one frame."""
    found: dict[int, Any] = {}
    for one in label.boxes if isinstance(label, Track) else label.cuboids:
        found.setdefault(one.frame, one)
    return found


def _track_closeness(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    mine, theirs = [_frames(label) for label in one], [_frames(label) for label in other]
    found = np.zeros((len(one), len(other)))
    for i, a in enumerate(mine):
        for j, b in enumerate(theirs):
            both = sorted(a.keys() & b.keys())
            if not both:
                continue
            if isinstance(one[i], Track):
                overlap = iou_pairs(
                    np.array([a[frame].box for frame in both]), np.array([b[frame].box for frame in both])
                )
                shared = float(overlap.sum())
            else:
                shared = sum(float(cuboid_iou([a[frame]], [b[frame]])[0, 0]) for frame in both)
            found[i, j] = shared / len(a.keys() | b.keys())
    return found


def _by_frame(members: Members) -> dict[int, list[Any]]:
    given: dict[int, list[Any]] = defaultdict(list)
    for label in members.labels:
        for frame, one in _frames(label).items():
            given[frame].append(one)
    return {frame: shapes for frame, shapes in sorted(given.items()) if 2 * len(shapes) >= len(members.labels)}


def _merge_tracks(members: Members, _: ConsensusRules) -> dict[str, object]:
    own = _frames(members.medoid)
    boxes = []
    for frame, shapes in _by_frame(members).items():
        like = own.get(frame, shapes[0])
        keyframe = any(shape.keyframe for shape in shapes)
        boxes.append(like.model_copy(update={"box": median([shape.box for shape in shapes]), "keyframe": keyframe}))
    return {"boxes": tuple(boxes)} if boxes else {}


def _merge_spatial_tracks(members: Members, _: ConsensusRules) -> dict[str, object]:
    own = _frames(members.medoid)
    cuboids = []
    for frame, shapes in _by_frame(members).items():
        like = own.get(frame, shapes[0])
        cuboids.append(like.model_copy(update=merged_cuboid(shapes, like)))
    return {"cuboids": tuple(cuboids)} if cuboids else {}


def _line_closeness(one: Labels, other: Labels, rules: ConsensusRules) -> Floats:
    """Return one less the mean distance between two lines over its tolerance, both ways (the Chamfer distance)."""
    return pairwise(one, other, lambda a, b: max(0.0, 1.0 - _apart(a, b) / rules.line_tolerance_m))


def _apart(one: Any, other: Any) -> float:
    a, b = (np.array(label.points_m, dtype=np.float64) for label in (one, other))
    return (_mean_distance(a, b) + _mean_distance(b, a)) / 2


def _mean_distance(points: Floats, line: Floats) -> float:
    """Return the mean distance of points (n, 3) from a line through (m, 3), metres."""
    start, step = line[:-1], line[1:] - line[:-1]
    length = np.maximum((step**2).sum(axis=1), 1e-18)
    total = 0.0
    for point in points:
        along = np.clip(((point - start) * step).sum(axis=1) / length, 0.0, 1.0)
        total += float(np.sqrt((((start + along[:, None] * step) - point) ** 2).sum(axis=1)).min())
    return total / len(points)


def _place_closeness(one: Sequence[Any], other: Sequence[Any], rules: ConsensusRules) -> Floats:
    a, b = (np.array([label.center_m for label in labels], dtype=np.float64).reshape(-1, 3) for labels in (one, other))
    reach = np.array([[max(p.radius_m or 0.0, q.radius_m or 0.0) for q in other] for p in one]).reshape(len(a), len(b))
    apart = np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))
    return np.asarray(np.maximum(0.0, 1.0 - apart / np.maximum(reach, rules.line_tolerance_m)))


def _merge_places(members: Members, _: ConsensusRules) -> dict[str, object]:
    labels: Sequence[Any] = members.labels
    radii = [label.radius_m for label in labels if label.radius_m is not None]
    return {
        "center_m": median([label.center_m for label in labels]),
        "radius_m": float(np.median(radii)) if radii else None,
    }


TRACK = Family(_track_closeness, _merge_tracks)
SPATIAL_TRACK = Family(_track_closeness, _merge_spatial_tracks)
LINE = Family(_line_closeness, keep_medoid)
PLACE = Family(_place_closeness, _merge_places)
