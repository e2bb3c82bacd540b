"""Write KITTI's object and tracking labels: see :mod:`services.formats.kitti`.

A line holds a box in the camera and the cuboid of the same object; it can not hold a cuboid without a box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from services.alignment.geometry import Floats, matrices_from_quaternions, matrices_from_yaw, transform_points
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.formats.kitti import KittiCalibration
from services.formats.result import ExportResult, Losses

_NAMES = {
    name.lower(): name
    for name in ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare")
}
_UPRIGHT_FROM_CAMERA: Floats = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_TRACKING_STATE = {None: -1, 0.0: 0, 0.5: 1, 1.0: 2}
_PLACES = 6
_KEPT = {"label", "frame", "truncation", "occlusion", "ignore", "box", "center_m", "size_m", "yaw_rad", "rotation_wxyz",
         "object_id", "attributes.alpha_rad"}  # fmt: skip
_NO_CUBOID = "-1 -1 -1 -1000 -1000 -1000 -10"


def write_objects(
    annotations: Iterable[Annotation], calibration: KittiCalibration, *, camera_stream: str, lidar_stream: str
) -> ExportResult:
    """Return the labels of one frame as KITTI's object labels, and what they do not hold.

    Numbers have six decimals. A reader names objects by their class and line; other ids are listed as lost.
    """
    losses = Losses("KITTI")
    lines: list[str] = []
    for box, cuboid in _objects(annotations, camera_stream, lidar_stream, losses):
        if box.object_id != (None if box.ignore else f"{box.label}-{len(lines)}"):
            losses.part(box, "object_id", "objects have no id; it is read as the class and the line")
        truncation = "-1" if box.truncation is None else _decimal(box.truncation)
        lines.append(f"{_name(box, losses)} {truncation} {_rest(box, cuboid, calibration, losses)}\n")
    return losses.result("".join(lines))


def write_tracking(
    annotations: Iterable[Annotation], calibration: KittiCalibration, *, camera_stream: str, lidar_stream: str
) -> ExportResult:
    """Return the labels of a sequence as KITTI's tracking labels, by frame, and what they do not hold.

    An object_id ``track-<n>`` is written as n; others get free numbers, which is listed.
    """
    losses = Losses("KITTI")
    pairs = list(_objects(annotations, camera_stream, lidar_stream, losses))
    taken = {number for box, _ in pairs if (number := _track_number(box.object_id)) is not None}
    given: dict[str, int] = {}
    free = max(taken, default=-1) + 1
    lines = []
    for box, cuboid in sorted(pairs, key=lambda pair: pair[0].frame or 0):
        number = -1 if box.ignore else _track_number(box.object_id)
        if number is None:
            name = box.object_id or box.id
            if name not in given:
                given[name], free = free, free + 1
            number = given[name]
            losses.part(box, "object_id", f"tracks are numbered; it is read as track-{number}")
        state = _TRACKING_STATE.get(box.truncation)
        if state is None:
            state = 1 if (box.truncation or 0) < 0.75 else 2
            losses.part(box, "truncation", "tracking knows none, partly (0.5) and largely (1)")
        head = f"{box.frame or 0} {number} {_name(box, losses)} {state}"
        lines.append(f"{head} {_rest(box, cuboid, calibration, losses)}\n")
    return losses.result("".join(lines))


def _objects(
    annotations: Iterable[Annotation], camera: str, lidar: str, losses: Losses
) -> Iterator[tuple[Box, Cuboid | None]]:
    """Yield each box of the camera with the cuboid of its object in the same frame."""
    boxes: list[Box] = []
    cuboids: dict[tuple[int, str], Cuboid] = {}
    for label in annotations:
        if isinstance(label, Box) and label.stream == camera:
            boxes.append(label)
            continue
        key = (label.frame or 0, label.object_id or "")
        if not isinstance(label, Cuboid) or label.stream != lidar:
            losses.whole(label, "a line holds a box of the camera and a cuboid of the LiDAR, nothing else")
        elif label.object_id is None or key in cuboids:
            losses.whole(label, "a cuboid is told with the one box of its object in its frame")
        else:
            cuboids[key] = label
    for box in boxes:
        cuboid = None if box.ignore or box.object_id is None else cuboids.pop((box.frame or 0, box.object_id), None)
        losses.fields(box, _KEPT)
        if cuboid is not None:
            losses.fields(cuboid, _KEPT - {"attributes.alpha_rad"})
            for name in ("label", "truncation", "occlusion"):
                if getattr(cuboid, name) != getattr(box, name):
                    losses.part(cuboid, name, "box and cuboid share one line; the box's is written")
        yield box, cuboid
    for left in cuboids.values():
        losses.whole(left, "there is no box of its object in its frame")


def _name(box: Box, losses: Losses) -> str:
    wanted = "dontcare" if box.ignore else box.label
    name = _NAMES.get(wanted, "_".join(wanted.split()) or "Misc")
    if not box.ignore and name.lower() == "dontcare":
        name = "Misc"
    if name.lower() != box.label:
        losses.part(box, "label", f"it is read as {name.lower()}")
    return name


def _rest(box: Box, cuboid: Cuboid | None, calibration: KittiCalibration, losses: Losses) -> str:
    """Return the columns from occlusion to rotation_y."""
    occlusion = -1 if box.occlusion is None or box.ignore else box.occlusion
    if box.ignore and (box.occlusion is not None or box.object_id is not None):
        losses.part(box, "occlusion, object_id", "a DontCare region has neither")
    alpha = box.attributes.get("alpha_rad", -10.0)
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        losses.part(box, "attributes.alpha_rad", "it is no number")
        alpha = -10.0
    if any(round(value, _PLACES) != value for value in box.box):
        losses.part(box, "box", f"it is rounded to {_PLACES} decimals of a pixel")
    corners = " ".join(_decimal(value) for value in box.box)
    return f"{occlusion} {_decimal(alpha)} {corners} {_cuboid(cuboid, calibration, losses)}"


def _cuboid(cuboid: Cuboid | None, calibration: KittiCalibration, losses: Losses) -> str:
    if cuboid is None:
        return _NO_CUBOID
    if cuboid.rotation_wxyz is not None:
        turn = matrices_from_quaternions(cuboid.rotation_wxyz)
    else:
        turn = matrices_from_yaw(cuboid.yaw_rad or 0.0)
    about_y = calibration.rectified_from_lidar[:3, :3] @ turn @ _UPRIGHT_FROM_CAMERA
    tilt_rad = math.acos(min(1.0, max(-1.0, float(about_y[1, 1]))))
    if tilt_rad > 1e-4:
        losses.part(
            cuboid, "rotation", f"KITTI's cuboids turn about one axis only; a tilt of {tilt_rad:.4f} rad is lost"
        )
    length, width, height = cuboid.size_m
    x, y, z = transform_points(calibration.rectified_from_lidar, np.asarray(cuboid.center_m, dtype=np.float64)).tolist()
    rotation_y = math.atan2(float(about_y[0, 2]), float(about_y[0, 0]))
    if z <= -999:
        losses.part(cuboid, "center_m", "so far behind the camera is read as no cuboid")
    return " ".join(_decimal(value) for value in (height, width, length, x, y + height / 2, z, rotation_y))


def _track_number(object_id: str | None) -> int | None:
    tail = (object_id or "").removeprefix("track-")
    known = tail != object_id and tail.isascii() and tail.isdigit() and len(tail) < 10 and str(int(tail)) == tail
    return int(tail) if known else None


def _decimal(value: float) -> str:
    return f"{round(value, _PLACES) + 0.0:.6f}".rstrip("0").rstrip(".")
