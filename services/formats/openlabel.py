"""ASAM OpenLABEL 1.0: boxes, turned boxes, polygons and cuboids of objects, actions, events, streams and their poses.

Source: ASAM OpenLABEL V1.0.0 concept paper and JSON schema: a ``bbox`` is [centre x, centre y, width, height]; a
``cuboid`` is a centre, a rotation (Euler angles x, y, z in radians, R = Rz Ry Rx, or a quaternion x, y, z, w) and
sizes along its own x, y and z; a pose leads from a coordinate system into its parent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.contracts.label_base import Author
from services.formats.openlabel_frames import (
    StreamNames,
    from_camera,
    quaternion_wxyz,
    read_streams,
    transforms_into,
    unit_quaternion,
)
from services.formats.result import EVERY_FRAME, ImportResult, Intake, shortened
from services.formats.tree import Node, parse_tree

_NO_ID = re.compile(r"[^A-Za-z0-9._:@+-]")
PLACES = 6
"""Decimals of a pixel and a degree that are kept where a centre becomes corners, or radians degrees."""

_PLAIN = ("num", "boolean", "text")
RESERVED = {"truncated": "truncation", "occluded": "occlusion", "confidence": "confidence"}
IGNORED_TYPES = frozenset({"dontcare", "ignore", "ignored"})
_ELEMENTS = {"actions": "action", "events": "event"}


def read_openlabel(
    data: bytes,
    *,
    stream: str,
    streams: Mapping[str, str] | None = None,
    cuboids_into: tuple[str, str] | None = None,
    rate_hz: float | None = None,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "OpenLABEL",
) -> ImportResult:
    """Return the labels of an OpenLABEL document.

    Args:
        data: The document.
        stream: The stream of labels that name none, of actions and of events.
        streams: The document's streams or coordinate systems → the ids of the streams; without it a label's stream
            is named as in the document. With it, labels of other streams are listed as dropped.
        cuboids_into: (coordinate system of the document, stream): cuboids in any coordinate system with a pose are
            carried over into this one. Those of a camera, whose y looks down, are stood up: z up, y left.
        rate_hz: Frames a second, for actions and events; without it they become labels of runs of frames.
        frames: (first, last) frame to read, inclusive; frames are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the document.

    Raises:
        ConcordError: The document is not readable; names the line, or the JSON pointer and what to change.
    """
    root = parse_tree(data, source)["openlabel"]
    version = root["metadata"]["schema_version"].word()
    if not version.startswith("1."):
        raise root["metadata"]["schema_version"].bad(f"must be 1.0.0, got {version[:20]!r}; convert the document")
    intake = Intake()
    names = StreamNames(stream, streams)
    facts = read_streams(root, names, intake)
    into = None
    if cuboids_into is not None:
        into = (cuboids_into[1], transforms_into(root, cuboids_into[0]))
    reader = _Reader(root, names, into, frames or EVERY_FRAME, author, intake)
    reader.read_objects()
    for section, kind in _ELEMENTS.items():
        reader.read_intervals(section, kind, rate_hz)
    for section in ("contexts", "relations", "tags", "resources", "ontologies"):
        found = root.get(section)
        if found is not None and found.mapping():
            intake.drop(f"/openlabel/{section}", f"{len(found.mapping())} {section}", "there is no label of this kind")
    return intake.result(*facts)


def document_streams(data: bytes, *, source: str = "OpenLABEL") -> tuple[str, ...]:
    """Return the names of a document's streams and coordinate systems."""
    root = parse_tree(data, source)["openlabel"]
    found = [root.get(section) for section in ("streams", "coordinate_systems")]
    return tuple(dict.fromkeys(name for node in found if node is not None for name in node.mapping()))


def only_lidar(data: bytes, *, source: str = "OpenLABEL") -> str | None:
    """Return the name of a document's LiDAR that is a coordinate system too; None where there is none, or several."""
    root = parse_tree(data, source)["openlabel"]
    streams, systems = root.get("streams"), root.get("coordinate_systems")
    known = {} if systems is None else systems.mapping()
    found = [
        name
        for name, node in (streams.items() if streams is not None else ())
        if name in known and (kind := node.get("type")) is not None and kind.value == "lidar"
    ]
    return found[0] if len(found) == 1 else None


def object_id_of(uid: str) -> str:
    """Return the object_id of an OpenLABEL uid: the uid itself where it begins with a letter."""
    cleaned = _NO_ID.sub("_", uid)[:150]
    return cleaned if cleaned == uid and uid[:1].isalpha() else f"object-{cleaned}"


class _Reader:
    def __init__(
        self,
        root: Node,
        names: StreamNames,
        into: tuple[str, dict[str, Any]] | None,
        frames: tuple[int, int],
        author: Author | None,
        intake: Intake,
    ) -> None:
        self._root, self._names, self._into = root, names, into
        self._first, self._last = frames
        self._author, self._intake = author, intake
        kinds = root.get("streams")
        self._cameras = {
            name
            for name, node in (kinds.items() if kinds is not None else ())
            if (kind := node.get("type")) is not None and kind.value == "camera"
        }

    def read_objects(self) -> None:
        objects = self._root.get("objects")
        about = {} if objects is None else dict(objects.items())
        for uid, node in about.items():
            data = node.get("object_data")
            if data is not None:
                self._read_data(uid, node, data, None, {})
        for number, frame in self._frames():
            found = frame.get("objects")
            for uid, node in found.items() if found is not None else ():
                data = node.get("object_data")
                if data is None:
                    continue
                about_it = about.get(uid)
                if about_it is None:
                    raise node.bad(f"there is no object {uid!r} in /openlabel/objects; add it with its type")
                static = about_it.get("object_data")
                self._read_data(uid, about_it, data, number, {} if static is None else _plain(static))

    def _frames(self) -> Iterator[tuple[int, Node]]:
        frames = self._root.get("frames")
        for key, frame in frames.items() if frames is not None else ():
            if not key.isascii() or not key.isdigit() or len(key) > 9:
                raise frame.bad("frames are named by whole numbers")
            if self._first <= int(key) <= self._last:
                yield int(key) - self._first, frame

    def _read_data(self, uid: str, about: Node, data: Node, frame: int | None, static: dict[str, Any]) -> None:
        label = about["type"].text().strip() or "object"
        attributes = {**static, **_plain(data)}
        ignore = label.lower() in IGNORED_TYPES
        common: dict[str, Any] = {
            "label": label,
            "frame": frame,
            "object_id": None if ignore else object_id_of(uid),
            "ignore": ignore,
            "author": self._author,
        }
        for kind, entries in data.items():
            if kind in _PLAIN:
                continue
            read = _SHAPES.get(kind)
            for entry in entries.elements():
                if read is None:
                    self._intake.drop_often("/openlabel/frames", kind, "there is no label of this kind")
                else:
                    own = entry.get("attributes")
                    said = {**attributes, **({} if own is None else _plain(own))}
                    self._add(uid, kind, entry, {**common, **read(entry)}, said)

    def _add(self, uid: str, kind: str, entry: Node, fields: dict[str, Any], attributes: dict[str, Any]) -> None:
        name = entry["name"].text()
        system = entry.get("coordinate_system") or entry.get("stream")
        system_name = None if system is None else system.text()
        if kind == "cuboid":
            if min(fields["size_m"]) <= 0:
                self._intake.drop_often("/openlabel/frames", "cuboid without a size", f"of {fields['label']}")
                return
            if self._into is not None and system_name is not None:
                transform = self._into[1].get(system_name)
                if transform is not None:
                    fields = from_camera(fields, transform, upright=system_name in self._cameras)
                    system_name = self._into[0]
        stream = self._into[0] if self._into and system_name == self._into[0] else self._names.stream_of(system_name)
        if stream is None:
            self._intake.drop_often("/openlabel/frames", f"{kind} of {system_name}", "the sample has no such stream")
            return
        own = f"ol-{_NO_ID.sub('_', uid)[:60]}-{_NO_ID.sub('_', name)[:60]}"
        own = own if fields["frame"] is None else f"{own}-{fields['frame']}"
        if not self._intake.is_free(own):
            own = f"{own}-{len(self._intake.annotations)}"
        for key, given in RESERVED.items():
            if is_reserved(key, attributes.get(key)):
                fields[given] = attributes.pop(key)
        if name != kind:
            attributes["name"] = name
        what = f"{kind} {shortened(name)} of {uid}"
        self._intake.add(entry.at, what, {**fields, "id": own, "stream": stream, "attributes": attributes})

    def read_intervals(self, section: str, kind: str, rate_hz: float | None) -> None:
        found = self._root.get(section)
        for uid, node in found.items() if found is not None else ():
            label, name = node["type"].text(), node.get("name")
            data = node.get(f"{kind}_data")
            attributes: dict[str, Any] = {
                **({} if data is None else _plain(data)),
                "uid": uid,
                **({"name": name.text()} if name is not None and name.text() else {}),
            }
            if node.get(f"{kind}_data_pointers") is not None:
                self._intake.drop_often(f"/openlabel/{section}", f"{kind}_data of single frames", "it has no place")
            intervals = list(node.all("frame_intervals"))
            if not intervals:
                self._intake.drop(node.at, f"{kind} {label}", "it has no frame_intervals")
            for index, interval in enumerate(intervals):
                start, end = interval["frame_start"].whole(), interval["frame_end"].whole()
                if min(start, end) < 0:
                    raise interval.bad("frames count from 0; correct frame_start and frame_end")
                if end < self._first or start > self._last:
                    continue
                start, end = max(start, self._first) - self._first, min(end, self._last) - self._first
                fields: dict[str, Any] = {
                    "id": f"ol-{kind}-{_NO_ID.sub('_', uid)[:100]}-{index}",
                    "stream": self._names.default,
                    "label": label,
                    "author": self._author,
                    "attributes": attributes,
                }
                if rate_hz is None:
                    attributes["kind"] = kind
                    fields |= {"type": "frame_label", "frame": start, "last_frame": end}
                else:
                    fields |= {"type": kind, "start_s": start / rate_hz, "end_s": (end + 1) / rate_hz}
                self._intake.add(interval.at, f"{kind} {label}", fields)


def is_reserved(key: str, value: object) -> bool:
    """Whether an object's number is a field of the contract: a share for two of them, 0 to 3 for ``occluded``."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value in (0, 1, 2, 3) if key == "occluded" else 0 <= value <= 1


def _plain(data: Node) -> dict[str, Any]:
    """Return the numbers, flags and texts of an object's data by their names."""
    found: dict[str, Any] = {}
    for kind in _PLAIN:
        for entry in data.all(kind):
            value = entry["val"]
            checked = {"num": value.number, "boolean": value.flag, "text": value.text}[kind]
            checked()
            found[entry["name"].text() or kind] = value.value
    return found


def _bbox(entry: Node) -> dict[str, Any]:
    x, y, width, height = entry["val"].numbers(4)
    return {
        "type": "box",
        "box": tuple(round(v, PLACES) + 0.0 for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)),
    }


def _rbbox(entry: Node) -> dict[str, Any]:
    x, y, width, height, alpha_rad = entry["val"].numbers(5)
    angle_deg = round(math.degrees(math.remainder(alpha_rad, 2 * math.pi)), PLACES) + 0.0
    return {"type": "rotated_box", "center_px": (x, y), "size_px": (width, height), "angle_deg": angle_deg}


def _poly2d(entry: Node) -> dict[str, Any]:
    mode = entry.get("mode")
    if mode is not None and mode.value != "MODE_POLY2D_ABSOLUTE":
        raise mode.bad("only MODE_POLY2D_ABSOLUTE is read; write the polygon so")
    values = entry["val"].numbers()
    if len(values) % 2:
        raise entry["val"].bad("must have two numbers a point")
    return {"type": "polygon", "points_px": tuple(zip(values[::2], values[1::2], strict=True))}


def _cuboid(entry: Node) -> dict[str, Any]:
    values = entry["val"].numbers(9, 10)
    fields: dict[str, Any] = {"type": "cuboid", "center_m": tuple(values[:3]), "size_m": tuple(values[-3:])}
    if len(values) == 10:
        qx, qy, qz, qw = unit_quaternion(entry["val"], values[3:7])
        return {**fields, "rotation_wxyz": (qw, qx, qy, qz)}
    if values[3] == values[4] == 0:
        return {**fields, "yaw_rad": values[5]}
    return {**fields, "rotation_wxyz": quaternion_wxyz(values[3], values[4], values[5])}


_SHAPES = {"bbox": _bbox, "rbbox": _rbbox, "poly2d": _poly2d, "cuboid": _cuboid}
