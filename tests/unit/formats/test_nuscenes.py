"""Reading nuScenes: exact geometry against SciPy's rotations, what is listed, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.alignment.extrinsics import transform_between
from services.alignment.geometry import cuboid_corners, matrices_from_quaternions, transform_points
from services.alignment.projection import Camera, project_points
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.errors import AssetMissingError, ConcordError, InvalidInputError, MalformedJsonError
from services.formats import json_rows
from services.formats.detect import detect
from services.formats.label_file import import_label_file
from services.formats.nuscenes import read_nuscenes, read_scene
from services.formats.nuscenes_recording import SceneRows
from services.formats.nuscenes_tables import NuscenesTables
from tests.unit.formats.nuscenes_scenes import CHANNELS, INTRINSICS, SIZE_PX, START_US, THINGS, Maker, encoded
from tests.unit.formats.samples import only_concord_errors


def _corners(cuboid: Cuboid) -> np.ndarray:
    assert cuboid.rotation_wxyz is not None
    turn = matrices_from_quaternions(cuboid.rotation_wxyz)
    return np.asarray(cuboid_corners(np.array([cuboid.center_m]), np.array([cuboid.size_m]), turn[None])[0])


def _rows(maker: Maker, folder: Path) -> SceneRows:
    for name, data in encoded(maker.build()).items():
        (folder / f"{name}.json").write_bytes(data)
    with NuscenesTables(lambda name: path.open("rb") if (path := folder / f"{name}.json").is_file() else None) as index:
        (rows,) = index.scenes()
    return rows


@pytest.mark.parametrize("still", [False, True])
def test_cuboids_stand_where_the_global_frame_has_them(still: bool) -> None:
    maker = Maker()
    (scene,) = read_nuscenes(encoded(maker.build()), still=still)
    cuboids = [label for label in scene.result.annotations if isinstance(label, Cuboid)]
    assert len(cuboids) == len(THINGS) * maker.keyframes
    for cuboid in cuboids:
        frame = cuboid.frame or 0
        thing = next(t for t in THINGS if cuboid.object_id == f"scene-0001-{t.token}")
        rotation, origin = maker.sensor_at("LIDAR_TOP", 0 if still else frame)
        local = rotation.inv().apply(maker.corners_in_global(thing, frame) - origin)
        assert np.abs(_corners(cuboid) - local).max() < 2e-6
        assert cuboid.size_m == (thing.size[1], thing.size[0], thing.size[2])
        assert (cuboid.id, cuboid.label) == (f"scene-0001-{thing.token}-{frame}", thing.category)
        assert (cuboid.point_count, cuboid.attributes["num_radar_pts"]) == (10 + frame, frame)


def test_visibility_and_attributes_are_kept() -> None:
    (scene,) = read_nuscenes(encoded(Maker().build()))
    told = {
        label.object_id: (label.occlusion, label.attributes["visibility"], label.attributes.get("state.moving"))
        for label in scene.result.annotations
        if isinstance(label, Cuboid)
    }
    assert told == {
        "scene-0001-i-car": (1, "v60-80", True),
        "scene-0001-i-cone": (2, "v0-40", None),
        "scene-0001-i-walker": (0, "v80-100", None),
        "scene-0001-i-van": (1, "v40-60", None),
    }


@pytest.mark.parametrize("frame", range(4))
def test_every_keyframe_projects_to_the_pixel(tmp_path: Path, frame: int) -> None:
    maker = Maker(boxes=True)
    result = read_scene(_rows(maker, tmp_path), frames=(frame, frame))
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id="s",
        project="p",
        streams=tuple(
            Stream(
                id=stream.id,
                modality=stream.modality or "image",
                calibration=stream.calibration,
                coordinate_frame=stream.coordinate_frame,
            )
            for stream in result.streams
        ),
        annotations=result.annotations,
    )
    cuboids = {label.object_id: label for label in result.annotations if isinstance(label, Cuboid)}
    seen = 0
    for channel in ("CAM_FRONT", "CAM_FRONT_LEFT"):
        calibration = manifest.stream(channel).calibration
        assert calibration is not None
        assert calibration.intrinsics is not None
        assert np.array(calibration.intrinsics).tolist() == INTRINSICS
        camera = Camera("pinhole", np.array(calibration.intrinsics), calibration.distortion, *map(float, SIZE_PX))
        camera_from_lidar = transform_between(manifest, dst_stream=channel, src_stream="LIDAR_TOP")
        assert camera_from_lidar is not None
        for thing in THINGS:
            expected = maker.pixels(thing, channel, frame)
            if expected is not None:
                corners = _corners(cuboids[f"scene-0001-{thing.token}"])
                found = project_points(camera, transform_points(camera_from_lidar, corners))
                assert np.abs(found - expected).max() < 0.01
                seen += 1
    assert seen >= 1
    assert all(label.frame == 0 for label in result.annotations)


def test_without_the_vehicles_motion_the_projection_would_be_wrong() -> None:
    # The scene is one in which the motion matters: by the mountings alone, corners are many pixels off.
    maker = Maker()
    expected = maker.pixels(THINGS[1], "CAM_FRONT", 0)
    assert expected is not None
    _, _, turn, where = CHANNELS["CAM_FRONT"]
    rotation, origin = maker.ego(0.0)
    local = (rotation * turn).inv().apply(maker.corners_in_global(THINGS[1], 0) - origin - rotation.apply(where))
    unmoved = local[:, :2] / local[:, 2:] * 1266.4 + [816.3, 491.5]
    assert np.abs(unmoved - expected).max() > 5.0


def test_a_scene_in_motion_has_no_one_transform_and_a_parked_one_has() -> None:
    (moving,) = read_nuscenes(encoded(Maker(acceleration_mps2=3.0).build()))
    listed = {entry.place for entry in moving.result.dropped if entry.what == "extrinsics to LIDAR_TOP"}
    assert listed == {"CAM_FRONT", "CAM_FRONT_LEFT", "RADAR_FRONT"}
    (parked,) = read_nuscenes(encoded(Maker(speed_mps=0.0, acceleration_mps2=0.0).build()), still=True)
    tied = {
        s.id: s.calibration.extrinsics.to for s in parked.result.streams if s.calibration and s.calibration.extrinsics
    }
    assert tied == dict.fromkeys(("CAM_FRONT", "CAM_FRONT_LEFT", "RADAR_FRONT"), "LIDAR_TOP@first")


def test_streams_have_their_times_files_and_frames() -> None:
    (scene,) = read_nuscenes(encoded(Maker().build()))
    streams = {stream.id: stream for stream in scene.result.streams}
    assert {name: stream.modality for name, stream in streams.items()} == {
        "CAM_FRONT": "video",
        "CAM_FRONT_LEFT": "video",
        "LIDAR_TOP": "lidar",
        "RADAR_FRONT": "radar",
    }
    camera = streams["CAM_FRONT"]
    assert camera.clock is not None
    assert [time.timestamp() for time in camera.clock.timestamps if isinstance(time, datetime)] == pytest.approx(
        [START_US / 1e6 - 0.025 + 0.5 * frame for frame in range(4)], abs=1e-6
    )
    assert camera.clock.timestamps[0] == datetime(2018, 8, 1, 19, 26, 43, 522_590, UTC)
    assert (camera.size_px, camera.items[2].frame) == (SIZE_PX, 2)
    assert camera.items[2].uri.startswith("samples/CAM_FRONT/")


def test_what_is_not_taken_over_is_listed() -> None:
    tables = Maker(boxes=True).build()
    tables["sample_annotation"][0]["velocity"] = [1.0, 0.0, 0.0]
    tables["sample_annotation"][1]["prev"] = "elsewhere"
    tables["sample_annotation"][2]["size"] = [0.0, 1.0, 1.0]
    tables["lidarseg"] = []
    for row in tables["sample_data"]:
        if row["filename"].endswith("jpg") and row["sample_token"] == "scene-0001-3" and "LEFT" in row["filename"]:
            row["is_key_frame"] = False
    (scene,) = read_nuscenes(encoded(tables), still=True)
    listed = {(entry.place, entry.what.split(" (")[0]) for entry in scene.result.dropped}
    boxes = sum(row["sample_data_token"] != "scene-0001-3-CAM_FRONT_LEFT" for row in tables["image_annotations"])
    assert listed >= {
        ("sample_annotation.json", "velocity"),
        ("sample_annotation.json", "prev of sample_annotation"),
        ("sample_annotation.json/2", "sample_annotation"),
        ("map.json", "the table"),
        ("lidarseg.json", "the table"),
        ("category.json", "description"),
        ("sample_data.json", "5 recordings between keyframes"),
        ("CAM_FRONT_LEFT", "timestamps"),
        ("image_annotations.json", f"{boxes} boxes"),
    }
    assert len(scene.result.annotations) == len(THINGS) * 4 - 1


def test_a_keyframe_without_the_lidar_has_no_cuboids_and_says_so() -> None:
    tables = Maker().build()
    tables["sample_data"] = [row for row in tables["sample_data"] if row["token"] != "scene-0001-1-LIDAR_TOP"]
    (scene,) = read_nuscenes(encoded(tables))
    assert {label.frame for label in scene.result.annotations} == {0, 2, 3}
    assert sum("no recording at this keyframe" in entry.why for entry in scene.result.dropped) == len(THINGS)
    (still,) = read_nuscenes(encoded(tables), still=True)
    assert len(still.result.annotations) == 4 * len(THINGS)


def test_scenes_in_any_order_are_told_apart() -> None:
    first, second = Maker().build(), Maker(name="scene-0002", keyframes=2).build()
    shared = ("category", "attribute", "visibility", "sensor", "calibrated_sensor", "log", "map")
    tables = {
        name: first[name] if name in shared else [*reversed(second[name]), *reversed(first[name])] for name in first
    }
    one, two = read_nuscenes(encoded(tables))
    assert [scene.recording.name for scene in (one, two)] == ["scene-0002", "scene-0001"]
    assert [len(scene.result.annotations) for scene in (one, two)] == [2 * len(THINGS), 4 * len(THINGS)]
    (alone,) = read_nuscenes(encoded(first))
    assert sorted(alone.result.annotations, key=lambda a: a.id) == sorted(two.result.annotations, key=lambda a: a.id)


def test_chunks_of_any_size_give_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = encoded(Maker().build())
    tables["scene"] = tables["scene"].replace(b"a curve", "a curve, déjà vu 🚗".encode())
    whole = read_nuscenes(tables)
    for size in (1, 7, 333):
        monkeypatch.setattr(json_rows, "CHUNK_BYTES", size)
        assert read_nuscenes(tables) == whole


def _edited(table: str, row: int, **changes: Any) -> dict[str, bytes]:
    tables = Maker(boxes=True).build()
    tables[table][row].update(changes)
    return encoded(tables)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (_edited("sample_annotation", 3, sample_token="gone"), r"sample_annotation.json, /3/sample_token: there is no"),
        (_edited("sample_annotation", 3, instance_token="gone"), "/3/instance_token: there is no instance with the"),
        (_edited("sample_annotation", 3, visibility_token="9"), "/3/visibility_token: there is no visibility with"),
        (_edited("sample_annotation", 3, attribute_tokens=["gone"]), "/3/attribute_tokens/0: there is no attribute"),
        (_edited("sample_annotation", 3, rotation=[2, 0, 0, 0]), "/3/rotation: .* of length 1, this one has length 2"),
        (_edited("sample_annotation", 3, rotation=[1, 0, 0]), "/3/rotation: must have 4 numbers, got 3"),
        (_edited("sample_annotation", 3, token="a b"), "/3/token: a token has letters, digits"),
        (_edited("sample_annotation", 3, size=None), "/3: 'size' is missing"),
        (_edited("sample_data", 2, ego_pose_token="gone"), "sample_data.json, /2/ego_pose_token: there is no ego_pose"),
        (_edited("sample_data", 2, calibrated_sensor_token="gone"), "/2/calibrated_sensor_token: there is no calibra"),
        (_edited("sample_data", 0, calibrated_sensor_token="cs-LIDAR_TOP"), "LIDAR_TOP has a second recording of this"),
        (_edited("ego_pose", 2, rotation=[0, 0, 0, 0]), "ego_pose.json, /2/rotation: .* this one has length 0"),
        (_edited("ego_pose", 2, translation=[0, 0, "x"]), "/2/translation/2: must be a number, got 'x'"),
        (_edited("ego_pose", 2, timestamp=10**18), "/2/timestamp: "),
        (_edited("ego_pose", 2, token="scene-0001-0-CAM_FRONT"), "the token 'scene-0001-0-CAM_FRONT' stands twice"),
        (_edited("calibrated_sensor", 0, sensor_token="gone"), "calibrated_sensor.json, /0/sensor_token: there is no"),
        (_edited("calibrated_sensor", 0, camera_intrinsic=[]), "CAM_FRONT is a camera: it needs 3 rows"),
        (_edited("instance", 0, category_token="gone"), "instance.json, /0/category_token: there is no category"),
        (_edited("instance", 1, token="scene-0001-i-car"), "the token 'scene-0001-i-car' stands twice in the table"),
        (_edited("sample", 1, next="gone"), "sample.json, /1/next: there is no sample with the token 'gone'"),
        (_edited("sample", 1, next="scene-0001-0"), "sample.json, /0: the chain of next comes here twice"),
        (_edited("sample", 1, next=""), "scene.json, /0/last_sample_token: the chain of next ends at"),
        (_edited("sample", 1, scene_token="other"), "the chain of scene 't-scene-0001' leads to it"),
        (_edited("scene", 0, first_sample_token="gone"), "scene.json, /0/first_sample_token: there is no sample"),
        (_edited("scene", 0, first_sample_token="scene-0001-1"), "sample.json, /0: the sample says it is in scene"),
        (_edited("sensor", 2, modality="sonar"), "sensor.json, /2/modality: a sensor is a camera, lidar or radar"),
        (_edited("sensor", 2, modality="radar"), "it has no LiDAR with a recording at a keyframe"),
        (_edited("sensor", 0, channel="front cam"), "the channel 'front cam' names a stream"),
        (_edited("image_annotations", 0, bbox_corners=[1, 2, 3]), "/0/bbox_corners: must have 4"),
        (_edited("image_annotations", 0, sample_data_token="scene-0001-0-LIDAR_TOP"), "LIDAR_TOP is no camera"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_named_with_what_is_wrong(tables: dict[str, bytes], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read_nuscenes(tables)


def test_missing_and_broken_tables_are_named() -> None:
    tables = encoded(Maker().build())
    with pytest.raises(AssetMissingError, match=r"ego_pose\.json, visibility\.json missing; add the"):
        read_nuscenes({name: data for name, data in tables.items() if name not in ("ego_pose", "visibility")})
    with pytest.raises(MalformedJsonError, match=r"sample_annotation\.json: the file ends before the array"):
        read_nuscenes({**tables, "sample_annotation": tables["sample_annotation"][:-20]})
    with pytest.raises(MalformedJsonError, match=r"sample_data.json, /0: NaN is not a JSON number"):
        read_nuscenes({**tables, "sample_data": tables["sample_data"].replace(b'"width": 1600', b'"width": NaN', 1)})
    with pytest.raises(InvalidInputError, match=r"category\.json, /: must be an array of records"):
        read_nuscenes({**tables, "category": b"{}"})
    with pytest.raises(MalformedJsonError, match="more follows after the end of the array"):
        read_nuscenes({**tables, "category": tables["category"] + b"[]"})


def test_two_lidars_need_a_name() -> None:
    tables = Maker().build()
    tables["sensor"][2]["channel"], tables["sensor"][3] = "LEFT", {**tables["sensor"][3], "modality": "lidar"}
    with pytest.raises(InvalidInputError, match="its LiDARs are LEFT, RADAR_FRONT; name the channel"):
        read_nuscenes(encoded(tables))
    (scene,) = read_nuscenes(encoded(tables), lidar="LEFT")
    assert {label.stream for label in scene.result.annotations} == {"LEFT"}


@pytest.mark.parametrize("table", ["scene", "sample", "sample_data", "ego_pose", "sample_annotation", "sensor"])
def test_damaged_tables_are_refused_and_never_crash(table: str) -> None:
    tables = encoded(Maker(keyframes=1).build())

    def read(data: bytes) -> object:
        return read_nuscenes({**tables, table: data})

    assert only_concord_errors(tables[table], read, cuts=10, flips=20) > 10


def test_boxes_on_images_are_a_label_file() -> None:
    maker = Maker(boxes=True)
    data = encoded(maker.build())["image_annotations"]
    assert detect("boxes.json", data) == "nuscenes"
    names = list(dict.fromkeys(row["filename"] for row in json.loads(data)))
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id="s",
        project="p",
        streams=(
            Stream(id="cam", modality="image", uri=f"elsewhere/{Path(names[0]).name}"),
            Stream(id="film", modality="video"),
        ),
    )
    file = LabelFile(format="nuscenes", uri="image_annotations.json", stream="cam")
    one = import_label_file(file, manifest, data)
    all_of_them = import_label_file(file.model_copy(update={"stream": "film"}), manifest, data)
    assert len(all_of_them.annotations) == len(json.loads(data)) > len(one.annotations) > 0
    assert {label.frame for label in all_of_them.annotations} == set(range(len(names)))
    assert all(isinstance(label, Box) and label.frame == 0 for label in one.annotations)
    assert {entry.what.split(" (")[0] for entry in one.dropped} == {"attribute_tokens", "num_lidar_pts"}
    with pytest.raises(InvalidInputError, match="/0: has no bbox_corners: of nuScenes' tables only image_annotations"):
        import_label_file(file, manifest, encoded(maker.tables)["sample_annotation"])


def test_a_table_of_images_gives_what_a_folder_gives(tmp_path: Path) -> None:
    maker = Maker(boxes=True)
    rows = _rows(maker, tmp_path)
    boxes = [label for label in read_scene(rows).annotations if isinstance(label, Box)]
    assert len(boxes) == len(maker.tables["image_annotations"])
    for box, row in zip(boxes, maker.tables["image_annotations"], strict=True):
        assert list(box.box) == row["bbox_corners"]
        assert box.stream in row["sample_data_token"]
        assert box.object_id == row["instance_token"]
    none = read_scene(replace(rows, image_annotations=()))
    assert not any(isinstance(label, Box) for label in none.annotations)


def test_errors_are_concords() -> None:
    with pytest.raises(ConcordError):
        read_nuscenes({})
