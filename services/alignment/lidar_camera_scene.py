"""What the ``lidar_camera`` check works on: labels of one camera and one spatial stream, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from services.alignment.geometry import (
    Bools,
    Floats,
    Ints,
    cuboid_corners,
    matrices_from_quaternions,
    matrices_from_yaw,
    transform_points,
)
from services.alignment.matching import cover_matrix
from services.alignment.projection import Camera, ProjectedCuboids, project_cuboids
from services.contracts.annotations import Annotation
from services.contracts.label_base import Rotation3d
from services.contracts.labels_spatial import Cuboid, SpatialTrack, TrackCuboid
from services.contracts.labels_visual import Box, Track, TrackBox
from services.rules.lidar_camera import ClassThresholds, LidarCameraRules

UNKNOWN_OCCLUSION = 3


@dataclass(frozen=True, slots=True)
class Rows:
    """Labels of one stream, one row an appearance, ordered by frame and id.

    Attributes:
        ids: Annotation ids; a track has many rows with its id.
        frames: Shape (n,): frame indices of the camera's stream.
        labels: Class names.
        object_ids: Identities, or None.
        truncation: Shape (n,): 0 where it is not stated.
        occlusion: Shape (n,): 0 to 3; 3 where it is not stated.
        ignore: Shape (n,).
        annotations: Where each row came from.
    """

    ids: tuple[str, ...]
    frames: Ints
    labels: tuple[str, ...]
    object_ids: tuple[str | None, ...]
    truncation: Floats
    occlusion: Ints
    ignore: Bools
    annotations: tuple[Annotation, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class BoxRows(Rows):
    """Camera boxes; ``boxes_px`` has the shape (n, 4)."""

    boxes_px: Floats


@dataclass(frozen=True, slots=True)
class CuboidRows(Rows):
    """Cuboids in their stream's frame: (n, 3), (n, 3), (n, 3, 3), and the points the labeller counted or -1."""

    centers_m: Floats
    sizes_m: Floats
    rotations: Floats
    point_counts: Ints


@dataclass(frozen=True, slots=True)
class Scene:
    """One camera and one spatial stream with their labels.

    Attributes:
        camera_id: The camera's stream.
        spatial_id: The cuboids' stream.
        camera: Its model.
        camera_from_spatial: Shape (4, 4).
        boxes: The camera's labels.
        cuboids: The spatial stream's labels.
        thresholds: Those of each cuboid's class.
        box_thresholds: Those of each box's class.
        seen_points: Shape (m,): points of the cloud behind each box, or -1 where there is no cloud for it.
        period_s: Seconds between two frames, or None where no clock says so.
        judged_frames: Frames in which a missing partner is a fault.
    """

    camera_id: str
    spatial_id: str
    camera: Camera
    camera_from_spatial: Floats
    boxes: BoxRows
    cuboids: CuboidRows
    thresholds: tuple[ClassThresholds, ...]
    box_thresholds: tuple[ClassThresholds, ...]
    seen_points: Ints
    period_s: float | None
    judged_frames: frozenset[int]

    def corners_in_camera(self, rotation: Floats | None = None) -> Floats:
        """Return all corners in the camera's frame, (n, 8, 3), turned by ``rotation`` (3, 3) where given."""
        corners = cuboid_corners(self.cuboids.centers_m, self.cuboids.sizes_m, self.cuboids.rotations)
        in_camera = transform_points(self.camera_from_spatial, corners)
        return in_camera if rotation is None else np.asarray(in_camera @ rotation.T)

    def project(self, near_m: float, rotation: Floats | None = None) -> ProjectedCuboids:
        """Project all cuboids, corrected by ``rotation`` where given."""
        return project_cuboids(self.camera, self.corners_in_camera(rotation), near_m=near_m)

    def clipped(self) -> Scene:
        """Return the scene with boxes cut at the image's edges, as projections are; boxes outside of it stay.

        Some guidelines draw a box around the whole object, also where the image does not show it.
        """
        size = np.array([self.camera.width_px, self.camera.height_px] * 2)
        cut = np.clip(self.boxes.boxes_px, 0.0, size)
        inside = np.all(cut[:, 2:] > cut[:, :2], axis=1, keepdims=True)
        boxes = np.where(inside, cut, self.boxes.boxes_px)
        return replace(self, boxes=replace(self.boxes, boxes_px=boxes))

    def delayed(self, frames: int) -> Scene:
        """Return the scene with every cuboid's frame lowered by ``frames``, to undo a delay.

        Only the frames that both streams then cover are judged for missing partners.
        """
        moved = replace(self.cuboids, frames=self.cuboids.frames - frames)
        low = max(int(moved.frames.min()), int(self.boxes.frames.min()))
        high = min(int(moved.frames.max()), int(self.boxes.frames.max()))
        return replace(self, cuboids=moved, judged_frames=frozenset(range(low, high + 1)))


SomeRows = TypeVar("SomeRows", BoxRows, CuboidRows)


def canonical_label(label: str) -> str:
    """Return a class name without case, with underscores for spaces and hyphens."""
    return label.strip().lower().replace(" ", "_").replace("-", "_")


def thresholds_of(rules: LidarCameraRules) -> Callable[[str], ClassThresholds]:
    """Return the function from a class name to its thresholds."""
    table = {canonical_label(name): entry for entry in rules.classes for name in entry.labels}

    def find(label: str) -> ClassThresholds:
        name = canonical_label(label)
        for part in (name, *reversed(name.split("."))):
            if part in table:
                return table[part]
        return rules.other

    return find


def meaning_of(rules: LidarCameraRules) -> Callable[[str], str]:
    """Return the function from a class name to one name for all its equivalents."""
    groups = {canonical_label(n): canonical_label(names[0]) for names in rules.equivalent_labels for n in names}
    known = {canonical_label(name) for entry in rules.classes for name in entry.labels}

    def find(label: str) -> str:
        name = canonical_label(label)
        for part in (name, *reversed(name.split("."))):
            if part in groups:
                return groups[part]
            if part in known:
                return part
        return name

    return find


def box_rows(annotations: Iterable[Annotation], stream_id: str) -> BoxRows:
    """Collect the boxes of a stream, from boxes and tracks."""
    rows: list[tuple[Annotation, Box | TrackBox]] = []
    for annotation in annotations:
        if annotation.stream != stream_id:
            continue
        if isinstance(annotation, Box):
            rows.append((annotation, annotation))
        elif isinstance(annotation, Track):
            rows.extend((annotation, box) for box in annotation.boxes)
    rows.sort(key=lambda row: (row[1].frame or 0, row[0].id))
    return BoxRows(*_columns(rows), np.array([row[1].box for row in rows], dtype=np.float64).reshape(-1, 4))


def cuboid_rows(annotations: Iterable[Annotation], stream_id: str) -> CuboidRows:
    """Collect the cuboids of a stream, from cuboids and spatial tracks."""
    rows: list[tuple[Annotation, Cuboid | TrackCuboid]] = []
    for annotation in annotations:
        if annotation.stream != stream_id:
            continue
        if isinstance(annotation, Cuboid):
            rows.append((annotation, annotation))
        elif isinstance(annotation, SpatialTrack):
            rows.extend((annotation, cuboid) for cuboid in annotation.cuboids)
    rows.sort(key=lambda row: (row[1].frame or 0, row[0].id))
    shapes = [row[1] for row in rows]
    counts = [shape.point_count if isinstance(shape, Cuboid) else None for shape in shapes]
    return CuboidRows(
        *_columns(rows),
        np.array([shape.center_m for shape in shapes], dtype=np.float64).reshape(-1, 3),
        np.array([shape.size_m for shape in shapes], dtype=np.float64).reshape(-1, 3),
        _rotations(shapes),
        np.array([-1 if count is None else count for count in counts], dtype=np.intp),
    )


def _columns(
    rows: list[tuple[Annotation, Box | TrackBox]] | list[tuple[Annotation, Cuboid | TrackCuboid]],
) -> tuple[tuple[str, ...], Ints, tuple[str, ...], tuple[str | None, ...], Floats, Ints, Bools, tuple[Annotation, ...]]:
    occlusion = [UNKNOWN_OCCLUSION if place.occlusion is None else place.occlusion for _, place in rows]
    return (
        tuple(annotation.id for annotation, _ in rows),
        np.array([place.frame or 0 for _, place in rows], dtype=np.intp),
        tuple(annotation.label for annotation, _ in rows),
        tuple(annotation.object_id for annotation, _ in rows),
        np.array([place.truncation or 0.0 for _, place in rows], dtype=np.float64),
        np.array(occlusion, dtype=np.intp),
        np.array([place.ignore for _, place in rows], dtype=np.bool_),
        tuple(annotation for annotation, _ in rows),
    )


def _rotations(shapes: Iterable[Rotation3d]) -> Floats:
    shapes = tuple(shapes)
    if not shapes:
        return np.empty((0, 3, 3))
    by_yaw = matrices_from_yaw(np.array([shape.yaw_rad or 0.0 for shape in shapes]))
    identity = (1.0, 0.0, 0.0, 0.0)
    by_quaternion = matrices_from_quaternions(np.array([shape.rotation_wxyz or identity for shape in shapes]))
    turned = np.array([shape.rotation_wxyz is not None for shape in shapes])
    return np.where(turned[:, None, None], by_quaternion, by_yaw)


def take_rows(rows: SomeRows, index: Ints, *, frames: Ints | None = None) -> SomeRows:
    """Return the rows at ``index``, with other ``frames`` where given; they are ordered by frame again."""
    new_frames = rows.frames[index] if frames is None else frames
    order = np.argsort(new_frames, kind="stable")
    index, new_frames = index[order], new_frames[order]
    changes: dict[str, Any] = {"frames": new_frames}
    for column in fields(rows):
        value = getattr(rows, column.name)
        if column.name != "frames":
            changes[column.name] = tuple(value[i] for i in index.tolist()) if isinstance(value, tuple) else value[index]
    return replace(rows, **changes)


def rows_of_frame(frames: Ints, frame: int) -> slice:
    """Return where ``frame`` stands in ``frames``, shape (n,), ascending."""
    begin, end = np.searchsorted(frames, [frame, frame + 1]).tolist()
    return slice(begin, end)


def ignored_boxes(boxes_px: Floats, frames: Ints, regions: BoxRows, cover: float) -> Bools:
    """Say of each box of (n, 4), in ``frames`` (n,), ascending, whether one ignore region of its frame covers it."""
    result = np.zeros(len(boxes_px), dtype=np.bool_)
    rows = np.flatnonzero(regions.ignore)
    # Frame by frame: a table of all boxes and all regions would grow with the square of the drive's length.
    for row in rows.tolist():
        here = rows_of_frame(frames, int(regions.frames[row]))
        result[here] |= cover_matrix(boxes_px[here], regions.boxes_px[row : row + 1])[:, 0] >= cover
    return result


def concerned_streams(scene: Scene) -> tuple[str, ...]:
    """Return the ids of the two streams, once each."""
    return tuple(dict.fromkeys((scene.camera_id, scene.spatial_id)))
