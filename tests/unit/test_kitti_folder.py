import hashlib
from pathlib import Path

import pytest
from PIL import Image

from infra.storage.kitti_folder import iter_manifests
from services.errors import AssetMissingError, InvalidInputError
from tests.unit.test_kitti import CALIBRATION, CAR, DATA


@pytest.fixture
def object_folder(tmp_path: Path) -> Path:
    training = tmp_path / "kitti" / "training"
    for name in ("calib", "label_2", "image_2", "velodyne"):
        (training / name).mkdir(parents=True)
    (training / "calib/000001.txt").write_text(CALIBRATION)
    (training / "label_2/000001.txt").write_text(CAR + "\n")
    Image.new("RGB", (120, 40)).save(training / "image_2/000001.png")
    (training / "velodyne/000001.bin").write_bytes(b"\x00" * 16)
    return training


@pytest.fixture
def tracking_folder(tmp_path: Path) -> Path:
    root = tmp_path / "tracking"
    for name in ("calib", "label_02", "pointrcnn"):
        (root / name).mkdir(parents=True)
    (root / "calib/0003.txt").write_text(CALIBRATION)
    line = CAR.replace("0.10", "0", 1)
    (root / "label_02/0003.txt").write_text("\n".join(f"{frame} 1 {line}" for frame in range(45)) + "\n")
    (root / "pointrcnn/Car_0003.txt").write_text("0,2,500,150,620,220,2,1.5,1.8,4.2,2,1.7,20,-1.57,-1.6\n")
    return root


@pytest.mark.parametrize("above", [0, 1, 2])
def test_object_folder_is_found_from_itself_and_from_above(object_folder: Path, above: int) -> None:
    path = [object_folder, object_folder.parent, object_folder.parent.parent][above]
    (manifest,) = iter_manifests(path, "av")
    assert manifest.sample_id == "kitti-object-000001"
    camera, lidar = manifest.streams
    image = object_folder / "image_2/000001.png"
    assert camera.uri == image.resolve().as_uri()
    assert camera.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
    assert camera.image_size_px == (120, 40)
    assert lidar.uri == (object_folder / "velodyne/000001.bin").resolve().as_uri()
    assert [a.type for a in manifest.annotations] == ["box", "cuboid"]
    assert (manifest.context.region, manifest.context.product, manifest.context.risk) == ("DE", "kitti", "low")
    assert manifest.context.attributes["image_size_source"] == "image"
    assert manifest.captured_at is None


def test_frame_without_image_and_cloud_still_has_labels(object_folder: Path) -> None:
    (object_folder / "image_2/000001.png").unlink()
    (object_folder / "velodyne/000001.bin").unlink()
    (manifest,) = iter_manifests(object_folder, "av")
    assert manifest.streams[0].uri is None
    assert manifest.streams[0].image_size_px == (1242, 375)
    assert "assumed" in str(manifest.context.attributes["image_size_source"])


def test_tracking_folder_is_cut_into_clips(tracking_folder: Path) -> None:
    first, second = iter_manifests(tracking_folder, "av")
    assert first.sample_id == "kitti-tracking-0003-000-039"
    assert second.sample_id == "kitti-tracking-0003-040-044"
    assert max(a.frame or 0 for a in first.annotations) == 39
    assert min(a.frame or 0 for a in second.annotations) == 0
    assert first.streams[0].clock is not None
    (predictions,) = first.label_files
    assert predictions.role == "prediction"
    assert predictions.frames == (0, 39)
    assert second.label_files[0].frames == (40, 44)


def test_label_file_without_calibration_says_which(object_folder: Path) -> None:
    (object_folder / "calib/000001.txt").unlink()
    with pytest.raises(AssetMissingError, match=r"calib/000001\.txt is missing"):
        list(iter_manifests(object_folder, "av"))


def test_malformed_line_names_file_and_line(tracking_folder: Path) -> None:
    (tracking_folder / "label_02/0003.txt").write_text("first 1 Car\n")
    with pytest.raises(InvalidInputError, match=r"0003\.txt, line 1: frame must be a whole number"):
        list(iter_manifests(tracking_folder, "av"))


def test_folder_that_is_not_kitti_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetMissingError, match="is no KITTI folder"):
        list(iter_manifests(tmp_path, "av"))
    with pytest.raises(AssetMissingError, match="is no KITTI folder"):
        list(iter_manifests(tmp_path / "nowhere", "av"))


def test_broken_image_and_text_are_named(object_folder: Path) -> None:
    (object_folder / "image_2/000001.png").write_bytes(b"not a picture")
    with pytest.raises(InvalidInputError, match="is no readable image"):
        list(iter_manifests(object_folder, "av"))
    (object_folder / "label_2/000001.txt").write_bytes(b"\xff\xfe")
    (object_folder / "image_2/000001.png").unlink()
    with pytest.raises(InvalidInputError, match="is not UTF-8"):
        list(iter_manifests(object_folder, "av"))


def test_clips_need_a_frame(tracking_folder: Path) -> None:
    with pytest.raises(InvalidInputError, match="clip_frames"):
        list(iter_manifests(tracking_folder, "av", clip_frames=0))


@pytest.mark.skipif(not (DATA / "kitti_tracking").is_dir(), reason="the KITTI test data is not on this machine")
def test_real_tracking_folder_gives_every_clip_once() -> None:
    manifests = list(iter_manifests(DATA / "kitti_tracking", "av"))
    assert len(manifests) == 10
    assert len({m.sample_id for m in manifests}) == 10
    boxes = sum(a.type == "box" for m in manifests for a in m.annotations)
    lines = sum(len(p.read_text().splitlines()) for p in (DATA / "kitti_tracking/label").glob("*.txt"))
    assert boxes == lines
