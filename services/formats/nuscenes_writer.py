"""Write nuScenes tables: see :mod:`services.formats.nuscenes`.

Cuboids of the LiDAR become ``sample_annotation``, boxes on cameras ``image_annotations``. What is recorded (poses,
calibration, files) comes from a :class:`~services.formats.nuscenes_recording.Recording`: the one that was read, or one
that :func:`services.formats.nuscenes_sample.recording_of` makes of a manifest. All tables are held in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, transform_points
from services.contracts.annotations import Annotation
from services.contracts.label_base import LabelBase
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.errors import InvalidInputError
from services.formats.nuscenes import (
    AUTHOR,
    CENTER_DECIMALS,
    ROTATION_DECIMALS,
    base_shots,
    lidar_channel,
    occlusion_of,
    one_sign,
    rounded,
)
from services.formats.nuscenes_recording import Pose, Recording, Shot, conjugate, quaternion_product
from services.formats.nuscenes_tables import REQUIRED
from services.formats.result import Dropped, Losses

_LEVELS = {"v0-40": "1", "v40-60": "2", "v60-80": "3", "v80-100": "4"}
_LEVEL_OF_OCCLUSION = {0: "v80-100", 1: "v60-80", 2: "v0-40"}
_OWN_ATTRIBUTES = ("visibility", "num_radar_pts")
_KEPT = {
    "label",
    "frame",
    "object_id",
    "center_m",
    "size_m",
    "rotation_wxyz",
    "yaw_rad",
    "point_count",
    "occlusion",
    "box",
}


@dataclass(frozen=True, slots=True)
class NuscenesExport:
    """The tables by name, without ``.json``, and what they do not hold."""

    tables: Mapping[str, bytes]
    dropped: tuple[Dropped, ...] = ()


def write_nuscenes(
    scenes: Iterable[tuple[Recording, Iterable[Annotation]]], *, lidar: str | None = None, still: bool = False
) -> NuscenesExport:
    """Return scenes as tables.

    Args:
        scenes: What was recorded, with the labels; frames are indices of its keyframes.
        lidar: Channel of the LiDAR that has the cuboids; ``LIDAR_TOP``, or the only one, by default.
        still: Cuboids are in the frame that the LiDAR had at the first keyframe, as ``read_scene(still=True)`` states
            them, and not in its frame at each.

    Ids of labels and objects are tokens where no other scene has them. A cuboid without a count of points has the count
    -1, which is read as none.

    Raises:
        InvalidInputError: A scene has no such LiDAR, or two records have one token.
    """
    tables = _Tables()
    losses = Losses("nuScenes")
    for level, token in _LEVELS.items():
        tables.put("visibility", token, {"level": level, "description": ""})
    for recording, labels in scenes:
        channel = lidar_channel(recording, lidar)
        _write_recording(tables, recording)
        _SceneWriter(tables, losses, recording, channel, base_shots(recording, channel, still=still)).write(labels)
    return NuscenesExport(tables.encoded(), tuple(losses.dropped))


class _Tables:
    def __init__(self) -> None:
        self._rows: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in (*REQUIRED, "log", "map")}
        self.boxes: list[dict[str, Any]] = []

    def has(self, table: str, token: str) -> bool:
        return token in self._rows[table]

    def put(self, table: str, token: str, fields: dict[str, Any]) -> str:
        """Add a record; one that is there already must be the same."""
        row = {"token": token, **fields}
        there = self._rows[table].setdefault(token, row)
        if there != row:
            raise InvalidInputError(
                f"two records of {table} have the token {token!r} and differ; write the scenes into tables of their own"
            )
        return token

    def update(self, table: str, token: str, **fields: Any) -> None:
        """Change members of a record."""
        self._rows[table][token].update(fields)

    def encoded(self) -> dict[str, bytes]:
        tables: dict[str, list[dict[str, Any]]] = {name: list(rows.values()) for name, rows in self._rows.items()}
        if self.boxes:
            tables["image_annotations"] = self.boxes
        return {
            name: json.dumps(rows, indent=0, ensure_ascii=False, allow_nan=False).encode()
            for name, rows in tables.items()
        }


def _write_recording(tables: _Tables, recording: Recording) -> None:
    tokens = [keyframe.token for keyframe in recording.keyframes]
    log = recording.log_token or made_token("log", recording.token)
    told = {key: recording.log.get(key, "") for key in ("logfile", "vehicle", "date_captured", "location")}
    if tables.has("scene", recording.token):
        raise InvalidInputError(f"the scene {recording.token!r} is there twice; write it once")
    tables.put("log", log, told | dict(recording.log))
    tables.put(
        "scene",
        recording.token,
        {
            "log_token": log,
            "nbr_samples": len(tokens),
            "first_sample_token": tokens[0],
            "last_sample_token": tokens[-1],
            "name": recording.name,
            "description": recording.description,
        },
    )
    for index, keyframe in enumerate(recording.keyframes):
        links = {"prev": _at(tokens, index - 1), "next": _at(tokens, index + 1)}
        fields = {"timestamp": keyframe.timestamp_us, "scene_token": recording.token}
        tables.put("sample", keyframe.token, fields | links)
    for sensor in recording.sensors.values():
        tables.put("sensor", sensor.token, {"channel": sensor.channel, "modality": sensor.modality})
        shots = sorted(sensor.shots.items())
        recorded = [shot.token for _, shot in shots]
        for index, (frame, shot) in enumerate(shots):
            width, height = shot.size_px or (0, 0)
            tables.put(
                "calibrated_sensor",
                shot.mounting.token,
                {
                    "sensor_token": sensor.token,
                    **_pose(shot.mounting),
                    "camera_intrinsic": [list(row) for row in shot.intrinsics],
                },
            )
            tables.put("ego_pose", shot.ego_pose.token, _pose(shot.ego_pose))
            tables.put(
                "sample_data",
                shot.token,
                {
                    "sample_token": tokens[frame],
                    "ego_pose_token": shot.ego_pose.token,
                    "calibrated_sensor_token": shot.mounting.token,
                    "filename": shot.filename,
                    "fileformat": "pcd" if ".pcd" in shot.filename else PurePosixPath(shot.filename).suffix[1:],
                    "width": width,
                    "height": height,
                    "timestamp": shot.timestamp_us,
                    "is_key_frame": True,
                    "prev": _at(recorded, index - 1),
                    "next": _at(recorded, index + 1),
                },
            )


def _pose(pose: Pose) -> dict[str, Any]:
    fields: dict[str, Any] = {"translation": list(pose.translation_m), "rotation": list(pose.rotation_wxyz)}
    return fields if pose.timestamp_us is None else {**fields, "timestamp": pose.timestamp_us}


def _at(tokens: list[str], index: int) -> str:
    return tokens[index] if 0 <= index < len(tokens) else ""


def made_token(*parts: str) -> str:
    """Return a token of 32 hexadecimal digits, the same for the same parts."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


class _SceneWriter:
    def __init__(
        self, tables: _Tables, losses: Losses, recording: Recording, channel: str, bases: Mapping[int, Shot]
    ) -> None:
        self._tables = tables
        self._losses = losses
        self._recording = recording
        self._channel = channel
        self._places: dict[int, tuple[Floats, Floats]] = {
            frame: (shot.global_from_sensor(), shot.rotation_wxyz()) for frame, shot in bases.items()
        }
        self._instances: dict[str, tuple[str, str]] = {}
        self._shown: dict[tuple[str, int], str] = {}
        self._boxed: set[tuple[str, str]] = set()

    def write(self, labels: Iterable[Annotation]) -> None:
        """Add the labels to the tables."""
        cuboids: list[tuple[int, Cuboid]] = []
        boxes: list[tuple[int, Box]] = []
        for label in labels:
            frame = 0 if label.frame is None else label.frame
            if isinstance(label, Cuboid) and self._is_there(label, frame):
                cuboids.append((frame, label))
            elif isinstance(label, Box) and self._is_shown(label, frame):
                boxes.append((frame, label))
            elif not isinstance(label, Cuboid | Box):
                self._losses.kind(label)
        # An object's annotations are linked in the order of the samples.
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for frame, cuboid in sorted(cuboids, key=lambda pair: pair[0]):
            row = self._cuboid(frame, cuboid)
            rows[row["instance_token"]].append(row)
        for instance, chain in rows.items():
            self._link(instance, chain)
        for frame, box in boxes:
            self._box(frame, box)

    def _is_there(self, label: Cuboid, frame: int) -> bool:
        if label.stream != self._channel:
            self._losses.whole(label, f"cuboids belong to {self._channel}")
        elif frame not in self._places or frame >= len(self._recording.keyframes):
            self._losses.whole(label, f"{self._channel} has no recording at frame {frame}")
        else:
            return True
        return False

    def _is_shown(self, label: Box, frame: int) -> bool:
        sensor = self._recording.sensors.get(label.stream)
        if sensor is None or sensor.modality != "camera" or frame not in sensor.shots:
            self._losses.whole(label, f"no camera {label.stream} has a recording at frame {frame}")
            return False
        return True

    def _cuboid(self, frame: int, label: Cuboid) -> dict[str, Any]:
        token = label.id
        if self._tables.has("sample_annotation", token):
            token = made_token("sample_annotation", self._recording.token, label.id)
            self._losses.part(label, "id", f"another scene has it; it is read as {token}")
        fields = {
            **self._common(label, frame),
            **self._geometry(frame, label),
            "num_lidar_pts": -1 if label.point_count is None else label.point_count,
        }
        self._tables.put("sample_annotation", token, fields)
        if label.object_id is not None:
            self._shown.setdefault((label.object_id, frame), token)
        return {"token": token, **fields}

    def _geometry(self, frame: int, label: Cuboid) -> dict[str, Any]:
        global_from_lidar, turn = self._places[frame]
        rotation = np.array(label.rotation_wxyz or (1.0, 0.0, 0.0, 0.0))
        if label.yaw_rad is not None:
            rotation = np.array([math.cos(label.yaw_rad / 2), 0.0, 0.0, math.sin(label.yaw_rad / 2)])
        if label.rotation_wxyz is None:
            self._losses.part(label, "yaw_rad", "a rotation is a quaternion, and is read as one")
        center = transform_points(global_from_lidar, np.array(label.center_m))
        turned = quaternion_product(turn, rotation)
        # What the reader will make of it, by the reader's own way.
        if rounded(transform_points(invert_rigid(global_from_lidar), center), CENTER_DECIMALS) != [*label.center_m]:
            self._losses.part(label, "center_m", "it is read to a micrometre, if the way to the global frame allows it")
        back = one_sign(rounded(quaternion_product(conjugate(turn), turned), ROTATION_DECIMALS))
        if label.rotation_wxyz is not None and back != [*label.rotation_wxyz]:
            self._losses.part(label, "rotation_wxyz", f"it is read to {ROTATION_DECIMALS} decimals, with w above 0")
        length, width, height = label.size_m
        return {"translation": center.tolist(), "size": [width, length, height], "rotation": turned.tolist()}

    def _common(self, label: Cuboid | Box, frame: int) -> dict[str, Any]:
        """Return the members that a sample_annotation and an image_annotation share, and list what is not kept."""
        lost = self._losses
        true = sorted(k for k, value in label.attributes.items() if value is True and k not in _OWN_ATTRIBUTES)
        kept = {f"attributes.{key}" for key in true}
        tokens = [self._named("attribute", key) for key in true]
        points = label.attributes.get("num_radar_pts")
        if isinstance(points, int) and not isinstance(points, bool) and abs(points) <= 2**53:
            kept.add("attributes.num_radar_pts")
        else:
            points = 0
            lost.part(label, "attributes.num_radar_pts", "nobody counted them; it is read as 0")
        level = label.attributes.get("visibility")
        if isinstance(level, str) and 1 <= len(level) <= 200:
            kept.add("attributes.visibility")
        else:
            level = None if label.occlusion is None else _LEVEL_OF_OCCLUSION.get(label.occlusion)
            if level is not None:
                lost.part(label, "attributes.visibility", f"the occlusion is read as {level}")
        if occlusion_of(level) != label.occlusion:
            lost.part(label, "occlusion", "visibility tells it, and says otherwise")
        if label.author == AUTHOR:
            kept.add("author")
        elif label.author is None:
            lost.part(label, "author", "it is read as the importer")
        lost.fields(label, {*_KEPT, *kept})
        if label.frame is None:
            lost.part(label, "frame", "it is read as 0")
        visibility = _LEVELS.get(level or "") or ("" if level is None else made_token("visibility", level))
        if level is not None:
            self._tables.put("visibility", visibility, {"level": level, "description": ""})
        return {
            "sample_token": self._recording.keyframes[frame].token,
            "instance_token": self._instance(label),
            "attribute_tokens": tokens,
            "visibility_token": visibility,
            "num_radar_pts": points,
        }

    def _instance(self, label: Cuboid | Box) -> str:
        name = label.object_id
        if name is None:
            self._losses.part(label, "object_id", "every box is an object of its own, and is read as one")
            return self._new_instance(made_token("instance", self._recording.token, label.id), label)
        if name not in self._instances:
            token = name
            if self._tables.has("instance", name):
                token = made_token("instance", self._recording.token, name)
            self._instances[name] = self._new_instance(token, label), label.label
        token, category = self._instances[name]
        if token != name:
            self._losses.part(label, "object_id", f"another scene has an object of this name; it is read as {token}")
        if isinstance(label, Cuboid) and category != label.label:
            self._losses.part(label, "label", f"an object has one category; it is read as {category}")
        return token

    def _new_instance(self, token: str, label: LabelBase) -> str:
        category = self._named("category", label.label)
        links = {"nbr_annotations": 0, "first_annotation_token": "", "last_annotation_token": ""}
        return self._tables.put("instance", token, {"category_token": category, **links})

    def _named(self, table: str, name: str) -> str:
        return self._tables.put(table, made_token(table, name), {"name": name, "description": ""})

    def _link(self, instance: str, chain: list[dict[str, Any]]) -> None:
        tokens = [row["token"] for row in chain]
        for index, row in enumerate(chain):
            self._tables.update(
                "sample_annotation", row["token"], prev=_at(tokens, index - 1), next=_at(tokens, index + 1)
            )
        self._tables.update(
            "instance",
            instance,
            nbr_annotations=len(tokens),
            first_annotation_token=tokens[0],
            last_annotation_token=tokens[-1],
        )

    def _box(self, frame: int, label: Box) -> None:
        cuboid = self._shown.get((label.object_id or "", frame))
        if cuboid is None:
            self._losses.whole(label, "a box on an image is that of a cuboid, and its object has none in this frame")
            return
        if (cuboid, label.stream) in self._boxed:
            self._losses.whole(label, "its object has a box on this image already")
            return
        self._boxed.add((cuboid, label.stream))
        common = self._common(label, frame)
        if label.id != (read := f"{cuboid}-{label.stream}"[:200]):
            self._losses.part(label, "id", f"it is read as {read}")
        shot = self._recording.sensors[label.stream].shots[frame]
        del common["sample_token"]
        self._tables.boxes.append(
            {
                **common,
                "sample_data_token": shot.token,
                "sample_annotation_token": cuboid,
                "category_name": label.label,
                "bbox_corners": list(label.box),
                "filename": shot.filename,
                "prev": "",
                "next": "",
            }
        )
