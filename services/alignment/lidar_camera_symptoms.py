"""Single disagreements between cuboids and camera boxes, before any common cause is looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from services.alignment.geometry import Bools, Floats
from services.alignment.lidar_camera_pairs import Pairs
from services.alignment.lidar_camera_scene import (
    UNKNOWN_OCCLUSION,
    Rows,
    Scene,
    canonical_label,
    concerned_streams,
    ignored_boxes,
    meaning_of,
    rows_of_frame,
    thresholds_of,
)
from services.alignment.matching import cover_matrix, iou_pairs
from services.alignment.projection import ProjectedCuboids
from services.contracts.findings import Finding, LabelPatch, Measured, Severity, Suggestion, finding_id
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import RuleSet

CHECK = "lidar_camera"
_BORDER_PX = 2.0


@dataclass(frozen=True, slots=True)
class Symptom:
    """A finding with what it is about.

    Attributes:
        finding: The finding.
        object_key: The object's identity, for folding over time; None where it has none.
        rows: The rows of the scene's tables that it concerns, as (table, row).
    """

    finding: Finding
    object_key: str | None
    rows: frozenset[tuple[str, int]]


def find_symptoms(scene: Scene, projected: ProjectedCuboids, pairs: Pairs, rules: RuleSet) -> tuple[Symptom, ...]:
    """Return every symptom of a scene, given one projection and pairing of it.

    Args:
        scene: The labels.
        projected: The cuboids in the image.
        pairs: Which belong together.
        rules: The rule set.
    """
    judge = _Judge(scene, projected, pairs, rules)
    return (*judge.pairs_at_fault(), *judge.cuboids_alone(), *judge.boxes_alone())


class _Judge:
    def __init__(self, scene: Scene, projected: ProjectedCuboids, pairs: Pairs, rules: RuleSet) -> None:
        self._scene = scene
        self._projected = projected
        self._pairs = pairs
        self._rules = rules
        self._limits: LidarCameraRules = rules.lidar_camera
        self._streams = concerned_streams(scene)
        self._meaning = meaning_of(self._limits)
        ignore_cover = self._limits.ignore_cover
        self._cuboid_hidden = self._hidden(scene.cuboids) | ignored_boxes(
            projected.boxes_px, scene.cuboids.frames, scene.boxes, ignore_cover
        )
        self._box_hidden = self._hidden(scene.boxes) | ignored_boxes(
            scene.boxes.boxes_px, scene.boxes.frames, scene.boxes, ignore_cover
        )

    def _hidden(self, rows: Rows) -> Bools:
        occluded = (rows.occlusion > self._limits.max_occlusion) & (rows.occlusion != UNKNOWN_OCCLUSION)
        return np.asarray(rows.ignore | occluded | (rows.truncation > self._limits.max_truncation))

    def pairs_at_fault(self) -> Iterator[Symptom]:
        """Yield what is wrong with two labels of one object: identity, class, place."""
        scene, limits = self._scene, self._limits
        c, b = self._pairs.cuboids, self._pairs.boxes
        boxes = scene.boxes.boxes_px[b]
        iou = iou_pairs(self._projected.boxes_px[c], boxes)
        height = boxes[:, 3] - boxes[:, 1]
        near_enough = self._projected.depth_m[c] <= limits.max_range_m
        # A cuboid that lost its box by leaving the image is at fault: only what its box shows can exempt it.
        exempt = self._cuboid_hidden[c] | self._box_hidden[b] | (height < limits.min_height_px) | ~near_enough
        for k in range(len(c)):
            yield from self._identity(int(c[k]), int(b[k]), float(iou[k]), by_id=bool(self._pairs.by_id[k]))
            if not exempt[k]:
                yield from self._place(int(c[k]), int(b[k]), float(iou[k]))

    def _identity(self, c: int, b: int, iou: float, *, by_id: bool) -> Iterator[Symptom]:
        scene = self._scene
        cuboid, box = scene.cuboids.annotations[c], scene.boxes.annotations[b]
        ids = scene.cuboids.object_ids[c], scene.boxes.object_ids[b]
        if self._pairs.ids_shared and not by_id and None not in ids and ids[0] != ids[1]:
            message = (
                f"Cuboid {cuboid.id} of object {ids[0]} lies on box {box.id} of object {ids[1]} "
                f"(IoU {iou:.2f}); one of the two ids is wrong."
            )
            patch = LabelPatch(upsert=(box.model_copy(update={"object_id": ids[0]}),))
            yield self._symptom(
                "object_id_mismatch", "major", message, cuboid=c, box=b,
                measured=Measured(value=iou, unit="iou", threshold=self._limits.id_conflict_iou),
                suggestion=Suggestion(summary=f"Give box {box.id} the object id {ids[0]}.", patch=patch),
            )  # fmt: skip
        trusted = by_id or iou >= scene.thresholds[c].min_iou
        if trusted and self._meaning(cuboid.label) != self._meaning(box.label):
            message = f"Cuboid {cuboid.id} is labelled {cuboid.label} and its box {box.id} {box.label} (IoU {iou:.2f})."
            yield self._symptom(
                "class_mismatch", "major", message, cuboid=c, box=b,
                measured=Measured(value=iou, unit="iou"), suggestion=self._class_fix(c, b),
            )  # fmt: skip

    def _class_fix(self, c: int, b: int) -> Suggestion:
        """Keep the class that the object has most often, else the one that fits the cuboid's size better."""
        scene = self._scene
        cuboid, box = scene.cuboids.annotations[c], scene.boxes.annotations[b]
        object_id = scene.cuboids.object_ids[c]
        for_cuboid, for_box = (self._votes[object_id, canonical_label(label.label)] for label in (cuboid, box))
        if for_cuboid == for_box:
            typical = thresholds_of(self._limits)
            size = np.log(scene.cuboids.sizes_m[c])
            misfit = [
                float(np.abs(size - np.log(typical(name).typical_size_m)).sum()) for name in (cuboid.label, box.label)
            ]
            keep_cuboid = misfit[0] < misfit[1]
        else:
            keep_cuboid = for_cuboid > for_box
        kept, changed = (cuboid, box) if keep_cuboid else (box, cuboid)
        patch = LabelPatch(upsert=(changed.model_copy(update={"label": kept.label}),))
        return Suggestion(summary=f"Relabel {changed.id} as {kept.label}, like {kept.id}.", patch=patch)

    @cached_property
    def _votes(self) -> Counter[tuple[str | None, str]]:
        """How often each object, by its id, has each class; a label without an id votes for nothing."""
        return Counter(
            (object_id, canonical_label(label))
            for rows in (self._scene.cuboids, self._scene.boxes)
            for label, object_id in zip(rows.labels, rows.object_ids, strict=True)
            if object_id is not None
        )

    def _place(self, c: int, b: int, iou: float) -> Iterator[Symptom]:
        scene, limits = self._scene, self._limits
        cuboid, box = scene.cuboids.ids[c], scene.boxes.ids[b]
        class_limits = scene.box_thresholds[b]
        heights = self._comparable_heights(c, b)
        depth = float(self._projected.depth_m[c])
        # Small boxes are drawn to a few pixels: only what exceeds that speaks about the distance.
        excess = (max(heights) - limits.depth_noise_px) / min(heights) if heights is not None else 1.0
        if heights is not None and excess >= limits.depth_ratio:
            expected = depth * heights[0] / heights[1]
            severity: Severity = "major" if excess >= limits.depth_ratio_major else "minor"
            message = (
                f"Cuboid {cuboid} stands {depth:.1f} m away, but the size of its box {box} asks for "
                f"about {expected:.1f} m (IoU {iou:.2f})."
            )
            yield self._symptom(
                "depth_implausible", severity, message, cuboid=c, box=b,
                measured=Measured(value=depth, unit="m", threshold=expected),
            )  # fmt: skip
            return
        if iou < class_limits.min_iou:
            severity = "major" if iou < class_limits.min_iou_major else "minor"
            message = (
                f"Cuboid {cuboid} and box {box} ({scene.boxes.labels[b]}) overlap with IoU {iou:.2f}; "
                f"at least {class_limits.min_iou:.2f} is expected."
            )
            yield self._symptom(
                "low_overlap", severity, message, cuboid=c, box=b,
                measured=Measured(value=iou, unit="iou", threshold=class_limits.min_iou),
            )  # fmt: skip
            return
        if self._meaning(scene.cuboids.labels[c]) == self._meaning(scene.boxes.labels[b]):
            yield from self._height(c, b, depth)

    def _comparable_heights(self, c: int, b: int) -> tuple[float, float] | None:
        """Heights of the projection and of the box, where the two look the same way and the box is not cut off.

        A box inside the image shows its object whole: a projection that leaves the image is then too large or too near.
        """
        p, box = self._projected.unclipped_px[c], self._scene.boxes.boxes_px[b]
        if not np.isfinite(p).all() or self._projected.clipped_near[c] or self._is_cut(box):
            return None
        extent, box_extent = p[2:] - p[:2], box[2:] - box[:2]
        offset = np.abs((p[2:] + p[:2]) - (box[2:] + box[:2])) / 2
        if (offset > 0.35 * np.maximum(extent, box_extent)).any():
            return None
        # A size too small for the numbers, or so far away that it has none on the image, says nothing on depth.
        if min(extent[1], box_extent[1]) <= 0.0:
            return None
        return float(extent[1]), float(box_extent[1])

    def _is_cut(self, box: Floats) -> bool:
        camera = self._scene.camera
        return bool(
            (box[:2] <= _BORDER_PX).any()
            or box[2] >= camera.width_px - _BORDER_PX
            or box[3] >= camera.height_px - _BORDER_PX
        )

    def _height(self, c: int, b: int, depth: float) -> Iterator[Symptom]:
        """A cuboid too far or too near and scaled to match fits its box, but has an impossible height."""
        low, high = self._scene.box_thresholds[b].height_m
        height = float(self._scene.cuboids.sizes_m[c, 2])
        if low <= height <= high:
            return
        expected = depth * (low if height < low else high) / height
        message = (
            f"Cuboid {self._scene.cuboids.ids[c]} fits its box {self._scene.boxes.ids[b]} only because it is "
            f"{height:.2f} m high; a {self._scene.boxes.labels[b]} of {low:.1f} to {high:.1f} m would not stand "
            f"{depth:.1f} m away but {'beyond' if height < low else 'within'} {expected:.1f} m."
        )
        yield self._symptom(
            "depth_implausible", "major", message, cuboid=c, box=b,
            measured=Measured(value=depth, unit="m", threshold=expected),
        )  # fmt: skip

    def cuboids_alone(self) -> Iterator[Symptom]:
        """Yield cuboids that the camera must see and that have no box."""
        scene, p, limits = self._scene, self._projected, self._limits
        alone = np.ones(len(scene.cuboids), dtype=np.bool_)
        alone[self._pairs.cuboids] = False
        height = p.boxes_px[:, 3] - p.boxes_px[:, 1]
        alone &= p.visible & ~self._cuboid_hidden & (p.truncation <= limits.max_truncation)
        alone &= (height >= limits.min_height_px) & (p.depth_m <= limits.max_range_m) & (p.depth_m > 0)
        alone &= np.isin(scene.cuboids.frames, sorted(scene.judged_frames))
        for c in np.flatnonzero(alone).tolist():
            if self._is_covered(c):
                continue
            place = ", ".join(f"{value:.0f}" for value in p.boxes_px[c])
            message = (
                f"Cuboid {scene.cuboids.ids[c]} ({scene.cuboids.labels[c]}, {p.depth_m[c]:.1f} m away) is inside the "
                f"image of {scene.camera_id} at [{place}], but no box belongs to it."
            )
            yield self._symptom(
                "unmatched_cuboid", self._missing_severity(float(height[c])), message, cuboid=c,
                measured=Measured(value=float(height[c]), unit="px", threshold=limits.min_height_px),
            )  # fmt: skip

    def _is_covered(self, c: int) -> bool:
        """Whether a nearer cuboid stands in front of one: labellers box what they see."""
        scene, p = self._scene, self._projected
        here = rows_of_frame(scene.cuboids.frames, int(scene.cuboids.frames[c]))
        nearer = p.visible[here] & (p.depth_m[here] < p.depth_m[c] - 1.0)
        cover = cover_matrix(p.boxes_px[c : c + 1], p.boxes_px[here][nearer])
        return bool((cover >= self._limits.occluder_cover).any())

    def boxes_alone(self) -> Iterator[Symptom]:
        """Yield boxes of things that the LiDAR must see and that have no cuboid."""
        scene, limits = self._scene, self._limits
        boxes = scene.boxes.boxes_px
        alone = np.ones(len(scene.boxes), dtype=np.bool_)
        alone[self._pairs.boxes] = False
        height = boxes[:, 3] - boxes[:, 1]
        distance = np.array(
            [
                scene.camera.focal_px * entry.typical_size_m[2] / max(h, 1e-6)
                for entry, h in zip(scene.box_thresholds, height.tolist(), strict=True)
            ]
        )
        alone &= ~self._box_hidden & (height >= limits.min_height_px) & (distance <= limits.max_range_m)
        alone &= (scene.seen_points < 0) | (scene.seen_points >= limits.min_points_seen)
        alone &= np.isin(scene.boxes.frames, sorted(scene.judged_frames))
        for b in np.flatnonzero(alone).tolist():
            points = f", {scene.seen_points[b]} LiDAR points behind it" if scene.seen_points[b] >= 0 else ""
            message = (
                f"Box {scene.boxes.ids[b]} ({scene.boxes.labels[b]}, {height[b]:.0f} px high, so about "
                f"{distance[b]:.0f} m away{points}) has no cuboid in {scene.spatial_id}."
            )
            yield self._symptom(
                "unmatched_box", self._missing_severity(float(height[b])), message, box=b,
                measured=Measured(value=float(height[b]), unit="px", threshold=limits.min_height_px),
            )  # fmt: skip

    def _missing_severity(self, height_px: float) -> Severity:
        return "major" if height_px >= self._limits.major_height_px else "minor"

    def _symptom(
        self,
        kind: str,
        severity: Severity,
        message: str,
        *,
        cuboid: int | None = None,
        box: int | None = None,
        measured: Measured | None = None,
        suggestion: Suggestion | None = None,
    ) -> Symptom:
        scene = self._scene
        rows: list[tuple[Rows, int]] = []
        if cuboid is not None:
            rows.append((scene.cuboids, cuboid))
        if box is not None:
            rows.append((scene.boxes, box))
        ids = tuple(dict.fromkeys(table.ids[row] for table, row in rows))
        frames = (int(rows[0][0].frames[rows[0][1]]),)
        object_ids = sorted({i for table, row in rows if (i := table.object_ids[row]) is not None})
        finding = Finding(
            finding_id=finding_id(CHECK, kind, self._rules.id, streams=self._streams, annotations=ids, frames=frames),
            check=CHECK,
            kind=kind,
            severity=severity,
            message=message,
            measured=measured,
            streams=self._streams,
            annotations=ids,
            frames=frames,
            rule=self._rules.reference,
            suggestion=suggestion,
        )
        concerned = {("cuboid", cuboid), ("box", box)}
        return Symptom(
            finding,
            "+".join(object_ids) or None,
            frozenset((table, row) for table, row in concerned if row is not None),
        )
