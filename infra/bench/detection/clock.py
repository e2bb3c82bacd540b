"""Known faults of clocks, put into moments that two recorded clocks told alike."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.bench.detection.event_recordings import seconds_of
from infra.bench.detection.fault import Inject, Injected, LabelFault
from services.alignment.sample import CheckSample
from services.contracts.manifest import Clock, SampleManifest, Stream

CHECK = "clock"
Floats = NDArray[np.float64]
_SOUND_HZ = 24_000
_FRAMES_HZ = 60.0


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield moments by two clocks: of sounds (seconds, samples), of actions (seconds, frames), and of a camera."""
    for column, name, rate_hz in (("start_sample", "sounds", _SOUND_HZ), ("start_frame", "actions", _FRAMES_HZ)):
        for video, seconds, counts in kitchen_moments(data, name, column):
            yield video, sample_of(video, {"seconds": seconds, "counted": counts / rate_hz})
    camera = camera_clocks(data)
    if camera is not None:
        host, sensor = camera
        yield "camera", sample_of("camera", {"host": host - host[0], "sensor": sensor - sensor[0]})


def kitchen_moments(data: Path, name: str, column: str) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield (video, seconds, counts) of a table of events, in order of time; counts are of frames or of samples."""
    path = data / "epic" / f"{name}.csv"
    if not path.is_file():
        return
    rows: dict[str, set[tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["video_id"], set()).add((seconds_of(row["start_timestamp"]), float(row[column])))
    for video, moments in sorted(rows.items()):
        table = np.array(sorted(moments))
        yield video, table[:, 0], np.maximum.accumulate(table[:, 1])


def camera_clocks(data: Path) -> tuple[Floats, Floats] | None:
    """Return when each frame of a video arrived (host) and was taken (sensor), seconds; None without the recording."""
    path = data / "openlabel_vcd/tests/etc/vcd330_sample_pd.json"
    if not path.is_file():
        return None
    frames = json.loads(path.read_text(encoding="utf-8"))["VCD"]["frames"]
    sensor = [
        float(item["val"]) for frame in frames for item in frame["frameProperties"] if item["name"] == "sampletime"
    ]
    return np.array([float(frame["timestamp"]) for frame in frames]) / 1e6, np.array(sensor) / 1e6


def sample_of(name: str, clocks: dict[str, Floats]) -> CheckSample:
    """Return a sample with one stream a clock."""
    streams = tuple(
        Stream(id=stream, modality="video", clock=Clock(timestamps=tuple(float(time) for time in times)))
        for stream, times in clocks.items()
    )
    manifest = SampleManifest(format="concord.sample/1", sample_id=name, project="bench", streams=streams)
    return CheckSample(manifest=manifest, annotations=())


def _one(change: Callable[[Floats, np.random.Generator], Floats | None], *, regular: bool = False) -> Inject:
    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        first, second = sample.manifest.streams
        times = np.array([t for t in second.clock.timestamps if isinstance(t, float)]) if second.clock else np.zeros(0)
        # Fewer than ten moments show no rhythm, and ten seconds no drift.
        if len(times) < 10 or times[-1] - times[0] < 10 or (regular and sample.manifest.sample_id != "camera"):
            return None
        changed = change(times, rng)
        if changed is None:
            return None
        clock = Clock(timestamps=tuple(changed.tolist()))
        manifest = sample.manifest.model_copy(update={"streams": (first, second.model_copy(update={"clock": clock}))})
        return replace(sample, manifest=manifest), frozenset()

    return inject


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _set_back(times: Floats, rng: np.random.Generator) -> Floats:
    place = int(rng.integers(1, len(times)))
    changed = times.copy()
    changed[place] = changed[place - 1] - float(rng.uniform(0.05, 2.0))
    return changed


def _lost(times: Floats, rng: np.random.Generator) -> Floats:
    place, count = int(rng.integers(5, len(times) - 10)), int(rng.integers(1, 6))
    return np.delete(times, slice(place, place + count))


def _jittered(times: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(
        np.maximum.accumulate(times + rng.uniform(-0.5, 0.5, len(times)) * float(np.median(np.diff(times)))),
        dtype=np.float64,
    )


def _drifting(times: Floats, rng: np.random.Generator) -> Floats:
    travel_s = float(rng.uniform(0.3, 1.5)) * _sign(rng)
    share = (times - times[0]) / (times[-1] - times[0])
    return np.asarray(times + share * travel_s, dtype=np.float64)


def _stepped(times: Floats, rng: np.random.Generator) -> Floats:
    place = int(rng.integers(3, len(times) - 3))
    return times + np.where(np.arange(len(times)) >= place, float(rng.uniform(0.3, 5.0)), 0.0)


FAULTS = (
    LabelFault(CHECK, "non_monotonic", _one(_set_back)),
    LabelFault(CHECK, "no_progress", _one(lambda times, _: np.full_like(times, times[0]))),
    LabelFault(CHECK, "duplicate_timestamp", _one(lambda times, _: np.repeat(times, 2)[: len(times)])),
    LabelFault(CHECK, "drop", _one(_lost, regular=True)),
    LabelFault(CHECK, "jitter", _one(_jittered, regular=True)),
    LabelFault(CHECK, "offset", _one(lambda times, rng: times + float(rng.uniform(0.3, 3.0)) * _sign(rng))),
    LabelFault(CHECK, "offset", _one(lambda times, rng: times + 86_400 * _sign(rng)), name="a day off"),
    LabelFault(CHECK, "drift", _one(_drifting)),
    LabelFault(CHECK, "step", _one(_stepped)),
    LabelFault(CHECK, "contradictory_clock", _one(lambda times, _: times * 1_000), name="milliseconds"),
)
