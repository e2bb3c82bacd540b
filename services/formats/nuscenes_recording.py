"""What nuScenes tables say about one scene besides its labels, and the geometry of its frames.

A sensor's frame is tied to the world by two transforms: ``calibrated_sensor`` leads from the sensor to the vehicle
(ego), ``ego_pose`` from the vehicle to the global frame at the moment of that very recording. Cameras are taken at
other moments than the LiDAR's sweep, so between the two the vehicle has moved, and each recording has its own pose.
Schema after nutonomy/nuscenes-devkit, ``docs/schema_nuscenes.md``: metres, quaternions (w, x, y, z), microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, matrices_from_quaternions, rigid
from services.formats.tree import Node

SensorModality = Literal["camera", "lidar", "radar"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_PLACE_M = 1e-3
_SAME_TURN_RAD = 1e-4
"""Transforms that differ by less are one: at 10 m, with a focal length of 1,266 px, this is a quarter of a pixel."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid transform as a table has it: ``p_to = rotation * p_here + translation``.

    Attributes:
        token: The record's token.
        translation_m: x, y, z.
        rotation_wxyz: Unit quaternion, within 1 %.
        timestamp_us: Of an ego_pose: when, microseconds of Unix time.
    """

    token: str
    translation_m: tuple[float, float, float]
    rotation_wxyz: tuple[float, float, float, float]
    timestamp_us: int | None = None

    def matrix(self) -> Floats:
        """Return the 4x4 transform."""
        return rigid(matrices_from_quaternions(self.rotation_wxyz), self.translation_m)


@dataclass(frozen=True, slots=True)
class Shot:
    """What one sensor recorded at one keyframe (a ``sample_data`` with ``is_key_frame``).

    Attributes:
        token: The record's token.
        filename: Relative to the data set's root.
        timestamp_us: When, microseconds of Unix time.
        size_px: (width, height) of an image.
        ego_pose: global from ego, at that moment.
        mounting: ego from sensor (``calibrated_sensor``).
        intrinsics: Rows of the camera matrix, px; empty for other sensors.
    """

    token: str
    filename: str
    timestamp_us: int
    size_px: tuple[int, int] | None
    ego_pose: Pose
    mounting: Pose
    intrinsics: tuple[tuple[float, ...], ...] = ()

    def global_from_sensor(self) -> Floats:
        """Return the 4x4 transform from the sensor's frame to the global one."""
        return np.asarray(self.ego_pose.matrix() @ self.mounting.matrix())

    def rotation_wxyz(self) -> Floats:
        """Return the unit quaternion that turns the sensor's axes into the global frame."""
        turned = quaternion_product(np.array(self.ego_pose.rotation_wxyz), np.array(self.mounting.rotation_wxyz))
        return np.asarray(turned / np.linalg.norm(turned))


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor with its recordings by frame; a frame it has none of is left out.

    Attributes:
        token: The record's token.
        channel: Its name, such as ``CAM_FRONT``.
        modality: What it is.
        shots: By frame index.
    """

    token: str
    channel: str
    modality: SensorModality
    shots: Mapping[int, Shot]


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A ``sample``: one moment at which all sensors were recorded."""

    token: str
    timestamp_us: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One scene.

    Attributes:
        token: The scene's token.
        name: Its name.
        description: What is seen.
        log: The ``log`` record of the drive: logfile, vehicle, date_captured, location; empty where there is none.
        keyframes: In order; the index is the frame.
        sensors: By channel.
        log_token: Of the log.
    """

    token: str
    name: str
    description: str
    log: Mapping[str, str]
    keyframes: tuple[Keyframe, ...]
    sensors: Mapping[str, Sensor]
    log_token: str = ""

    def part(self, first: int, last: int) -> Recording:
        """Return the keyframes from ``first`` to ``last``, inclusive; ``first`` becomes frame 0."""
        sensors = {
            channel: Sensor(
                sensor.token,
                sensor.channel,
                sensor.modality,
                {frame - first: shot for frame, shot in sensor.shots.items() if first <= frame <= last},
            )
            for channel, sensor in self.sensors.items()
        }
        return Recording(
            self.token,
            self.name,
            self.description,
            self.log,
            self.keyframes[first : last + 1],
            sensors,
            self.log_token,
        )


@dataclass(frozen=True, slots=True)
class SceneRows:
    """One scene as its tables have it.

    Attributes:
        recording: Everything but the labels.
        annotations: The ``sample_annotation`` records with their frames, in the table's order.
        image_annotations: The ``image_annotations`` records with their frames and channels.
        categories: Name of each instance's category, by instance token.
        attributes: Names, by token.
        visibilities: Levels, by token.
        sweeps: How many recordings between keyframes the scene has.
    """

    recording: Recording
    annotations: tuple[tuple[int, Node], ...]
    image_annotations: tuple[tuple[int, str, Node], ...]
    categories: Mapping[str, str]
    attributes: Mapping[str, str]
    visibilities: Mapping[str, str]
    sweeps: int = 0


def moment(timestamp_us: int) -> datetime:
    """Return the time of a timestamp in microseconds; ``OverflowError`` beyond the year 9999."""
    return _EPOCH + timedelta(microseconds=timestamp_us)


def quaternion_product(a: Floats, b: Floats) -> Floats:
    """Return the Hamilton product of two quaternions (w, x, y, z): first ``b``, then ``a``. Lengths multiply."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return np.array(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ]
    )


def conjugate(quaternion: Floats) -> Floats:
    """Return the inverse of a unit quaternion (w, x, y, z)."""
    return np.asarray(quaternion * np.array([1.0, -1.0, -1.0, -1.0]))


def lidar_from_sensor(lidar: Shot, sensor: Shot) -> Floats:
    """Return the 4x4 transform from a sensor's frame to the LiDAR's, each at its own moment.

    The way leads through the global frame, and so holds the vehicle's motion between the two recordings: a point that
    stands still in the world keeps its place.
    """
    return np.asarray(invert_rigid(lidar.global_from_sensor()) @ sensor.global_from_sensor())


def largest_difference(transforms: Floats) -> tuple[float, float]:
    """Return how far transforms of shape (n, 4, 4) are from the first: metres and radians."""
    apart = np.linalg.norm(transforms[:, :3, 3] - transforms[0, :3, 3], axis=1)
    # The Frobenius norm keeps small angles exact, where the arc cosine of a trace does not.
    chord = np.linalg.norm(transforms[:, :3, :3] - transforms[0, :3, :3], axis=(1, 2))
    return float(apart.max()), float(2 * np.arcsin(np.minimum(chord / np.sqrt(8), 1.0)).max())


def are_one(transforms: Floats) -> bool:
    """Say whether transforms of shape (n, 4, 4) are the same for every use of a camera."""
    apart_m, turned_rad = largest_difference(transforms)
    return apart_m <= _SAME_PLACE_M and turned_rad <= _SAME_TURN_RAD
