"""Write Label Studio JSON: see :mod:`services.formats.label_studio`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import EntitySpan, Relation, SoundEvent, Summary, TranscriptSegment
from services.contracts.labels_visual import Box, ImageClassification, Polygon, RotatedBox
from services.formats.label_studio import META_FIELDS, PLACES, Part
from services.formats.result import ExportResult, Losses, StreamItem

_WRITTEN = {"label", "frame", "confidence", "box", "center_px", "size_px", "angle_deg", "points_px", "start_s", "end_s",
            "text", "start_char", "end_char", "from_id", "to_id"}  # fmt: skip
_Size = tuple[int, int]


def write_label_studio(
    annotations: Iterable[Annotation],
    *,
    images: Iterable[StreamItem] = (),
    size_px: _Size | None = None,
    part: Part = "annotations",
    data_key: str = "image",
) -> ExportResult:
    """Return labels as Label Studio tasks, one a frame, and what they do not hold.

    Args:
        annotations: The labels of one stream.
        images: Names and sizes of its images.
        size_px: (width, height) of images whose size is not among ``images``; shapes are percent of it.
        part: Whether they become annotations or predictions.
        data_key: The key of a task's data, as the labelling configuration has it.
    """
    losses = Losses("Label Studio")
    known = {item.frame: item for item in images}
    results: dict[int, list[dict[str, Any]]] = {frame: [] for frame in known}
    for label in annotations:
        frame = label.frame or 0
        item = known.get(frame)
        found = _result(label, (item.size_px if item is not None else None) or size_px, losses, data_key)
        if found is not None:
            results.setdefault(frame, []).append(found)
    frames = sorted(results)
    if frames and frames[-1] < 200_000:
        frames = list(range(frames[-1] + 1))
    tasks = [
        {
            "id": frame + 1,
            "data": {data_key: known[frame].uri if frame in known else f"frame-{frame:06d}"},
            part: [{"id": frame + 1, "result": results.get(frame, [])}],
        }
        for frame in frames
    ]
    return losses.result(json.dumps(tasks, ensure_ascii=False, separators=(",", ":")))


def _result(label: Annotation, size: _Size | None, losses: Losses, to_name: str) -> dict[str, Any] | None:
    if isinstance(label, Relation):
        losses.fields(label, {"label", "frame", "from_id", "to_id"})
        ends = {"from_id": label.from_id, "to_id": label.to_id, "direction": "right"}
        return {"type": "relation", **ends, "labels": [label.label]}
    written = _value(label, size, losses)
    if written is None:
        return None
    kind, value = written
    result: dict[str, Any] = {
        "id": label.id,
        "type": kind,
        "from_name": label.label if isinstance(label, Summary) else kind,
        "to_name": to_name,
        "value": value,
    }
    if isinstance(label, Box | RotatedBox | Polygon | ImageClassification) and size is not None:
        result |= {"original_width": size[0], "original_height": size[1]}
    if label.confidence is not None:
        result["score"] = label.confidence
    meta = label.model_dump(mode="json", include=set(META_FIELDS), exclude_defaults=True)
    if meta:
        result["meta"] = {"concord": meta}
    kept = _WRITTEN | META_FIELDS | {f"attributes.{key}" for key in label.attributes}
    if isinstance(label, TranscriptSegment) and label.label != "speech":
        kept = kept - {"label"}
    if isinstance(label, TimedLabel):
        kept = kept - {"frame"}
    losses.fields(label, kept)
    return result


def _value(label: Annotation, size: _Size | None, losses: Losses) -> tuple[str, dict[str, Any]] | None:
    if isinstance(label, Box | RotatedBox | Polygon):
        if size is None:
            losses.whole(label, "shapes are percent of the image, whose size is not known")
            return None
        return _shape(label, size, losses)
    if isinstance(label, EntitySpan):
        if label.text is None:
            losses.part(label, "text", "a span needs its text; it is written as an empty one")
        place = {"start": label.start_char, "end": label.end_char, "text": label.text or ""}
        return "labels", {**place, "labels": [label.label]}
    if isinstance(label, SoundEvent):
        return "labels", {"start": label.start_s, "end": label.end_s, "labels": [label.label]}
    if isinstance(label, TranscriptSegment):
        return "textarea", {"start": label.start_s, "end": label.end_s, "text": [label.text]}
    if isinstance(label, Summary):
        return "textarea", {"text": [label.text]}
    if label.type == "text_classification" or (isinstance(label, ImageClassification) and size is not None):
        return "choices", {"choices": [label.label]}
    losses.kind(label)
    return None


def _shape(label: Box | RotatedBox | Polygon, size: _Size, losses: Losses) -> tuple[str, dict[str, Any]]:
    across, down = _percent_of(size[0]), _percent_of(size[1])
    if isinstance(label, Box):
        x_min, y_min, x_max, y_max = label.box
        _note_rounding(label, label.box, losses)
        place = {"x": across(x_min), "y": down(y_min), "width": across(x_max - x_min), "height": down(y_max - y_min)}
        return "rectanglelabels", {**place, "rotation": 0, "rectanglelabels": [label.label]}
    if isinstance(label, RotatedBox):
        (x, y), (width, height) = label.center_px, label.size_px
        _note_rounding(label, (x, y, width, height), losses)
        c, s = math.cos(math.radians(label.angle_deg)), math.sin(math.radians(label.angle_deg))
        corner = (x - c * width / 2 + s * height / 2, y - s * width / 2 - c * height / 2)
        if label.angle_deg == 0:
            losses.part(label, "type", "a box that is not turned is read as a plain box")
        place = {"x": across(corner[0]), "y": down(corner[1]), "width": across(width), "height": down(height)}
        return "rectanglelabels", {**place, "rotation": label.angle_deg, "rectanglelabels": [label.label]}
    _note_rounding(label, [value for point in label.points_px for value in point], losses)
    if label.holes_px:
        losses.part(label, "holes_px", "Label Studio's polygons have no holes")
    points = [[across(x), down(y)] for x, y in label.points_px]
    return "polygonlabels", {"points": points, "closed": True, "polygonlabels": [label.label]}


def _percent_of(pixels: int) -> Callable[[float], float]:
    return lambda value: value * 100 / pixels


def _note_rounding(label: Annotation, values: Iterable[float], losses: Losses) -> None:
    if any(round(value, PLACES) != value for value in values):
        losses.part(label, "coordinates", f"they are rounded to {PLACES} decimals of a pixel")
