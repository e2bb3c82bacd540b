"""Datumaro JSON: items with labels, boxes, polygons, masks, points and captions.

Source: the Datumaro documentation, *Datumaro format*: a ``bbox`` is [x, y, width, height]; an image's size is
[height, width]; annotations of one ``group`` above 0 belong to one object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import Summary
from services.contracts.labels_visual import Box, ImageClassification, Mask, Polygon
from services.formats.coco_writer import extent
from services.formats.result import (
    EVERY_FRAME,
    ExportResult,
    ImportResult,
    Intake,
    Losses,
    StreamFacts,
    StreamItem,
    label_id,
)
from services.formats.rle import checked_counts, encode_counts
from services.formats.tree import Node, parse_tree, scalars

_MAX_FRAMES = 200_000
_KEPT = {"label", "frame", "box", "points_px", "holes_px", "rle", "text", "object_id"}


def read_datumaro(
    data: bytes,
    *,
    stream: str,
    image: str | None = None,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "Datumaro",
) -> ImportResult:
    """Return the labels of a Datumaro document; frames are the items in their order.

    Args:
        data: The document.
        stream: The stream that the labels describe.
        image: Read the item of this image only; the folder may differ.
        frames: (first, last) item to read, inclusive; frames are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the document.

    Raises:
        ConcordError: The document is not readable; names the line, or the JSON pointer and what to change.
    """
    root = parse_tree(data, source)
    names = _label_names(root)
    first, last = frames or EVERY_FRAME
    intake = Intake()
    items: list[StreamItem] = []
    others = 0
    for index, node in enumerate(root["items"].elements()):
        item = _item(node, 0 if image is not None else index - first)
        wanted = first <= index <= last if image is None else PurePosixPath(item.uri).name == PurePosixPath(image).name
        if not wanted:
            others += 1
        else:
            items.append(item)
            for position, made in enumerate(node.all("annotations")):
                own = label_id(stream, "datumaro", f"{item.frame}-{position}")
                common = {"id": own, "stream": stream, "frame": item.frame, "author": author}
                _read_annotation(made, common, names, intake)
    if image is not None and not items:
        raise root.bad(f"there is no image {image!r} in the document; name one of its items")
    if others:
        intake.drop("/items", f"{others} items", "they are not the ones that are read")
    return intake.result(StreamFacts(stream, modality="image", items=tuple(items)))


def image_names(data: bytes, *, source: str = "Datumaro") -> tuple[str, ...]:
    """Return the address of each item's image."""
    return tuple(_item(node, 0).uri for node in parse_tree(data, source)["items"].elements())


def _label_names(root: Node) -> list[str]:
    categories = root.get("categories")
    labels = categories.get("label") if categories is not None else None
    return [] if labels is None else [node["name"].text() for node in labels.all("labels")]


def _item(node: Node, frame: int) -> StreamItem:
    image = node.get("image")
    path = image.get("path") if image is not None else None
    size = image.get("size") if image is not None else None
    height_width = size.numbers(2) if size is not None else None
    return StreamItem(
        frame,
        path.text() if path is not None and path.text() else node["id"].word(),
        None if height_width is None or min(height_width) < 1 else (int(height_width[1]), int(height_width[0])),
    )


def _read_annotation(made: Node, common: dict[str, Any], names: list[str], intake: Intake) -> None:
    kind = made["type"].text()
    fields = dict(common)
    number, group, said = made.get("label_id"), made.get("group"), made.get("attributes")
    if number is not None:
        index = number.whole()
        fields["label"] = names[index] if 0 <= index < len(names) else f"label-{index}"
    elif kind == "caption":
        fields["label"] = "caption"
    if group is not None and group.whole() > 0:
        fields["object_id"] = f"group-{group.whole()}"
    fields["attributes"] = {} if said is None else scalars(said)
    order = made.get("z_order")
    if order is not None and order.whole() != 0:
        fields["attributes"] = {**fields["attributes"], "z_order": order.whole()}
    if kind == "bbox":
        x, y, width, height = made["bbox"].numbers(4)
        fields |= {"type": "box", "box": (x, y, x + width, y + height)}
    elif kind == "polygon":
        values = made["points"].numbers()
        if len(values) % 2:
            raise made["points"].bad("must have two numbers a point")
        fields |= {"type": "polygon", "points_px": tuple(zip(values[::2], values[1::2], strict=True))}
    elif kind == "mask":
        rle = made["rle"]
        height, width = (int(value) for value in rle["size"].numbers(2))
        counts = rle["counts"].text()
        try:
            checked_counts(counts, (height, width))
        except ValueError as error:
            intake.drop(made.at, "mask", str(error))
            return
        fields |= {"type": "mask", "rle": {"size": (height, width), "counts": counts}}
    elif kind == "label":
        fields["type"] = "image_classification"
    elif kind == "caption":
        fields |= {"type": "summary", "text": made["caption"].text()}
    else:
        intake.drop_often("/items", kind, "annotations of this type are not read")
        return
    intake.add(made.at, f"{kind} {fields.get('label', 'without label_id')}", fields)


def write_datumaro(annotations: Iterable[Annotation], *, images: Iterable[StreamItem] = ()) -> ExportResult:
    """Return boxes, polygons, masks, classes of images and summaries as a Datumaro document, and what it lacks.

    Args:
        annotations: The labels of one stream; a label without a frame belongs to frame 0.
        images: Names and sizes of its images.
    """
    losses = Losses("Datumaro")
    known = {item.frame: item for item in images}
    rows: dict[int, list[dict[str, Any]]] = {frame: [] for frame in known}
    names: dict[str, int] = {}
    for label in annotations:
        if (label.frame or 0) >= _MAX_FRAMES:
            losses.whole(label, f"a document has at most {_MAX_FRAMES} items")
        elif (shape := _shape(label, losses)) is not None:
            row = {"id": 0, "attributes": dict(label.attributes), "group": _group(label, losses), **shape}
            order = label.attributes.get("z_order")
            if isinstance(order, int) and not isinstance(order, bool) and order:
                row["z_order"] = order
                del row["attributes"]["z_order"]
            if not isinstance(label, Summary):
                row["label_id"] = names.setdefault(label.label, len(names))
            losses.fields(label, _KEPT | {f"attributes.{key}" for key in label.attributes})
            rows.setdefault(label.frame or 0, []).append(row)
    items = []
    for frame in range(max(rows, default=-1) + 1):
        item = known.get(frame, StreamItem(frame, f"frame-{frame:06d}"))
        image: dict[str, Any] = {"path": item.uri}
        if item.size_px is not None:
            image["size"] = [item.size_px[1], item.size_px[0]]
        items.append({"id": item.uri, "annotations": rows.get(frame, []), "image": image})
    labels = [{"name": name, "parent": "", "attributes": []} for name in names]
    document = {
        "dm_format_version": "1.0",
        "info": {},
        "categories": {"label": {"labels": labels, "attributes": []}},
        "items": items,
    }
    return losses.result(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def _group(label: Annotation, losses: Losses) -> int:
    tail = (label.object_id or "").removeprefix("group-")
    known = (
        tail.isascii()
        and tail.isdigit()
        and len(tail) < 10
        and label.object_id == f"group-{int(tail)}"
        and int(tail) > 0
    )
    if label.object_id is not None and not known:
        losses.part(label, "object_id", "groups are numbered; only group-<n> is kept")
    return int(tail) if known else 0


def _shape(label: Annotation, losses: Losses) -> dict[str, Any] | None:
    if isinstance(label, Box):
        x_min, y_min, x_max, y_max = label.box
        width, height = extent(x_min, x_max), extent(y_min, y_max)
        if (x_min + width, y_min + height) != (x_max, y_max):
            losses.part(label, "box", "its last digit is rounded in x, y, width, height")
        return {"type": "bbox", "bbox": [x_min, y_min, width, height]}
    if isinstance(label, Polygon):
        if label.holes_px:
            losses.part(label, "holes_px", "Datumaro's polygons have no holes")
        return {"type": "polygon", "points": [value for point in label.points_px for value in point]}
    if isinstance(label, Mask):
        try:
            counts = checked_counts(label.rle.counts, label.rle.size)
        except ValueError as error:
            losses.whole(label, str(error))
            return None
        return {"type": "mask", "rle": {"size": list(label.rle.size), "counts": encode_counts(counts)}}
    if isinstance(label, ImageClassification):
        return {"type": "label"}
    if isinstance(label, Summary):
        if label.label != "caption":
            losses.part(label, "label", "a caption has no class; it is read as caption")
        return {"type": "caption", "caption": label.text}
    losses.kind(label)
    return None
