"""COCO: boxes, polygons, run-length masks and keypoints of images, with PoseTrack's tracks; lists of detections.

Source: the COCO data format (T.-Y. Lin et al., *Microsoft COCO: Common Objects in Context*, ECCV 2014). One COCO
annotation becomes up to three kinds of label with one object_id: ``track-<track_id>`` where there is a track, else
``coco-<id>``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from services.contracts.label_base import Author
from services.formats.result import EVERY_FRAME, ImportResult, Intake, StreamFacts, StreamItem, label_id
from services.formats.rle import checked_counts, decode_counts
from services.formats.tree import Node, parse_tree, scalars

_READ = frozenset({
    "id", "image_id", "category_id", "bbox", "segmentation", "keypoints", "num_keypoints", "iscrowd", "score",
    "track_id", "area", "attributes",
})  # fmt: skip
_SHAPES = ("mask", "polygon", "box")
_NO_ID = re.compile(r"[^A-Za-z0-9._:@+-]")


def read_coco(
    data: bytes,
    *,
    stream: str,
    image: str | None = None,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "COCO",
) -> ImportResult:
    """Return the labels of a COCO document: instances, keypoints, or a bare list of detections.

    Args:
        data: The document.
        stream: The stream that the labels describe: one image, or a series whose frames are the images in the
            document's order.
        image: Read the labels of this image only, named as in ``file_name``; the folder may differ.
        frames: (first, last) image to read, inclusive; frames are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the document.

    ``iscrowd`` becomes ``ignore``; ``area`` stays an attribute of the annotation's first label.

    Raises:
        ConcordError: The document is not readable; names the line, or the JSON pointer and what to change.
    """
    root = parse_tree(data, source)
    if isinstance(root.value, list):
        root = Node({"annotations": root.value, "images": _images_of(root)}, "", source)
    elif "annotations" not in root.mapping():
        raise root.bad("'annotations' is missing; a COCO document has images, annotations and categories")
    intake = Intake()
    categories = _categories(root, intake)
    items = _items(root, image, frames)
    others = 0
    for index, node in enumerate(root.all("annotations")):
        item = items.get(node["image_id"].word())
        if item is None:
            others += 1
        else:
            _Annotation(node, stream, item, categories, author).read(intake, index)
    if others:
        intake.drop("/annotations", f"{others} annotations", "they belong to images that are not read")
    for name in ("info", "licenses"):
        if root.get(name) is not None:
            intake.drop(f"/{name}", name, "it is no label")
    read = tuple(items.values())
    size_px = read[0].size_px if read and len({item.size_px for item in read}) == 1 else None
    return intake.result(StreamFacts(stream, modality="image", size_px=size_px, items=read))


def image_names(data: bytes, *, source: str = "COCO") -> tuple[str, ...]:
    """Return the ``file_name`` of each image of a document."""
    root = parse_tree(data, source)
    nodes = () if isinstance(root.value, list) else root.all("images")
    return tuple(name.text() for node in nodes if (name := node.get("file_name")) is not None)


def derived_area_px(shapes: list[dict[str, Any]]) -> float | None:
    """Return the area that the finest of the shapes covers, pixels: a mask, else outlines, else a box."""
    for kind in _SHAPES:
        areas = [_area_px(shape) for shape in shapes if shape["type"] == kind]
        if areas:
            return sum(areas)
    return None


def _area_px(shape: dict[str, Any]) -> float:
    if shape["type"] == "mask":
        counts = shape["rle"]["counts"]
        return float(sum((decode_counts(counts) if isinstance(counts, str) else counts)[1::2]))
    if shape["type"] == "box":
        x_min, y_min, x_max, y_max = shape["box"]
        return float((x_max - x_min) * (y_max - y_min))
    ring = shape["points_px"]
    return 0.5 * abs(float(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise([*ring, ring[0]]))))


def _images_of(root: Node) -> list[dict[str, Any]]:
    names = dict.fromkeys(node["image_id"].word() for node in root.elements())
    return [{"id": name} for name in names]


def _categories(root: Node, intake: Intake) -> dict[str, tuple[str, list[str]]]:
    found: dict[str, tuple[str, list[str]]] = {}
    for node in root.all("categories"):
        points = [name.text() for name in node.all("keypoints")]
        found[node["id"].word()] = (node["name"].text(), points)
        for key in node.mapping():
            if key not in ("id", "name", "keypoints"):
                intake.drop_often("/categories", key, "it belongs to the taxonomy, not to a label")
    return found


def _items(root: Node, image: str | None, frames: tuple[int, int] | None) -> dict[str, StreamItem]:
    first, last = frames or EVERY_FRAME
    items: dict[str, StreamItem] = {}
    for index, node in enumerate(root.all("images")):
        key = node["id"].word()
        named = node.get("file_name")
        name = f"image-{key}" if named is None else named.text()
        if image is not None and PurePosixPath(name).name != PurePosixPath(image).name:
            continue
        if image is None and not first <= index <= last:
            continue
        width, height = node.get("width"), node.get("height")
        size = None if width is None or height is None else (width.whole(), height.whole())
        frame = 0 if image is not None else index - first
        items[key] = StreamItem(frame, name, size if size and min(size) > 0 else None)
    if image is not None and not items:
        raise root.bad(f"there is no image {image!r} in the document; name one of its file_name")
    return items


class _Annotation:
    """One COCO annotation, and the labels it becomes."""

    def __init__(
        self,
        node: Node,
        stream: str,
        item: StreamItem,
        categories: Mapping[str, tuple[str, list[str]]],
        author: Author | None,
    ) -> None:
        self._node, self._stream, self._item, self._author = node, stream, item, author
        category = node["category_id"].word()
        self._label, self._names = categories.get(category, (f"category-{category}", []))

    def read(self, intake: Intake, index: int) -> None:
        """Add the labels to ``intake``; what is no label is listed there."""
        node = self._node
        given = node.get("id")
        name = _NO_ID.sub("_", given.word())[:40] if given is not None else str(index + 1)
        track, score, crowd, area = (node.get(key) for key in ("track_id", "score", "iscrowd", "area"))
        extra = node.get("attributes")
        attributes = {} if extra is None or not isinstance(extra.value, dict) else scalars(extra)
        common: dict[str, Any] = {
            "stream": self._stream,
            "label": self._label,
            "frame": self._item.frame,
            "object_id": f"coco-{name}" if track is None else f"track-{_NO_ID.sub('_', track.word())[:100]}",
            "confidence": None if score is None else score.number(),
            "author": self._author,
            "ignore": crowd is not None and crowd.flag(),
            "attributes": attributes,
        }
        for key, value in node.mapping().items():
            if key not in _READ and value not in (None, [], {}):
                intake.drop_often("/annotations", key, "COCO does not define it")
        found = list(self._shapes(intake))
        if not found:
            intake.drop(node.at, f"annotation {name}", "it has no box, outline or point")
        for position, (suffix, shape) in enumerate(found):
            fields = {**common, **shape, "id": label_id(self._stream, "coco", f"{name}-{suffix}")}
            if position == 0 and area is not None and not self._follows(area.number(), found):
                fields["attributes"] = {**attributes, "area_px": area.number()}
            intake.add(node.at, f"{suffix} of annotation {name}", fields)

    @staticmethod
    def _follows(area_px: float, found: list[tuple[str, dict[str, Any]]]) -> bool:
        """Whether the area says no more than the shapes do."""
        derived = derived_area_px([shape for _, shape in found])
        return derived is not None and math.isclose(area_px, derived, rel_tol=1e-9, abs_tol=1e-9)

    def _shapes(self, intake: Intake) -> Iterator[tuple[str, dict[str, Any]]]:
        box = self._node.get("bbox")
        if box is not None and box.value != []:
            x, y, width, height = box.numbers(4)
            yield "box", {"type": "box", "box": (x, y, x + width, y + height)}
        outline = self._node.get("segmentation")
        if outline is not None:
            yield from self._outline(outline, intake)
        points = self._node.get("keypoints")
        if points is not None:
            yield from self._points(points)

    def _outline(self, outline: Node, intake: Intake) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(outline.value, dict):
            height, width = (int(number) for number in outline["size"].numbers(2))
            counts = outline["counts"]
            runs = counts.text() if isinstance(counts.value, str) else [item.whole() for item in counts.elements()]
            try:
                checked_counts(runs, (height, width))
            except ValueError as error:
                intake.drop(outline.at, "mask", str(error))
            else:
                yield "mask", {"type": "mask", "rle": {"size": (height, width), "counts": runs}}
            return
        rings = list(outline.elements())
        if rings and not isinstance(rings[0].value, list):  # one ring without the array around it
            rings = [outline]
        for number, ring in enumerate(rings, start=1):
            values = ring.numbers()
            if len(values) < 6 or len(values) % 2:
                intake.drop(ring.at, f"outline of {len(values)} numbers", "an outline is x, y of three points or more")
            else:
                points = tuple(zip(values[::2], values[1::2], strict=True))
                yield f"polygon-{number}", {"type": "polygon", "points_px": points}

    def _points(self, points: Node) -> Iterator[tuple[str, dict[str, Any]]]:
        values = points.numbers()
        if len(values) % 3:
            raise points.bad(f"must have three numbers a point, got {len(values)} numbers")
        if not any(values):
            return
        named = [
            {
                "name": self._names[index] if index < len(self._names) else f"point-{index + 1}",
                "x_px": values[3 * index],
                "y_px": values[3 * index + 1],
                "visibility": int(values[3 * index + 2]),
            }
            for index in range(len(values) // 3)
        ]
        yield "keypoints", {"type": "keypoints", "keypoints": named}
