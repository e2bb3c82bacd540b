"""Cuboids that hold no LiDAR point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.alignment.geometry import Floats, count_points_in_cuboids, cuboid_corners
from services.alignment.lidar_camera_scene import UNKNOWN_OCCLUSION, cuboid_rows
from services.alignment.lidar_camera_symptoms import CHECK, Symptom
from services.alignment.sample import CheckSample
from services.contracts.findings import Finding, Measured, finding_id
from services.rules.rule_set import RuleSet


def _blocked_share(points_m: NDArray[np.float32], corners_m: Floats) -> float:
    """Return the share of the points within a cuboid's angles that end before its nearest corner; 0 without any."""
    center = corners_m.mean(axis=0)
    ahead = points_m[points_m @ center.astype(np.float32) > 0]
    turn = np.arctan2(center[1], center[0])

    def angles(directions: NDArray[np.floating[Any]]) -> Floats:
        azimuth = np.arctan2(directions[:, 1], directions[:, 0]) - turn
        azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
        elevation = np.arctan2(directions[:, 2], np.hypot(directions[:, 0], directions[:, 1]))
        return np.stack([azimuth, elevation], axis=1).astype(np.float64)

    window = angles(corners_m)
    seen = angles(ahead)
    inside = ((seen >= window.min(axis=0)) & (seen <= window.max(axis=0))).all(axis=1)
    if not inside.any():
        return 0.0
    near = np.linalg.norm(corners_m, axis=1).min()
    return float(np.mean(np.linalg.norm(ahead[inside], axis=1) < near))


def find_empty_cuboids(sample: CheckSample, rules: RuleSet) -> tuple[Symptom, ...]:
    """Return a symptom for each cuboid in range, not occluded, with fewer points than the rules ask for.

    A stream has one cloud, so a stream whose cuboids span several frames is not judged. A cuboid whose labeller
    stated that it holds no point is not at fault, nor is one that stands behind something: then most points in its
    direction, seen from the sensor at the origin, end before it.
    """
    limits = rules.lidar_camera
    symptoms = []
    for stream in sorted(sample.clouds_m):
        rows = cuboid_rows(sample.annotations, stream)
        if not len(rows) or len(np.unique(rows.frames)) > 1:
            continue
        counts = count_points_in_cuboids(
            sample.clouds_m[stream], rows.centers_m, rows.sizes_m, rows.rotations, margin_m=limits.points_margin_m
        )
        distance = np.linalg.norm(rows.centers_m, axis=1)
        occluded = (rows.occlusion > limits.max_occlusion) & (rows.occlusion != UNKNOWN_OCCLUSION)
        empty = (counts < limits.min_points_inside) & (distance <= limits.points_range_m)
        empty &= ~occluded & ~rows.ignore & (rows.point_counts != 0)
        for row in np.flatnonzero(empty).tolist():
            corners = cuboid_corners(rows.centers_m[[row]], rows.sizes_m[[row]], rows.rotations[[row]])[0]
            if _blocked_share(sample.clouds_m[stream], corners) >= limits.points_blocked_share:
                continue
            frames = (int(rows.frames[row]),)
            message = (
                f"Cuboid {rows.ids[row]} ({rows.labels[row]}), {distance[row]:.1f} m away, holds {counts[row]} LiDAR "
                f"points; at least {limits.min_points_inside} expected within {limits.points_range_m:.0f} m."
            )
            finding = Finding(
                finding_id=finding_id(
                    CHECK, "no_points_inside", rules.id, streams=(stream,), annotations=(rows.ids[row],), frames=frames
                ),
                check=CHECK,
                kind="no_points_inside",
                severity="major",
                message=message,
                measured=Measured(value=float(counts[row]), unit="points", threshold=float(limits.min_points_inside)),
                streams=(stream,),
                annotations=(rows.ids[row],),
                frames=frames,
                rule=rules.reference,
            )
            symptoms.append(Symptom(finding, rows.object_ids[row], frozenset({("cuboid", row)})))
    return tuple(symptoms)
