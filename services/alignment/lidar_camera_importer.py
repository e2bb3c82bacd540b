"""One cause behind many misplaced labels: an importer that read the numbers of one stream in another convention.

A short list of conversions is tried, each a mistake that readers of other formats make. A conversion is the cause where
undoing it makes nearly every object agree: the mean overlap (IoU) of the objects rises by ``min_iou_gain`` at least
and ends above ``min_iou``, ``min_error_fall`` of what was missing to a full overlap vanishes, and ``min_agreement`` of
the objects come closer or stay as they are. An object has one vote, however many frames it is seen in. Labels that
agree can not gain so much, so there is nothing to find in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from services.alignment.geometry import Floats
from services.alignment.lidar_camera_pairs import associate, pair_by_id, share_ids
from services.alignment.lidar_camera_scene import UNKNOWN_OCCLUSION, Scene, concerned_streams
from services.alignment.matching import iou_pairs
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.findings import Cause, Finding, LabelPatch, Measured, Suggestion, finding_id
from services.contracts.labels_spatial import Cuboid, SpatialTrack
from services.contracts.labels_visual import Box, Track
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import RuleSet

CHECK = "lidar_camera"
KIND = "importer_error"
_MAX_PATCH = 10_000
_LEAST_LOG_SCALE = 0.05
_SAME_IOU = 0.05
"""A person is as long as wide: what is wrong with other objects leaves their overlap as it is."""

_MIRROR = np.diag([1.0, -1.0, 1.0])

FixBoxes = Callable[[Floats], Floats]
"""Boxes as they were read to boxes as they were meant: (n, 4) to (n, 4), pixels."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A mistake of an importer, and how to undo it.

    Attributes:
        name: Its name in the cause's estimate.
        says: What the importer did, after "the boxes" or "the cuboids".
        boxes: Undoes it in boxes; None where it concerns cuboids.
        raised: Share of its own height by which a cuboid is to be raised.
        exchanged: Whether length and width are to be exchanged.
        mirrored_turn: Whether rotations are to be taken the other way round.
        mirrored_place: Whether the y of centres is to be negated.
    """

    name: str
    says: str
    boxes: FixBoxes | None = None
    raised: float = 0.0
    exchanged: bool = False
    mirrored_turn: bool = False
    mirrored_place: bool = False

    def undo(self, scene: Scene) -> Scene:
        """Return the scene with the labels as they were meant."""
        if self.boxes is not None:
            return replace(scene, boxes=replace(scene.boxes, boxes_px=self.boxes(scene.boxes.boxes_px)))
        rows = scene.cuboids
        rotations = _MIRROR @ rows.rotations @ _MIRROR if self.mirrored_turn else rows.rotations
        centers = rows.centers_m * (_MIRROR.diagonal() if self.mirrored_place else 1.0)
        up = rotations[:, :, 2] * (self.raised * rows.sizes_m[:, 2:])
        sizes = rows.sizes_m[:, [1, 0, 2]] if self.exchanged else rows.sizes_m
        return replace(scene, cuboids=replace(rows, centers_m=centers + up, sizes_m=sizes, rotations=rotations))

    def undo_label(self, label: Annotation) -> Annotation:
        """Return a label as it was meant."""
        if isinstance(label, Box):
            return label.model_copy(update={"box": self._box(label.box)})
        if isinstance(label, Track):
            boxes = tuple(one.model_copy(update={"box": self._box(one.box)}) for one in label.boxes)
            return label.model_copy(update={"boxes": boxes})
        if isinstance(label, Cuboid):
            return label.model_copy(
                update=self._cuboid(label.center_m, label.size_m, label.yaw_rad, label.rotation_wxyz)
            )
        if isinstance(label, SpatialTrack):
            cuboids = tuple(
                one.model_copy(update=self._cuboid(one.center_m, one.size_m, one.yaw_rad, one.rotation_wxyz))
                for one in label.cuboids
            )
            return label.model_copy(update={"cuboids": cuboids})
        return label

    def _box(self, box: tuple[float, float, float, float]) -> tuple[float, ...]:
        if self.boxes is None:
            return box
        return tuple(round(float(value), 6) for value in self.boxes(np.array([box]))[0])

    def _cuboid(
        self,
        center_m: tuple[float, float, float],
        size_m: tuple[float, float, float],
        yaw_rad: float | None,
        rotation_wxyz: tuple[float, float, float, float] | None,
    ) -> dict[str, object]:
        turn = -1.0 if self.mirrored_turn else 1.0
        w, x, y, z = rotation_wxyz or (1.0, 0.0, 0.0, 0.0)
        x, z = turn * x, turn * z  # a mirrored rotation turns the other way about the axes in the mirror
        up = self.raised * size_m[2] * np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        center = np.array(center_m) * (_MIRROR.diagonal() if self.mirrored_place else 1.0) + up
        length, width, height = size_m
        changes: dict[str, object] = {"center_m": tuple(round(float(value), 6) for value in center)}
        if self.exchanged:
            changes["size_m"] = (width, length, height)
        if self.mirrored_turn and yaw_rad is not None:
            changes["yaw_rad"] = -yaw_rad
        if self.mirrored_turn and rotation_wxyz is not None:
            changes["rotation_wxyz"] = (w, x, y, z)
        return changes


@dataclass(frozen=True, slots=True)
class ImporterError:
    """A proved conversion.

    Attributes:
        conversion: What went wrong.
        scene: The labels as they were meant, cut at the image's edges.
        iou_before: Mean overlap of the objects as they are.
        iou_after: With the conversion undone.
        agreement: Share of the objects that come closer, or stay as they are.
        objects: How many they are.
    """

    conversion: Conversion
    scene: Scene
    iou_before: float
    iou_after: float
    agreement: float
    objects: int


def find_importer_error(scene: Scene, rules: LidarCameraRules) -> ImporterError | None:
    """Return the conversion that, undone, makes the labels agree best; None where none is proved.

    Args:
        scene: The labels as they are.
        rules: The section ``importer`` holds what proves a conversion.
    """
    limits = rules.importer
    if not limits.enabled or not len(scene.boxes) or not len(scene.cuboids):
        return None
    before = object_overlaps(scene.clipped(), rules)
    if len(before) < limits.min_objects or _mean(before) > 1.0 - limits.min_iou_gain:
        return None
    found: list[ImporterError] = []
    for conversion in _conversions(scene):
        meant = conversion.undo(scene).clipped()
        after = object_overlaps(meant, rules)
        names = sorted(before.keys() | after.keys())
        closer = [after.get(name, 0.0) > before.get(name, 0.0) - _SAME_IOU for name in names]
        error = ImporterError(conversion, meant, _mean(before), _mean(after), sum(closer) / len(names), len(names))
        gain = error.iou_after - error.iou_before
        if (
            gain >= limits.min_iou_gain
            and gain >= limits.min_error_fall * (1.0 - error.iou_before)
            and error.iou_after >= limits.min_iou
            and error.agreement >= limits.min_agreement
        ):
            found.append(error)
    return max(found, key=lambda one: (round(one.iou_after, 3), one.conversion.name), default=None)


def object_overlaps(scene: Scene, rules: LidarCameraRules) -> dict[str, float]:
    """Return the mean IoU of each object's boxes with its cuboids, 0 where it has no partner.

    Counted are boxes that no rule exempts; an object is an object_id, or a box without one.
    """
    boxes = scene.boxes
    projected = scene.project(rules.near_plane_m).boxes_px
    if share_ids(scene):
        c, b = pair_by_id(scene)
    else:
        pairs = associate(scene, projected, rules)
        c, b = pairs.cuboids, pairs.boxes
    iou = np.zeros(len(boxes))
    iou[b] = iou_pairs(projected[c], boxes.boxes_px[b])
    hidden = (boxes.occlusion > rules.max_occlusion) & (boxes.occlusion != UNKNOWN_OCCLUSION)
    counted = ~(boxes.ignore | hidden | (boxes.truncation > rules.max_truncation))
    if share_ids(scene):
        paired = np.zeros(len(boxes), dtype=np.bool_)
        paired[b] = True
        counted &= paired
    by_object: dict[str, list[float]] = defaultdict(list)
    for row in np.flatnonzero(counted).tolist():
        name = boxes.object_ids[row]
        by_object[f"object {name}" if name is not None else f"row {row}"].append(float(iou[row]))
    return {name: float(np.mean(values)) for name, values in by_object.items()}


def _mean(overlaps: dict[str, float]) -> float:
    return float(np.mean(list(overlaps.values()))) if overlaps else 0.0


def _conversions(scene: Scene) -> Iterator[Conversion]:
    """Yield what importers get wrong; the size of another image is estimated from the labels."""
    width_px, height_px = scene.camera.width_px, scene.camera.height_px
    yield Conversion("center_as_corner", "hold their centre where the corner belongs", boxes=_centred)
    yield Conversion("extent_as_corner", "hold their width and height where the far corner belongs", boxes=_extended)
    yield Conversion("axes_exchanged", "have x and y exchanged", boxes=lambda b: b[:, [1, 0, 3, 2]])
    yield Conversion("mirrored", "are mirrored left to right", boxes=partial(_mirrored, width_px=width_px))
    yield Conversion("upside_down", "count y from the bottom", boxes=partial(_flipped, height_px=height_px))
    for scale in _scales(scene):
        says = f"belong to an image {scale[0]:.3g} times as wide and {scale[1]:.3g} times as high"
        yield Conversion("scaled", says, boxes=partial(_scaled, scale=scale))
    yield Conversion("bottom_as_center", "have the centre of their bottom where their own belongs", raised=0.5)
    yield Conversion("top_as_center", "have the centre of their top where their own belongs", raised=-0.5)
    yield Conversion("length_width_exchanged", "have length and width exchanged (or are turned by 90°)", exchanged=True)
    yield Conversion("yaw_reversed", "are turned the wrong way round", mirrored_turn=True)
    yield Conversion("y_reversed", "are mirrored left to right", mirrored_turn=True, mirrored_place=True)


def _centred(boxes: Floats) -> Floats:
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.hstack((boxes[:, :2] - half, boxes[:, 2:] - half))


def _extended(boxes: Floats) -> Floats:
    return np.hstack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))


def _mirrored(boxes: Floats, *, width_px: float) -> Floats:
    return np.stack((width_px - boxes[:, 2], boxes[:, 1], width_px - boxes[:, 0], boxes[:, 3]), axis=1)


def _flipped(boxes: Floats, *, height_px: float) -> Floats:
    return np.stack((boxes[:, 0], height_px - boxes[:, 3], boxes[:, 2], height_px - boxes[:, 1]), axis=1)


def _scaled(boxes: Floats, *, scale: tuple[float, float]) -> Floats:
    return np.asarray(boxes / np.array([*scale, *scale]))


def _scales(scene: Scene) -> Iterator[tuple[float, float]]:
    """Yield by how much boxes are too large: as boxes of one id say, or else the usual sizes of small copies."""
    c, b = pair_by_id(scene) if share_ids(scene) else (np.empty(0, np.intp), np.empty(0, np.intp))
    projected = scene.project(0.1)
    whole = projected.visible[c] & (projected.truncation[c] < 0.01)
    if whole.any():
        mine, theirs = scene.boxes.boxes_px[b[whole]], projected.boxes_px[c[whole]]
        ratio = np.median((mine[:, 2:] + mine[:, :2]) / (theirs[:, 2:] + theirs[:, :2]), axis=0)
        if np.isfinite(ratio).all() and (ratio > 0).all() and np.abs(np.log(ratio)).max() > _LEAST_LOG_SCALE:
            yield float(ratio[0]), float(ratio[1])
        return
    for both in (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 3.0, 4.0):
        yield both, both


def importer_finding(scene: Scene, error: ImporterError, explained: tuple[Finding, ...], rules: RuleSet) -> Finding:
    """Return the finding that names the conversion and folds what it explains.

    Args:
        scene: The labels as they are.
        error: The proved conversion.
        explained: The symptoms that vanish when it is undone.
        rules: The rule set.
    """
    conversion = error.conversion
    rows, stream, what = (
        (scene.boxes, scene.camera_id, "boxes")
        if conversion.boxes is not None
        else (scene.cuboids, scene.spatial_id, "cuboids")
    )
    labels = {label.id: label for label in rows.annotations}
    place = f"{KIND}:{conversion.name}:{scene.camera_id}:{scene.spatial_id}"
    estimate: dict[str, Scalar] = {
        "conversion": conversion.name,
        "iou_before": round(error.iou_before, 3),
        "iou_after": round(error.iou_after, 3),
        "agreement": round(error.agreement, 3),
        "objects": error.objects,
    }
    summary = f"Convert the {len(labels)} labels of {stream}, and correct the importer that made them."
    patch = None
    if len(labels) <= _MAX_PATCH:
        patch = LabelPatch(upsert=tuple(conversion.undo_label(labels[name]) for name in sorted(labels)))
    return Finding(
        finding_id=finding_id(CHECK, KIND, rules.id, streams=concerned_streams(scene), place=place),
        check=CHECK,
        kind=KIND,
        severity="critical",
        message=f"The {what} of {stream} {conversion.says}: {error.objects} objects overlap with a mean IoU of "
        f"{error.iou_before:.2f}, and of {error.iou_after:.2f} once that is undone.",
        measured=Measured(value=error.iou_before, unit="iou", threshold=rules.lidar_camera.importer.min_iou),
        streams=concerned_streams(scene),
        annotations=tuple(sorted(labels)),
        frames=tuple(sorted({frame for finding in explained for frame in finding.frames})),
        cause=Cause(kind=KIND, group=place[:200], estimate=estimate),
        rule=rules.reference,
        suggestion=Suggestion(summary=summary, patch=patch),
        explains=tuple(sorted(finding.finding_id for finding in explained)),
    )
