from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.demo import faults, scenes
from infra.demo.calls import call
from infra.demo.faults import NAMES, Fault
from infra.demo.plan import from_recordings, made_up
from services.contracts.canonical import canonical_json, parse_json
from services.contracts.labels_language import TranscriptSegment
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.contracts.validation import validate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assets")


def test_made_up_samples_are_valid_manifests_with_their_assets(folder: Path) -> None:
    planned = made_up(folder, seed=3, rounds=1)

    assert len(planned) == 13
    assert len({sample.posted.sample_id for sample in planned}) == 13
    for sample in planned:
        again = validate(SampleManifest, parse_json(canonical_json(sample.posted)), what="sample manifest")
        assert again == sample.posted
        for stream in sample.posted.streams:
            if stream.uri is not None:
                assert scenes.file_sha256(Path(stream.uri.removeprefix("file://"))) == stream.sha256


def test_the_same_seed_makes_the_same_samples(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = scenes.still(tmp_path / "a", "demo", 1, 5)
    second = scenes.still(tmp_path / "a", "demo", 1, 5)
    other = scenes.still(tmp_path / "a", "demo", 1, 6)

    assert first == second
    assert first.annotations != other.annotations


def test_points_of_a_scene_lie_on_its_cuboids_and_its_picture_has_the_stated_size(folder: Path) -> None:
    manifest = scenes.still(folder, "demo", 40, 9)
    camera, lidar = manifest.stream("camera"), manifest.stream("lidar")
    cloud = np.fromfile(str(lidar.uri).removeprefix("file://"), np.float32).reshape(-1, 4)

    with Image.open(str(camera.uri).removeprefix("file://")) as picture:
        assert picture.size == camera.image_size_px
    for cuboid in (label for label in manifest.annotations if isinstance(label, Cuboid)):
        distance = np.linalg.norm(cloud[:, :3] - np.array(cuboid.center_m), axis=1)
        assert (distance < max(cuboid.size_m)).sum() >= 20


def test_a_call_is_loud_where_its_transcript_is_and_quiet_between(folder: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    manifest = call(folder, "demo", 41, 9)
    sound, rate_hz = soundfile.read(str(manifest.streams[0].uri).removeprefix("file://"))
    spoken = np.zeros(len(sound), dtype=bool)
    for segment in (label for label in manifest.annotations if isinstance(label, TranscriptSegment)):
        spoken[int(segment.start_s * rate_hz) : int(segment.end_s * rate_hz)] = True

    assert np.median(np.abs(sound[spoken])) > 4 * np.median(np.abs(sound[~spoken]))


@pytest.mark.parametrize("fault", [faults.move_cuboid, faults.lose_box, faults.swap_class])
def test_a_fault_changes_one_label_and_says_which(folder: Path, fault: Fault) -> None:
    truth = scenes.still(folder, "demo", 42, 9)
    faulty = fault(truth, np.random.default_rng(0))

    assert faulty is not None
    posted, injection = faulty
    before = {label.id: label for label in truth.annotations}
    after = {label.id: label for label in posted.annotations}
    changed = {name for name in before if after.get(name) != before[name]}
    assert len(changed) == 1
    assert changed <= set(injection.annotations)
    assert posted.streams == truth.streams


def test_a_turned_camera_leaves_every_label_alone_and_moves_boxes_by_two_degrees() -> None:
    truth = scenes.clip("demo", 0, 4)
    faulty = faults.turn_camera(truth, np.random.default_rng(0))

    assert faulty is not None
    assert faulty[0].annotations == truth.annotations
    before, after = (one.stream("camera").calibration for one in (truth, faulty[0]))
    assert before is not None
    assert after is not None
    assert before.extrinsics is not None
    assert after.extrinsics is not None
    turn = np.linalg.inv(np.array(before.extrinsics.matrix)) @ np.array(after.extrinsics.matrix)
    assert np.degrees(np.arccos((np.trace(turn[:3, :3]) - 1) / 2)) == pytest.approx(2.0, abs=1e-6)


def test_a_fault_that_finds_nothing_to_work_on_leaves_the_sample_out(folder: Path) -> None:
    truth = scenes.still(folder, "demo", 43, 9)
    boxes_only = truth.model_copy(
        update={"annotations": tuple(label for label in truth.annotations if isinstance(label, Box))}
    )

    planned = from_recordings([boxes_only], seed=1)

    assert [sample.injection.fault for sample in planned if sample.injection] == ["missing_region"]


def test_every_recording_comes_once_clean_and_once_for_each_fault(folder: Path) -> None:
    recordings = [scenes.still(folder, "demo", 44, 9), scenes.clip("demo", 45, 9), call(folder, "demo", 46, 9)]

    planned = from_recordings(recordings, seed=1)

    named = {sample.posted.sample_id: sample.injection for sample in planned}
    assert sum(injection is None for injection in named.values()) == 3
    for sample_id, injection in named.items():
        if injection is not None:
            assert injection.sample_id == sample_id
            assert sample_id.endswith(injection.fault)
            assert injection.fault in NAMES.values()
