"""Extrinsics of one sample that contradict each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alignment.extrinsics import conflicts
from services.alignment.geometry import Floats, invert_rigid, matrix_from_rotation_vector, rigid
from services.alignment.lidar_camera import check_lidar_camera
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.lidar_camera_scenes import LIDAR_FROM_CAMERA, labels, manifest, sample_of


def stream(name: str, to: str | None, matrix: Floats | None, frame: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"id": name, "modality": "lidar"}
    if frame is not None:
        found["coordinate_frame"] = frame
    if matrix is not None:
        found["calibration"] = {"extrinsics": {"to": to, "matrix": matrix.tolist()}}
    return found


def tied(*streams: dict[str, Any]) -> SampleManifest:
    return SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": list(streams)}
    )


def pose(seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return rigid(matrix_from_rotation_vector(rng.normal(size=3)), rng.normal(size=3) * 3)


def turned(degrees: float) -> Floats:
    return rigid(matrix_from_rotation_vector(np.array([0.0, 0.0, np.radians(degrees)])), np.zeros(3))


def moved(metres: float) -> Floats:
    return rigid(np.eye(3), np.array([metres, 0.0, 0.0]))


@given(seed=st.integers(0, 10_000), sensors=st.integers(2, 6), degrees=st.floats(0, 170))
def test_ring_of_sensors_closes_by_what_its_last_extrinsics_are_off(seed: int, sensors: int, degrees: float) -> None:
    world = [pose(seed + index) for index in range(sensors)]
    ring = []
    for index in range(sensors):
        after = (index + 1) % sensors
        after_from_here = invert_rigid(world[after]) @ world[index]
        if after == 0:
            after_from_here = after_from_here @ turned(degrees)
        ring.append(stream(f"s{index}", f"s{after}", after_from_here))

    (conflict,) = conflicts(tied(*ring))

    assert conflict.gap_deg == pytest.approx(degrees, abs=1e-4)
    assert {conflict.stream, *conflict.others} == {f"s{index}" for index in range(sensors)}


def test_sensors_that_are_tied_once_have_nothing_to_contradict() -> None:
    chain = tied(
        stream("a", "ego", pose(1)), stream("b", "ego", pose(2)), stream("c", "b", pose(3)), stream("d", None, None)
    )

    assert list(conflicts(chain)) == []


def conflicting(back: Floats, **limits: float) -> tuple[list[Any], RuleSet]:
    """Return the conflicts of the synthetic scene whose LiDAR states its own way back to the camera."""
    document = manifest().model_dump(mode="json", exclude_none=True)
    document["streams"][1]["calibration"] = {"extrinsics": {"to": "cam", "matrix": back.tolist()}}
    rules = DEFAULT_RULE_SET.model_copy(
        update={"lidar_camera": DEFAULT_RULE_SET.lidar_camera.model_copy(update=limits)}
    )
    outcome = check_lidar_camera(sample_of(labels(), manifest=SampleManifest.model_validate(document)), rules)
    return [finding for finding in outcome.findings if finding.kind == "contradictory_calibration"], rules


def test_two_ways_between_camera_and_lidar_that_agree_are_no_finding() -> None:
    assert conflicting(np.linalg.inv(LIDAR_FROM_CAMERA))[0] == []


@pytest.mark.parametrize(
    ("error", "severity", "unit", "value"),
    [(turned(0.5), "major", "deg", 0.5), (turned(3.0), "critical", "deg", 3.0), (moved(0.4), "major", "m", 0.4)],
)
def test_two_ways_that_differ_are_one_finding_with_the_difference(
    error: Floats, severity: str, unit: str, value: float
) -> None:
    (finding,), _ = conflicting(np.linalg.inv(LIDAR_FROM_CAMERA) @ error)

    assert finding.severity == severity
    assert finding.streams == ("lidar", "cam")
    assert finding.measured.unit == unit
    assert finding.measured.value == pytest.approx(value, abs=1e-3)
    assert "contradict each other" in finding.message


def test_tolerance_is_the_rule_sets() -> None:
    assert conflicting(np.linalg.inv(LIDAR_FROM_CAMERA) @ moved(0.4), max_extrinsics_gap_m=0.5)[0] == []


def test_frame_tied_to_itself_by_a_movement_is_told() -> None:
    document = manifest().model_dump(mode="json", exclude_none=True)
    document["streams"][1] |= {
        "coordinate_frame": "lidar",
        "calibration": {"extrinsics": {"to": "lidar", "matrix": moved(1.5).tolist()}},
    }
    outcome = check_lidar_camera(
        sample_of(labels(), manifest=SampleManifest.model_validate(document)), DEFAULT_RULE_SET
    )

    (finding,) = (found for found in outcome.findings if found.kind == "contradictory_calibration")
    assert finding.streams == ("lidar",)
    assert "from lidar to itself" in finding.message
