"""What a record of a label file may not say, each with the sentence that names the record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.errors import InvalidInputError
from services.formats.cvat import read_cvat
from services.formats.kitti import parse_calibration
from services.formats.label_file import import_label_file
from services.formats.nuscenes import read_nuscenes
from services.formats.openlabel import read_openlabel
from tests.format_documents import MANIFEST, NUSCENES, label_file
from tests.unit.test_kitti import CALIBRATION

CAR = "0.10 1 -1.57 500.00 150.00 620.00 220.00 1.50 1.80 4.20 2.00 1.70 20.00 -1.57"
TRACKED = CAR.replace("0.10", "1", 1)


@pytest.mark.parametrize(
    ("form", "line", "says"),
    [
        (
            "kitti",
            f"{'Car' * 100} {CAR}",
            "labels.txt, line 1: it makes no label: label String should have at most 200",
        ),
        ("kitti_tracking", f"-3 0 Car {TRACKED}", "labels.txt, line 1: frames count from 0, got '-3'"),
        ("kitti_tracking", f"100000001 0 Car {TRACKED}", "line 1: it makes no label: frame Input should be less than"),
        ("kitti_tracking", f"{'9' * 30} 0 Car {TRACKED}", "line 1: frames count from 0, got '999"),
        ("kitti_tracking", f"0 {'9' * 300} Car {TRACKED}", "line 1: it makes no label: object_id String should have"),
    ],
)
def test_a_kitti_line_that_makes_no_label_is_named(form: str, line: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        import_label_file(label_file(form), MANIFEST, line.encode())
    assert says in refused.value.detail


@pytest.mark.parametrize(
    ("old", "new"), [("P2: 700 0 600 45 0", "P2: 700 0 600 45 3"), ("P1: 700 0 600 -370", "P1: 1e-9 0 600 -370")]
)
def test_a_kitti_projection_that_is_none_of_a_rectified_camera_is_named(old: str, new: str) -> None:
    with pytest.raises(
        InvalidInputError, match=rf"^c: {new[:2]} with Tr_velo_to_cam calibrates no camera: .*intrinsics"
    ):
        parse_calibration(CALIBRATION.replace(old, new), source="c")


def test_a_nuscenes_camera_with_a_matrix_that_is_none_is_named() -> None:
    rows = json.loads(NUSCENES["calibrated_sensor"])
    camera = next(row for row in rows if row["camera_intrinsic"])
    camera["camera_intrinsic"][1][0] = 3.0
    with pytest.raises(
        InvalidInputError, match=r"^calibrated_sensor.json: CAM_FRONT has no calibration .*intrinsics must"
    ):
        read_nuscenes({**NUSCENES, "calibrated_sensor": json.dumps(rows).encode()})


def test_a_cvat_frame_before_the_first_is_named() -> None:
    shape = b'<box frame="-1" xtl="1" ytl="2" xbr="30" ybr="40"/>'
    document = b'<annotations>\n<track id="0" label="car">' + shape + b"</track></annotations>"
    with pytest.raises(InvalidInputError, match="line 2, <box>: frame must be a whole number from 0"):
        read_cvat(document, stream="s")


def _openlabel(**sections: Any) -> bytes:
    return json.dumps({"openlabel": {"metadata": {"schema_version": "1.0.0"}, **sections}}).encode()


def test_an_openlabel_interval_before_the_first_frame_is_named() -> None:
    event = {"name": "e", "type": "stop", "frame_intervals": [{"frame_start": -5, "frame_end": -1}]}
    with pytest.raises(InvalidInputError, match="/openlabel/events/6/frame_intervals/0: frames count from 0"):
        read_openlabel(_openlabel(events={"6": event}), stream="s")


@pytest.mark.parametrize("closed", [True, False], ids=["a circle", "a long way"])
def test_openlabel_poses_that_lead_in_a_circle_end_and_a_way_that_is_too_long_is_refused(closed: bool) -> None:
    pose = {"translation": [0, 0, 1], "quaternion": [0, 0, 0, 1]}
    count = 50 if closed else 5_000
    systems = {
        f"s{index}": {"type": "sensor_cs", "parent": f"s{(index + 1) % count}", "pose_wrt_parent": pose}
        for index in range(count)
    }
    document = _openlabel(coordinate_systems=systems)
    if closed:
        assert read_openlabel(document, stream="s", cuboids_into=("s0", "s")).annotations == ()
    else:
        with pytest.raises(
            InvalidInputError, match="/openlabel/coordinate_systems/s0: more than 100 coordinate systems"
        ):
            read_openlabel(document, stream="s", cuboids_into=("s0", "s"))
