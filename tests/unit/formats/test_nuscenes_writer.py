"""Writing nuScenes: what is read can be written and read again; what is not kept is listed, label by label."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.errors import InvalidInputError
from services.formats.nuscenes import AUTHOR, SceneImport, read_nuscenes
from services.formats.nuscenes_sample import recording_of
from services.formats.nuscenes_writer import NuscenesExport, write_nuscenes
from tests.unit.formats.nuscenes_scenes import Maker, Thing, encoded
from tests.unit.formats.samples import IDENTIFIER

patient = settings(deadline=None, max_examples=60)  # shared cores: a slow moment is no fault
FRAMES = 3
(SCENE,) = read_nuscenes(encoded(Maker(keyframes=FRAMES, boxes=True).build()))


def by_id(labels: Any) -> dict[str, Annotation]:
    return {label.id: label for label in labels}


def again(scene: SceneImport, *, still: bool = False) -> tuple[NuscenesExport, SceneImport]:
    export = write_nuscenes([(scene.recording, scene.result.annotations)], still=still)
    (read,) = read_nuscenes(export.tables, still=still)
    return export, read


finite = st.floats(-1e3, 1e3)
numbers3 = st.tuples(finite, finite, finite)
turns = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: float(np.linalg.norm(q)) > 0.1)


@st.composite
def things(draw: st.DrawFn) -> Thing:
    return Thing(
        token=draw(IDENTIFIER),
        category=draw(st.sampled_from(["vehicle.car", "human.pedestrian.adult", "animal"])),
        size=draw(st.tuples(*[st.floats(0.01, 50)] * 3)),
        at=draw(numbers3),
        yaw_deg=draw(st.floats(-360, 360)),
        velocity=draw(numbers3),
        attributes=draw(st.sampled_from([(), ("at-moving",), ("at-moving", "at-lost")])),
        visibility=draw(st.sampled_from(["1", "2", "3", "4", ""])),
    )


@patient
@given(st.lists(things(), max_size=5, unique_by=lambda t: t.token), st.booleans(), st.floats(0, 30), st.floats(-40, 40))
def test_import_export_import_gives_the_same_labels(
    objects: list[Thing], still: bool, speed_mps: float, turn_dps: float
) -> None:
    maker = Maker(keyframes=FRAMES, things=objects, boxes=True, speed_mps=speed_mps, turn_dps=turn_dps)
    (scene,) = read_nuscenes(encoded(maker.build()), still=still)
    export, read = again(scene, still=still)
    assert export.dropped == ()
    assert by_id(read.result.annotations) == by_id(scene.result.annotations)
    assert read.result.streams == scene.result.streams
    assert read.recording == scene.recording


@st.composite
def cuboids(draw: st.DrawFn) -> Cuboid:
    quaternion = np.array(draw(turns))
    turned: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"yaw_rad": draw(st.floats(-7, 7))},
                {"rotation_wxyz": tuple((quaternion / np.linalg.norm(quaternion)).tolist())},
            ]
        )
    )
    values = st.one_of(st.booleans(), st.integers(-5, 9), st.sampled_from(["v40-60", "v0-40", "some", "", "x" * 201]))
    return Cuboid(
        id=draw(IDENTIFIER),
        stream=draw(st.sampled_from(["LIDAR_TOP"] * 5 + ["RADAR_FRONT"])),
        label=draw(st.sampled_from(["vehicle.car", "animal", "é"])),
        object_id=draw(st.one_of(st.none(), st.sampled_from(["o1", "o2"]))),
        frame=draw(st.one_of(st.none(), st.integers(0, FRAMES))),
        center_m=draw(st.tuples(*[st.floats(-1e6, 1e6)] * 3)),
        size_m=draw(st.tuples(*[st.floats(1e-3, 1e3)] * 3)),
        occlusion=draw(st.sampled_from([None, 0, 1, 2, 3])),
        truncation=draw(st.sampled_from([None, 0.5])),
        ignore=draw(st.sampled_from([False, False, True])),
        confidence=draw(st.sampled_from([None, 0.5])),
        point_count=draw(st.one_of(st.none(), st.integers(0, 1_000_000))),
        taxonomy_version=draw(st.sampled_from([None, "av@3"])),
        author=draw(st.sampled_from([None, AUTHOR, Author(kind="human", id="u1")])),
        attributes=draw(st.dictionaries(st.sampled_from(["visibility", "num_radar_pts", "moving", "z"]), values)),
        **turned,
    )


@patient
@given(st.lists(cuboids(), max_size=6, unique_by=lambda c: c.id), st.booleans())
def test_any_label_comes_back_but_for_what_is_listed(labels: list[Cuboid], still: bool) -> None:
    export = write_nuscenes([(SCENE.recording, labels)], still=still)
    (read,) = read_nuscenes(export.tables, still=still)
    found = by_id(read.result.annotations)
    listed: dict[str, set[str]] = defaultdict(set)
    for entry in export.dropped:
        listed[entry.place] |= set(entry.what.split(", "))
    for label in labels:
        if "cuboid" in listed[label.id]:
            assert label.id not in found
            continue
        before, after = label.model_dump(), found.pop(label.id).model_dump()
        for which in (before, after):
            which |= {f"attributes.{key}": value for key, value in which.pop("attributes").items()}
        differs = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        # A yaw is read as a quaternion, and so are the two fields of one rotation.
        allowed = listed[label.id] | ({"rotation_wxyz"} if "yaw_rad" in listed[label.id] else set())
        assert differs <= allowed, (differs, listed[label.id])
        assert np.abs(np.array(before["center_m"]) - after["center_m"]).max() < 1e-5
    assert not found
    # Whatever was lost is lost once: from then on nothing changes any more.
    once = SceneImport(SCENE.recording, read.result)
    export, twice = again(once, still=still)
    assert export.dropped == ()
    assert by_id(twice.result.annotations) == by_id(read.result.annotations)


def test_tables_are_linked_as_the_schema_says() -> None:
    export, _ = again(SCENE)
    tables = {name: json.loads(data) for name, data in export.tables.items()}
    known = {name: {row["token"]: row for row in rows} for name, rows in tables.items() if name != "image_annotations"}
    links = {"sample": "sample", "instance": "instance", "sensor": "sensor", "scene": "scene", "log": "log",
             "category": "category", "visibility": "visibility", "ego_pose": "ego_pose", "sample_data": "sample_data",
             "calibrated_sensor": "calibrated_sensor", "sample_annotation": "sample_annotation",
             "first_sample": "sample", "last_sample": "sample", "first_annotation": "sample_annotation",
             "last_annotation": "sample_annotation"}  # fmt: skip
    followed = 0
    for name, rows in tables.items():
        for row in rows:
            for key, value in row.items():
                if key.endswith("_token") and value:
                    assert value in known[links[key.removesuffix("_token")]], (name, key, value)
                    followed += 1
                if key == "next" and value:
                    assert known[name][value]["prev"] == row["token"]
    assert followed > 100
    for instance in tables["instance"]:
        chain = [row for row in tables["sample_annotation"] if row["instance_token"] == instance["token"]]
        assert instance["nbr_annotations"] == len(chain) == FRAMES
        assert (instance["first_annotation_token"], instance["last_annotation_token"]) == (
            chain[0]["token"],
            chain[-1]["token"],
        )
    assert tables["scene"][0]["nbr_samples"] == FRAMES
    original = Maker(keyframes=FRAMES).build()
    mine = {row["token"]: row for row in tables["sample_annotation"]}
    for row in original["sample_annotation"]:
        assert mine[row["token"]]["translation"] == pytest.approx(row["translation"], abs=2e-6)
        assert mine[row["token"]]["size"] == row["size"]
        assert abs(np.dot(mine[row["token"]]["rotation"], row["rotation"])) == pytest.approx(1, abs=1e-9)


def test_two_scenes_with_the_same_names_are_kept_apart() -> None:
    (second,) = read_nuscenes(encoded(Maker(keyframes=FRAMES, name="scene-0002").build()))
    one = Cuboid(
        id="a", stream="LIDAR_TOP", label="vehicle.car", object_id="car-1", frame=0, center_m=(1, 2, 3),
        size_m=(4, 2, 1), rotation_wxyz=(1, 0, 0, 0), author=AUTHOR, attributes={"num_radar_pts": 0},
    )  # fmt: skip
    export = write_nuscenes([(SCENE.recording, [one]), (second.recording, [one])])
    assert {(entry.place, entry.what) for entry in export.dropped} == {("a", "id"), ("a", "object_id")}
    first, other = read_nuscenes(export.tables)
    assert first.result.annotations == (one,)
    (label,) = other.result.annotations
    assert label.object_id != "car-1"
    assert label.model_copy(update={"id": "a", "object_id": "car-1"}) == one
    with pytest.raises(InvalidInputError, match="the scene 't-scene-0001' is there twice"):
        write_nuscenes([(SCENE.recording, []), (SCENE.recording, [])])


def test_a_box_without_its_cuboid_and_a_second_one_are_listed() -> None:
    boxes = [label for label in SCENE.result.annotations if isinstance(label, Box)]
    rest = [label for label in SCENE.result.annotations if not isinstance(label, Box)]
    alone = write_nuscenes([(SCENE.recording, boxes)])
    assert {entry.place for entry in alone.dropped} == {box.id for box in boxes}
    assert "image_annotations" not in alone.tables
    twin = boxes[0].model_copy(update={"id": "twin"})
    export = write_nuscenes([(SCENE.recording, [*rest, *boxes, twin])])
    assert [(entry.place, entry.what) for entry in export.dropped] == [("twin", "box")]


def test_a_manifest_is_a_recording_without_poses() -> None:
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "drive-7",
            "project": "av",
            "captured_at": "2024-05-01T10:00:00Z",
            "streams": [
                {"id": "lidar", "modality": "lidar", "clock": {"rate_hz": 10}},
                {
                    "id": "cam",
                    "modality": "video",
                    "image_size_px": [1242, 375],
                    "calibration": {
                        "model": "pinhole",
                        "intrinsics": [[700, 0, 600], [0, 700, 180], [0, 0, 1]],
                        "extrinsics": {
                            "to": "lidar",
                            "matrix": [[0, 0, 1, 0.3], [-1, 0, 0, 0.1], [0, -1, 0, -0.1], [0, 0, 0, 1]],
                        },
                    },
                },
                {"id": "mic", "modality": "audio"},
                {"id": "loose", "modality": "image"},
            ],
            "annotations": [
                {
                    "id": f"c{frame}",
                    "type": "cuboid",
                    "stream": "lidar",
                    "label": "car",
                    "object_id": "car-1",
                    "frame": frame,
                    "center_m": [10, frame, 0.5],
                    "size_m": [4, 2, 1.5],
                    "rotation_wxyz": [1, 0, 0, 0],
                    "point_count": 7,
                }
                for frame in (0, 4)
            ],
        }
    )
    recording, dropped = recording_of(manifest, lidar="lidar")
    assert {(entry.place, entry.what) for entry in dropped} == {
        ("lidar", "ego_pose"),
        ("mic", "audio"),
        ("loose", "image"),
    }
    (scene,) = read_nuscenes(write_nuscenes([(recording, manifest.annotations)], lidar="lidar").tables, lidar="lidar")
    assert [(a.id, a.frame, a.object_id) for a in scene.result.annotations] == [("c0", 0, "car-1"), ("c4", 4, "car-1")]
    assert [a.center_m for a in scene.result.annotations if isinstance(a, Cuboid)] == [(10, 0, 0.5), (10, 4, 0.5)]
    streams = {stream.id: stream for stream in scene.result.streams}
    calibration = manifest.streams[1].calibration
    assert calibration is not None
    assert calibration.extrinsics is not None
    read = streams["cam"].calibration
    assert read is not None
    assert read.extrinsics is not None
    assert read.intrinsics == calibration.intrinsics
    assert np.allclose(read.extrinsics.matrix, calibration.extrinsics.matrix, atol=1e-12)
    clock = streams["lidar"].clock
    assert clock is not None
    assert len(clock.timestamps) == 5
    assert str(clock.timestamps[4]) == "2024-05-01 10:00:00.400000+00:00"
    with pytest.raises(InvalidInputError, match="has no LiDAR stream 'cam'"):
        recording_of(manifest, lidar="cam")
