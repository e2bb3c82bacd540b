"""Bad input ends in a sentence that says what to change, or in a reason why a check does not apply."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli.main import app

CAM = {"id": "cam", "modality": "image", "image_size_px": [640, 480]}
LIDAR = {"id": "lidar", "modality": "lidar"}
SOUND = {"id": "sound", "modality": "audio", "uri": "call.wav", "media_type": "audio/wav"}
TURN = [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
LENS = {"model": "pinhole", "intrinsics": [[700, 0, 320], [0, 700, 240], [0, 0, 1]]}
BOX = {"id": "b", "type": "box", "stream": "cam", "label": "car", "object_id": "o", "box": [10, 10, 50, 50]}
CUBOID = {
    "id": "c", "type": "cuboid", "stream": "lidar", "label": "car", "object_id": "o", "center_m": [10, 0, 0],
    "size_m": [4, 2, 1.5], "yaw_rad": 0,
}  # fmt: skip
SEGMENT = {
    "id": "t", "type": "transcript_segment", "stream": "sound", "label": "speech", "text": "hi", "start_s": 0,
    "end_s": 1,
}  # fmt: skip


def seen(**changes: Any) -> dict[str, Any]:
    calibration = {**LENS, "extrinsics": {"to": "lidar", "matrix": TURN}, **changes}
    return {**CAM, "calibration": calibration}


def check(folder: Path, streams: list[Any], labels: list[Any]) -> tuple[int, dict[str, Any], str]:
    document = {
        "format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": streams, "annotations": labels,
    }  # fmt: skip
    (folder / "s.json").write_text(json.dumps(document), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(folder / "s.json"), "--format", "json"])
    return result.exit_code, json.loads(result.stdout), result.stderr


@pytest.mark.parametrize(
    ("streams", "labels", "says"),
    [
        ([CAM], [{**BOX, "box": [10, 10, 10, 50]}], "/annotations/0/box: a box is [x_min, y_min, x_max, y_max] with"),
        ([LIDAR], [{**CUBOID, "size_m": [0, 2, 1.5]}], "/annotations/0/size_m/0: Input should be greater than 0"),
        ([CAM], [{**BOX, "box": [float("nan"), 10, 50, 50]}], "NaN is not a JSON number; send a finite number"),
        ([{**CAM, "clock": {"rate_hz": 0}}], [BOX], "/streams/0/clock/rate_hz: Input should be greater than 0"),
        ([CAM], [{**BOX, "stream": "nope"}], "/annotations/0/stream: there is no stream 'nope'; streams are ['cam']"),
        (
            [seen(intrinsics=[[0, 0, 320], [0, 700, 240], [0, 0, 1]]), LIDAR], [BOX, CUBOID],
            "the focal lengths on the diagonal of intrinsics must be positive pixels",
        ),
        (
            [seen(extrinsics={"to": "lidar", "matrix": [[0, 0, 0, 0]] * 3 + [[0, 0, 0, 1]]}), LIDAR], [BOX, CUBOID],
            "the upper left 3x3 of matrix must be a rotation",
        ),
    ],
    ids=["zero-area box", "cuboid without length", "NaN", "0 Hz", "no such stream", "singular lens", "singular pose"],
)  # fmt: skip
def test_what_no_manifest_may_say_names_the_place_and_what_to_change(
    tmp_path: Path, streams: list[Any], labels: list[Any], says: str
) -> None:
    code, told, _ = check(tmp_path, streams, labels)
    assert code == 2
    assert told["samples"] == []
    assert says in json.dumps(told["errors"], ensure_ascii=False)


@pytest.mark.parametrize(
    ("streams", "labels", "name", "reason"),
    [
        ([CAM], [BOX], "track_identity", "stream cam is labelled in one frame; an identity needs two"),
        (
            [seen(extrinsics={"to": "ego", "matrix": TURN}), LIDAR], [BOX, CUBOID],
            "lidar_camera", "no extrinsics lead from lidar to camera cam",
        ),
        ([{**SOUND, "uri": None}], [SEGMENT], "audio_transcript", "stream sound has no readable recording"),
    ],
    ids=["one frame", "a pose to elsewhere", "no recording"],
)  # fmt: skip
def test_what_can_not_be_judged_says_why(
    tmp_path: Path, streams: list[Any], labels: list[Any], name: str, reason: str
) -> None:
    code, told, _ = check(tmp_path, streams, labels)
    (sample,) = told["samples"]
    assert (code, sample["findings"]) == (0, [])
    assert any(one["check"] == name and reason in one["reason"] for one in sample["not_applicable"])


def test_a_pose_onto_itself_is_a_contradiction_and_leads_nowhere(tmp_path: Path) -> None:
    code, told, _ = check(tmp_path, [seen(extrinsics={"to": "cam", "matrix": TURN}), LIDAR], [BOX, CUBOID])
    (sample,) = told["samples"]
    assert (code, [one["kind"] for one in sample["findings"]]) == (1, ["contradictory_calibration"])
    assert any("no extrinsics lead from lidar to camera cam" in one["reason"] for one in sample["not_applicable"])


def test_a_cuboid_behind_the_camera_is_a_finding(tmp_path: Path) -> None:
    code, told, _ = check(tmp_path, [seen(), LIDAR], [BOX, {**CUBOID, "center_m": [-10, 0, 0]}])
    assert (code, [one["kind"] for one in told["samples"][0]["findings"]]) == (1, ["low_overlap"])


def test_a_recording_without_a_sound_is_empty_and_one_without_a_byte_unreadable(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "call.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
    _, told, _ = check(tmp_path, [SOUND], [SEGMENT])
    reasons = {one["reason"] for one in told["samples"][0]["not_applicable"]}
    assert "the recording of stream sound is empty" in reasons
    (tmp_path / "call.wav").write_bytes(b"")
    code, told, _ = check(tmp_path, [SOUND], [SEGMENT])
    (finding,) = told["samples"][0]["findings"]
    assert (code, finding["kind"]) == (1, "asset_unreadable")
    assert "can not be decoded as WAV, FLAC or Ogg" in finding["message"]
    # The same file is the same finding: no address of the memory it was read into.
    assert " at 0x" not in finding["message"]


def test_a_file_of_two_gigabytes_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "s.rttm").open("wb") as file:
        file.write(b"SPEAKER call 1 0.0 1.0 <NA> <NA> ann <NA> <NA>\n")
        file.truncate(2 << 30)
    result = CliRunner().invoke(app, ["check", str(tmp_path / "s.rttm"), "--format", "json"])
    assert result.exit_code == 2
    (error,) = json.loads(result.stdout)["errors"]
    assert error["code"] == "payload-too-large"
    assert "at most 536870912 are read" in error["detail"]
