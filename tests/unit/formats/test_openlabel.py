from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alignment.geometry import matrices_from_quaternions
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Action, Box, FrameLabel, Polygon, RotatedBox
from services.contracts.manifest import LabelFile, SampleManifest
from services.errors import ConcordError, InvalidInputError
from services.formats.kitti import parse_calibration, read_tracking
from services.formats.label_file import read_label_file
from services.formats.openlabel import read_openlabel
from services.formats.openlabel_writer import write_openlabel
from tests.unit.formats.samples import DATA, needs_data, numbered, only_concord_errors, without_ids

FOLDER = DATA / "openlabel_vcd/tests/etc"
KITTI = FOLDER / "openlabel100_kitti_tracking_0003.json"
SCENE = FOLDER / "openlabel100_test_scene_KITTI_Tracking_3.json"
DRIVER = FOLDER / "openlabel100_test_VCD420_to_OpenLABEL100_dmd.json"


def _document(*, entries: dict[str, Any] | None = None, **sections: Any) -> bytes:
    body: dict[str, Any] = {
        "metadata": {"schema_version": "1.0.0"},
        "objects": {"1": {"name": "a", "type": "car", "object_data": {"text": [{"name": "colour", "val": "red"}]}}},
        "frames": {"3": {"objects": {"1": {"object_data": entries or {}}}}},
    }
    return json.dumps({"openlabel": body | sections}).encode()


BBOX = {
    "name": "shape",
    "val": [10, 20, 4, 6],
    "coordinate_system": "cam",
    "attributes": {"num": [{"name": "occluded", "val": 1}]},
}


def test_a_box_is_told_by_its_centre() -> None:
    (box,) = read_openlabel(_document(entries={"bbox": [BBOX]}), stream="s").annotations
    assert isinstance(box, Box)
    assert (box.box, box.frame, box.object_id, box.label, box.stream) == ((8, 17, 12, 23), 3, "object-1", "car", "cam")
    assert (box.occlusion, box.attributes) == (1, {"colour": "red", "name": "shape"})


def test_a_cuboids_angles_turn_about_x_then_y_then_z() -> None:
    turned = {"name": "c", "val": [1, 2, 3, math.pi / 2, 0, math.pi / 2, 4, 2, 1.5]}
    (cuboid,) = read_openlabel(_document(entries={"cuboid": [turned]}), stream="s").annotations
    assert isinstance(cuboid, Cuboid)
    assert cuboid.rotation_wxyz is not None
    rotation = matrices_from_quaternions(cuboid.rotation_wxyz)
    assert np.allclose(rotation @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(rotation @ [0, 1, 0], [0, 0, 1])
    flat = {"name": "c", "val": [1, 2, 3, 0, 0, 0.5, 4, 2, 1.5]}
    (level,) = read_openlabel(_document(entries={"cuboid": [flat]}), stream="s").annotations
    assert isinstance(level, Cuboid)
    assert level.yaw_rad == 0.5


@needs_data
def test_the_real_scene_equals_the_kitti_sequence_it_was_made_from() -> None:
    calibration = parse_calibration((DATA / "kitti_tracking/calib/0003.txt").read_text())
    truth = read_tracking(
        (DATA / "kitti_tracking/label/0003.txt").read_text(),
        calibration,
        camera_stream="CAM_LEFT",
        lidar_stream="VELO_TOP",
    )
    result = read_openlabel(KITTI.read_bytes(), stream="CAM_LEFT", cuboids_into=("VELO_TOP", "VELO_TOP"))

    def boxes(labels: tuple[Annotation, ...]) -> dict[tuple[int | None, str], Box]:
        return {
            (label.frame, str(label.object_id).replace("track-", "object-")): label
            for label in labels
            if isinstance(label, Box) and label.stream == "CAM_LEFT" and not label.ignore
        }

    expected, found = boxes(truth), boxes(result.annotations)
    assert len(expected) > 300
    assert expected.keys() == found.keys()
    assert all(np.allclose(found[key].box, box.box, atol=0.011) for key, box in expected.items())
    theirs = {
        (label.frame, label.object_id): label
        for label in result.annotations
        if isinstance(label, Cuboid) and label.stream == "VELO_TOP"
    }
    ours = [label for label in truth if isinstance(label, Cuboid)]
    compared = 0
    for label in ours:
        other = theirs.get((label.frame, str(label.object_id).replace("track-", "object-")))
        if other is None:
            continue
        compared += 1
        assert np.linalg.norm(np.subtract(other.center_m, label.center_m)) < 0.1
        assert np.allclose(other.size_m, label.size_m, atol=0.02)
        assert other.rotation_wxyz is not None
        assert label.rotation_wxyz is not None
        assert abs(np.dot(other.rotation_wxyz, label.rotation_wxyz)) > 0.999
    assert compared > 300


@pytest.mark.parametrize("path", [KITTI, SCENE, DRIVER], ids=lambda path: path.stem)
@needs_data
def test_real_documents_survive(path: Any) -> None:
    result = read_openlabel(path.read_bytes(), stream="CAM_LEFT", rate_hz=10.0)
    assert len(result.annotations) >= 5
    assert not [item for item in result.dropped if "frames/" in item.place]
    export = write_openlabel(result.annotations, streams=result.streams, rate_hz=10.0)
    assert not export.dropped
    again = read_openlabel(export.data, stream="CAM_LEFT", rate_hz=10.0)
    assert without_ids(again.annotations) == without_ids(result.annotations)
    assert not again.dropped
    assert {stream.id: stream.calibration for stream in again.streams} == {
        stream.id: stream.calibration for stream in result.streams
    }


@needs_data
def test_actions_are_intervals_and_what_is_no_label_is_listed() -> None:
    result = read_openlabel(DRIVER.read_bytes(), stream="face", rate_hz=30.0)
    actions = [label for label in result.annotations if isinstance(label, Action)]
    assert len(actions) == len(result.annotations) == 5
    first = actions[0]
    assert (first.label, first.start_s, first.end_s) == ("gaze_on_road/looking_road", 0.0, 34 / 30)
    assert {item.place for item in result.dropped} >= {
        "/openlabel/contexts",
        "/openlabel/ontologies",
        "/openlabel/actions",
    }
    runs = read_openlabel(DRIVER.read_bytes(), stream="face").annotations
    assert isinstance(runs[1], FrameLabel)
    assert (runs[1].frame, runs[1].last_frame) == (44, 101)


@needs_data
def test_a_manifests_streams_are_found_by_their_names() -> None:
    streams: list[dict[str, Any]] = [
        {"id": "left", "modality": "image", "sensor": "CAM_LEFT", "clock": {"rate_hz": 10}},
        {"id": "roof", "modality": "lidar", "coordinate_frame": "VELO_TOP"},
    ]
    manifest = {"format": "concord.sample/1", "sample_id": "a", "project": "p", "streams": streams}
    file = LabelFile(format="openlabel", uri="a.json", stream="left", spatial_stream="roof", frames=(10, 19))
    labels = read_label_file(file, SampleManifest.model_validate(manifest), SCENE.read_bytes())
    assert {(label.type, label.stream) for label in labels} >= {("box", "left"), ("cuboid", "roof"), ("action", "left")}
    assert {label.frame for label in labels if label.frame is not None} == set(range(10))
    streams[0]["sensor"], streams[1]["coordinate_frame"] = "a", "b"
    with pytest.raises(InvalidInputError, match="named as in the document"):
        read_label_file(file, SampleManifest.model_validate(manifest), SCENE.read_bytes())


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"{}", "'openlabel' is missing"),
        (_document(metadata={"schema_version": "2.0"}), "schema_version: must be 1.0.0"),
        (
            _document(entries={"bbox": [{"name": "a", "val": [1, 2, 3]}]}),
            "frames/3/objects/1/object_data/bbox/0/val: must",
        ),
        (_document(entries={"cuboid": [{"name": "a", "val": [0] * 10}]}), "length 1"),
        (_document(entries={"cuboid": [{"name": "a", "val": [1e300] * 9}]}), "1e12"),
        (_document(entries={"bbox": [BBOX]}, objects={}), "there is no object '1'"),
        (_document(frames={"x": {}}), "whole numbers"),
        (
            _document(actions={"0": {"type": "a", "frame_intervals": [{"frame_start": 1.5, "frame_end": 2}]}}),
            "whole number",
        ),
    ],
)
def test_a_fault_is_named_by_its_pointer(data: bytes, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        read_openlabel(data, stream="s")


@needs_data
def test_damaged_documents_are_refused_or_read() -> None:
    document = json.loads(SCENE.read_bytes())
    document["openlabel"]["frames"] = {key: document["openlabel"]["frames"][key] for key in ("0", "40")}
    data = json.dumps(document).encode()

    def read(copy: bytes) -> object:
        return read_openlabel(copy, stream="s", rate_hz=10.0, cuboids_into=("VELO_TOP", "VELO_TOP"))

    assert only_concord_errors(data, read, cuts=20, flips=150) > 40
    for name in ("vcd330_sample_ls", "vcd420_1_attm_03-08_ann"):
        with pytest.raises(ConcordError):
            read((FOLDER / f"{name}.json").read_bytes())


@st.composite
def labels(draw: st.DrawFn) -> Annotation:
    ignored = draw(st.booleans())
    number = st.floats(-1e4, 1e4)
    x, y, z, w, h = (draw(number) for _ in range(5))
    common: dict[str, Any] = {"id": "x", "stream": draw(st.sampled_from(["cam", "roof"]))}
    shape: dict[str, Any] = {
        **common,
        "label": "DontCare" if ignored else draw(st.sampled_from(["car", "bus"])),
        "ignore": ignored,
        "object_id": None if ignored else draw(st.sampled_from([None, "object-1", "object-7", "car-3", "7"])),
        "frame": draw(st.sampled_from([None, 0, 5])),
        "truncation": draw(st.sampled_from([None, 0.5])),
        "occlusion": draw(st.sampled_from([None, 2])),
        "confidence": draw(st.sampled_from([None, 0.25])),
        "attributes": draw(
            st.sampled_from([{}, {"name": "n"}, {"truncated": -1.0, "a": True, "b": "x"}, {"occluded": 1}])
        ),
    }
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return Box(**shape, box=(x, y, x + abs(w) + 1, y + abs(h) + 1))
    if kind == 1:
        return RotatedBox(
            **shape, center_px=(x, y), size_px=(abs(w) + 1, abs(h) + 1), angle_deg=draw(st.floats(-360, 360))
        )
    if kind == 2:
        return Polygon(**shape, points_px=((x, y), (x + 1, y), (w, h)))
    if kind == 3:
        turn: dict[str, Any] = draw(st.sampled_from([{"yaw_rad": 0.3}, {"rotation_wxyz": (0.6, 0.0, 0.8, 0.0)}]))
        return Cuboid(**shape, center_m=(x, y, z), size_m=(abs(w) + 1, 2.0, 1.0), **turn)
    if kind == 4:
        return FrameLabel(**common, label="turn", frame=3, last_frame=9, attributes={"uid": "1", "kind": "event"})
    return FrameLabel(**common, label="stop", frame=draw(st.integers(0, 99)))


@given(st.lists(labels(), max_size=5))
def test_openlabel_is_read_back_as_it_was_read(given_labels: list[Annotation]) -> None:
    once = read_openlabel(write_openlabel(numbered(given_labels)).data, stream="s")
    export = write_openlabel(once.annotations)
    again = read_openlabel(export.data, stream="s")
    assert len(once.annotations) == len(given_labels)
    assert without_ids(again.annotations) == without_ids(once.annotations)
    assert (export.dropped, again.dropped) == ((), ())


def test_the_shift_of_a_rectified_camera_is_part_of_where_it_stands() -> None:
    matrix = [700.0, 0.0, 600.0, -350.0, 0.0, 700.0, 170.0, 7.0, 0.0, 0.0, 1.0, 0.0]
    pose = [0.0, 0.0, 1.0, 0.3, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, -0.1, 0.0, 0.0, 0.0, 1.0]
    document = {
        "openlabel": {
            "metadata": {"schema_version": "1.0.0"},
            "coordinate_systems": {
                "lidar": {"type": "sensor_cs", "parent": "", "children": ["cam"]},
                "cam": {
                    "type": "sensor_cs", "parent": "lidar", "children": [], "pose_wrt_parent": {"matrix4x4": pose},
                },
            },
            "streams": {
                "cam": {
                    "type": "camera",
                    "stream_properties": {
                        "intrinsics_pinhole": {"width_px": 1200, "height_px": 340, "camera_matrix_3x4": matrix},
                    },
                },
            },
        },
    }  # fmt: skip
    result = read_openlabel(json.dumps(document).encode(), stream="cam")
    (facts,) = result.streams
    assert result.dropped == ()
    assert facts.calibration is not None
    assert facts.calibration.extrinsics is not None
    lidar_from_camera = np.array(facts.calibration.extrinsics.matrix)
    point = np.array([12.0, -2.0, 0.4, 1.0])
    at_camera = np.linalg.inv(lidar_from_camera) @ point
    expected = np.array(matrix).reshape(3, 4) @ np.linalg.inv(np.array(pose).reshape(4, 4)) @ point
    seen = np.array(matrix).reshape(3, 4)[:, :3] @ at_camera[:3]
    assert seen[:2] / seen[2] == pytest.approx(expected[:2] / expected[2], abs=1e-6)
