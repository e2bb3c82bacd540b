"""``lidar_camera``: do the cuboids of a LiDAR and the boxes of a camera show the same things in the same places?

Every cuboid is projected into the camera with intrinsics, distortion and extrinsics, clipped at the near plane and at
the image, and paired with a box: by object_id where both carry one, else by optimal assignment on overlap. What then
disagrees is a symptom. Before symptoms are reported, a rotated calibration and a time offset are looked for over all
pairs of the camera (see ``lidar_camera_cause``); where one is proved, the symptoms are judged again with the cause
corrected for: those that vanish are folded under it, those that stay are findings of their own.

Thresholds, tolerances and exemptions come from ``rules.lidar_camera``. Units: metres, pixels, degrees, frames, seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from services.alignment.lidar_camera_cause import cause_finding, estimate_causes
from services.alignment.lidar_camera_conflicts import conflict_findings
from services.alignment.lidar_camera_importer import find_importer_error, importer_finding, object_overlaps
from services.alignment.lidar_camera_pairs import associate
from services.alignment.lidar_camera_points import find_empty_cuboids
from services.alignment.lidar_camera_residuals import CauseEstimate
from services.alignment.lidar_camera_scene import Scene
from services.alignment.lidar_camera_sources import collect_scenes
from services.alignment.lidar_camera_symptoms import CHECK, Symptom, find_symptoms
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.findings import SEVERITY_ORDER, Cause, Finding, LabelPatch, Suggestion, finding_id
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import RuleSet


def check_lidar_camera(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Compare every stream with cuboids with every camera with boxes.

    Args:
        sample: The sample; its clouds, where given, are used to count points.
        rules: Thresholds and exemptions, of which ``rules.lidar_camera`` is used.

    Returns:
        Findings, the symptoms folded under causes, and what could not be judged with the reason.
    """
    scenes, not_applicable = collect_scenes(sample, rules.lidar_camera)
    findings = list(conflict_findings(sample.manifest, rules))
    folded: list[Finding] = []
    symptoms: list[Symptom] = []
    for scene in scenes:
        cause, explained, left = _judge(scene, rules)
        symptoms.extend(left)
        if cause is not None:
            findings.append(cause)
            folded.extend(explained)
    symptoms = _missing_everywhere(symptoms, scenes)
    symptoms, corroborating = _corroborate(symptoms, find_empty_cuboids(sample, rules))
    folded.extend(corroborating)
    kept, tracked = _fold_tracks(symptoms, rules)
    findings.extend(kept)
    folded.extend(tracked)
    return CheckOutcome(findings=_unique(findings), folded=_unique(folded), not_applicable=not_applicable)


def _missing_everywhere(symptoms: list[Symptom], scenes: Iterable[Scene]) -> list[Symptom]:
    """Where several streams hold cuboids, a box lacks its cuboid only if none of them has it; say so once."""
    spatial = Counter(scene.camera_id for scene in scenes)
    misses = Counter((s.finding.annotations, s.finding.frames) for s in symptoms if s.finding.kind == "unmatched_box")
    kept: list[Symptom] = []
    for symptom in symptoms:
        place = (symptom.finding.annotations, symptom.finding.frames)
        if symptom.finding.kind == "unmatched_box":
            if misses[place] < spatial[symptom.finding.streams[0]]:
                continue
            misses[place] = 0
        kept.append(symptom)
    return kept


def _unique(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    by_id = {finding.finding_id: finding for finding in findings}
    return tuple(by_id[key] for key in sorted(by_id))


def _judge(scene: Scene, rules: RuleSet) -> tuple[Finding | None, tuple[Finding, ...], tuple[Symptom, ...]]:
    """Return the cause, the symptoms that it explains, and those that stay."""
    limits = rules.lidar_camera
    error = find_importer_error(scene, limits)  # from the boxes as they are: converted ones may lie elsewhere
    scene = scene.clipped()
    symptoms = _symptoms(scene, rules)
    causes = estimate_causes(scene, limits)
    if error is not None and (not causes or error.iou_after > _overlap_after(scene, causes[0], limits)):
        left = _symptoms(error.scene, rules)
        explained = _vanished(symptoms, left)
        return importer_finding(scene, error, explained, rules), explained, left
    if causes:
        left = _symptoms(scene, rules, causes[0])
        explained = _vanished(symptoms, left)
        return cause_finding(scene, causes, explained, rules), explained, left
    return None, (), symptoms


def _vanished(before: Iterable[Symptom], after: Iterable[Symptom]) -> tuple[Finding, ...]:
    still = {row for symptom in after for row in symptom.rows}
    return tuple(symptom.finding for symptom in before if not still & symptom.rows)


def _overlap_after(scene: Scene, cause: CauseEstimate, rules: LidarCameraRules) -> float:
    """Return the mean overlap of the objects that a cause leaves: of two explanations, the better one is told."""
    if cause.kind == "time_offset":
        overlaps = object_overlaps(scene.delayed(round(cause.offset_frames)), rules)
    else:
        turned = np.eye(4)
        turned[:3, :3] = cause.correction
        overlaps = object_overlaps(replace(scene, camera_from_spatial=turned @ scene.camera_from_spatial), rules)
    return float(np.mean(list(overlaps.values()))) if overlaps else 0.0


def _symptoms(scene: Scene, rules: RuleSet, cause: CauseEstimate | None = None) -> tuple[Symptom, ...]:
    rotation = None
    if cause is not None and cause.kind == "time_offset":
        scene = scene.delayed(round(cause.offset_frames))
    elif cause is not None:
        rotation = cause.correction
    projected = scene.project(rules.lidar_camera.near_plane_m, rotation)
    pairs = associate(scene, projected.boxes_px, rules.lidar_camera)
    return find_symptoms(scene, projected, pairs, rules)


def _corroborate(symptoms: list[Symptom], empty: tuple[Symptom, ...]) -> tuple[list[Symptom], list[Finding]]:
    """Fold "no points inside" under a symptom of the same cuboid: a cuboid in the wrong place is one fault."""
    misplaced = ("low_overlap", "unmatched_cuboid", "depth_implausible")
    result, folded = list(symptoms), []
    places: dict[str, list[int]] = defaultdict(list)
    for index, other in enumerate(result):
        if other.finding.kind in misplaced:
            for name in other.finding.annotations:
                places[name].append(index)
    for symptom in empty:
        (cuboid,) = symptom.finding.annotations
        for index in places[cuboid]:
            other = result[index]
            finding = other.finding
            if not finding.explains:
                group = f"cuboid_misplaced:{cuboid}"[:200]
                cause = Cause(kind="cuboid_misplaced", group=group, estimate={"points_inside": 0})
                update = {
                    "severity": max(finding.severity, symptom.finding.severity, key=SEVERITY_ORDER.__getitem__),
                    "message": f"{finding.message} The cuboid holds no LiDAR point either.",
                    "cause": cause,
                    "explains": (symptom.finding.finding_id,),
                }
                result[index] = replace(other, finding=finding.model_copy(update=update))
                folded.append(symptom.finding)
                break
        else:
            result.append(symptom)
    return result, folded


def _fold_tracks(symptoms: Iterable[Symptom], rules: RuleSet) -> tuple[list[Finding], list[Finding]]:
    """Make one finding of a fault that one object has in many frames."""
    groups: dict[tuple[str, tuple[str, ...], str], list[Finding]] = defaultdict(list)
    findings: list[Finding] = []
    folded: list[Finding] = []
    for symptom in symptoms:
        finding = symptom.finding
        if symptom.object_key is None:
            findings.append(finding)
        else:
            groups[finding.kind, finding.streams, symptom.object_key].append(finding)
    for (kind, streams, key), members in sorted(groups.items()):
        frames = sorted({frame for finding in members for frame in finding.frames})
        if len(frames) < rules.lidar_camera.min_track_frames:
            findings.extend(members)
            continue
        worst = min(members, key=lambda f: (-SEVERITY_ORDER[f.severity], f.frames, f.finding_id))
        place = f"object:{key}"
        findings.append(
            worst.model_copy(
                update={
                    "finding_id": finding_id(CHECK, kind, rules.id, streams=streams, place=place),
                    "message": f"In {len(frames)} frames, {frames[0]} to {frames[-1]}, object {key}: {worst.message}",
                    "annotations": tuple(sorted({i for finding in members for i in finding.annotations})),
                    "frames": tuple(frames),
                    "cause": Cause(kind="whole_track", group=f"{kind}:{key}"[:200], estimate={"frames": len(frames)}),
                    "suggestion": _joined_suggestion(members),
                    "explains": tuple(sorted(finding.finding_id for finding in members)),
                }
            )
        )
        folded.extend(members)
    return findings, folded


def _joined_suggestion(members: list[Finding]) -> Suggestion | None:
    suggestions = [finding.suggestion for finding in sorted(members, key=lambda f: (f.frames, f.finding_id))]
    patches = [s.patch for s in suggestions if s is not None and s.patch is not None]
    if len(patches) < len(members):
        return None
    upsert = {label.id: label for patch in patches for label in patch.upsert}
    first = next(s for s in suggestions if s is not None)
    return Suggestion(
        summary=f"{first.summary} The same in {len(members) - 1} more places."[:2000],
        patch=LabelPatch(upsert=tuple(upsert[key] for key in sorted(upsert))),
    )
