"""Common causes in a synthetic sequence in which every answer is known."""

import random
from typing import Any

import numpy as np
import pytest

from services.alignment.geometry import matrix_from_rotation_vector
from services.contracts.labels_spatial import Cuboid
from services.contracts.manifest import SampleManifest
from tests.unit.lidar_camera_scenes import (
    LIDAR_FROM_CAMERA,
    camera_of,
    driving,
    manifest,
    sample_of,
)
from tests.unit.test_lidar_camera import check, kinds, only


def turned(degrees: tuple[float, float, float]) -> SampleManifest:
    """Calibration turned in the LiDAR's axes: x forward, y left, z up."""
    matrix = LIDAR_FROM_CAMERA.copy()
    matrix[:3, :3] = matrix_from_rotation_vector(np.radians(degrees)) @ matrix[:3, :3]
    return manifest(extrinsics={"to": "lidar", "matrix": matrix.tolist()})


@pytest.mark.parametrize(
    "calibration",
    [
        {"model": "pinhole", "distortion": (-0.25, 0.08, 0.001, -0.001, 0.0)},
        {"model": "fisheye", "distortion": (0.01, -0.003, 0.0, 0.0)},
    ],
)
def test_other_lenses_agree_exactly_and_their_turned_calibration_is_found(calibration: dict[str, Any]) -> None:
    annotations = driving(10, camera_of(calibration))
    assert check(sample_of(annotations, manifest=manifest(**calibration))).findings == ()
    matrix = LIDAR_FROM_CAMERA.copy()
    matrix[:3, :3] = matrix_from_rotation_vector(np.radians([0, 0, 1.5])) @ matrix[:3, :3]
    wrong = manifest(**calibration, extrinsics={"to": "lidar", "matrix": matrix.tolist()})
    finding = only(check(sample_of(annotations, manifest=wrong)))
    assert finding.cause is not None
    assert finding.cause.estimate["yaw_deg"] == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize(
    ("axis", "degrees", "turn"),
    [
        ("yaw", 1.0, (0.0, 0.0, 1.0)),
        ("yaw", -2.0, (0.0, 0.0, -2.0)),
        ("pitch", 0.6, (0.0, 0.6, 0.0)),
        ("roll", 2.5, (2.5, 0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("with_ids", [True, False])
def test_turned_calibration_is_one_finding_with_its_angle(
    axis: str, degrees: float, turn: tuple[float, float, float], with_ids: bool
) -> None:
    annotations = driving()
    if not with_ids:
        annotations = tuple(a.model_copy(update={"object_id": None}) for a in annotations)
    outcome = check(sample_of(annotations, manifest=turned(turn)))
    finding = only(outcome)
    assert finding.kind == "calibration_shift"
    assert finding.severity == ("critical" if abs(degrees) >= 1.5 else "major")
    assert finding.cause is not None
    estimate = finding.cause.estimate
    assert estimate["axis"] == axis
    assert estimate[f"{axis}_deg"] == pytest.approx(degrees, abs=0.05)
    assert 0 < float(estimate[f"{axis}_deg_std"]) < 0.5
    assert float(estimate["residual_after_px"]) < 0.1 * float(estimate["residual_before_px"])
    assert set(finding.explains) == {f.finding_id for f in outcome.folded}


def test_corrected_matrix_of_the_estimate_repairs_the_sample() -> None:
    import json

    finding = only(check(sample_of(driving(), manifest=turned((0.3, -0.5, 1.2)))))
    assert finding.cause is not None
    matrix = json.loads(str(finding.cause.estimate["corrected_spatial_from_camera"]))
    assert np.abs(np.array(matrix) - LIDAR_FROM_CAMERA).max() < 1e-2
    repaired = manifest(extrinsics={"to": "lidar", "matrix": matrix})
    assert check(sample_of(driving(), manifest=repaired)).findings == ()


def test_fault_that_the_calibration_does_not_explain_stays() -> None:
    annotations = tuple(
        a.model_copy(update={"center_m": (a.center_m[0], a.center_m[1] - 4.0, a.center_m[2])})
        if isinstance(a, Cuboid) and a.id == "c-car-2-5"
        else a
        for a in driving()
    )
    outcome = check(sample_of(annotations, manifest=turned((0.0, 0.0, 2.0))))
    assert kinds(outcome) == [("calibration_shift", "critical"), ("low_overlap", "major")]
    symptom = next(f for f in outcome.findings if f.kind == "low_overlap")
    assert symptom.annotations == ("c-car-2-5", "b-car-2-5")
    assert symptom.finding_id not in {f.finding_id for f in outcome.folded}


def test_one_moved_track_is_no_calibration_error_and_one_finding() -> None:
    annotations = tuple(
        a.model_copy(update={"center_m": (a.center_m[0], a.center_m[1] + 2.5, a.center_m[2])})
        if isinstance(a, Cuboid) and a.object_id == "car-1"
        else a
        for a in driving()
    )
    finding = only(check(sample_of(annotations)))
    assert finding.kind == "low_overlap"
    assert finding.cause is not None
    assert finding.cause.kind == "whole_track"
    assert len(finding.explains) == len(finding.frames) > 3


@pytest.mark.parametrize("frames", [3, -2])
@pytest.mark.parametrize("with_ids", [True, False])
def test_late_cuboids_are_one_time_offset(frames: int, with_ids: bool) -> None:
    annotations = tuple(
        a.model_copy(update={"frame": (a.frame or 0) + frames}) if isinstance(a, Cuboid) else a for a in driving()
    )
    annotations = tuple(a for a in annotations if 0 <= (a.frame or 0) < 20)
    if not with_ids:
        annotations = tuple(a.model_copy(update={"object_id": None}) for a in annotations)
    finding = only(check(sample_of(annotations)))
    assert finding.kind == "time_offset"
    assert finding.cause is not None
    assert finding.cause.estimate["offset_frames"] == pytest.approx(frames, abs=0.3)
    assert finding.cause.estimate["offset_s"] == pytest.approx(frames / 10, abs=0.03)
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    assert finding.suggestion.time_shift.offset_s == pytest.approx(-frames / 10, abs=0.03)


def test_findings_do_not_depend_on_the_order_of_labels() -> None:
    annotations = list(driving(8))[2:]
    expected = check(sample_of(tuple(annotations), manifest=turned((0.0, 0.0, 1.0))))
    for seed in range(3):
        random.Random(seed).shuffle(annotations)  # noqa: S311 - not for security
        assert check(sample_of(tuple(annotations), manifest=turned((0.0, 0.0, 1.0)))) == expected
