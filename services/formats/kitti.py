"""KITTI text formats: object and tracking labels, their calibration, and PointRCNN/AB3DMOT detections.

Pure: text in, contract models out. Formats after A. Geiger, P. Lenz and R. Urtasun, "Are we ready for autonomous
driving? The KITTI vision benchmark suite", CVPR 2012, and the benchmark's development kits.

In KITTI a cuboid stands on its location: the bottom centre, in the *rectified* frame of camera 0 (x right, y down,
z forward), turned by ``rotation_y`` about y. The contract wants the centre and a quaternion in the LiDAR's frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from services.alignment.geometry import (
    Floats,
    invert_rigid,
    nearest_rotation,
    quaternion_from_matrix,
    rigid,
    transform_points,
)
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import Calibration
from services.contracts.validation import places_of
from services.errors import InvalidInputError
from services.formats.result import EVERY_FRAME

_Label = TypeVar("_Label", Box, Cuboid)

DETECTION_CLASSES = {1: "pedestrian", 2: "car", 3: "cyclist"}
_CAMERA_FROM_UPRIGHT: Floats = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Axes of a cuboid with rotation_y 0 (x forward, y left, z up) in the rectified camera's frame."""

_TRACKING_TRUNCATION = {0: 0.0, 1: 0.5, 2: 1.0}
_NUMBERS_OF_AN_OBJECT = 14


@dataclass(frozen=True, slots=True)
class KittiCalibration:
    """One KITTI calibration file.

    Attributes:
        projections: Shape (4, 3, 4): P0 to P3, pixels from rectified camera 0 metres.
        rectified_from_lidar: Shape (4, 4): R0_rect after Tr_velo_to_cam, made exactly rigid.
    """

    projections: Floats
    rectified_from_lidar: Floats

    def intrinsics(self, camera: int = 2) -> Floats:
        """Return the (3, 3) intrinsic matrix of a rectified camera, pixels."""
        return self.projections[camera, :, :3]

    def camera_from_rectified(self, camera: int = 2) -> Floats:
        """Return the 4x4 transform into a camera's own frame: P's fourth column is K times the shift."""
        shift = np.linalg.solve(self.intrinsics(camera), self.projections[camera, :, 3])
        return rigid(np.eye(3), shift)

    def camera_from_lidar(self, camera: int = 2) -> Floats:
        """Return the 4x4 transform from the LiDAR's frame into a camera's own."""
        return np.asarray(self.camera_from_rectified(camera) @ self.rectified_from_lidar)

    def calibration(self, *, to: str, camera: int = 2) -> Calibration:
        """Return the contract's calibration of a camera.

        Args:
            to: The coordinate frame, or the id, of the LiDAR stream.
            camera: 0 to 3; 2 is the left colour camera, to which the labels belong.
        """
        lidar_from_camera = invert_rigid(self.camera_from_lidar(camera))
        return Calibration.model_validate(
            {
                "model": "pinhole",
                "intrinsics": self.intrinsics(camera).tolist(),
                "extrinsics": {"to": to, "matrix": lidar_from_camera.tolist()},
            }
        )


def parse_calibration(text: str, *, source: str = "calibration") -> KittiCalibration:
    """Read ``P0: …`` lines, with or without colons; tracking files say ``R_rect`` and ``Tr_velo_cam``.

    Raises:
        InvalidInputError: A matrix is missing, has the wrong length, or is not numeric or no rotation.
    """
    found: dict[str, Floats] = {}
    lengths = {"P0": 12, "P1": 12, "P2": 12, "P3": 12, "R0_rect": 9, "Tr_velo_to_cam": 12}
    aliases = {"R_rect": "R0_rect", "Tr_velo_cam": "Tr_velo_to_cam"}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(":", " ", 1).split()
        if not words:
            continue
        name = aliases.get(words[0], words[0])
        if name not in lengths:
            continue
        values = _floats(words[1:], source, number)
        if len(values) != lengths[name]:
            raise _bad(source, number, f"{name} has {len(values)} numbers; it needs {lengths[name]}")
        found[name] = np.array(values).reshape(3, -1)
    missing = sorted(set(lengths) - set(found))
    if missing:
        raise InvalidInputError(f"{source}: {', '.join(missing)} missing; add the lines of KITTI's calib file")
    for name in ("P0", "P1", "P2", "P3"):
        if not (found[name][0, 0] > 0 and found[name][1, 1] > 0 and abs(found[name][2, 2] - 1) < 1e-6):
            raise InvalidInputError(f"{source}: {name} is no projection of a camera; copy it from KITTI's file")
    rotation = found["R0_rect"] @ found["Tr_velo_to_cam"][:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-2 or np.linalg.det(rotation) < 0:
        raise InvalidInputError(f"{source}: R0_rect and the left of Tr_velo_to_cam must be rotations")
    read = KittiCalibration(
        projections=np.stack([found[f"P{camera}"] for camera in range(4)]),
        rectified_from_lidar=rigid(nearest_rotation(rotation), found["R0_rect"] @ found["Tr_velo_to_cam"][:, 3]),
    )
    for camera in range(4):
        try:
            read.calibration(to="lidar", camera=camera)
        except ValidationError as error:
            raise InvalidInputError(
                f"{source}: P{camera} with Tr_velo_to_cam calibrates no camera: {_reasons(error)}; copy both from "
                "KITTI's file"
            ) from error
    return read


def read_objects(
    text: str,
    calibration: KittiCalibration,
    *,
    camera_stream: str,
    lidar_stream: str,
    frame: int | None = None,
    author: Author | None = None,
    source: str = "label_2",
) -> tuple[Annotation, ...]:
    """Read an object label file: for each line a box on the camera and a cuboid on the LiDAR, same object_id.

    ``DontCare`` lines become boxes with ``ignore=True``. A sixteenth number, the score of a detection, is refused:
    read detections with :func:`read_detections`.

    Raises:
        InvalidInputError: Naming ``source``, the line, and what to change.
    """
    labels: list[Annotation] = []
    for number, words in _lines(text):
        if len(words) != _NUMBERS_OF_AN_OBJECT + 1:
            raise _bad(source, number, f"an object line has 15 columns, this one has {len(words)}")
        line = _Line(words[0].lower(), _floats(words[1:], source, number), source, number)
        truncation = None if line.values[0] < 0 else line.fraction(line.values[0], "truncation")
        place = _Place(camera_stream, lidar_stream, frame, f"{number - 1:03d}", author)
        labels += _labels(line, calibration, place, f"{line.label}-{number - 1}", truncation)
    return tuple(labels)


def read_tracking(
    text: str,
    calibration: KittiCalibration,
    *,
    camera_stream: str,
    lidar_stream: str,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "label_02",
) -> tuple[Annotation, ...]:
    """Read a tracking label file: boxes and cuboids with object_id ``track-<id>``.

    Args:
        text: The file's text.
        calibration: The sequence's calibration.
        camera_stream: Id of the camera's stream.
        lidar_stream: Id of the LiDAR's stream.
        frames: (first, last) frame to read, inclusive; frame indices are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the text.

    KITTI tracking states truncation as 0 (none), 1 (partly) or 2 (largely); it becomes 0, 0.5 and 1.

    Raises:
        InvalidInputError: Naming ``source``, the line, and what to change.
    """
    first, last = frames or EVERY_FRAME
    labels: list[Annotation] = []
    for number, words in _lines(text):
        if len(words) != _NUMBERS_OF_AN_OBJECT + 3:
            raise _bad(source, number, f"a tracking line has 17 columns, this one has {len(words)}")
        frame, track = _frame(words[0], source, number), _int(words[1], source, number, "track id")
        if not first <= frame <= last:
            continue
        line = _Line(words[2].lower(), _floats(words[3:], source, number), source, number)
        state = int(line.values[0])
        if state >= 0 and (state not in _TRACKING_TRUNCATION or state != line.values[0]):
            raise _bad(source, number, f"truncation is 0, 1 or 2 in tracking files, got {line.values[0]:g}")
        place = _Place(camera_stream, lidar_stream, frame - first, f"{number - 1:05d}", author)
        labels += _labels(line, calibration, place, f"track-{track}", _TRACKING_TRUNCATION.get(state))
    return tuple(labels)


def read_detections(
    text: str,
    calibration: KittiCalibration,
    *,
    camera_stream: str,
    lidar_stream: str,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "detections",
) -> tuple[Annotation, ...]:
    """Read detections: ``frame,type,x1,y1,x2,y2,score,h,w,l,x,y,z,rot_y,alpha``, types 1 pedestrian, 2 car, 3 cyclist.

    The score is a detector's unbounded logit; ``confidence`` is its logistic, 1 / (1 + exp(-score)), and the score
    itself stays in ``attributes["score"]``. Frames are re-based like those of :func:`read_tracking`.

    Raises:
        InvalidInputError: Naming ``source``, the line, and what to change.
    """
    first, last = frames or EVERY_FRAME
    author = author or Author(kind="model", id="pointrcnn")
    labels: list[Annotation] = []
    for number, words in _lines(text.replace(",", " ")):
        if len(words) != 15:
            raise _bad(source, number, f"a detection has 15 columns, this one has {len(words)}")
        frame, kind = _frame(words[0], source, number), _int(words[1], source, number, "type")
        if not first <= frame <= last:
            continue
        if kind not in DETECTION_CLASSES:
            raise _bad(source, number, f"type {kind} is not 1 pedestrian, 2 car or 3 cyclist")
        values = _floats(words[2:], source, number)
        score = values[4]
        label = DETECTION_CLASSES[kind]
        ordered = [-1.0, -1.0, values[12], *values[:4], *values[5:12]]
        line = _Line(label, ordered, source, number)
        place = _Place(camera_stream, lidar_stream, frame - first, f"{label}-{number - 1:05d}", author, score)
        labels += _labels(line, calibration, place, f"detection-{label}-{number - 1}", None)
    return tuple(labels)


@dataclass(frozen=True, slots=True)
class _Line:
    """A class name and KITTI's fourteen numbers from truncation to rotation_y, with where they stood."""

    label: str
    values: list[float]
    source: str
    number: int

    def fraction(self, value: float, name: str) -> float:
        if not 0 <= value <= 1:
            raise _bad(self.source, self.number, f"{name} is a share from 0 to 1, got {value:g}")
        return value

    def label_of(self, kind: type[_Label], fields: dict[str, object]) -> _Label:
        """Return a label of the contract; a line that says more than one can hold is named."""
        try:
            return kind.model_validate(fields)
        except ValidationError as error:
            raise _bad(self.source, self.number, f"it makes no label: {_reasons(error)}") from error


@dataclass(frozen=True, slots=True)
class _Place:
    camera_stream: str
    lidar_stream: str
    frame: int | None
    suffix: str
    author: Author | None
    score: float | None = None


def _labels(
    line: _Line, calibration: KittiCalibration, place: _Place, object_id: str, truncation: float | None
) -> Iterator[Annotation]:
    occlusion, alpha, *box = line.values[1:7]
    height, width, length, *bottom, rotation_y = line.values[7:]
    if box[0] >= box[2] or box[1] >= box[3]:
        raise _bad(line.source, line.number, f"the box {box} has no area; its columns are left top right bottom")
    ignore = line.label == "dontcare"
    if occlusion not in (-1, 0, 1, 2, 3):
        raise _bad(line.source, line.number, f"occlusion is 0, 1, 2 or 3 (or -1), got {occlusion:g}")
    scored = {} if place.score is None else {"score": place.score}
    common: dict[str, object] = {
        "label": line.label,
        "frame": place.frame,
        "author": place.author,
        "truncation": truncation,
        "occlusion": None if occlusion < 0 or ignore else int(occlusion),
        "confidence": None if place.score is None else _logistic(place.score),
    }
    yield line.label_of(
        Box,
        {
            **common,
            "id": f"box-{place.suffix}",
            "stream": place.camera_stream,
            "object_id": None if ignore else object_id,
            "ignore": ignore,
            "box": box,
            "attributes": scored if ignore else {**scored, "alpha_rad": alpha},
        },
    )
    if ignore or min(height, width, length) <= 0 or bottom[2] <= -999:
        return
    rectified = np.array([bottom[0], bottom[1] - height / 2, bottom[2]])
    lidar_from_rectified = invert_rigid(calibration.rectified_from_lidar)
    c, s = math.cos(rotation_y), math.sin(rotation_y)
    turn = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]) @ _CAMERA_FROM_UPRIGHT
    yield line.label_of(
        Cuboid,
        {
            **common,
            "id": f"cuboid-{place.suffix}",
            "stream": place.lidar_stream,
            "object_id": object_id,
            "center_m": transform_points(lidar_from_rectified, rectified).tolist(),
            "size_m": (length, width, height),
            "rotation_wxyz": quaternion_from_matrix(lidar_from_rectified[:3, :3] @ turn).tolist(),
            "attributes": scored,
        },
    )


def _logistic(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words:
            yield number, words


def _floats(words: Iterable[str], source: str, number: int) -> list[float]:
    values = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            raise _bad(source, number, f"{word[:40]!r} is not a number") from None
        if not math.isfinite(value) or abs(value) > 1e12:
            raise _bad(source, number, f"{word[:40]!r} is not a finite number of this world")
        values.append(value)
    return values


def _int(word: str, source: str, number: int, name: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise _bad(source, number, f"{name} must be a whole number, got {word[:40]!r}") from None


def _frame(word: str, source: str, number: int) -> int:
    frame = _int(word, source, number, "frame")
    if not 0 <= frame <= EVERY_FRAME[1]:
        raise _bad(source, number, f"frames count from 0, got {word[:40]!r}")
    return frame


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{place.strip('/')} {said}".strip() for place, said in places_of(error))[:500]


def _bad(source: str, number: int, what: str) -> InvalidInputError:
    return InvalidInputError(f"{source}, line {number}: {what}; correct or remove the line")
