"""Write COCO: see :mod:`services.formats.coco`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.labels_visual import Box, Keypoints, Mask, Polygon
from services.formats.coco import derived_area_px
from services.formats.result import ExportResult, Losses, StreamItem
from services.formats.rle import checked_counts

_Shape = Box | Polygon | Mask | Keypoints
_MAX_FRAMES = 200_000
_CATEGORY = re.compile(r"category-([1-9]\d{0,8})")
_TRACK = re.compile(r"track-(0|[1-9]\d{0,15})")
_OWN = re.compile(r"coco-(0|[1-9]\d{0,15})")
_KEPT = {
    "box",
    "points_px",
    "holes_px",
    "rle",
    "keypoints",
    "label",
    "frame",
    "confidence",
    "ignore",
    "object_id",
    "attributes.area_px",
}


def write_coco(annotations: Iterable[Annotation], *, images: Iterable[StreamItem] = ()) -> ExportResult:
    """Return boxes, polygons, masks and keypoints as a COCO document, and what it does not hold.

    Labels of one object in one frame become one annotation.

    Args:
        annotations: The labels of one stream; a label without a frame belongs to frame 0.
        images: The names and sizes of the stream's images; others are named after their frame.
    """
    losses = Losses("COCO")
    groups: dict[tuple[object, ...], list[_Shape]] = {}
    for label in annotations:
        if isinstance(label, Mask) and not _readable(label, losses):
            continue
        if isinstance(label, Box | Polygon | Mask | Keypoints):
            same = (label.frame or 0, label.object_id, label.label, label.ignore, label.confidence)
            slot = groups.setdefault(same if label.object_id is not None else (label.id,), [])
            if _fits(slot, label):
                slot.append(label)
            else:
                groups[label.id,] = [label]
        else:
            losses.kind(label)
    writer = _Writer(losses, tuple(images), list(groups.values()))
    return losses.result(json.dumps(writer.document(), ensure_ascii=False, separators=(",", ":")))


def _readable(label: Mask, losses: Losses) -> bool:
    try:
        checked_counts(label.rle.counts, label.rle.size)
    except ValueError as error:
        losses.whole(label, str(error))
        return False
    return True


def _fits(group: list[_Shape], label: _Shape) -> bool:
    """Whether one COCO annotation can hold ``label`` beside the others: one box, and polygons or one mask."""
    for other in group:
        if type(other) is type(label) and not isinstance(label, Polygon):
            return False
        if {type(other), type(label)} == {Polygon, Mask}:
            return False
        if _plain(other) != _plain(label):
            return False
    return True


def _plain(label: _Shape) -> dict[str, Any]:
    return {key: value for key, value in label.attributes.items() if key != "area_px"}


class _Writer:
    def __init__(self, losses: Losses, images: tuple[StreamItem, ...], groups: list[list[_Shape]]) -> None:
        self._losses, self._groups = losses, groups
        self._images = {item.frame: item for item in images}
        self._categories: dict[str, int] = {}
        self._points: dict[str, list[str]] = {}

    def document(self) -> dict[str, Any]:
        """Return the whole document."""
        frames = self._frames()
        self._name_categories()
        taken: set[int] = set()
        for group in self._groups:
            number = self._own_number(group)
            if number is not None:
                taken.add(number)
        rows: list[dict[str, Any]] = []
        used: set[int] = set()
        free = 1
        for group in self._groups:
            number = self._own_number(group)
            if number is None or number in used:
                while free in taken or free in used:
                    free += 1
                number = free
            used.add(number)
            rows.append(self._row(group, number))
        return {
            "images": [self._image(frame) for frame in frames],
            "annotations": rows,
            "categories": [
                {"id": number, "name": name}
                | ({"keypoints": self._points[name], "skeleton": []} if name in self._points else {})
                for name, number in self._categories.items()
            ],
        }

    def _frames(self) -> list[int]:
        """Return every frame up to the last one: readers count the images."""
        named = {group[0].frame or 0 for group in self._groups} | set(self._images)
        last = max(named, default=-1)
        if last < _MAX_FRAMES:
            return list(range(last + 1))
        frames = sorted(named)
        for group in self._groups:
            if frames[min(len(frames) - 1, group[0].frame or 0)] != (group[0].frame or 0):
                self._losses.part(group[0], "frame", "the document has no images for so many frames between")
        return frames

    @staticmethod
    def _own_number(group: list[_Shape]) -> int | None:
        found = _OWN.fullmatch(group[0].object_id or "")
        return int(found[1]) if found else None

    def _name_categories(self) -> None:
        names = dict.fromkeys(label.label for group in self._groups for label in group)
        numbered = {name: int(found[1]) for name in names if (found := _CATEGORY.fullmatch(name))}
        free = 1
        for name in names:
            while name not in numbered and free in numbered.values():
                free += 1
            self._categories[name] = numbered.setdefault(name, free)
        for group in self._groups:
            for label in group:
                if isinstance(label, Keypoints):
                    known = self._points.setdefault(label.label, [])
                    seen = set(known)
                    known += [point.name for point in label.keypoints if point.name not in seen]

    def _image(self, frame: int) -> dict[str, Any]:
        item = self._images.get(frame, StreamItem(frame, f"frame-{frame:06d}"))
        row: dict[str, Any] = {"id": frame + 1, "file_name": item.uri}
        if item.size_px is not None:
            row |= {"width": item.size_px[0], "height": item.size_px[1]}
        return row

    def _row(self, group: list[_Shape], number: int) -> dict[str, Any]:
        first = group[0]
        row: dict[str, Any] = {
            "id": number,
            "image_id": (first.frame or 0) + 1,
            "category_id": self._categories[first.label],
            "iscrowd": int(first.ignore),
        }
        if first.confidence is not None:
            row["score"] = first.confidence
        track = _TRACK.fullmatch(first.object_id or "")
        if track is not None:
            row["track_id"] = int(track[1])
        plain = _plain(first)
        if plain:
            row["attributes"] = plain
        for label in group:
            self._shape(row, label)
            kept = set(_KEPT)
            area = label.attributes.get("area_px")
            if isinstance(area, int | float) and not isinstance(area, bool) and label is first:
                row["area"] = area
            elif area is not None:
                kept -= {"attributes.area_px", "attributes"}
            if first.object_id != f"coco-{number}" and track is None:
                kept.discard("object_id")
            kept |= {f"attributes.{key}" for key in plain}
            self._losses.fields(label, kept)
        derived = derived_area_px([label.model_dump() for label in group])
        if "area" not in row and derived is not None:
            row["area"] = derived
        return row

    def _shape(self, row: dict[str, Any], label: _Shape) -> None:
        if isinstance(label, Box):
            x_min, y_min, x_max, y_max = label.box
            width, height = extent(x_min, x_max), extent(y_min, y_max)
            row["bbox"] = [x_min, y_min, width, height]
            if (x_min + width, y_min + height) != (x_max, y_max):
                self._losses.part(label, "box", "its last digit is rounded in x, y, width, height")
        elif isinstance(label, Polygon):
            row.setdefault("segmentation", []).append([value for point in label.points_px for value in point])
            if label.holes_px:
                self._losses.part(label, "holes_px", "COCO's polygons have no holes; write a mask instead")
        elif isinstance(label, Mask):
            row["segmentation"] = {"size": list(label.rle.size), "counts": label.rle.counts}
        else:
            self._keypoints(row, label)

    def _keypoints(self, row: dict[str, Any], label: Keypoints) -> None:
        names = self._points[label.label]
        given = {point.name: point for point in label.keypoints}
        if [point.name for point in label.keypoints] != names:
            self._losses.part(label, "keypoints", "they follow the names of their class; absent ones are 0, 0, 0")
        row["num_keypoints"] = sum(point.visibility > 0 for point in label.keypoints)
        row["keypoints"] = [
            value
            for name in names
            for value in (
                (given[name].x_px, given[name].y_px, given[name].visibility) if name in given else (0.0, 0.0, 0)
            )
        ]


def extent(low: float, high: float) -> float:
    """Return the length that added to ``low`` gives ``high`` again, where a double can."""
    length = high - low
    # Readers add what is written here: a last digit that differs is mended where a neighbour fits.
    candidates = (length, round(length, 6), math.nextafter(length, math.inf), math.nextafter(length, -math.inf))
    return next((candidate for candidate in candidates if low + candidate == high), length)
