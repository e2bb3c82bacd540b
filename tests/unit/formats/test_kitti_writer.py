from __future__ import annotations

from typing import TypedDict

import numpy as np
import pytest

from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.formats.kitti import parse_calibration, read_objects, read_tracking
from services.formats.kitti_writer import write_objects, write_tracking
from tests.unit.formats.samples import DATA, needs_data


class _Streams(TypedDict):
    camera_stream: str
    lidar_stream: str


STREAMS: _Streams = {"camera_stream": "cam", "lidar_stream": "roof"}
CALIBRATION = """P0: 700 0 600 0 0 700 180 0 0 0 1 0
P1: 700 0 600 0 0 700 180 0 0 0 1 0
P2: 700 0 600 40 0 700 180 0 0 0 1 0
P3: 700 0 600 0 0 700 180 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27
"""


def _same(first: tuple[Annotation, ...], second: tuple[Annotation, ...]) -> None:
    """Equal, but for the last digits of what went through the calibration and back."""
    assert len(first) == len(second)
    for ours, theirs in zip(first, second, strict=True):
        if isinstance(ours, Cuboid) and isinstance(theirs, Cuboid):
            assert np.allclose(ours.center_m, theirs.center_m, atol=2e-6)
            assert ours.rotation_wxyz is not None
            assert theirs.rotation_wxyz is not None
            assert abs(np.dot(ours.rotation_wxyz, theirs.rotation_wxyz)) > 1 - 1e-9
            moving = {"center_m", "rotation_wxyz", "id"}
            assert ours.model_dump(exclude=moving) == theirs.model_dump(exclude=moving)
        else:
            assert ours.model_dump(exclude={"id"}) == theirs.model_dump(exclude={"id"})


@pytest.mark.parametrize("sequence", ["0000", "0003", "0012"])
@needs_data
def test_real_sequences_survive(sequence: str) -> None:
    calibration = parse_calibration((DATA / f"kitti_tracking/calib/{sequence}.txt").read_text())
    labels = read_tracking((DATA / f"kitti_tracking/label/{sequence}.txt").read_text(), calibration, **STREAMS)
    export = write_tracking(labels, calibration, **STREAMS)
    assert not export.dropped
    _same(labels, read_tracking(export.text, calibration, **STREAMS))


@needs_data
def test_real_frames_survive() -> None:
    for path in (DATA / "kitti_object/training/label_2").glob("*.txt"):
        calibration = parse_calibration((DATA / "kitti_object/training/calib" / path.name).read_text())
        labels = read_objects(path.read_text(), calibration, **STREAMS)
        export = write_objects(labels, calibration, **STREAMS)
        assert not export.dropped
        _same(labels, read_objects(export.text, calibration, **STREAMS))


def test_what_a_line_can_not_hold_is_listed() -> None:
    calibration = parse_calibration(CALIBRATION)
    box = Box(
        id="b", stream="cam", label="Big Car", object_id="x", frame=3, box=(1, 2, 3, 4), truncation=0.3, confidence=0.5
    )
    tilted = Cuboid(
        id="c", stream="roof", label="Big Car", object_id="x", frame=3, truncation=0.3,
        center_m=(10, 0, 0), size_m=(4, 2, 1.5), rotation_wxyz=(0.6, 0.8, 0, 0),
    )  # fmt: skip
    lonely = Cuboid(
        id="d", stream="roof", label="car", object_id="y", center_m=(10, 0, 0), size_m=(4, 2, 1.5), yaw_rad=0.5
    )
    ignored = Box(id="i", stream="cam", label="dontcare", frame=3, box=(5, 6, 7, 8), ignore=True)
    export = write_tracking([box, tilted, lonely, ignored], calibration, **STREAMS)
    assert sorted((item.place, item.what) for item in export.dropped) == [
        ("b", "confidence"),
        ("b", "label"),
        ("b", "object_id"),
        ("b", "truncation"),
        ("c", "rotation"),
        ("d", "cuboid"),
    ]
    read = read_tracking(export.text, calibration, **STREAMS)
    assert [(label.type, label.label, label.object_id, label.frame) for label in read] == [
        ("box", "big_car", "track-0", 3),
        ("cuboid", "big_car", "track-0", 3),
        ("box", "dontcare", None, 3),
    ]
    assert "x" not in write_objects([lonely], calibration, **STREAMS).text
