"""Known disagreements, put into samples whose labels agree, with a record of what was done.

Every fault changes one thing; the record says what, and which findings would name it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.labels_language import TranscriptSegment
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import Extrinsics, SampleManifest, Stream

MISPLACED = frozenset(
    {"low_overlap", "unmatched_cuboid", "unmatched_box", "no_points_inside", "depth_implausible", "object_id_mismatch"}
)


@dataclass(frozen=True, slots=True)
class Injection:
    """What was done to a sample.

    Attributes:
        fault: Name of the fault.
        check: The check that should notice.
        kinds: The kinds of finding that name the fault, any of them.
        annotations: Ids of the labels that were changed or removed, and of those they then disagree with; empty
            where something else was changed.
        change: One sentence with the old and the new value.
        interval_s: When in the recording, for a change that leaves no label to name.
    """

    sample_id: str
    fault: str
    check: str
    kinds: frozenset[str]
    annotations: tuple[str, ...]
    change: str
    interval_s: tuple[float, float] | None = None

    def is_named_by(self, finding: Finding) -> bool:
        """Whether a finding is the right answer: of a kind that names the fault, and where the fault is."""
        if finding.check != self.check or finding.kind not in self.kinds:
            return False
        if self.annotations and finding.annotations:
            return self.touches(finding)
        if self.interval_s is not None and finding.interval_s is not None:
            return finding.interval_s[0] < self.interval_s[1] and self.interval_s[0] < finding.interval_s[1]
        return True

    def touches(self, finding: Finding) -> bool:
        """Whether a finding of the same check is about a label that was changed, whatever it says about it."""
        return finding.check == self.check and not set(self.annotations).isdisjoint(finding.annotations)


Faulty = tuple[SampleManifest, Injection]
Fault = Callable[[SampleManifest, np.random.Generator], Faulty | None]
"""Returns the changed sample with the record, or None where the fault has nothing to work on."""


def _with_annotations(manifest: SampleManifest, annotations: list[Annotation]) -> SampleManifest:
    return manifest.model_copy(update={"annotations": tuple(annotations)})


def _with_stream(manifest: SampleManifest, stream: Stream) -> SampleManifest:
    streams = tuple(stream if one.id == stream.id else one for one in manifest.streams)
    return manifest.model_copy(update={"streams": streams})


def _paired_cuboids(manifest: SampleManifest) -> list[Cuboid]:
    """Return cuboids that a camera box shows whole, nearest first: those a person would call visible."""
    sizes = {stream.id: stream.image_size_px for stream in manifest.streams}
    boxes = {
        (label.object_id, label.frame or 0)
        for label in manifest.annotations
        if isinstance(label, Box) and label.object_id and not label.ignore and _is_whole(label, sizes[label.stream])
    }
    cuboids = [
        label
        for label in manifest.annotations
        if isinstance(label, Cuboid)
        and (label.object_id, label.frame or 0) in boxes
        and (label.occlusion or 0) == 0
        and (label.truncation or 0) < 0.1
    ]
    return sorted(cuboids, key=lambda one: (float(np.linalg.norm(one.center_m)), one.id))


def _is_whole(box: Box, image_size_px: tuple[int, int] | None) -> bool:
    """Whether a box ends before the edges of the image."""
    if (box.truncation or 0) >= 0.1:
        return False
    if image_size_px is None:
        return True
    x_min, y_min, x_max, y_max = box.box
    width, height = image_size_px
    return x_min > 3 and y_min > 3 and x_max < width - 3 and y_max < height - 3


def _boxes_of(manifest: SampleManifest, cuboid: Cuboid) -> list[Box]:
    """Return the camera boxes of a cuboid's object in its frame."""
    return [label for label in manifest.annotations if isinstance(label, Box) and _is_one(cuboid, label)]


def _is_one(cuboid: Cuboid, box: Box) -> bool:
    return box.object_id == cuboid.object_id and (box.frame or 0) == (cuboid.frame or 0)


def move_cuboid(manifest: SampleManifest, rng: np.random.Generator, *, by_m: float = 3.0) -> Faulty | None:
    """Move one visible cuboid sideways, towards the middle of the view so that it stays in it."""
    cuboids = _paired_cuboids(manifest)
    if not cuboids:
        return None
    cuboid = cuboids[int(rng.integers(min(3, len(cuboids))))]
    x, y, z = cuboid.center_m
    step = -by_m if y > 0 else by_m
    moved = cuboid.model_copy(update={"center_m": (x, y + step, z)})
    annotations = [moved if label.id == cuboid.id else label for label in manifest.annotations]
    change = f"the {cuboid.label} {cuboid.id} is moved {abs(step):.1f} m sideways: y {y:.2f} m became {y + step:.2f} m"
    concerned = (cuboid.id, *(box.id for box in _boxes_of(manifest, cuboid)))
    record = Injection(manifest.sample_id, "moved_cuboid", "lidar_camera", MISPLACED, concerned, change)
    return _with_annotations(manifest, annotations), record


def lose_box(manifest: SampleManifest, rng: np.random.Generator) -> Faulty | None:
    """Remove the camera box of one visible object; others stay, so that the camera was clearly labelled."""
    cuboids = _paired_cuboids(manifest)
    if len(cuboids) < 2:
        return None
    cuboid = cuboids[int(rng.integers(min(3, len(cuboids))))]
    gone = {box.id for box in _boxes_of(manifest, cuboid)}
    annotations = [label for label in manifest.annotations if label.id not in gone]
    change = f"the box of {cuboid.label} {cuboid.object_id} is gone; its cuboid {cuboid.id} stays"
    kinds = frozenset({"unmatched_cuboid"})
    record = Injection(manifest.sample_id, "lost_box", "lidar_camera", kinds, (*sorted(gone), cuboid.id), change)
    return _with_annotations(manifest, annotations), record


def swap_class(manifest: SampleManifest, rng: np.random.Generator) -> Faulty | None:
    """Give the box of one visible object another class."""
    ids = {(cuboid.object_id, cuboid.frame or 0) for cuboid in _paired_cuboids(manifest)[:3]}
    boxes = [
        label for label in manifest.annotations if isinstance(label, Box) and (label.object_id, label.frame or 0) in ids
    ]
    if not boxes:
        return None
    box = boxes[int(rng.integers(len(boxes)))]
    other = "pedestrian" if box.label != "pedestrian" else "car"
    annotations = [
        label.model_copy(update={"label": other}) if label.id == box.id else label for label in manifest.annotations
    ]
    change = f"the box {box.id} says {other} instead of {box.label}"
    kinds = frozenset({"class_mismatch", "unmatched_box", "unmatched_cuboid"})
    partners = (cuboid.id for cuboid in _paired_cuboids(manifest) if _is_one(cuboid, box))
    record = Injection(manifest.sample_id, "swapped_class", "lidar_camera", kinds, (box.id, *partners), change)
    return _with_annotations(manifest, annotations), record


def turn_camera(manifest: SampleManifest, rng: np.random.Generator, *, by_deg: float = 2.0) -> Faulty | None:
    """Turn the calibration of the camera about its vertical axis (yaw); every label stays as it is."""
    del rng
    camera = next((one for one in manifest.streams if one.calibration and one.calibration.model), None)
    if camera is None or camera.calibration is None or camera.calibration.extrinsics is None:
        return None
    if len(_paired_cuboids(manifest)) < 10:
        return None  # one error cannot be told from ten with fewer pairs
    cos, sin = np.cos(np.radians(by_deg)), np.sin(np.radians(by_deg))
    turn = np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])
    matrix = np.array(camera.calibration.extrinsics.matrix) @ turn
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)
    extrinsics = Extrinsics(to=camera.calibration.extrinsics.to, matrix=(rows[0], rows[1], rows[2], rows[3]))
    turned = camera.model_copy(update={"calibration": camera.calibration.model_copy(update={"extrinsics": extrinsics})})
    record = Injection(
        manifest.sample_id,
        "turned_camera",
        "lidar_camera",
        frozenset({"calibration_shift"}),
        (),
        f"the calibration of {camera.id} is turned by {by_deg:g} degrees of yaw",
    )
    return _with_stream(manifest, turned), record


def delay_transcript(manifest: SampleManifest, rng: np.random.Generator, *, by_s: float = 1.5) -> Faulty | None:
    """Move every transcript segment of the call later by the same time."""
    del rng
    if not any(isinstance(label, TranscriptSegment) for label in manifest.annotations):
        return None
    annotations = [
        label.model_copy(update={"start_s": label.start_s + by_s, "end_s": label.end_s + by_s})
        if isinstance(label, TranscriptSegment)
        else label
        for label in manifest.annotations
    ]
    changed = tuple(label.id for label in manifest.annotations if isinstance(label, TranscriptSegment))
    record = Injection(
        manifest.sample_id,
        "late_transcript",
        "audio_transcript",
        frozenset({"offset"}),
        changed,
        f"every transcript segment is {by_s:g} s late",
    )
    return _with_annotations(manifest, annotations), record


def lose_segment(manifest: SampleManifest, rng: np.random.Generator) -> Faulty | None:
    """Remove one transcript segment of at least a second and a half from the middle of the call."""
    segments = [
        label
        for label in manifest.annotations
        if isinstance(label, TranscriptSegment) and label.end_s - label.start_s >= 1.5
    ]
    if len(segments) < 3:
        return None
    lost = segments[int(rng.integers(1, len(segments) - 1))]
    annotations = [label for label in manifest.annotations if label.id != lost.id]
    record = Injection(
        manifest.sample_id,
        "lost_segment",
        "audio_transcript",
        frozenset({"speech_untranscribed"}),
        (lost.id,),
        f"the segment {lost.id} from {lost.start_s:.2f} s to {lost.end_s:.2f} s is gone",
        interval_s=(lost.start_s, lost.end_s),
    )
    return _with_annotations(manifest, annotations), record


def drop_region(manifest: SampleManifest, rng: np.random.Generator) -> Faulty | None:
    """Leave the region out of the context."""
    del rng
    if manifest.context.region is None:
        return None
    record = Injection(
        manifest.sample_id,
        "missing_region",
        "context_gate",
        frozenset({"missing"}),
        (),
        f"context.region was {manifest.context.region} and is left out",
    )
    return manifest.model_copy(update={"context": manifest.context.model_copy(update={"region": None})}), record


def expire_policy(manifest: SampleManifest, rng: np.random.Generator) -> Faulty | None:
    """End the policy before the sample was captured."""
    del rng
    policy = manifest.context.policy
    if policy is None or manifest.captured_at is None:
        return None
    ended = policy.model_copy(update={"effective_to": datetime(2026, 1, 1, tzinfo=UTC)})
    record = Injection(
        manifest.sample_id,
        "expired_policy",
        "context_gate",
        frozenset({"policy_expired"}),
        (),
        f"the policy {policy.id} ends on 2026-01-01, before the sample was captured",
    )
    return manifest.model_copy(update={"context": manifest.context.model_copy(update={"policy": ended})}), record


CALL_FAULTS: tuple[Fault, ...] = (delay_transcript, lose_segment)
NAMES: dict[Fault, str] = {
    move_cuboid: "moved_cuboid",
    lose_box: "lost_box",
    swap_class: "swapped_class",
    turn_camera: "turned_camera",
    delay_transcript: "late_transcript",
    lose_segment: "lost_segment",
    drop_region: "missing_region",
    expire_policy: "expired_policy",
}
