"""Known faults between cuboids and camera boxes, put into KITTI frames and clips."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.bench.detection.fault import LabelFault
from infra.bench.detection.recordings import as_injection, read_samples
from infra.demo import faults
from infra.storage import kitti_folder
from services.alignment.sample import CheckSample

CHECK = "lidar_camera"
CLIP_FRAMES = 20
_MISPLACED = faults.MISPLACED - {"low_overlap"}

FAULTS = (
    LabelFault(CHECK, "low_overlap", as_injection(faults.move_cuboid), also=_MISPLACED, name="cuboid 3 m sideways"),
    LabelFault(CHECK, "unmatched_cuboid", as_injection(faults.lose_box), name="box lost"),
    LabelFault(CHECK, "class_mismatch", as_injection(faults.swap_class), name="class swapped"),
    *(
        LabelFault(
            CHECK,
            "calibration_shift",
            as_injection(partial(faults.turn_camera, by_deg=degrees)),
            name=f"yaw {degrees:+g} deg",
        )
        for degrees in (1.0, -1.0, 2.0, -2.0)
    ),
)


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield KITTI object frames, each a group, and tracking clips of 20 frames, grouped by sequence."""
    if (data / "kitti_object").is_dir():
        yield from read_samples(kitti_folder.iter_manifests(data / "kitti_object", "bench"), 3)
    if (data / "kitti_tracking").is_dir():
        clips = kitti_folder.iter_manifests(data / "kitti_tracking", "bench", clip_frames=CLIP_FRAMES)
        yield from read_samples(clips, 3)
