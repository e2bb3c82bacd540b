"""CVAT XML 1.1: ``annotations`` of images and of tracks in videos.

Source: CVAT's documentation, *CVAT for image* and *CVAT for video*, XML annotation format. Boxes, polygons, points,
tags and tracks of boxes are read; masks, ellipses, cuboids, polylines and skeletons are listed as dropped. A box with
a rotation turns clockwise about its centre. The document is read element by element.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from services.contracts.label_base import Author
from services.errors import InvalidInputError
from services.formats.result import EVERY_FRAME, ImportResult, Intake, StreamFacts, StreamItem, label_id
from services.formats.xml_events import Element, read_elements

_SHAPES = ("box", "polygon", "points", "tag")


def read_cvat(
    data: bytes,
    *,
    stream: str,
    image: str | None = None,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "CVAT",
) -> ImportResult:
    """Return the labels of a CVAT document.

    Args:
        data: The document.
        stream: The stream that the labels describe; a frame is an image's position in the document, or the frame of
            a track.
        image: Read the labels of this image only; the folder may differ.
        frames: (first, last) frame to read, inclusive; frames are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the document.

    ``occluded`` becomes occlusion 1 and 0. A track of boxes becomes one track, without the frames where the object
    is ``outside``; its polygons and points become a label a frame of the same object.

    Raises:
        InvalidInputError: The document is not readable, or declares entities; names the line and what to change.
    """
    reader = _Reader(stream, image, frames or EVERY_FRAME, author)
    for element in read_elements(data, root="annotations", level=1, source=source):
        reader.read(element)
    if image is not None and not reader.items:
        raise InvalidInputError(f"{source}: there is no image {image!r} in the document; name one of its images")
    if reader.others:
        reader.intake.drop("*", f"{reader.others} images", "they are not the ones that are read")
    return reader.intake.result(
        StreamFacts(stream, modality="video" if reader.video else "image", items=tuple(reader.items))
    )


def image_names(data: bytes, *, source: str = "CVAT") -> Iterator[str]:
    """Yield the name of each image of a document."""
    for element in read_elements(data, root="annotations", level=1, source=source):
        if element.tag == "image":
            yield element.attribute("name")


class _Reader:
    def __init__(self, stream: str, image: str | None, frames: tuple[int, int], author: Author | None) -> None:
        self._stream, self._image, self._author = stream, image, author
        self._first, self._last = frames
        self.intake = Intake()
        self.items: list[StreamItem] = []
        self.others = 0
        self.video = False
        self._position = 0

    def read(self, element: Element) -> None:
        """Take over one child of the document's root."""
        if element.tag == "image":
            self._read_image(element)
        elif element.tag == "track":
            self._read_track(element)
        elif element.tag not in ("version", "meta"):
            self.intake.drop(f"line {element.line}", f"<{element.tag}>", "it is no image and no track")

    def _read_image(self, element: Element) -> None:
        name, frame = element.attribute("name"), self._position
        self._position += 1
        if self._image is not None:
            wanted, frame = PurePosixPath(name).name == PurePosixPath(self._image).name, 0
        else:
            wanted, frame = self._first <= frame <= self._last, frame - self._first
        if not wanted:
            self.others += 1
            return
        sized = "width" in element.attributes and "height" in element.attributes
        size = (element.whole("width"), element.whole("height")) if sized else None
        self.items.append(StreamItem(frame, name, size if size and min(size) > 0 else None))
        for index, shape in enumerate(element.children):
            fields = self._shape(shape)
            if fields is not None:
                own = label_id(self._stream, "cvat", f"i{frame}-{index}")
                self.intake.add(
                    f"line {shape.line}", f"<{shape.tag}>", {**fields, **_said(shape), "id": own, "frame": frame}
                )

    def _shape(self, shape: Element) -> dict[str, Any] | None:
        fields: dict[str, Any] = {"stream": self._stream, "author": self._author}
        if shape.tag not in _SHAPES:
            self.intake.drop_often("*", f"<{shape.tag}>", "shapes of this kind are not read")
            return None
        fields["label"] = shape.attribute("label") if "label" in shape.attributes else None
        occluded = shape.attributes.get("occluded")
        if shape.tag != "tag" and occluded is not None:
            fields["occlusion"] = 1 if occluded == "1" else 0
        if shape.tag == "tag":
            return {**fields, "type": "image_classification"}
        if shape.tag == "polygon":
            return {**fields, "type": "polygon", "points_px": tuple(shape.points("points"))}
        if shape.tag == "points":
            points = [
                {"name": f"point-{index + 1}", "x_px": x, "y_px": y}
                for index, (x, y) in enumerate(shape.points("points"))
            ]
            return {**fields, "type": "keypoints", "keypoints": points}
        box = tuple(shape.number(name) for name in ("xtl", "ytl", "xbr", "ybr"))
        turn = shape.number("rotation") if "rotation" in shape.attributes else 0.0
        if turn == 0:
            return {**fields, "type": "box", "box": box}
        return {
            **fields,
            "type": "rotated_box",
            "center_px": ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
            "size_px": (box[2] - box[0], box[3] - box[1]),
            "angle_deg": turn,
        }

    def _read_track(self, track: Element) -> None:
        self.video = True
        number, label = track.whole("id"), track.attribute("label")
        boxes: list[dict[str, Any]] = []
        common = {"label": label, "object_id": f"track-{number}", "stream": self._stream, "author": self._author}
        said: dict[str, Any] = {}
        for shape in track.children:
            if shape.tag == "attribute":
                said = {**said, **_attributes(track)}
                continue
            frame = shape.whole("frame")
            if frame < 0:
                raise shape.bad("frame must be a whole number from 0")
            if not self._first <= frame <= self._last or shape.attributes.get("outside") == "1":
                continue
            fields = self._shape(shape)
            if fields is None:
                continue
            place = {"frame": frame - self._first}
            for key, value in _attributes(shape).items():
                if said.setdefault(key, value) != value:
                    self.intake.drop_often("*", f"{key} of single frames", "a track has one value; the first is kept")
            if fields["type"] == "box":
                step = {**place, "box": fields["box"], "keyframe": shape.attributes.get("keyframe", "1") == "1"}
                boxes.append(step | ({"occlusion": fields["occlusion"]} if "occlusion" in fields else {}))
            else:
                own = label_id(self._stream, "cvat", f"t{number}-{frame}-{shape.tag}")
                self.intake.add(f"line {shape.line}", f"<{shape.tag}>", {**fields, **common, **place, "id": own})
        if boxes:
            kept = [box for box in boxes if _has_area(box["box"])]
            if len(kept) < len(boxes):
                self.intake.drop(f"line {track.line}", f"{len(boxes) - len(kept)} boxes", "they have no area")
            row = {**common, "type": "track", "id": label_id(self._stream, "cvat", f"t{number}"), "boxes": kept}
            said = said | ({"source": track.attributes["source"]} if "source" in track.attributes else {})
            self.intake.add(f"line {track.line}", f"<track> {number}", {**row, "attributes": said})
        elif not any(shape.tag in _SHAPES for shape in track.children):
            self.intake.drop(f"line {track.line}", f"<track> {number}", "it has no shape that is read")


def _has_area(box: tuple[float, ...]) -> bool:
    return box[0] < box[2] and box[1] < box[3]


def _attributes(shape: Element) -> dict[str, Any]:
    return {item.attribute("name"): item.text.strip() for item in shape.all("attribute") if item.attribute("name")}


def _said(shape: Element) -> dict[str, Any]:
    """Return what a shape says besides its form: its source, order and group, and its attributes."""
    own = {key: shape.attributes[key] for key in ("source", "z_order", "group_id") if key in shape.attributes}
    return {"attributes": {**own, **_attributes(shape)}}
