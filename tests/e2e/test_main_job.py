"""The main job as a user runs it: the command line, in a process of its own, on a system of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data"
REPORTED = {
    "samples", "committed", "rejected", "in_review", "findings", "injected", "found", "false_alarms",
    "lineage_verified", "audit_verified", "seconds",
}  # fmt: skip
pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


def _demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "infra.cli.main", "demo", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.stdout, done.stderr[-4_000:]
    return done.returncode, json.loads(done.stdout)


def _recordings(name: str) -> str:
    folder = RECORDINGS / name
    if not folder.is_dir():
        pytest.skip(f"the recordings of {name} are not beside the project")
    return str(folder)


def test_made_up_samples_reach_their_end_and_every_disagreement_is_found() -> None:
    code, report = _demo()

    assert code == 0, report
    assert report.keys() >= REPORTED
    assert (report["samples"], report["committed"], report["rejected"], report["in_review"]) == (13, 12, 1, 0)
    assert (report["injected"], report["found"], report["false_alarms"]) == (8, 8, 0)
    assert report["lineage_verified"]
    assert report["audit_verified"]
    assert report["findings"]["lidar_camera"]["calibration_shift"] == 1
    assert report["findings"]["audio_transcript"]["offset"] == 1


def test_recorded_driving_frames_give_no_false_alarm_and_a_moved_cuboid_is_found() -> None:
    code, report = _demo("--data", _recordings("kitti_object"))

    assert code == 0, report
    assert report["false_alarms"] == 0
    moved = [one for one in report["injections"] if one["fault"] == "moved_cuboid"]
    assert len(moved) == 2
    assert all(one["found"] for one in moved)


def test_a_recorded_call_gives_one_offset_when_its_transcript_is_late_and_none_when_it_is_not() -> None:
    code, report = _demo("--data", _recordings("pyannote_call"))

    assert code == 0, report
    assert report["findings"]["audio_transcript"]["offset"] == 1
    assert report["false_alarms"] == 0
