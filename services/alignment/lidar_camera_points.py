"""Cuboids that hold no LiDAR point."""

from __future__ import annotations

import numpy as np

from services.alignment.geometry import count_points_in_cuboids
from services.alignment.lidar_camera_scene import UNKNOWN_OCCLUSION, cuboid_rows
from services.alignment.lidar_camera_symptoms import CHECK, Symptom
from services.alignment.sample import CheckSample
from services.contracts.findings import Finding, Measured, finding_id
from services.rules.rule_set import RuleSet


def find_empty_cuboids(sample: CheckSample, rules: RuleSet) -> tuple[Symptom, ...]:
    """Return a symptom for each cuboid in range, not occluded, with fewer points than the rules ask for.

    A stream has one cloud, so a stream whose cuboids span several frames is not judged. A cuboid whose labeller
    stated that it holds no point is not at fault.
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
