"""Write OpenLABEL 1.0: see :mod:`services.formats.openlabel`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Action, Box, Event, FrameLabel, Polygon, RotatedBox
from services.formats.openlabel import IGNORED_TYPES, PLACES, RESERVED, is_reserved, object_id_of
from services.formats.result import ExportResult, Losses, StreamFacts

_Shape = Box | RotatedBox | Polygon | Cuboid
_Span = Action | Event | FrameLabel
_KEPT = {
    "label", "frame", "object_id", "truncation", "occlusion", "confidence", "ignore", "box", "center_px", "size_px",
    "angle_deg", "points_px", "center_m", "size_m", "yaw_rad", "rotation_wxyz", "holes_px", "point_count",
}  # fmt: skip
_TYPES = {"image": "camera", "video": "camera", "lidar": "lidar", "radar": "radar"}


def write_openlabel(
    annotations: Iterable[Annotation], *, streams: Iterable[StreamFacts] = (), rate_hz: float | None = None
) -> ExportResult:
    """Return boxes, polygons, cuboids, actions and events as an OpenLABEL document, and what it does not hold.

    Args:
        annotations: The labels.
        streams: What to write of their streams: kind, address, calibration.
        rate_hz: Frames a second, for actions and events, whose times OpenLABEL tells in frames.
    """
    writer = _Writer(rate_hz)
    for label in annotations:
        writer.add(label)
    return writer.losses.result(json.dumps(writer.document(tuple(streams)), ensure_ascii=False, separators=(",", ":")))


class _Writer:
    def __init__(self, rate_hz: float | None) -> None:
        self.losses = Losses("OpenLABEL")
        self._rate_hz = rate_hz
        self._types: dict[str, str] = {}
        self._objects: dict[str, dict[str, Any]] = {}
        self._frames: dict[int, dict[str, Any]] = {}
        self._spans: dict[str, dict[str, Any]] = {"action": {}, "event": {}}
        self._systems: dict[str, None] = {}

    def add(self, label: Annotation) -> None:
        """Take up one label."""
        if isinstance(label, _Shape):
            self._add_shape(label)
        elif isinstance(label, _Span):
            self._add_span(label)
        else:
            self.losses.kind(label)

    def document(self, streams: tuple[StreamFacts, ...]) -> dict[str, Any]:
        """Return the document of what was taken up."""
        body: dict[str, Any] = {"metadata": {"schema_version": "1.0.0"}}
        systems = dict.fromkeys([*self._systems, *(stream.id for stream in streams)])
        body["coordinate_systems"] = {name: {"type": "sensor_cs", "parent": "", "children": []} for name in systems}
        for stream in streams:
            self._place(stream, body["coordinate_systems"])
        body["streams"] = {stream.id: _stream(stream) for stream in streams}
        body["objects"] = self._objects
        for kind, spans in self._spans.items():
            if spans:
                body[f"{kind}s"] = spans
        body["frames"] = {str(frame): {"objects": found} for frame, found in sorted(self._frames.items())}
        if self._frames:
            body["frame_intervals"] = _runs(sorted(self._frames))
        return {"openlabel": body}

    @staticmethod
    def _place(stream: StreamFacts, systems: dict[str, Any]) -> None:
        extrinsics = stream.calibration.extrinsics if stream.calibration is not None else None
        if extrinsics is None:
            return
        parent = systems.setdefault(extrinsics.to, {"type": "local_cs", "parent": "", "children": []})
        parent["children"].append(stream.id)
        matrix = [value for row in extrinsics.matrix for value in row]
        systems[stream.id] |= {"parent": extrinsics.to, "pose_wrt_parent": {"matrix4x4": matrix}}

    def _add_shape(self, label: _Shape) -> None:
        kind, value, more = _value(label, self.losses)
        uid = self._uid(label)
        own = dict(label.attributes)
        name = own.get("name")
        kept = set(_KEPT)
        if isinstance(name, str):
            own.pop("name")
        for key, given in RESERVED.items():
            field = getattr(label, given)
            if field is not None:
                if key in own:
                    self.losses.part(label, f"attributes.{key}", f"{given} takes its place")
                own[key] = field
            elif is_reserved(key, own.get(key)):
                self.losses.part(label, f"attributes.{key}", f"it is read as {given}")
        self.losses.fields(label, kept | {f"attributes.{key}" for key in label.attributes})
        entry = {
            "name": name if isinstance(name, str) else kind,
            "val": value,
            **more,
            "coordinate_system": label.stream,
        }
        self._systems[label.stream] = None
        if own:
            entry["attributes"] = _grouped(own)
        if label.frame is None:
            place = self._objects[uid].setdefault("object_data", {})
        else:
            place = self._frames.setdefault(label.frame, {}).setdefault(uid, {"object_data": {}})["object_data"]
        place.setdefault(kind, []).append(entry)

    def _uid(self, label: _Shape) -> str:
        ignored = label.label.lower() in IGNORED_TYPES
        if ignored != label.ignore:
            self.losses.part(label, "ignore", f"only objects of type {', '.join(sorted(IGNORED_TYPES))} are ignored")
        if ignored:
            uid = f"ignored-{label.label}"
            if label.object_id is not None:
                self.losses.part(label, "object_id", "an ignored region has none")
        elif label.object_id is None:
            uid = f"of-{label.id}"
            self.losses.part(label, "object_id", f"each label belongs to an object; this one is read as {uid}")
        else:
            uid = label.object_id.removeprefix("object-")
            uid = uid if object_id_of(uid) == label.object_id else label.object_id
            if object_id_of(uid) != label.object_id:
                self.losses.part(label, "object_id", f"it is read as {object_id_of(uid)}")
        if self._types.setdefault(uid, label.label) != label.label:
            self.losses.part(label, "object_id", f"an object has one type, and {uid} is {self._types[uid]!r}")
            uid = f"{uid}.{label.id}"
            self._types[uid] = label.label
        self._objects.setdefault(uid, {"name": uid, "type": label.label})
        return uid

    def _add_span(self, label: _Span) -> None:
        own = dict(label.attributes)
        kind = "event" if isinstance(label, Event) else "action"
        if isinstance(label, FrameLabel):
            kind = "event" if own.pop("kind", kind) == "event" else "action"
            start = label.frame
            end = label.frame if label.last_frame is None else label.last_frame
            kept = {"label", "frame", "last_frame"}
        else:
            if self._rate_hz is None:
                self.losses.whole(label, "its times are told in frames; say how many a second")
                return
            start, end = round(label.start_s * self._rate_hz), round(label.end_s * self._rate_hz) - 1
            if start / self._rate_hz != label.start_s or (end + 1) / self._rate_hz != label.end_s:
                self.losses.part(label, "start_s, end_s", "they are rounded to whole frames")
            if end < start:
                self.losses.whole(label, "it is shorter than a frame")
                return
            kept = {"label", "start_s", "end_s"}
        self.losses.fields(label, kept | {f"attributes.{key}" for key in label.attributes})
        spans = self._spans[kind]
        uid = own.pop("uid", None)
        name = own.pop("name", "")
        row = {"name": str(name), "type": label.label, **({f"{kind}_data": _grouped(own)} if own else {})}
        uid = uid if isinstance(uid, str) and uid and spans.get(uid, row).items() >= row.items() else str(len(spans))
        while uid in spans and not spans[uid].items() >= row.items():
            uid = f"{uid}.{len(spans)}"
        spans.setdefault(uid, {**row, "frame_intervals": []})["frame_intervals"].append(
            {"frame_start": start, "frame_end": end}
        )


def _value(label: _Shape, losses: Losses) -> tuple[str, list[float], dict[str, Any]]:
    if isinstance(label, Box):
        x_min, y_min, x_max, y_max = label.box
        if any(round(value, PLACES) != value for value in label.box):
            losses.part(label, "box", f"it is rounded to {PLACES} decimals of a pixel")
        return "bbox", [(x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min], {}
    if isinstance(label, RotatedBox):
        turned = math.remainder(label.angle_deg, 360.0)
        if round(turned, PLACES) != label.angle_deg:
            losses.part(label, "angle_deg", f"it is told from -180 to 180 with {PLACES} decimals")
        return "rbbox", [*label.center_px, *label.size_px, math.radians(turned)], {}
    if isinstance(label, Polygon):
        if label.holes_px:
            losses.part(label, "holes_px", "holes are polygons of their own in OpenLABEL")
        values = [value for point in label.points_px for value in point]
        return "poly2d", values, {"mode": "MODE_POLY2D_ABSOLUTE", "closed": True}
    if label.point_count is not None:
        losses.part(label, "point_count", "OpenLABEL has no place for it")
    if label.rotation_wxyz is None:
        return "cuboid", [*label.center_m, 0, 0, label.yaw_rad or 0.0, *label.size_m], {}
    w, x, y, z = label.rotation_wxyz
    return "cuboid", [*label.center_m, x, y, z, w, *label.size_m], {}


def _grouped(attributes: dict[str, Any]) -> dict[str, Any]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, value in attributes.items():
        kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "num"
        groups.setdefault(kind, []).append({"name": name, "val": value})
    return groups


def _stream(stream: StreamFacts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": "",
        "uri": stream.uri or "",
        "type": _TYPES.get(stream.modality or "", "other"),
    }
    calibration = stream.calibration
    if calibration is not None and calibration.intrinsics is not None and calibration.model == "pinhole":
        pinhole: dict[str, Any] = {
            "camera_matrix_3x4": [value for row in calibration.intrinsics for value in (*row, 0.0)],
            "distortion_coeffs_1xN": list(calibration.distortion),
        }
        if stream.size_px is not None:
            pinhole |= {"width_px": stream.size_px[0], "height_px": stream.size_px[1]}
        found["stream_properties"] = {"intrinsics_pinhole": pinhole}
    return found


def _runs(frames: list[int]) -> list[dict[str, int]]:
    runs: list[dict[str, int]] = []
    for frame in frames:
        if runs and runs[-1]["frame_end"] == frame - 1:
            runs[-1]["frame_end"] = frame
        else:
            runs.append({"frame_start": frame, "frame_end": frame})
    return runs
