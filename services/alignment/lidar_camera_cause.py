"""One cause behind many residuals: a rotated calibration, or streams that are apart in time.

Every pair of a cuboid and its box gives the vector from the cuboid's projected centre to the box's centre. Pairs of
one object share that object's labelling bias, so an object has one vote however many frames it is seen in, and its
noise is the standard deviation of a *labelled centre*, from the rule set.

The statistic is the fall of the truncated squared residual, in units of that noise, when a cause is corrected for.
Without a cause it is at most chi-square distributed; the rule set's false alarm rate, shared among the lags tried,
sets the threshold. Most objects must come no farther and end within their noise, which one moved cuboid can not bring
about. Of two causes that pass, the one that explains more wins.
"""

from __future__ import annotations

import json
import math

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, rigid
from services.alignment.lidar_camera_offset import estimate_offset
from services.alignment.lidar_camera_residuals import CauseEstimate
from services.alignment.lidar_camera_rotation import estimate_rotation
from services.alignment.lidar_camera_scene import Scene, concerned_streams
from services.alignment.lidar_camera_symptoms import CHECK
from services.contracts.base import Scalar
from services.contracts.findings import Cause, Finding, Measured, Severity, Suggestion, TimeShift, finding_id
from services.rules.lidar_camera import LidarCameraCauseRules, LidarCameraRules
from services.rules.rule_set import RuleSet

_DIRECTIONS = {"yaw": ("left", "right"), "pitch": ("down", "up"), "roll": ("clockwise", "counter-clockwise")}


def estimate_causes(scene: Scene, rules: LidarCameraRules) -> tuple[CauseEstimate, ...]:
    """Return the causes that are proved, the one that explains most first."""
    if not rules.cause.enabled or not len(scene.boxes) or not len(scene.cuboids):
        return ()
    found = (estimate_rotation(scene, rules), estimate_offset(scene, rules))
    proved = [e for e in found if e is not None and _is_proved(e, rules.cause)]
    # What is left over tells the causes apart; where it does not (a steady turn), the greater gain does.
    return tuple(sorted(proved, key=lambda e: (round(e.remaining), -e.statistic, e.kind)))


def _is_proved(estimate: CauseEstimate, rules: LidarCameraCauseRules) -> bool:
    if not estimate.is_proved(rules):
        return False
    if estimate.kind == "time_offset":
        return True
    angle = math.degrees(float(np.linalg.norm(estimate.rotation_rad)))
    return rules.min_rotation_deg <= angle <= rules.max_rotation_deg * math.sqrt(3)


def cause_finding(
    scene: Scene, causes: tuple[CauseEstimate, ...], explained: tuple[Finding, ...], rules: RuleSet
) -> Finding:
    """Return the finding that names the first of ``causes`` and folds what it explains.

    Args:
        scene: The labels as they are.
        causes: Proved causes, the best first.
        explained: The symptoms that vanish with the correction.
        rules: The rule set.
    """
    best = causes[0]
    streams = concerned_streams(scene)
    place = f"{best.kind}:{scene.camera_id}:{scene.spatial_id}"
    make = _shift if best.kind == "calibration_shift" else _offset
    severity, message, measured, specific, suggestion = make(scene, best, rules)
    estimate: dict[str, Scalar] = {
        **specific,
        "residual_before_px": round(best.residual_before_px, 3),
        "residual_after_px": round(best.residual_after_px, 3),
        "statistic": round(best.statistic, 2),
        "statistic_threshold": round(best.threshold, 2),
        "agreement": round(best.agreement, 3),
        "pairs": best.pairs,
        "objects": best.objects,
    }
    if len(causes) > 1:
        estimate |= {"alternative": causes[1].kind, "alternative_statistic": round(causes[1].statistic, 2)}
    frames = sorted({frame for finding in explained for frame in finding.frames})
    return Finding(
        finding_id=finding_id(CHECK, best.kind, rules.id, streams=streams, place=place),
        check=CHECK,
        kind=best.kind,
        severity=severity,
        message=message,
        measured=measured,
        streams=streams,
        annotations=tuple(sorted({i for finding in explained for i in finding.annotations})),
        frames=tuple(frames),
        cause=Cause(kind=best.kind, group=place, estimate=estimate),
        rule=rules.reference,
        suggestion=suggestion,
        explains=tuple(sorted(finding.finding_id for finding in explained)),
    )


_Parts = tuple[Severity, str, Measured, dict[str, Scalar], Suggestion]


def _shift(scene: Scene, best: CauseEstimate, rules: RuleSet) -> _Parts:
    # Signs after ISO 8855, of the camera as calibrated against the camera as it is: a point then turns the other way.
    signs = {"yaw": (1, 1.0), "pitch": (0, 1.0), "roll": (2, -1.0)}
    angles = {n: math.degrees(sign * float(best.rotation_rad[i])) for n, (i, sign) in signs.items()}
    stds = {n: math.degrees(float(best.rotation_std_rad[i])) for n, (i, _) in signs.items()}
    axis = max(angles, key=lambda name: (abs(angles[name]), name))
    total = math.degrees(float(np.linalg.norm(best.rotation_rad)))
    limits = rules.lidar_camera.cause
    severity: Severity = "critical" if total >= limits.critical_rotation_deg else "major"
    if total < limits.major_rotation_deg:
        severity = "minor"
    direction = _DIRECTIONS[axis][0 if angles[axis] > 0 else 1]
    message = (
        f"The calibration of {scene.camera_id} against {scene.spatial_id} is turned {abs(angles[axis]):.2f} ± "
        f"{stds[axis]:.2f} degrees {direction} ({axis}): {best.pairs} pairs of {best.objects} objects are "
        f"{best.residual_before_px:.1f} px apart, and {best.residual_after_px:.1f} px once it is corrected."
    )
    corrected = _corrected_matrix(scene, best)
    estimate: dict[str, Scalar] = {"axis": axis}
    for name in ("yaw", "pitch", "roll"):
        estimate[f"{name}_deg"] = round(angles[name], 4)
        estimate[f"{name}_deg_std"] = round(stds[name], 4)
    estimate["corrected_spatial_from_camera"] = json.dumps(
        [[round(float(value), 9) for value in row] for row in corrected]
    )
    summary = (
        f"Replace the transform from {scene.camera_id} to {scene.spatial_id} by the corrected matrix in the cause's "
        f"estimate; the labels themselves stay as they are."
    )
    measured = Measured(value=abs(angles[axis]), unit="deg", threshold=limits.min_rotation_deg)
    return severity, message, measured, estimate, Suggestion(summary=summary)


def _corrected_matrix(scene: Scene, best: CauseEstimate) -> Floats:
    true_from_calibrated = rigid(best.correction, np.zeros(3))
    return invert_rigid(np.asarray(true_from_calibrated @ scene.camera_from_spatial))


def _offset(scene: Scene, best: CauseEstimate, rules: RuleSet) -> _Parts:
    limits = rules.lidar_camera.cause
    frames, std = best.offset_frames, best.offset_std_frames
    late = "late" if frames > 0 else "early"
    period = scene.period_s
    seconds = "" if period is None else f" ({abs(frames) * period:.2f} s)"
    severity: Severity = "major"
    if period is not None and abs(frames) * period >= limits.critical_offset_s - 1e-9:
        severity = "critical"
    message = (
        f"The cuboids of {scene.spatial_id} are {abs(frames):.1f} ± {std:.1f} frames{seconds} {late} against the boxes "
        f"of {scene.camera_id}: {best.pairs} pairs of {best.objects} objects are "
        f"{best.residual_before_px:.1f} px apart, "
        f"and {best.residual_after_px:.1f} px once it is corrected."
    )
    estimate: dict[str, Scalar] = {
        "offset_frames": round(frames, 3),
        "offset_frames_std": round(std, 3),
        "late_stream": scene.spatial_id if frames > 0 else scene.camera_id,
    }
    if period is None:
        measured = Measured(value=frames, unit="frames", threshold=limits.min_offset_frames)
        suggestion = Suggestion(summary=f"Move the labels of {scene.spatial_id} by {-frames:+.1f} frames.")
    else:
        estimate |= {"offset_s": round(frames * period, 4), "offset_s_std": round(std * period, 4)}
        measured = Measured(value=frames * period, unit="s", threshold=limits.min_offset_frames * period)
        suggestion = Suggestion(
            summary=f"Move the labels of {scene.spatial_id} by {-frames * period:+.2f} s.",
            time_shift=TimeShift(stream=scene.spatial_id, offset_s=-frames * period),
        )
    return severity, message, measured, estimate, suggestion
