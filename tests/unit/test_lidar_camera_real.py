"""The check on real KITTI labels: clean ones stay free of findings, known faults put into them are found."""

import json
import random

import numpy as np
import pytest

from infra.storage.found import FoundSample
from infra.storage.manifest_files import find_samples
from services.alignment.lidar_camera import check_lidar_camera
from services.alignment.sample import CheckSample
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.formats.kitti import parse_calibration, read_detections
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.lidar_camera_faults import (
    DATA,
    findings,
    inject_single,
    inject_whole,
    jittered,
    late,
    object_samples,
    tracking_samples,
    turned,
    without_ids,
)

pytestmark = pytest.mark.skipif(
    not (DATA / "kitti_tracking").is_dir(), reason="the KITTI test data is not on this machine"
)


@pytest.fixture(scope="module")
def clips() -> tuple[CheckSample, ...]:
    return tracking_samples(20)


def test_clean_object_frames_with_clouds_have_no_finding() -> None:
    for sample in object_samples():
        outcome = check_lidar_camera(sample, DEFAULT_RULE_SET)
        assert outcome.findings == ()
        assert outcome.not_applicable == ()


@pytest.mark.parametrize("length", [1, 10, 40])
def test_clean_tracking_clips_have_no_finding(length: int) -> None:
    for sample in tracking_samples(length):
        assert findings(sample, "info") == ()
        assert findings(without_ids(sample), "major") == ()


def test_labels_of_a_less_careful_hand_raise_no_alarm(clips: tuple[CheckSample, ...]) -> None:
    for seed, sample in enumerate(clips):
        rng = random.Random(seed)  # noqa: S311 - not for security
        assert findings(jittered(sample, rng, 1.5, 0.03)) == ()


def test_real_detections_agree_with_themselves_and_with_people() -> None:
    calibration = parse_calibration((DATA / "kitti_tracking/calib/0003.txt").read_text())
    (sample, *_) = tracking_samples(40, ("0003",))
    predictions = tuple(
        label
        for name in ("Car", "Pedestrian", "Cyclist")
        for label in read_detections(
            (DATA / f"kitti_tracking/pointrcnn/{name}_0003.txt").read_text(),
            calibration,
            camera_stream="cam_left",
            lidar_stream="lidar_top",
            frames=(0, 39),
        )
    )
    assert findings(CheckSample(sample.manifest, predictions)) == ()
    assert findings(CheckSample(sample.manifest, sample.annotations + predictions)) == ()


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("cuboid moved 3 m sideways", 1.0),
        ("cuboid moved along the ray", 0.85),  # boxes of 20 px leave room for doubt: those are minor
        ("cuboid removed", 0.95),
        ("box removed", 0.95),
        ("class swapped", 1.0),
        ("object id changed", 0.95),
    ],
)
def test_single_faults_are_found_and_nothing_else(clips: tuple[CheckSample, ...], kind: str, least: float) -> None:
    tally = inject_single(clips, kind, range(2))
    assert tally.injected >= 30
    assert tally.found >= least * tally.injected
    assert tally.others == 0


@pytest.mark.parametrize("kind", ["cuboid moved 3 m sideways", "class swapped"])
def test_single_faults_in_object_frames_are_found(kind: str) -> None:
    tally = inject_single(object_samples(), kind, range(8))
    assert tally.found == tally.injected == 16
    assert tally.others == 0


@pytest.mark.parametrize("name", ["calibration yaw +1 deg", "calibration yaw -2 deg", "calibration pitch 1 deg",
                                  "cuboids 3 frames late", "cuboids 3 frames early"])  # fmt: skip
def test_whole_faults_of_long_clips_are_one_finding(name: str) -> None:
    tally = inject_whole(tracking_samples(40), name)
    assert tally.found == tally.injected == 10
    assert tally.others == 0


@pytest.mark.parametrize("length", [10, 20, 40])
@pytest.mark.parametrize("degrees", [1.0, -1.0, 2.0, -2.0])
@pytest.mark.parametrize("with_ids", [True, False])
def test_yaw_of_sequence_0003_is_estimated(length: int, degrees: float, with_ids: bool) -> None:
    sample = turned(tracking_samples(length, ("0003",))[0], "yaw", degrees)
    (finding,) = findings(sample if with_ids else without_ids(sample), "info")
    assert finding.kind == "calibration_shift"
    assert finding.cause is not None
    assert finding.cause.estimate["axis"] == "yaw"
    assert finding.cause.estimate["yaw_deg"] == pytest.approx(degrees, abs=0.2)


def test_shift_too_small_for_any_symptom_is_still_seen_over_many_objects() -> None:
    sample = turned(tracking_samples(40, ("0012",))[0], "yaw", 0.5)
    outcome = check_lidar_camera(sample, DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert (finding.kind, finding.severity) == ("calibration_shift", "major")


def test_time_offset_is_estimated_in_seconds() -> None:
    (finding,) = findings(late(tracking_samples(40, ("0003",))[0], 3))
    assert finding.cause is not None
    assert finding.cause.estimate["offset_s"] == pytest.approx(0.3, abs=0.05)


def test_reordered_labels_give_the_same_outcome(clips: tuple[CheckSample, ...]) -> None:
    sample = turned(clips[0], "yaw", 1.0)
    shuffled = list(sample.annotations)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - not for security
    again = CheckSample(sample.manifest, tuple(shuffled))
    assert check_lidar_camera(sample, DEFAULT_RULE_SET) == check_lidar_camera(again, DEFAULT_RULE_SET)


@pytest.mark.skipif(not (DATA / "openlabel_vcd").is_dir(), reason="the OpenLABEL test data is not on this machine")
def test_boxes_of_a_stereo_rig_that_reach_beyond_the_image_agree_with_their_cuboids() -> None:
    # One pose for both cameras: the baseline stands in the fourth column of their projections.
    path = DATA / "openlabel_vcd/tests/etc/openlabel100_kitti_tracking_0003.json"
    (found,) = find_samples(path, project="av")
    assert isinstance(found, FoundSample)
    sample = CheckSample(found.manifest, found.manifest.annotations)
    assert sum(isinstance(label, Box) and label.box[0] < 0 for label in sample.annotations) > 10
    assert findings(sample, "major") == ()
    assert len(findings(sample, "minor")) <= 1


def read_pcd_xyz(path: str) -> np.ndarray:
    raw = (DATA / path).read_bytes()
    head, body = raw.split(b"DATA binary\n", 1)
    fields = dict(line.split(" ", 1) for line in head.decode().splitlines()[1:])
    sizes = [int(s) * int(c) for s, c in zip(fields["SIZE"].split(), fields["COUNT"].split(), strict=True)]
    rows = np.frombuffer(body, dtype=np.uint8, count=sum(sizes) * int(fields["POINTS"])).reshape(-1, sum(sizes))
    return rows[:, :12].copy().view(np.float32)


@pytest.mark.skipif(not (DATA / "sustechpoints").is_dir(), reason="the SUSTech test data is not on this machine")
def test_cuboids_of_another_city_all_hold_points_and_a_moved_one_does_not() -> None:
    entries = json.loads((DATA / "sustechpoints/label/000965.json").read_text())
    cuboids = tuple(
        Cuboid(
            id=f"c-{entry['obj_id']}", stream="lidar", label=entry["obj_type"], object_id=entry["obj_id"],
            center_m=tuple(entry["psr"]["position"][k] for k in "xyz"),
            size_m=tuple(entry["psr"]["scale"][k] for k in "xyz"),
            yaw_rad=entry["psr"]["rotation"]["z"],
        )
        for entry in entries
    )  # fmt: skip
    calibration = json.loads((DATA / "sustechpoints/calib/camera/front.json").read_text())
    camera_from_lidar = np.array(calibration["extrinsic"]).reshape(4, 4)
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1", "sample_id": "s", "project": "p",
            "streams": [
                {"id": "front", "modality": "image", "image_size_px": [2048, 1536], "calibration": {
                    "model": "pinhole", "intrinsics": np.array(calibration["intrinsic"]).reshape(3, 3).tolist(),
                    "extrinsics": {"to": "lidar", "matrix": np.linalg.inv(camera_from_lidar).tolist()}}},
                {"id": "lidar", "modality": "lidar"},
            ],
        }
    )  # fmt: skip
    cloud = read_pcd_xyz("sustechpoints/lidar/000965.pcd")
    sample = CheckSample(manifest, cuboids, clouds_m={"lidar": cloud})
    outcome = check_lidar_camera(sample, DEFAULT_RULE_SET)
    assert outcome.findings == ()
    assert "no boxes" in outcome.not_applicable[0].reason
    near = min(cuboids, key=lambda c: float(np.linalg.norm(c.center_m)))
    x, y, z = near.center_m
    moved = near.model_copy(update={"center_m": (x, y, z + 4.0)})
    rest = tuple(moved if c is near else c for c in cuboids)
    (finding,) = findings(CheckSample(manifest, rest, clouds_m={"lidar": cloud}))
    assert (finding.kind, finding.annotations) == ("no_points_inside", (near.id,))
