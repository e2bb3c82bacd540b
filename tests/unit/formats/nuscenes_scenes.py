"""A small nuScenes data set whose geometry is known exactly, made with SciPy's rotations and not with the reader's.

A vehicle drives a curve; four sensors look at things that stand still, and at a car that drives ahead. The cameras are
taken 25 and 50 ms before the LiDAR's sweep ends, and so from other places.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]
START_US = 1_533_151_603_547_590
INTRINSICS = [[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
SIZE_PX = (1600, 900)
LEVELS = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}
# Axes of a camera (x right, y down, z forward) in the vehicle's frame (x forward, y left, z up).
_FORWARD = Rotation.from_matrix([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CHANNELS = {
    "CAM_FRONT": ("camera", -25_000, _FORWARD, (1.7, 0.0, 1.5)),
    "CAM_FRONT_LEFT": ("camera", -50_000, Rotation.from_euler("z", 55, degrees=True) * _FORWARD, (1.5, 0.5, 1.5)),
    "LIDAR_TOP": ("lidar", 0, Rotation.from_euler("zx", [-89.88, 0.3], degrees=True), (0.94, 0.0, 1.84)),
    "RADAR_FRONT": ("radar", 12_000, Rotation.from_euler("z", 0.2, degrees=True), (3.4, 0.0, 0.5)),
}


@dataclass(frozen=True)
class Thing:
    """An object: class, (width, length, height), and where it is at a time in seconds, with its heading."""

    token: str
    category: str
    size: tuple[float, float, float]
    at: tuple[float, float, float]
    yaw_deg: float = 0.0
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    attributes: tuple[str, ...] = ()
    visibility: str = "4"

    def place(self, time_s: float) -> Floats:
        return np.array(self.at) + time_s * np.array(self.velocity)


THINGS = (
    Thing("i-car", "vehicle.car", (1.9, 4.6, 1.7), (25.0, 2.0, 0.8), 20.0, (4.0, 0.5, 0.0), ("at-moving",), "3"),
    Thing("i-cone", "movable_object.trafficcone", (0.4, 0.4, 1.1), (18.0, -3.0, 0.55), visibility="1"),
    Thing("i-walker", "human.pedestrian.adult", (0.7, 0.8, 1.8), (16.0, 9.0, 0.9), -130.0, attributes=("at-standing",)),
    Thing("i-van", "vehicle.truck", (2.4, 7.0, 3.0), (40.0, -6.0, 1.5), 180.0, visibility="2"),
)


@dataclass
class Maker:
    """Builds the tables of one scene."""

    keyframes: int = 4
    speed_mps: float = 12.0
    turn_dps: float = 8.0
    acceleration_mps2: float = 2.0
    things: Sequence[Thing] = THINGS
    boxes: bool = False
    name: str = "scene-0001"
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def ego(self, time_s: float) -> tuple[Rotation, Floats]:
        """Return global from ego on a circle, at a speed that grows, far from the origin."""
        driven = self.speed_mps * time_s + self.acceleration_mps2 * time_s**2 / 2
        curvature = np.radians(self.turn_dps) / max(self.speed_mps, 1.0)
        angle = curvature * driven
        along = (driven * np.sinc(angle / np.pi), np.sin(angle / 2) * driven * np.sinc(angle / 2 / np.pi))
        tilt = Rotation.from_euler("zyx", [angle, 0.01, -0.004])
        return Rotation.from_euler("z", 0.7) * tilt, np.array([410.0, 1180.0, 0.0]) + _swung([*along, 0.0])

    def thing_in_global(self, thing: Thing, time_s: float) -> tuple[Floats, Rotation]:
        where = np.array([410.0, 1180.0, 0.0]) + _swung(thing.place(time_s))
        return where, Rotation.from_euler("zyx", [np.radians(thing.yaw_deg) + 0.7, 0.02, 0.0])

    def sensor_at(self, channel: str, frame: int) -> tuple[Rotation, Floats]:
        """Return global from sensor at the moment of its recording."""
        _, late_us, turn, where = CHANNELS[channel]
        rotation, origin = self.ego(frame * 0.5 + late_us / 1e6)
        return rotation * turn, origin + rotation.apply(where)

    def corners_in_global(self, thing: Thing, frame: int) -> Floats:
        center, rotation = self.thing_in_global(thing, frame * 0.5)
        width, length, height = thing.size
        signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
        return np.asarray(center + rotation.apply(signs * [length, width, height]))

    def pixels(self, thing: Thing, channel: str, frame: int) -> Floats | None:
        """Return the thing's corners in an image, (8, 2), px; None where it is not before the camera, or not in view.

        The thing is where its annotation says: at the LiDAR's moment, as the devkit takes it.
        """
        rotation, origin = self.sensor_at(channel, frame)
        local = rotation.inv().apply(self.corners_in_global(thing, frame) - origin)
        if local[:, 2].min() <= 0.5:
            return None
        pixels = local[:, :2] / local[:, 2:] * 1266.4 + [816.3, 491.5]
        clipped = np.clip(pixels, 0, SIZE_PX)
        return np.asarray(pixels) if (np.ptp(clipped, axis=0) > 3.0).all() else None

    def build(self) -> dict[str, list[dict[str, Any]]]:
        names = sorted({thing.category for thing in self.things})
        frames = range(self.keyframes)
        tokens = {token for thing in self.things for token in thing.attributes}
        self.tables = {
            "category": [{"token": f"c-{n}", "name": n, "description": "as seen", "index": 0} for n in names],
            "attribute": [{"token": t, "name": f"state.{t[3:]}", "description": ""} for t in sorted(tokens)],
            "visibility": [{"token": t, "level": level, "description": ""} for t, level in LEVELS.items()],
            "sensor": [
                {"token": f"se-{channel}", "channel": channel, "modality": modality}
                for channel, (modality, *_) in CHANNELS.items()
            ],
            "calibrated_sensor": [
                {
                    "token": f"cs-{channel}",
                    "sensor_token": f"se-{channel}",
                    "translation": list(where),
                    "rotation": wxyz(turn),
                    "camera_intrinsic": INTRINSICS if modality == "camera" else [],
                }
                for channel, (modality, _, turn, where) in CHANNELS.items()
            ],
            "log": [
                {
                    "token": "log-1",
                    "logfile": "n008",
                    "vehicle": "n008",
                    "date_captured": "2018-08-01",
                    "location": "singapore-onenorth",
                }
            ],
            "map": [],
            "scene": [
                {
                    "token": f"t-{self.name}",
                    "log_token": "log-1",
                    "nbr_samples": self.keyframes,
                    "first_sample_token": f"{self.name}-0",
                    "last_sample_token": f"{self.name}-{self.keyframes - 1}",
                    "name": self.name,
                    "description": "a curve",
                }
            ],
            "sample": [
                {
                    "token": f"{self.name}-{frame}",
                    "timestamp": START_US + frame * 500_000,
                    "prev": self._at(frame - 1),
                    "next": self._at(frame + 1),
                    "scene_token": f"t-{self.name}",
                }
                for frame in frames
            ],
            "sample_data": [],
            "ego_pose": [],
            "sample_annotation": [],
            "instance": [],
        }
        for frame in frames:
            for channel in CHANNELS:
                self._record(channel, frame, keyframe=True)
            self._record("LIDAR_TOP", frame, keyframe=False)
        for thing in self.things:
            self._annotate(thing)
        if self.boxes:
            self.tables["image_annotations"] = list(self._boxes())
        return self.tables

    def _at(self, frame: int) -> str:
        return f"{self.name}-{frame}" if 0 <= frame < self.keyframes else ""

    def _record(self, channel: str, frame: int, *, keyframe: bool) -> None:
        modality, late_us, *_ = CHANNELS[channel]
        late_us += 0 if keyframe else 50_000
        token = f"{self.name}-{frame}-{channel}{'' if keyframe else '-sweep'}"
        time_us = START_US + frame * 500_000 + late_us
        rotation, origin = self.ego(frame * 0.5 + late_us / 1e6)
        self.tables["ego_pose"].append(
            {"token": token, "timestamp": time_us, "rotation": wxyz(rotation), "translation": origin.tolist()}
        )
        ending = {"camera": "jpg", "lidar": "pcd.bin", "radar": "pcd"}[modality]
        self.tables["sample_data"].append(
            {
                "token": token,
                "sample_token": f"{self.name}-{frame}",
                "ego_pose_token": token,
                "calibrated_sensor_token": f"cs-{channel}",
                "timestamp": time_us,
                "fileformat": ending.removesuffix(".bin"),
                "is_key_frame": keyframe,
                "height": SIZE_PX[1] if modality == "camera" else 0,
                "width": SIZE_PX[0] if modality == "camera" else 0,
                "filename": f"{'samples' if keyframe else 'sweeps'}/{channel}/{self.name}__{time_us}.{ending}",
                "prev": "",
                "next": "",
            }
        )

    def _annotate(self, thing: Thing) -> None:
        tokens = [f"{self.name}-{thing.token}-{frame}" for frame in range(self.keyframes)]
        for frame, token in enumerate(tokens):
            center, rotation = self.thing_in_global(thing, frame * 0.5)
            self.tables["sample_annotation"].append(
                {
                    "token": token,
                    "sample_token": f"{self.name}-{frame}",
                    "instance_token": f"{self.name}-{thing.token}",
                    "visibility_token": thing.visibility,
                    "attribute_tokens": list(thing.attributes),
                    "translation": center.tolist(),
                    "size": list(thing.size),
                    "rotation": wxyz(rotation),
                    "prev": tokens[frame - 1] if frame else "",
                    "next": tokens[frame + 1] if frame + 1 < len(tokens) else "",
                    "num_lidar_pts": 10 + frame,
                    "num_radar_pts": frame,
                }
            )
        self.tables["instance"].append(
            {
                "token": f"{self.name}-{thing.token}",
                "category_token": f"c-{thing.category}",
                "nbr_annotations": self.keyframes,
                "first_annotation_token": tokens[0],
                "last_annotation_token": tokens[-1],
            }
        )

    def _boxes(self) -> Any:
        for frame in range(self.keyframes):
            for channel, (modality, *_) in CHANNELS.items():
                for thing in self.things if modality == "camera" else ():
                    pixels = self.pixels(thing, channel, frame)
                    if pixels is None:
                        continue
                    yield {
                        "sample_data_token": f"{self.name}-{frame}-{channel}",
                        "sample_annotation_token": f"{self.name}-{thing.token}-{frame}",
                        "instance_token": f"{self.name}-{thing.token}",
                        "category_name": thing.category,
                        "attribute_tokens": list(thing.attributes),
                        "visibility_token": thing.visibility,
                        "bbox_corners": np.clip([*pixels.min(axis=0), *pixels.max(axis=0)], 0, SIZE_PX * 2).tolist(),
                        "filename": f"samples/{channel}/{self.name}__{frame}.jpg",
                        "num_lidar_pts": 3,
                        "num_radar_pts": 0,
                        "prev": "",
                        "next": "",
                    }


def _swung(point: Any) -> Floats:
    return np.asarray(Rotation.from_euler("z", 0.7).apply(point))


def wxyz(rotation: Rotation) -> list[float]:
    x, y, z, w = rotation.as_quat().tolist()
    return [w, x, y, z]


def encoded(tables: dict[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    return {name: json.dumps(rows, indent=0).encode() for name, rows in tables.items()}
