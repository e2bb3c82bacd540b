"""Known faults between cuboids and camera boxes, put into KITTI frames and clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault
from infra.bench.detection.recordings import as_injection, read_samples
from infra.demo import faults
from infra.storage import kitti_folder
from services.alignment.extrinsics import transform_between
from services.alignment.geometry import matrix_from_rotation_vector, rigid
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import Calibration, Extrinsics

_Mistake = Callable[[Annotation], Annotation]

CHECK = "lidar_camera"
_LEAST_OBJECTS = 3
CLIP_FRAMES = 20
_MISPLACED = faults.MISPLACED
_EDGE_PX = 5.0
_LEAST_HEIGHT_PX = 40.0
"""Below it, labels of a clean recording differ by as much as a fault of depth does."""


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield KITTI object frames, each a group, and tracking clips of 20 frames, grouped by sequence."""
    if (data / "kitti_object").is_dir():
        yield from read_samples(kitti_folder.iter_manifests(data / "kitti_object", "bench"), 3)
    if (data / "kitti_tracking").is_dir():
        clips = kitti_folder.iter_manifests(data / "kitti_tracking", "bench", clip_frames=CLIP_FRAMES)
        yield from read_samples(clips, 3)


def _pair(sample: CheckSample, rng: np.random.Generator) -> tuple[Cuboid, Box] | None:
    """Return a cuboid and its box that no rule exempts: whole, in sight, near enough."""
    sizes = {stream.id: stream.image_size_px for stream in sample.manifest.streams}
    boxes = {
        (label.frame, label.object_id): label
        for label in sample.annotations
        if isinstance(label, Box) and not label.ignore
    }
    pairs = []
    for cuboid in sample.annotations:
        if not isinstance(cuboid, Cuboid) or cuboid.truncation or (cuboid.occlusion or 0) > 1:
            continue
        box = boxes.get((cuboid.frame, cuboid.object_id))
        size = sizes[box.stream] if box is not None else None
        if box is None or size is None:
            continue
        x_min, y_min, x_max, y_max = box.box
        inside = x_min > _EDGE_PX and y_min > _EDGE_PX and x_max < size[0] - _EDGE_PX and y_max < size[1] - _EDGE_PX
        if inside and y_max - y_min >= _LEAST_HEIGHT_PX:
            pairs.append((cuboid, box))
    return pairs[int(rng.integers(len(pairs)))] if pairs else None


def _changed(sample: CheckSample, old: Annotation, new: Annotation | None) -> CheckSample:
    kept = (new if label is old else label for label in sample.annotations)
    return replace(sample, annotations=tuple(label for label in kept if label is not None))


def _no_cuboid(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Remove the cuboid of an object; others stay."""
    pair = _pair(sample, rng)
    cuboids = sum(isinstance(label, Cuboid) for label in sample.annotations)
    if pair is None or cuboids < 2:
        return None
    return _changed(sample, pair[0], None), frozenset({pair[1].id})


def _other_object(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Give the box of an object another id, where other objects show that both streams share their ids."""
    pair = _pair(sample, rng)
    if pair is None:
        return None
    ids = [
        {label.object_id for label in sample.annotations if isinstance(label, kind) and label.object_id is not None}
        for kind in (Box, Cuboid)
    ]
    if len(ids[0] & ids[1]) < 2:
        return None
    wrong = pair[1].model_copy(update={"object_id": f"{pair[1].object_id}-other"})
    return _changed(sample, pair[1], wrong), frozenset({pair[0].id, wrong.id})


def _along_the_ray(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Move a cuboid towards the sensor or away from it, so that it stays before its box."""
    pair = _pair(sample, rng)
    if pair is None:
        return None
    factor = (0.6, 1.7)[int(rng.integers(2))]
    x, y, z = pair[0].center_m
    moved = pair[0].model_copy(update={"center_m": (factor * x, factor * y, factor * z)})
    return _changed(sample, pair[0], moved), frozenset({moved.id, pair[1].id})


def _above_the_ground(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Lift the cuboid of an object off its points; only where there is a point cloud."""
    pair = _pair(sample, rng)
    if pair is None or not sample.clouds_m:
        return None
    x, y, z = pair[0].center_m
    moved = pair[0].model_copy(update={"center_m": (x, y, z + 4.0)})
    return _changed(sample, pair[0], moved), frozenset({moved.id, pair[1].id})


def _late(sample: CheckSample, rng: np.random.Generator, *, frames: int) -> Injected | None:
    """Give every cuboid a later frame; what leaves the clip is lost."""
    del rng
    last = max((label.frame or 0 for label in sample.annotations if isinstance(label, Box | Cuboid)), default=0)
    if last < CLIP_FRAMES - 1:
        return None
    moved = (
        label.model_copy(update={"frame": (label.frame or 0) + frames}) if isinstance(label, Cuboid) else label
        for label in sample.annotations
    )
    first = min(label.frame or 0 for label in sample.annotations if isinstance(label, Box | Cuboid))
    kept = tuple(
        label for label in moved if not isinstance(label, Cuboid) or first <= (label.frame or 0) <= last + first
    )
    return replace(sample, annotations=kept), frozenset()


def _imported(sample: CheckSample, rng: np.random.Generator, *, mistake: str) -> Injected | None:
    """Let an importer read all boxes, or all cuboids, in another convention."""
    del rng
    objects = {label.object_id for label in sample.annotations if isinstance(label, Cuboid)}
    if len(objects) < _LEAST_OBJECTS:
        return None
    changed = tuple(_MISTAKES[mistake](label) for label in sample.annotations)
    return replace(sample, annotations=changed), frozenset()


def _on_boxes(change: Callable[[float, float, float, float], tuple[float, float, float, float]]) -> _Mistake:
    return lambda label: label.model_copy(update={"box": change(*label.box)}) if isinstance(label, Box) else label


def _on_cuboids(change: Callable[[Cuboid], dict[str, object]]) -> _Mistake:
    return lambda label: label.model_copy(update=change(label)) if isinstance(label, Cuboid) else label


def _lowered(cuboid: Cuboid) -> dict[str, object]:
    x, y, z = cuboid.center_m
    return {"center_m": (x, y, z - cuboid.size_m[2] / 2)}


def _exchanged(cuboid: Cuboid) -> dict[str, object]:
    length, width, height = cuboid.size_m
    return {"size_m": (width, length, height)}


def _mirrored(cuboid: Cuboid) -> dict[str, object]:
    x, y, z = cuboid.center_m
    a, b, c, d = cuboid.rotation_wxyz or (1.0, 0.0, 0.0, 0.0)
    return {"center_m": (x, -y, z), "rotation_wxyz": (a, -b, c, -d)}


def _contradicted(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Let the LiDAR state its own way to the camera, half a degree to two degrees off the camera's."""
    pair = _pair(sample, rng)
    if pair is None:
        return None
    lidar, camera = pair[0].stream, pair[1].stream
    camera_from_lidar = transform_between(sample.manifest, dst_stream=camera, src_stream=lidar)
    if camera_from_lidar is None or any(s.id == lidar and s.calibration for s in sample.manifest.streams):
        return None
    axis = rng.normal(size=3)
    turn = matrix_from_rotation_vector(axis / np.linalg.norm(axis) * np.radians(rng.uniform(0.5, 2.0)))
    matrix = rigid(turn, np.zeros(3)) @ camera_from_lidar
    extrinsics = Extrinsics.model_validate({"to": camera, "matrix": matrix.tolist()})
    streams = tuple(
        stream.model_copy(update={"calibration": Calibration(extrinsics=extrinsics)}) if stream.id == lidar else stream
        for stream in sample.manifest.streams
    )
    return replace(sample, manifest=sample.manifest.model_copy(update={"streams": streams})), frozenset()


_MISTAKES: dict[str, _Mistake] = {
    "centre for corner": _on_boxes(lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, (3 * c - a) / 2, (3 * d - b) / 2)),
    "image half as large": _on_boxes(lambda a, b, c, d: (a / 2, b / 2, c / 2, d / 2)),
    "image 1.5 times as large": _on_boxes(lambda a, b, c, d: (1.5 * a, 1.5 * b, 1.5 * c, 1.5 * d)),
    "x and y exchanged": _on_boxes(lambda a, b, c, d: (b, a, d, c)),
    "bottom for centre": _on_cuboids(_lowered),
    "length and width exchanged": _on_cuboids(_exchanged),
    "left for right": _on_cuboids(_mirrored),
}


FAULTS = (
    LabelFault(
        CHECK, "low_overlap", as_injection(faults.move_cuboid), also=_MISPLACED - {"low_overlap"},
        name="cuboid 3 m sideways",
    ),
    LabelFault(CHECK, "unmatched_cuboid", as_injection(faults.lose_box), name="box lost"),
    LabelFault(CHECK, "unmatched_box", _no_cuboid, name="cuboid lost"),
    LabelFault(CHECK, "class_mismatch", as_injection(faults.swap_class), name="class swapped"),
    LabelFault(CHECK, "object_id_mismatch", _other_object, name="another object's id"),
    LabelFault(
        CHECK, "depth_implausible", _along_the_ray, also=_MISPLACED - {"depth_implausible"},
        name="cuboid nearer or farther",
    ),
    LabelFault(
        CHECK, "no_points_inside", _above_the_ground, also=_MISPLACED - {"no_points_inside"}, name="cuboid 4 m too high"
    ),
    *(
        LabelFault(
            CHECK,
            "calibration_shift",
            as_injection(partial(faults.turn_camera, by_deg=degrees)),
            name=f"yaw {degrees:+g} deg",
        )
        for degrees in (1.0, -1.0, 2.0, -2.0)
    ),
    LabelFault(CHECK, "contradictory_calibration", _contradicted, name="the LiDAR states another pose"),
    *(
        LabelFault(CHECK, "time_offset", partial(_late, frames=frames), name=f"cuboids {frames:+d} frames")
        for frames in (3, -3, 5)
    ),
    *(
        LabelFault(CHECK, "importer_error", partial(_imported, mistake=mistake), name=f"importer: {mistake}")
        for mistake in _MISTAKES
    ),
)  # fmt: skip
