"""Write CVAT XML 1.1: see :mod:`services.formats.cvat`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from services.contracts.annotations import Annotation
from services.contracts.labels_visual import Box, ImageClassification, Keypoints, Polygon, RotatedBox, Track
from services.formats.result import ExportResult, Losses, StreamItem

_Shape = Box | RotatedBox | Polygon | Keypoints | ImageClassification
_OWN = ("source", "z_order", "group_id")
_KEPT = {
    "label",
    "frame",
    "occlusion",
    "box",
    "center_px",
    "size_px",
    "angle_deg",
    "points_px",
    "holes_px",
    "keypoints",
}
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_MAX_FRAMES = 200_000


def write_cvat(annotations: Iterable[Annotation], *, images: Iterable[StreamItem] = ()) -> ExportResult:
    """Return boxes, polygons, points, tags and tracks as a CVAT document, and what it does not hold.

    Args:
        annotations: The labels of one stream; a label without a frame belongs to frame 0.
        images: Names and sizes of its images.
    """
    losses = Losses("CVAT")
    frames: dict[int, list[str]] = {item.frame: [] for item in images}
    known = {item.frame: item for item in images}
    tracks: list[str] = []
    numbers: set[int] = set()
    for label in annotations:
        if _ILLEGAL.search("".join([label.label, *label.attributes, *map(str, label.attributes.values())])):
            losses.whole(label, "it has control characters, which XML can not hold")
        elif isinstance(label, Track):
            tracks.append("".join(_track(label, numbers, losses)))
        elif isinstance(label, _Shape):
            if (label.frame or 0) >= _MAX_FRAMES:
                losses.whole(label, f"a document has at most {_MAX_FRAMES} images")
                continue
            frames.setdefault(label.frame or 0, []).append(_shape(label, losses))
        else:
            losses.kind(label)
    lines = ['<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n']
    for frame in range(max(frames, default=-1) + 1):
        item = known.get(frame, StreamItem(frame, f"frame-{frame:06d}"))
        size = "" if item.size_px is None else f' width="{item.size_px[0]}" height="{item.size_px[1]}"'
        shapes = "".join(frames.get(frame, ()))
        lines.append(f'  <image id="{frame}" name={_quoted(_ILLEGAL.sub("_", item.uri))}{size}>\n{shapes}  </image>\n')
    return losses.result("".join([*lines, *tracks, "</annotations>\n"]))


def _shape(label: _Shape, losses: Losses) -> str:
    kept = set(_KEPT)
    own = {key: label.attributes[key] for key in _OWN if isinstance(label.attributes.get(key), str)}
    rest = {key: value for key, value in label.attributes.items() if key not in own}
    kept |= {f"attributes.{key}" for key in label.attributes}
    _note_texts(label, rest, losses)
    head = f"label={_quoted(label.label)}" + "".join(f" {key}={_quoted(str(value))}" for key, value in own.items())
    if not isinstance(label, ImageClassification):
        head += _occluded(label.occlusion, label, losses)
    losses.fields(label, kept)
    return _element(label, head, rest, losses)


def _element(label: _Shape, head: str, rest: dict[str, bool | int | float | str], losses: Losses) -> str:
    if isinstance(label, ImageClassification):
        tag = "tag"
    elif isinstance(label, Polygon):
        tag, head = "polygon", f'{head} points="{_points(label.points_px)}"'
        if label.holes_px:
            losses.part(label, "holes_px", "CVAT's polygons have no holes")
    elif isinstance(label, Keypoints):
        tag, head = "points", f'{head} points="{_points((point.x_px, point.y_px) for point in label.keypoints)}"'
        plain = [(f"point-{index + 1}", 2) for index in range(len(label.keypoints))]
        if [(point.name, point.visibility) for point in label.keypoints] != plain:
            losses.part(label, "keypoints", "points have no names and no visibility in CVAT")
    elif isinstance(label, RotatedBox):
        (x, y), (width, height) = label.center_px, label.size_px
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        tag, head = "box", f'{head} {_box(box)} rotation="{label.angle_deg!r}"'
        read = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), (box[2] - box[0], box[3] - box[1])
        if read != (label.center_px, label.size_px) or label.angle_deg == 0:
            losses.part(label, "center_px, size_px", "a turned box is told by its corners; last digits are rounded")
    else:
        tag, head = "box", f"{head} {_box(label.box)}"
    said = "".join(
        f"      <attribute name={_quoted(key)}>{_escaped(value)}</attribute>\n" for key, value in rest.items()
    )
    return f"    <{tag} {head}>\n{said}    </{tag}>\n"


def _track(label: Track, numbers: set[int], losses: Losses) -> Iterator[str]:
    wanted = label.object_id.removeprefix("track-")
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else -1
    if number < 0 or number in numbers or f"track-{number}" != label.object_id:
        number = max(numbers, default=0) + 1
        losses.part(label, "object_id", f"tracks are numbered; it is read as track-{number}")
    numbers.add(number)
    rest = {key: value for key, value in label.attributes.items() if key != "source"}
    _note_texts(label, rest, losses)
    losses.fields(label, {"label", "object_id", "boxes"} | {f"attributes.{key}" for key in label.attributes})
    source = label.attributes.get("source")
    own = "" if source is None else f" source={_quoted(str(source))}"
    yield f'  <track id="{number}" label={_quoted(label.label)}{own}>\n'
    for step in label.boxes:
        if step.truncation is not None or step.ignore:
            losses.part(label, f"truncation, ignore of frame {step.frame}", "CVAT has no place for it")
        seen = _occluded(step.occlusion, label, losses)
        head = f'frame="{step.frame}" outside="0" keyframe="{int(step.keyframe)}"{seen}'
        said = "".join(f"<attribute name={_quoted(key)}>{_escaped(value)}</attribute>" for key, value in rest.items())
        yield f"    <box {head} {_box(step.box)}>{said}</box>\n"
    yield "  </track>\n"


def _occluded(occlusion: int | None, label: Annotation, losses: Losses) -> str:
    if occlusion is not None and occlusion > 1:
        losses.part(label, "occlusion", "CVAT knows occluded or not")
    return "" if occlusion is None else f' occluded="{int(occlusion > 0)}"'


def _note_texts(label: Annotation, rest: dict[str, bool | int | float | str], losses: Losses) -> None:
    changed = [key for key, value in rest.items() if not isinstance(value, str) or value != value.strip()]
    if changed:
        losses.part(
            label, ", ".join(f"attributes.{key}" for key in changed), "values are texts without outer white space"
        )


def _box(box: tuple[float, ...]) -> str:
    return " ".join(f'{name}="{value!r}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))


def _points(points: Iterable[tuple[float, float]]) -> str:
    return ";".join(f"{x!r},{y!r}" for x, y in points)


def _escaped(value: object) -> str:
    return escape(str(value), {"\r": "&#13;"})


def _quoted(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
