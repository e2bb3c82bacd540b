"""Known faults put into clean KITTI labels, and what the check makes of them.

``python -m tests.unit.lidar_camera_faults`` prints the table: kind, injected, found, false alarms.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from infra.storage.kitti_folder import iter_manifests
from services.alignment.geometry import matrix_from_rotation_vector
from services.alignment.lidar_camera import check_lidar_camera
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import DEFAULT_RULE_SET

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
AXES = {"yaw": (0.0, 0.0, 1.0), "pitch": (0.0, 1.0, 0.0), "roll": (1.0, 0.0, 0.0)}
SWAPPED = {"car": "pedestrian", "van": "pedestrian", "pedestrian": "car", "cyclist": "car", "truck": "cyclist"}


@cache
def tracking_samples(
    clip_frames: int, sequences: tuple[str, ...] = ("0000", "0003", "0012")
) -> tuple[CheckSample, ...]:
    manifests = iter_manifests(DATA / "kitti_tracking", "av", clip_frames=clip_frames)
    wanted = set(sequences)
    return tuple(CheckSample(m, m.annotations) for m in manifests if m.sample_id.split("-")[2] in wanted)


@cache
def object_samples() -> tuple[CheckSample, ...]:
    samples = []
    for manifest in iter_manifests(DATA / "kitti_object", "av"):
        stem = manifest.sample_id.rsplit("-", 1)[1]
        raw = np.fromfile(DATA / "kitti_object/training/velodyne" / f"{stem}.bin", dtype=np.float32)
        clouds = {"lidar_top": raw.reshape(-1, 4)[:, :3]}
        samples.append(CheckSample(manifest, manifest.annotations, clouds_m=clouds))
    return tuple(samples)


def turned(sample: CheckSample, axis: str, degrees: float) -> CheckSample:
    """Turn the camera's calibration about an axis of the LiDAR (x forward, y left, z up)."""
    camera = sample.manifest.streams[0]
    assert camera.calibration is not None
    assert camera.calibration.extrinsics is not None
    matrix = np.array(camera.calibration.extrinsics.matrix)
    matrix[:3, :3] = matrix_from_rotation_vector(np.radians(degrees) * np.array(AXES[axis])) @ matrix[:3, :3]
    document = sample.manifest.model_dump(mode="json")
    document["streams"][0]["calibration"]["extrinsics"]["matrix"] = matrix.tolist()
    return replace(sample, manifest=SampleManifest.model_validate(document))


def late(sample: CheckSample, frames: int) -> CheckSample:
    """Give every cuboid a later frame; what leaves the clip is lost."""
    last = max(a.frame or 0 for a in sample.annotations)
    moved = (
        a.model_copy(update={"frame": (a.frame or 0) + frames}) if isinstance(a, Cuboid) else a
        for a in sample.annotations
    )
    return replace(sample, annotations=tuple(a for a in moved if 0 <= (a.frame or 0) <= last))


def without_ids(sample: CheckSample) -> CheckSample:
    return replace(sample, annotations=tuple(a.model_copy(update={"object_id": None}) for a in sample.annotations))


def changed(sample: CheckSample, old: Annotation, new: Annotation | None) -> CheckSample:
    kept = (new if a is old else a for a in sample.annotations)
    return replace(sample, annotations=tuple(a for a in kept if a is not None))


def moved_sideways(cuboid: Cuboid, metres: float) -> Cuboid:
    x, y, z = cuboid.center_m
    side = np.array([-y, x]) / np.hypot(x, y) * metres
    return cuboid.model_copy(update={"center_m": (x + side[0], y + side[1], z)})


def findings(sample: CheckSample, least: str = "major") -> tuple[Finding, ...]:
    outcome = check_lidar_camera(sample, DEFAULT_RULE_SET)
    return tuple(f for f in outcome.findings if SEVERITY_ORDER[f.severity] >= SEVERITY_ORDER[least])


def judgeable(sample: CheckSample) -> list[tuple[Cuboid, Box]]:
    """Pairs that no rule exempts: visible, whole, near enough, and not at the image's border."""
    width, height = sample.manifest.streams[0].image_size_px or (1242, 375)
    boxes = {(a.frame, a.object_id): a for a in sample.annotations if isinstance(a, Box) and not a.ignore}
    pairs = []
    for cuboid in sample.annotations:
        if not isinstance(cuboid, Cuboid):
            continue
        box = boxes[cuboid.frame, cuboid.object_id]
        x0, y0, x1, y1 = box.box
        inside = x0 > 5 and y0 > 5 and x1 < width - 5 and y1 < height - 5
        clear = cuboid.occlusion in (0, 1, 3) and not cuboid.truncation
        if inside and clear and y1 - y0 >= 20 and np.linalg.norm(cuboid.center_m) < 75:
            pairs.append((cuboid, box))
    return pairs


@dataclass(slots=True)
class Tally:
    """Faults of one kind."""

    injected: int = 0
    found: int = 0
    others: int = 0


Injection = Callable[[CheckSample, random.Random], tuple[CheckSample, Callable[[Finding], bool]] | None]


def _pick(sample: CheckSample, rng: random.Random) -> tuple[Cuboid, Box] | None:
    pairs = judgeable(sample)
    return rng.choice(pairs) if pairs else None


def move_cuboid(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None:
        return None
    moved = moved_sideways(pair[0], rng.choice((-3.0, 3.0)))
    return changed(sample, pair[0], moved), lambda f: moved.id in f.annotations


def remove_cuboid(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None:
        return None
    box = pair[1]
    return changed(sample, pair[0], None), lambda f: f.kind == "unmatched_box" and box.id in f.annotations


def remove_box(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None:
        return None
    cuboid = pair[0]
    return changed(sample, pair[1], None), lambda f: f.kind == "unmatched_cuboid" and cuboid.id in f.annotations


def swap_class(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None or pair[0].label not in SWAPPED:
        return None
    side = pair[rng.randrange(2)]
    wrong = side.model_copy(update={"label": SWAPPED[side.label]})
    return changed(sample, side, wrong), lambda f: f.kind == "class_mismatch" and wrong.id in f.annotations


def swap_id(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None:
        return None
    wrong = pair[1].model_copy(update={"object_id": f"{pair[1].object_id}-wrong"})
    return changed(sample, pair[1], wrong), lambda f: f.kind == "object_id_mismatch" and wrong.id in f.annotations


def move_in_depth(sample: CheckSample, rng: random.Random) -> tuple[CheckSample, Callable[[Finding], bool]] | None:
    pair = _pick(sample, rng)
    if pair is None:
        return None
    factor = rng.choice((0.6, 1.7))
    center = tuple(factor * value for value in pair[0].center_m)
    moved = pair[0].model_copy(update={"center_m": center})
    return changed(sample, pair[0], moved), lambda f: moved.id in f.annotations


SINGLE: dict[str, Injection] = {
    "cuboid moved 3 m sideways": move_cuboid,
    "cuboid moved along the ray": move_in_depth,
    "cuboid removed": remove_cuboid,
    "box removed": remove_box,
    "class swapped": swap_class,
    "object id changed": swap_id,
}

WHOLE: dict[str, tuple[str, Callable[[CheckSample], CheckSample]]] = {
    "calibration yaw 0.5 deg": ("calibration_shift", lambda s: turned(s, "yaw", 0.5)),
    "calibration yaw +1 deg": ("calibration_shift", lambda s: turned(s, "yaw", 1)),
    "calibration yaw -1 deg": ("calibration_shift", lambda s: turned(s, "yaw", -1)),
    "calibration yaw +2 deg": ("calibration_shift", lambda s: turned(s, "yaw", 2)),
    "calibration yaw -2 deg": ("calibration_shift", lambda s: turned(s, "yaw", -2)),
    "calibration pitch 1 deg": ("calibration_shift", lambda s: turned(s, "pitch", 1)),
    "cuboids 3 frames late": ("time_offset", lambda s: late(s, 3)),
    "cuboids 3 frames early": ("time_offset", lambda s: late(s, -3)),
}


def inject_single(samples: Sequence[CheckSample], kind: str, seeds: Iterable[int]) -> Tally:
    tally = Tally()
    for seed in seeds:
        for index, sample in enumerate(samples):
            # An integer seed keeps the draw independent of the process's hash seed.
            injected = SINGLE[kind](sample, random.Random(seed * 10_007 + index))  # noqa: S311 - not for security
            if injected is None:
                continue
            faulty, is_hit = injected
            said = findings(faulty)
            tally.injected += 1
            tally.found += any(is_hit(f) for f in said)
            tally.others += sum(not is_hit(f) for f in said)
    return tally


def inject_whole(samples: Sequence[CheckSample], name: str) -> Tally:
    kind, fault = WHOLE[name]
    tally = Tally()
    for sample in samples:
        said = findings(fault(sample))
        tally.injected += 1
        tally.found += sum(f.kind == kind for f in said) == 1
        tally.others += sum(f.kind != kind for f in said)
    return tally


def jittered(sample: CheckSample, rng: random.Random, pixels: float, share: float) -> CheckSample:
    """Clean labels by a less careful hand: every object's boxes off by a bias of its own and a bit each frame."""
    bias: dict[str | None, list[float]] = {}

    def shake(box: Box) -> Box:
        own = bias.setdefault(box.object_id, [rng.gauss(0, 1) for _ in range(4)])
        x0, y0, x1, y1 = box.box
        noise = [o + 0.3 * rng.gauss(0, 1) for o in own]
        dx, dy = pixels + share * (x1 - x0), pixels + share * (y1 - y0)
        moved = (x0 + dx * noise[0], y0 + dy * noise[1], x1 + dx * noise[2], y1 + dy * noise[3])
        return box.model_copy(update={"box": moved})

    labels = tuple(shake(a) if isinstance(a, Box) and not a.ignore else a for a in sample.annotations)
    return replace(sample, annotations=labels)


def table() -> Iterator[str]:
    yield f"{'fault':28s} {'data':12s} injected  found  other major+"
    frames = tracking_samples(1)[::4]
    for kind in SINGLE:
        for name, samples, seeds in (
            ("object", object_samples(), range(20)),
            ("1 frame", frames, range(1)),
            ("clips of 20", tracking_samples(20), range(3)),
        ):
            tally = inject_single(samples, kind, seeds)
            yield f"{kind:28s} {name:12s} {tally.injected:8d} {tally.found:6d} {tally.others:6d}"
    for length in (10, 20, 40):
        samples = tracking_samples(length)
        for kind in WHOLE:
            tally = inject_whole(samples, kind)
            yield f"{kind:28s} clips of {length:3d} {tally.injected:8d} {tally.found:6d} {tally.others:6d}"
    for name, samples in (
        ("object", object_samples()),
        ("frames", tracking_samples(1)),
        ("clips of 10", tracking_samples(10)),
        ("clips of 40", tracking_samples(40)),
    ):
        started = time.perf_counter()
        said = [f for sample in samples for f in findings(sample, "info")]
        seconds = time.perf_counter() - started
        labels = sum(len(sample.annotations) for sample in samples)
        yield f"clean {name}: {labels} labels, {len(said)} findings, {1000 * seconds / labels:.3f} s per 1,000 labels"
    for pixels, share in ((1.0, 0.01), (1.5, 0.03)):
        kinds: Counter[str] = Counter()
        count = 0
        for seed in range(5):
            for index, sample in enumerate(tracking_samples(20)):
                rng = random.Random(seed * 10_007 + index)  # noqa: S311 - not for security
                count += 1
                kinds.update(f"{f.kind}/{f.severity}" for f in findings(jittered(sample, rng, pixels, share), "minor"))
        yield f"boxes' sides off by {pixels} px + {share:.0%}: {count} clips of 20, findings {dict(kinds)}"


if __name__ == "__main__":
    for line in table():
        sys.stdout.write(line + "\n")
