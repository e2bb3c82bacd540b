"""How much memory the largest inputs take: each is made, and checked in a process of its own whose peak is read."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from infra.bench.checks.scenes import OBJECTS, Drive, drive, driving_manifest, driving_sample
from infra.bench.checks.speech import CALL, call_manifest, segments_of, voices
from services.contracts.base import Contract
from services.contracts.canonical import parse_json
from services.contracts.manifest import SampleManifest
from services.errors import InvalidInputError

LIMIT_BYTES = 1_500_000_000
"""What every scenario must stay below."""

POINTS = 10_000_000
SPEECH_SECONDS = 3_600
SPEECH_RATE_HZ = 16_000
TRACK_FRAMES = 100_000

_ROOT = Path(__file__).resolve().parents[3]
"""Where this process has its code from, which is what the other one is to run."""

_CHUNK = 1_000_000
_LABELS_OF_A_FRAME = 2 * OBJECTS
_RUN_WITHIN_S = 1_800

Told = Callable[[str], None]


class MemoryUse(Contract):
    """One scenario.

    Attributes:
        size: What the input is.
        input_bytes: Size of its files.
        peak_bytes: The largest resident set of the process that checked it, interpreter and libraries included.
        limit_bytes: What it must stay below.
    """

    scenario: str
    size: str
    labels: int
    findings: int
    seconds: float
    input_bytes: int
    peak_bytes: int
    limit_bytes: int
    holds: bool


class MemoryReport(Contract):
    """All scenarios, in the order they were run."""

    scenarios: tuple[MemoryUse, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One large input.

    Attributes:
        name: How the command calls it.
        make: Writes it into a folder, at a share of its full size; says what it is.
    """

    name: str
    make: Callable[[Path, float], str]


def measure_memory(
    *, scenarios: tuple[str, ...] = (), share: float = 1.0, folder: Path | None = None, tell: Told = lambda _: None
) -> MemoryReport:
    """Run the scenarios one after the other.

    Args:
        scenarios: Only these; all by default.
        share: How large the inputs are, as a share of the full size.
        folder: Where the inputs are written, and removed again; the system's temporary folder by default.
        tell: Is told what is being done.

    Raises:
        InvalidInputError: There is no such scenario, or the process that ran one failed.
    """
    unknown = sorted(set(scenarios) - set(SCENARIOS))
    if unknown:
        raise InvalidInputError(f"there is no scenario {unknown[0]!r}; scenarios are {', '.join(SCENARIOS)}")
    return MemoryReport(
        scenarios=tuple(_run(SCENARIOS[name], share, folder, tell) for name in scenarios or tuple(SCENARIOS))
    )


def _run(scenario: Scenario, share: float, folder: Path | None, tell: Told) -> MemoryUse:
    with tempfile.TemporaryDirectory(prefix="concord-bench-", dir=folder) as name:
        place = Path(name)
        size = scenario.make(place, share)
        tell(f"{scenario.name}: {size}")
        told = run_child(scenario.name, place)
        input_bytes = sum(file.stat().st_size for file in place.iterdir())
    return MemoryUse(
        scenario=scenario.name,
        size=size,
        labels=told["labels"],
        findings=told["findings"],
        seconds=told["seconds"],
        input_bytes=input_bytes,
        peak_bytes=told["peak_bytes"],
        limit_bytes=LIMIT_BYTES,
        holds=told["peak_bytes"] < LIMIT_BYTES,
    )


def run_child(scenario: str, folder: Path) -> dict[str, int | float]:
    """Check the input in ``folder`` in a fresh interpreter and return what it says of itself."""
    command = (sys.executable, "-P", "-m", "infra.bench.checks.memory_child", scenario, str(folder))
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, capture_output=True, text=True, timeout=_RUN_WITHIN_S, check=False,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InvalidInputError(f"the scenario {scenario} took longer than {_RUN_WITHIN_S} s") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise InvalidInputError(f"the scenario {scenario} failed: {last[0]}")
    told: dict[str, int | float] = parse_json(done.stdout.encode())
    return told


def _write(manifest: SampleManifest, folder: Path) -> None:
    (folder / "sample.json").write_text(manifest.model_dump_json(exclude_none=True))


def make_cloud(folder: Path, share: float = 1.0) -> str:
    """Write one frame: ten cuboids with their boxes, and a cloud around and inside of them."""
    points = max(1_000, round(POINTS * share))
    rng = np.random.default_rng(3)
    centers = drive(OBJECTS).centers_m
    with (folder / "cloud.bin").open("wb") as file:
        for begin in range(0, points, _CHUNK):
            number = min(_CHUNK, points - begin)
            cloud = rng.uniform((-60.0, -60.0, -2.0, 0.0), (60.0, 60.0, 3.0, 1.0), (number, 4))
            # One point in ten lies on an object, as a sensor's do.
            on = rng.integers(0, OBJECTS, number // 10)
            cloud[: len(on), :3] = centers[on] + rng.normal(0.0, 0.4, (len(on), 3))
            file.write(cloud.astype("<f4").tobytes())
    labels = driving_sample(_LABELS_OF_A_FRAME).annotations
    _write(driving_manifest(cloud_uri="cloud.bin").model_copy(update={"annotations": labels}), folder)
    return f"{points:,} points, {len(labels)} labels"


def make_recording(folder: Path, share: float = 1.0) -> str:
    """Write a recording, 16 kHz, 16 bits, with its transcript."""
    segments = max(8, round(SPEECH_SECONDS * share / CALL.period_s))
    with soundfile.SoundFile(folder / "call.wav", "w", SPEECH_RATE_HZ, 1, "PCM_16") as file:
        for block in voices(segments, SPEECH_RATE_HZ):
            file.write(block)
    _write(call_manifest("call.wav").model_copy(update={"annotations": tuple(segments_of(segments))}), folder)
    return f"{segments * CALL.period_s:,.0f} s at {SPEECH_RATE_HZ:,} Hz, {segments:,} segments"


def make_tracks(folder: Path, share: float = 1.0) -> str:
    """Write MOT text: ten objects in every frame."""
    frames = max(2, round(TRACK_FRAMES * share))
    scene = drive(frames * OBJECTS)
    with (folder / "tracks.txt").open("w") as file:
        file.writelines(_mot_lines(scene))
    return f"{frames:,} frames, {frames * OBJECTS:,} boxes"


def _mot_lines(scene: Drive) -> Iterator[str]:
    for row, (x_min, y_min, x_max, y_max) in enumerate(scene.boxes_px.tolist()):
        frame = int(scene.frames[row])
        number = int(scene.frames[row]) // 50 * OBJECTS + int(scene.slots[row])
        yield f"{frame + 1},{number},{x_min:.2f},{y_min:.2f},{x_max - x_min:.2f},{y_max - y_min:.2f},1,-1,-1,-1\n"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("cloud", make_cloud), Scenario("recording", make_recording), Scenario("tracks", make_tracks)
    )
}  # fmt: skip
"""By name: a cloud through ``lidar_camera``, a call through ``audio_transcript``, a file through ``track_identity``."""
