"""Known faults of object ids, put into real tracks: KITTI (boxes and cuboids) and MOT challenge (boxes)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from infra.bench.detection.camera_pairs import camera_pairs, exchange_in_one_camera
from infra.bench.detection.fault import Injected, LabelFault
from infra.storage import kitti_folder
from services.alignment.sample import CheckSample
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.formats.mot import Role, read_mot
from services.rules.track_identity import TrackIdentityRules

CHECK = "track_identity"
LEAST = 3
"""Frames an object must have on both sides of a fault for anybody to see it."""

MIN_SIDE_PX = 12.0
APART = 0.8
"""Objects of which nobody could tell which is which lie nearer than so many sizes when their ids are exchanged."""

Label = Box | Cuboid
Tracks = dict[str, dict[int, list[Label]]]


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield whole KITTI tracking sequences, also as seen by two cameras, and MOT challenge sequences; each a group."""
    if (data / "kitti_tracking").is_dir():
        for manifest in kitti_folder.iter_manifests(data / "kitti_tracking", "bench", clip_frames=10_000):
            yield "-".join(manifest.sample_id.split("-")[:3]), CheckSample(manifest, manifest.annotations)
    for path in sorted((data / "mot_motmetrics").glob("*/gt.txt")):
        yield f"mot-{path.parent.name}", mot_sample(path)
    yield from camera_pairs(data)


def mot_sample(path: Path) -> CheckSample:
    """Return a MOT challenge file as a sample with one video stream."""
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": path.parent.name,
            "project": "bench",
            "streams": [{"id": "video", "modality": "video"}],
        }
    )
    role: Role = "annotation" if path.name == "gt.txt" else "prediction"
    return CheckSample(manifest, read_mot(path.read_text(), stream="video", role=role, source=path.name))


def _tracks(sample: CheckSample) -> Tracks:
    tracks: Tracks = defaultdict(lambda: defaultdict(list))
    for label in sample.annotations:
        if isinstance(label, Box | Cuboid) and label.object_id is not None and not label.ignore:
            tracks[label.object_id][label.frame or 0].append(label)
    return tracks


def _plain(labels: Iterable[Label]) -> bool:
    """Whether a person would see the object: high enough, and not cut off."""
    for label in labels:
        if label.truncation:
            return False
        if isinstance(label, Box) and min(label.box[2] - label.box[0], label.box[3] - label.box[1]) < MIN_SIDE_PX:
            return False
    return True


def _pick(rng: np.random.Generator, choices: list[tuple[str, int]]) -> tuple[str, int] | None:
    return choices[int(rng.integers(len(choices)))] if choices else None


def _inner(tracks: Tracks, span: int = 1) -> list[tuple[str, int]]:
    """Return (object, frame) where ``span`` frames from the frame on lie well inside an unbroken life."""
    found = []
    for name in sorted(tracks):
        frames = sorted(tracks[name])
        for index in range(LEAST, len(frames) - LEAST - span + 1):
            around = frames[index - LEAST : index + span + LEAST]
            if around[-1] - around[0] == len(around) - 1 and all(_plain(tracks[name][frame]) for frame in around):
                found.append((name, frames[index]))
    return found


def _some(labels: list[Label], sides: tuple[type, ...]) -> list[Label]:
    return [label for label in labels if isinstance(label, sides)]


def _sides(sample: CheckSample, rng: np.random.Generator) -> tuple[type, ...]:
    """Return whose ids go wrong: the object's everywhere, the boxes' or the cuboids'."""
    if not any(isinstance(label, Cuboid) for label in sample.annotations):
        return (Box,)
    options: tuple[tuple[type, ...], ...] = ((Box, Cuboid), (Box,), (Cuboid,))
    return options[int(rng.integers(3))]


def _changed(sample: CheckSample, new: dict[str, Label | None], more: Iterable[Label] = ()) -> CheckSample:
    kept = (new.get(label.id, label) for label in sample.annotations)
    return replace(sample, annotations=(*(label for label in kept if label is not None), *more))


def _renamed(labels: Iterable[Label], name: str) -> dict[str, Label | None]:
    return {label.id: label.model_copy(update={"object_id": name}) for label in labels}


def _from(track: dict[int, list[Label]], first: int, last: int = 10**9) -> list[Label]:
    return [label for frame in sorted(track) if first <= frame <= last for label in track[frame]]


def _switch(sample: CheckSample, rng: np.random.Generator, *, span: int, missing: int) -> Injected | None:
    tracks = _tracks(sample)
    chosen = _pick(rng, _inner(tracks, max(span, missing, 1)))
    if chosen is None:
        return None
    name, frame = chosen
    sides = _sides(sample, rng)
    last = frame + span - 1 if span else 10**9
    wrong = _some(_from(tracks[name], frame + missing, last), sides)
    gone = _some(_from(tracks[name], frame, frame + missing - 1), sides) if missing else []
    new: dict[str, Label | None] = {**_renamed(wrong, "fresh-id"), **{label.id: None for label in gone}}
    return _changed(sample, new), frozenset(label.id for label in wrong)


def _apart(a: list[Label], b: list[Label]) -> bool:
    """Whether two objects are far enough apart in a frame, and alike enough in size, to tell an exchange."""
    for one in a:
        for other in b:
            if isinstance(one, Box) and isinstance(other, Box):
                size = max(np.sqrt((x.box[2] - x.box[0]) * (x.box[3] - x.box[1])) for x in (one, other))
                x = (one.box[0] + one.box[2] - other.box[0] - other.box[2]) / 2
                y = (one.box[1] + one.box[3] - other.box[1] - other.box[3]) / 2
                if np.hypot(x, y) < APART * size:
                    return False
    return True


def _pairs(tracks: Tracks, span: int) -> list[tuple[str, str, int]]:
    inner: dict[int, list[str]] = defaultdict(list)
    for name, frame in _inner(tracks, span):
        inner[frame].append(name)
    return [
        (a, b, frame)
        for frame, names in sorted(inner.items())
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if tracks[a][frame][0].label == tracks[b][frame][0].label and _apart(tracks[a][frame], tracks[b][frame])
    ]


def _swap(sample: CheckSample, rng: np.random.Generator, *, span: int) -> Injected | None:
    tracks = _tracks(sample)
    pairs = _pairs(tracks, max(span, 1))
    if not pairs:
        return None
    a, b, frame = pairs[int(rng.integers(len(pairs)))]
    sides, last = _sides(sample, rng), frame + span - 1 if span else 10**9
    rows_a, rows_b = (_some(_from(tracks[name], frame, last), sides) for name in (a, b))
    changed = _changed(sample, {**_renamed(rows_a, b), **_renamed(rows_b, a)})
    return changed, frozenset(label.id for label in (*rows_a, *rows_b))


def _merge(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    tracks = _tracks(sample)
    pairs = _pairs(tracks, 1)
    if not pairs:
        return None
    a, b, _ = pairs[int(rng.integers(len(pairs)))]
    wrong = _some(_from(tracks[b], 0), _sides(sample, rng))
    return _changed(sample, _renamed(wrong, a)), frozenset(label.id for label in wrong)


def _reuse(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    tracks = _tracks(sample)
    ends = [(name, max(track)) for name, track in tracks.items() if len(track) >= LEAST]
    pairs = [
        (a, b) for a, end in ends for b, _ in ends if a != b and min(tracks[b]) > end + 1 and len(tracks[b]) >= LEAST
    ]
    if not pairs:
        return None
    a, b = pairs[int(rng.integers(len(pairs)))]
    wrong = _some(_from(tracks[b], 0), _sides(sample, rng))
    return _changed(sample, _renamed(wrong, a)), frozenset(label.id for label in wrong)


def _one_frame(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    tracks = _tracks(sample)
    pairs = _pairs(tracks, 1)
    if not pairs:
        return None
    a, b, frame = pairs[int(rng.integers(len(pairs)))]
    wrong = _some(tracks[b][frame], _sides(sample, rng))
    return _changed(sample, _renamed(wrong, a)), frozenset(label.id for label in wrong)


def _copied(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    tracks = _tracks(sample)
    chosen = _pick(rng, _inner(tracks))
    if chosen is None:
        return None
    label = _some(tracks[chosen[0]][chosen[1]], _sides(sample, rng))[0]
    copy = label.model_copy(update={"id": f"{label.id}-copy"})
    return _changed(sample, {}, [copy]), frozenset({label.id, copy.id})


def _flip(sample: CheckSample, rng: np.random.Generator, *, span: int) -> Injected | None:
    tracks = _tracks(sample)
    chosen = _pick(rng, _inner(tracks, span))
    if chosen is None:
        return None
    name, frame = chosen
    wrong = _some(_from(tracks[name], frame, frame + span - 1), _sides(sample, rng))
    other = "truck" if wrong[0].label != "truck" else "bus"
    new: dict[str, Label | None] = {label.id: label.model_copy(update={"label": other}) for label in wrong}
    return _changed(sample, new), frozenset(new)


def _jump(sample: CheckSample, rng: np.random.Generator, *, sizes: float) -> Injected | None:
    tracks = _tracks(sample)
    chosen = _pick(rng, _inner(tracks))
    if chosen is None:
        return None
    wrong = _some(tracks[chosen[0]][chosen[1]], _sides(sample, rng))
    side = 1.0 if rng.random() < 0.5 else -1.0
    new: dict[str, Label | None] = {label.id: _moved(label, side * sizes) for label in wrong}
    return _changed(sample, new), frozenset(new)


def _moved(label: Label, sizes: float) -> Label:
    if isinstance(label, Box):
        x0, y0, x1, y1 = label.box
        shift = sizes * float(np.sqrt((x1 - x0) * (y1 - y0)))
        return label.model_copy(update={"box": (x0 + shift, y0, x1 + shift, y1)})
    x, y, z = label.center_m
    return label.model_copy(update={"center_m": (x, y + sizes * label.size_m[0], z)})


def _gap(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    tracks = _tracks(sample)
    missing = TrackIdentityRules().max_gap_frames + 1
    chosen = _pick(rng, _inner(tracks, missing))
    if chosen is None:
        return None
    name, frame = chosen
    gone = _from(tracks[name], frame, frame + missing - 1)
    left = {label.id for label in (*tracks[name][frame - 1], *tracks[name][frame + missing])}
    return _changed(sample, {label.id: None for label in gone}), frozenset(left)


def _fault(kind: str, name: str, inject: Callable[..., Injected | None], *also: str, **options: object) -> LabelFault:
    return LabelFault(CHECK, kind, partial(inject, **options), also=frozenset(also), name=name)


FAULTS = (
    _fault("switch", "new id for good", _switch, span=0, missing=0),
    _fault("switch", "new id for 4 frames", _switch, span=4, missing=0),
    _fault("swap", "ids exchanged for good", _swap, span=0),
    _fault("swap", "ids exchanged for 5 frames", _swap, span=5),
    _fault("split", "new id after 5 frames without labels", _switch, span=0, missing=5),
    _fault("merge", "two tracks with one id", _merge),
    _fault("reuse", "a later track with an old id", _reuse, "gap"),
    _fault("duplicate_in_frame", "another object's id in one frame", _one_frame),
    _fault("duplicate_in_frame", "one label twice", _copied),
    _fault("class_flip", "another class in one frame", _flip, span=1),
    _fault("class_flip", "another class in 6 frames", _flip, span=6),
    _fault("jump", "one label 1 size aside", _jump, sizes=1.0),
    _fault("jump", "one label 3 sizes aside", _jump, sizes=3.0),
    _fault("gap", "labels missing for longer than the rule allows", _gap),
    _fault("cross_camera_mismatch", "two ids exchanged in one camera", exchange_in_one_camera),
)
