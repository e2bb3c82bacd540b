import math
from pathlib import Path

import numpy as np
import pytest

from services.alignment.geometry import (
    cuboid_corners,
    invert_rigid,
    matrices_from_quaternions,
    transform_points,
)
from services.alignment.projection import Camera, project_cuboids
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.errors import InvalidInputError
from services.formats.kitti import parse_calibration, read_detections, read_objects, read_tracking

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
CALIBRATION = """\
P0: 700 0 600 0 0 700 180 0 0 0 1 0
P1: 700 0 600 -370 0 700 180 0 0 0 1 0
P2: 700 0 600 45 0 700 180 -0.3 0 0 1 0.005
P3: 700 0 600 -330 0 700 180 2 0 0 1 0.003
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0.01 0 0 -1 -0.06 1 0 0 -0.3
"""
CAR = "Car 0.10 1 -1.57 500.00 150.00 620.00 220.00 1.50 1.80 4.20 2.00 1.70 20.00 -1.57"


def test_calibration_honours_the_fourth_column_of_p2() -> None:
    calibration = parse_calibration(CALIBRATION)
    point = np.array([12.0, 3.0, -0.5])
    camera = transform_points(calibration.camera_from_lidar(), point)
    pixel = calibration.intrinsics() @ camera
    homogeneous = calibration.projections[2] @ np.append(transform_points(calibration.rectified_from_lidar, point), 1.0)
    assert np.allclose(pixel[:2] / pixel[2], homogeneous[:2] / homogeneous[2])


def test_contract_calibration_leads_from_the_camera_to_the_lidar() -> None:
    kitti = parse_calibration(CALIBRATION)
    contract = kitti.calibration(to="lidar_top")
    assert contract.extrinsics is not None
    assert contract.extrinsics.to == "lidar_top"
    assert np.allclose(np.array(contract.extrinsics.matrix) @ kitti.camera_from_lidar(), np.eye(4), atol=1e-12)
    assert contract.model == "pinhole"


def test_tracking_names_and_missing_colons_are_read_too() -> None:
    text = CALIBRATION.replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam")
    assert np.allclose(parse_calibration(text).camera_from_lidar(), parse_calibration(CALIBRATION).camera_from_lidar())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("R0_rect: 1 0 0 0 1 0 0 0 1", "", "R0_rect missing"),
        ("R0_rect: 1 0 0", "R0_rect: 1 0", "R0_rect has 8 numbers"),
        ("R0_rect: 1 0 0", "R0_rect: 2 0 0", "must be rotations"),
        ("P2: 700", "P2: seven", "line 3: 'seven' is not a number"),
        ("P2: 700", "P2: nan", "line 3"),
        ("P2: 700", "P2: -700", "P2 is no projection"),
    ],
)
def test_malformed_calibration_says_what_to_change(old: str, new: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        parse_calibration(CALIBRATION.replace(old, new), source="calib/000001.txt")


def test_object_line_becomes_a_box_and_a_cuboid_of_one_object() -> None:
    calibration = parse_calibration(CALIBRATION)
    labels = read_objects(CAR, calibration, camera_stream="cam", lidar_stream="lidar")
    box, cuboid = labels
    assert isinstance(box, Box)
    assert isinstance(cuboid, Cuboid)
    assert (box.stream, cuboid.stream) == ("cam", "lidar")
    assert box.object_id == cuboid.object_id
    assert box.label == cuboid.label == "car"
    assert list(box.box) == [500, 150, 620, 220]
    assert box.truncation == 0.1
    assert box.occlusion == 1
    assert list(cuboid.size_m) == [4.2, 1.8, 1.5]
    # Location is the bottom centre, y is down: the centre is half a height above it.
    rectified = transform_points(calibration.rectified_from_lidar, np.array(cuboid.center_m))
    assert np.allclose(rectified, [2.0, 1.7 - 0.75, 20.0])


@pytest.mark.parametrize("rotation_y", [-3.1, -1.57, 0.0, 0.4, 2.5])
def test_corners_agree_with_the_development_kits_formula(rotation_y: float) -> None:
    calibration = parse_calibration(CALIBRATION)
    line = " ".join([*CAR.split()[:-1], str(rotation_y)])
    cuboid = read_objects(line, calibration, camera_stream="cam", lidar_stream="lidar")[1]
    assert isinstance(cuboid, Cuboid)
    assert cuboid.rotation_wxyz is not None
    ours = cuboid_corners(
        np.array([cuboid.center_m]),
        np.array([cuboid.size_m]),
        matrices_from_quaternions([cuboid.rotation_wxyz]),
    )[0]
    c, s = math.cos(rotation_y), math.sin(rotation_y)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    length, width, height = 4.2, 1.8, 1.5
    kit = np.array(
        [[x * length / 2, y, z * width / 2] for x in (1, -1) for y in (0, -height) for z in (1, -1)]
    ) @ turn.T + [2.0, 1.7, 20.0]
    rectified = transform_points(calibration.rectified_from_lidar, ours)
    distance = np.linalg.norm(rectified[:, None] - kit[None], axis=2)
    assert distance.min(axis=1).max() < 1e-9
    assert sorted(distance.argmin(axis=1)) == list(range(8))
    # The object's own x axis is the direction it faces, its z axis is up.
    rotation = calibration.rectified_from_lidar[:3, :3] @ matrices_from_quaternions(cuboid.rotation_wxyz)
    assert np.allclose(rotation[:, 0], turn @ [1, 0, 0])
    assert np.allclose(rotation[:, 2], [0, -1, 0])


def test_dont_care_becomes_an_ignore_box_without_cuboid() -> None:
    line = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"
    (box,) = read_objects(line, parse_calibration(CALIBRATION), camera_stream="cam", lidar_stream="lidar")
    assert isinstance(box, Box)
    assert box.ignore
    assert box.object_id is None
    assert box.truncation is None


def test_tracking_frames_are_rebased_and_named_by_track() -> None:
    lines = [f"{frame} 7 {CAR.replace('0.10', '1', 1)}" for frame in range(10)]
    labels = read_tracking(
        "\n".join(lines),
        parse_calibration(CALIBRATION),
        camera_stream="cam",
        lidar_stream="lidar",
        frames=(4, 6),
    )
    assert [label.frame for label in labels] == [0, 0, 1, 1, 2, 2]
    assert {label.object_id for label in labels} == {"track-7"}
    assert all(isinstance(label, Box | Cuboid) and label.truncation == 0.5 for label in labels)
    assert len({label.id for label in labels}) == 6


def test_detection_is_a_prediction_with_a_logistic_confidence() -> None:
    line = "3,2,500,150,620,220,2.0,1.5,1.8,4.2,2.0,1.7,20.0,-1.57,-1.6"
    calibration = parse_calibration(CALIBRATION)
    box, cuboid = read_detections(line, calibration, camera_stream="cam", lidar_stream="lidar", frames=(3, 5))
    same = read_objects(CAR, calibration, camera_stream="cam", lidar_stream="lidar")[1]
    assert isinstance(cuboid, Cuboid)
    assert isinstance(same, Cuboid)
    assert cuboid.center_m == same.center_m
    assert cuboid.rotation_wxyz == same.rotation_wxyz
    assert box.frame == 0
    assert box.confidence == pytest.approx(1 / (1 + math.exp(-2)))
    assert box.attributes["score"] == 2.0
    assert box.author is not None
    assert box.author.kind == "model"


@pytest.mark.parametrize("score", [-800.0, 800.0])
def test_extreme_scores_stay_within_zero_and_one(score: float) -> None:
    line = f"0,1,500,150,620,220,{score},1.5,1.8,4.2,2.0,1.7,20.0,-1.57,-1.6"
    box, _ = read_detections(line, parse_calibration(CALIBRATION), camera_stream="c", lidar_stream="l")
    assert box.confidence is not None
    assert 0 <= box.confidence <= 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (CAR + " 0.9 1", "line 2: an object line has 15 columns, this one has 17"),
        (CAR.replace("500.00", "abc"), "line 2: 'abc' is not a number"),
        (CAR.replace("500.00", "inf"), "line 2: 'inf' is not a finite number"),
        (CAR.replace("500.00", "900"), "line 2: the box .* has no area"),
        (CAR.replace("0.10", "1.5"), "line 2: truncation is a share"),
        (CAR.replace("0.10 1", "0.10 7"), "line 2: occlusion is 0, 1, 2 or 3"),
    ],
)
def test_malformed_object_line_is_named_with_what_to_change(line: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_objects(
            f"{CAR}\n{line}\n",
            parse_calibration(CALIBRATION),
            camera_stream="cam",
            lidar_stream="lidar",
            source="label_2/000007.txt",
        )
    assert "label_2/000007.txt" in caught.value.detail
    assert "correct or remove the line" in caught.value.detail


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"x 1 {CAR}", "frame must be a whole number"),
        (f"1 y {CAR}", "track id must be a whole number"),
        (f"1 1 {CAR.replace('0.10', '3', 1)}", "truncation is 0, 1 or 2"),
        (CAR, "a tracking line has 17 columns"),
    ],
)
def test_malformed_tracking_line_is_named(line: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        read_tracking(line, parse_calibration(CALIBRATION), camera_stream="c", lidar_stream="l")


def test_unknown_detection_type_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="type 9 is not 1 pedestrian, 2 car or 3 cyclist"):
        read_detections(
            "0,9,500,150,620,220,1,1.5,1.8,4.2,2.0,1.7,20.0,-1.57,-1.6",
            parse_calibration(CALIBRATION),
            camera_stream="c",
            lidar_stream="l",
        )


@pytest.mark.skipif(not (DATA / "kitti_object").is_dir(), reason="the KITTI test data is not on this machine")
def test_real_frame_round_trips_through_the_lidar_frame_and_projects_onto_its_boxes() -> None:
    root = DATA / "kitti_object" / "training"
    calibration = parse_calibration((root / "calib/000001.txt").read_text())
    labels = read_objects((root / "label_2/000001.txt").read_text(), calibration, camera_stream="c", lidar_stream="l")
    boxes = {a.object_id: a for a in labels if isinstance(a, Box) and not a.ignore}
    cuboids = [a for a in labels if isinstance(a, Cuboid)]
    assert len(cuboids) == 3
    assert sum(isinstance(a, Box) and a.ignore for a in labels) == 4
    camera = Camera("pinhole", calibration.intrinsics(), (), 1242, 375)
    for cuboid in cuboids:
        assert cuboid.rotation_wxyz is not None
        corners = cuboid_corners(
            np.array([cuboid.center_m]),
            np.array([cuboid.size_m]),
            matrices_from_quaternions([cuboid.rotation_wxyz]),
        )
        projected = project_cuboids(camera, transform_points(calibration.camera_from_lidar(), corners))
        assert np.abs(projected.boxes_px[0] - boxes[cuboid.object_id].box).max() < 4
    back = invert_rigid(calibration.camera_from_lidar()) @ calibration.camera_from_lidar()
    assert np.allclose(back, np.eye(4))
