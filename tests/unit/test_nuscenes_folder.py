from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from infra.cli.main import app
from infra.storage.decode import decode_stream
from infra.storage.found import BadFile, FoundSample
from infra.storage.manifest_files import find_samples
from infra.storage.nuscenes_folder import find_tables, iter_manifests
from services.contracts.labels_spatial import Cuboid
from services.contracts.manifest import Stream
from services.errors import AssetError, AssetMissingError, InvalidInputError, MalformedJsonError
from tests.unit.formats.nuscenes_scenes import THINGS, Maker, encoded


def write(folder: Path, maker: Maker) -> Path:
    tables = folder / "v1.0-mini"
    tables.mkdir(parents=True)
    for name, data in encoded(maker.build()).items():
        (tables / f"{name}.json").write_bytes(data)
    return tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "nuscenes", Maker())
    return tmp_path / "nuscenes"


@pytest.mark.parametrize("above", ["v1.0-mini", ".", ".."])
def test_tables_are_found_from_themselves_and_from_above(root: Path, above: str) -> None:
    (manifest,) = iter_manifests((root / above).resolve(), "av")
    assert manifest.sample_id == "nuscenes-scene-0001"
    assert len(manifest.annotations) == 4 * len(THINGS)
    assert {label.frame for label in manifest.annotations} == {0, 1, 2, 3}
    lidar = manifest.stream("LIDAR_TOP")
    assert (lidar.modality, lidar.coordinate_frame, lidar.uri) == ("lidar", "LIDAR_TOP@first", None)
    assert (manifest.context.region, manifest.context.attributes["vehicle"]) == ("SG", "n008")
    assert "read keyframes one by one" in str(manifest.context.attributes["not_taken_over"])
    assert str(manifest.captured_at) == "2018-08-01 19:26:43.547590+00:00"


def test_what_stands_still_stays_where_it_is_in_a_scene(root: Path) -> None:
    (manifest,) = iter_manifests(root, "av")
    centers = [a.center_m for a in manifest.annotations if isinstance(a, Cuboid) and a.label.endswith("trafficcone")]
    assert len(centers) == 4
    assert np.ptp(np.array(centers), axis=0).max() < 3e-6


def test_a_keyframe_is_a_sample_with_its_files(root: Path) -> None:
    data = root / "v1.0-mini" / "sample_data.json"
    rows = json.loads(data.read_bytes())
    for row in rows:
        path = root / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            Image.new("RGB", (1600, 900)).save(path)
        else:
            path.write_bytes(np.zeros((3, 5), dtype="<f4").tobytes())
    samples = list(iter_manifests(root, "av", unit="keyframe"))
    assert [sample.sample_id for sample in samples] == [f"nuscenes-scene-0001-{frame:04d}" for frame in range(4)]
    for sample in samples:
        assert {label.frame for label in sample.annotations} == {0}
        camera, lidar = sample.stream("CAM_FRONT"), sample.stream("LIDAR_TOP")
        assert (camera.modality, camera.media_type, lidar.coordinate_frame) == ("image", "image/jpeg", "LIDAR_TOP")
        assert camera.uri is not None
        assert lidar.uri is not None
        assert Path(lidar.uri.removeprefix("file://")).is_file()
        assert sample.stream("RADAR_FRONT").uri is None
        assert camera.calibration is not None
        assert camera.calibration.extrinsics is not None
    # Files beside the tables are outside of what was given, and are not referred to.
    inside = list(iter_manifests(root / "v1.0-mini", "av", unit="keyframe"))
    assert all(stream.uri is None for sample in inside for stream in sample.streams)


def test_check_is_clean_on_exact_tables_and_finds_what_is_wrong(tmp_path: Path) -> None:
    tables = write(tmp_path / "clean", Maker(keyframes=8, boxes=True))

    def checked(folder: Path) -> dict[str, set[str]]:
        result = CliRunner().invoke(app, ["check", str(folder), "--format", "json"])
        assert result.exit_code in (0, 1), result.output
        samples = json.loads(result.stdout)["samples"]
        return {s["sample_id"]: {f"{f['check']}/{f['kind']}" for f in s["findings"]} for s in samples}

    clean = checked(tmp_path / "clean")
    assert "nuscenes-scene-0001" in clean
    assert len(clean) >= 4
    assert set().union(*clean.values()) == set()
    # One object is elsewhere for one keyframe, and one box on an image is that of another place.
    rows = json.loads((tables / "sample_annotation.json").read_bytes())
    row = next(row for row in rows if row["token"] == "scene-0001-i-walker-4")
    row["translation"][0] += 6.0
    (tables / "sample_annotation.json").write_text(json.dumps(rows))
    boxes = json.loads((tables / "image_annotations.json").read_bytes())
    wrong = next(row for row in boxes if row["instance_token"].endswith("i-car"))
    wrong["bbox_corners"] = [x + 300 for x in wrong["bbox_corners"]]
    (tables / "image_annotations.json").write_text(json.dumps(boxes))
    found = checked(tmp_path / "clean")
    assert found["nuscenes-scene-0001"] == {"track_identity/jump"}
    frame = int(wrong["sample_data_token"].split("-")[2])
    assert any(kind.startswith("lidar_camera/") for kind in found[f"nuscenes-scene-0001-{frame:04d}"])


def test_a_missing_table_and_a_broken_one_are_bad_files(root: Path) -> None:
    (root / "v1.0-mini" / "ego_pose.json").unlink()
    (bad,) = find_samples(root, project="av")
    assert isinstance(bad, BadFile)
    assert isinstance(bad.error, AssetMissingError)
    assert "ego_pose.json missing; add the tables of the same version" in bad.error.detail
    (root / "v1.0-mini" / "ego_pose.json").write_text('[{"token": "x", "trans')
    (bad,) = find_samples(root, project="av")
    assert isinstance(bad, BadFile)
    assert isinstance(bad.error, MalformedJsonError)
    assert str(root) in bad.error.detail
    assert "the file ends before the array does" in bad.error.detail


def test_a_scene_that_is_wrong_does_not_take_those_before_with_it(tmp_path: Path) -> None:
    first, second = Maker().build(), Maker(name="scene-0002").build()
    tables = tmp_path / "v1.0-mini"
    tables.mkdir()
    shared = ("category", "attribute", "visibility", "sensor", "calibrated_sensor", "log", "map")
    second["sample_annotation"][5]["rotation"] = [0.5, 0.0, 0.0, 0.0]
    for name, rows in first.items():
        (tables / f"{name}.json").write_text(json.dumps(rows if name in shared else [*rows, *second[name]]))
    good, bad = find_samples(tmp_path, project="av")
    assert isinstance(good, FoundSample)
    assert good.manifest.sample_id == "nuscenes-scene-0001"
    assert isinstance(bad, BadFile)
    assert "sample_annotation.json, /21/rotation: a rotation is a quaternion" in bad.error.detail


def test_other_folders_of_json_are_no_tables(tmp_path: Path) -> None:
    for name in ("scene", "sample", "category", "sensor", "attribute"):
        (tmp_path / f"{name}.json").write_text('{"token": "x"}')
    assert not find_tables(tmp_path)
    with pytest.raises(InvalidInputError, match="nor nuScenes tables"):
        list(find_samples(tmp_path, project="av"))
    assert list(iter_manifests(tmp_path / "nowhere", "av")) == []


def test_clouds_of_five_numbers_are_told_by_their_ending() -> None:
    points = np.arange(40, dtype="<f4").reshape(8, 5)
    stream = Stream(id="lidar", modality="lidar", uri="file:///x/a.pcd.bin")
    decoded = decode_stream(stream, points.tobytes())
    assert isinstance(decoded, np.ndarray)
    assert decoded.tolist() == points[:, :3].tolist()
    with pytest.raises(AssetError, match="no multiple of 20"):
        decode_stream(stream, points.tobytes()[:-4])
