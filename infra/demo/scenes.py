"""Made-up driving scenes in which image, LiDAR, labels and metadata agree.

The projection here is written apart from the one in the checks, so that a mistake in either shows as a disagreement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import (
    Calibration,
    Clock,
    Context,
    Extrinsics,
    Policy,
    Risk,
    SampleManifest,
    Stream,
)

Floats = NDArray[np.float64]

IMAGE_SIZE_PX = (1242, 375)
FOCAL_PX = 720.0
LIDAR_HEIGHT_M = 1.73
FRAME_RATE_HZ = 10.0
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEAM = Author(kind="human", id="ann", team="blue")

# camera axes (x right, y down, z ahead) in LiDAR axes (x ahead, y left, z up); the camera sits 27 cm ahead, 8 cm lower
CAMERA_FROM_LIDAR: Floats = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, -0.08], [1.0, 0.0, 0.0, -0.27], [0.0, 0.0, 0.0, 1.0]]
)
SIZES_M = {
    "car": (4.1, 1.8, 1.55),
    "pedestrian": (0.8, 0.6, 1.75),
    "cyclist": (1.8, 0.6, 1.75),
    "truck": (8.0, 2.5, 3.2),
}
COLOURS = {"car": (70, 110, 160), "pedestrian": (170, 90, 70), "cyclist": (90, 140, 80), "truck": (120, 120, 130)}


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of a scene at one moment.

    Attributes:
        center_m: In the LiDAR frame.
        yaw_rad: About the LiDAR's z axis.
    """

    object_id: str
    label: str
    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float
    speed_m_s: float

    def after(self, seconds: float) -> Thing:
        """Return the thing after driving straight on for ``seconds``."""
        x, y, z = self.center_m
        step = self.speed_m_s * seconds
        moved = (x + step * float(np.cos(self.yaw_rad)), y + step * float(np.sin(self.yaw_rad)), z)
        return Thing(self.object_id, self.label, moved, self.size_m, self.yaw_rad, self.speed_m_s)


def corners_m(thing: Thing) -> Floats:
    """Return the eight corners in the LiDAR frame, shape (8, 3)."""
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    cos, sin = np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    corners: Floats = (signs * np.array(thing.size_m)) @ turn.T + np.array(thing.center_m)
    return corners


def to_pixels(points_m: Floats) -> Floats:
    """Project points of the LiDAR frame, shape (n, 3), into the image: (u, v, depth), shape (n, 3)."""
    camera = points_m @ CAMERA_FROM_LIDAR[:3, :3].T + CAMERA_FROM_LIDAR[:3, 3]
    u = FOCAL_PX * camera[:, 0] / camera[:, 2] + IMAGE_SIZE_PX[0] / 2
    v = FOCAL_PX * camera[:, 1] / camera[:, 2] + IMAGE_SIZE_PX[1] / 2
    return np.stack([u, v, camera[:, 2]], axis=1)


def box_of(thing: Thing) -> tuple[float, float, float, float] | None:
    """Return the thing's box in the image, or None unless all of it is in view and large enough to label."""
    pixels = to_pixels(corners_m(thing))
    x_min, y_min = pixels[:, :2].min(axis=0)
    x_max, y_max = pixels[:, :2].max(axis=0)
    width, height = IMAGE_SIZE_PX
    if pixels[:, 2].min() < 2 or x_min < 5 or y_min < 5 or x_max > width - 5 or y_max > height - 5:
        return None
    if y_max - y_min < 28:
        return None
    return float(x_min), float(y_min), float(x_max), float(y_max)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] - 8 < b[2] and b[0] - 8 < a[2]


def place_things(rng: np.random.Generator, count: int, seconds: float = 0.0) -> tuple[Thing, ...]:
    """Return up to ``count`` things that stay in view and apart in the image for ``seconds``."""
    things: list[Thing] = []
    moments = [0.0, seconds / 2, seconds] if seconds else [0.0]
    for _ in range(count * 60):
        if len(things) == count:
            break
        label = str(rng.choice(list(SIZES_M), p=[0.55, 0.2, 0.15, 0.1]))
        size = tuple(float(edge * rng.uniform(0.93, 1.07)) for edge in SIZES_M[label])
        ahead = float(rng.uniform(9, 38))
        center = (ahead, float(rng.uniform(-0.75, 0.75) * ahead), -LIDAR_HEIGHT_M + size[2] / 2)
        yaw = float(rng.choice([0.0, np.pi]) + rng.normal(0, 0.15))
        speed = float(rng.uniform(0, {"car": 6, "truck": 4, "cyclist": 3}.get(label, 1.2)))
        thing = Thing(f"{label}-{len(things) + 1}", label, center, (size[0], size[1], size[2]), yaw, speed)
        views = [box_of(thing.after(moment)) for moment in moments]
        if any(view is None for view in views):
            continue
        others = [[box_of(other.after(moment)) for moment in moments] for other in things]
        if any(_overlap(mine, its) for other in others for mine, its in zip(views, other, strict=True) if mine and its):
            continue
        things.append(thing)
    return tuple(things)


def labels_of(things: tuple[Thing, ...], rng: np.random.Generator, frame: int = 0) -> Iterator[Annotation]:
    """Yield the box and the cuboid of each thing, as a careful person draws them: half a pixel, a few centimetres."""
    for thing in things:
        box = box_of(thing)
        if box is None:
            continue
        jitter = rng.normal(0, 0.5, 4)
        name = f"{thing.object_id}-{frame}"
        drawn = (box[0] + jitter[0], box[1] + jitter[1], box[2] + jitter[2], box[3] + jitter[3])
        yield Box(
            id=f"box-{name}", stream="camera", frame=frame, label=thing.label, object_id=thing.object_id, author=TEAM,
            box=drawn, occlusion=0, truncation=0.0,
        )  # fmt: skip
        x, y, z = (float(value) for value in np.array(thing.center_m) + rng.normal(0, 0.02, 3))
        yield Cuboid(
            id=f"cuboid-{name}", stream="lidar", frame=frame, label=thing.label, object_id=thing.object_id, author=TEAM,
            center_m=(x, y, z), size_m=thing.size_m, yaw_rad=thing.yaw_rad,
        )  # fmt: skip


def cloud_of(things: tuple[Thing, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a point cloud, shape (n, 4): the ground in rings, and the surfaces of the things; x, y, z, intensity."""
    azimuth = np.linspace(-np.pi / 2, np.pi / 2, 700)
    rings = [LIDAR_HEIGHT_M / np.tan(np.radians(angle)) for angle in np.linspace(2.2, 22, 28)]
    ground = np.concatenate([np.stack([r * np.cos(azimuth), r * np.sin(azimuth)], axis=1) for r in rings])
    parts = [np.column_stack([ground, np.full(len(ground), -LIDAR_HEIGHT_M)])]
    for thing in things:
        distance = float(np.linalg.norm(thing.center_m))
        count = int(np.clip(60_000 / distance**2, 40, 1_500))
        unit = rng.uniform(-0.5, 0.5, (count, 3))
        face = rng.integers(0, 2, count)  # a side or an end, never the roof or the floor
        unit[np.arange(count), face] = np.sign(unit[np.arange(count), face]) * 0.49
        cos, sin = np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        parts.append((unit * np.array(thing.size_m)) @ turn.T + np.array(thing.center_m))
    points = np.concatenate(parts)
    points = points + rng.normal(0, 0.01, points.shape)
    return np.column_stack([points, rng.uniform(0, 1, len(points))]).astype(np.float32)


def draw(things: tuple[Thing, ...], path: Path) -> None:
    """Write a picture of the scene: sky, road, and each thing as a shaded solid."""
    width, height = IMAGE_SIZE_PX
    image = Image.new("RGB", IMAGE_SIZE_PX, (176, 196, 214))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, height / 2, width, height), fill=(96, 98, 100))
    for thing in sorted(things, key=lambda one: -one.center_m[0]):
        pixels = to_pixels(corners_m(thing))[:, :2]
        red, green, blue = COLOURS[thing.label]
        for shade, face in ((0.7, (0, 1, 3, 2)), (0.85, (4, 5, 7, 6)), (1.0, (0, 1, 5, 4)), (1.1, (2, 3, 7, 6))):
            colour = (min(255, int(red * shade)), min(255, int(green * shade)), min(255, int(blue * shade)))
            canvas.polygon([(float(u), float(v)) for u, v in pixels[list(face)]], fill=colour)
    image.save(path)


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes, lower-case hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def calibration() -> Calibration:
    """Return the camera's calibration, with its pose in the LiDAR frame."""
    lidar_from_camera = np.linalg.inv(CAMERA_FROM_LIDAR)
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in lidar_from_camera)
    return Calibration(
        model="pinhole",
        intrinsics=(
            (FOCAL_PX, 0.0, IMAGE_SIZE_PX[0] / 2),
            (0.0, FOCAL_PX, IMAGE_SIZE_PX[1] / 2),
            (0.0, 0.0, 1.0),
        ),
        extrinsics=Extrinsics(to="lidar", matrix=(rows[0], rows[1], rows[2], rows[3])),
    )


def context(risk: Risk = "low") -> Context:
    """Return a context that lacks nothing."""
    policy = Policy(
        id="privacy-eu",
        version="3",
        status="approved",
        effective_from=datetime(2024, 1, 1, tzinfo=UTC),
        regions=("DE",),
    )
    return Context(region="DE", product="urban-pilot", risk=risk, policy=policy)


def still(folder: Path, project: str, index: int, seed: int, *, risk: Risk = "low") -> SampleManifest:
    """Write the assets of one moment (PNG, point cloud) into ``folder`` and return its manifest."""
    rng = np.random.default_rng((seed, index))
    things = place_things(rng, 7)
    name = f"scene-{index:03d}"
    picture, cloud = folder / f"{name}.png", folder / f"{name}.bin"
    draw(things, picture)
    cloud_of(things, rng).tofile(cloud)
    captured_at = START + timedelta(minutes=index)
    return SampleManifest(
        format="concord.sample/1",
        sample_id=name,
        project=project,
        captured_at=captured_at,
        context=context(risk),
        streams=(
            Stream(
                id="camera", modality="image", uri=picture.resolve().as_uri(), sha256=file_sha256(picture),
                media_type="image/png", sensor="camera-front", coordinate_frame="camera", calibration=calibration(),
                image_size_px=IMAGE_SIZE_PX, clock=Clock(start=captured_at),
            ),
            Stream(
                id="lidar", modality="lidar", uri=cloud.resolve().as_uri(), sha256=file_sha256(cloud),
                media_type="application/octet-stream", sensor="lidar-top", coordinate_frame="lidar",
                clock=Clock(start=captured_at),
            ),
        ),
        annotations=tuple(labels_of(things, rng)),
    )  # fmt: skip


def clip(project: str, index: int, seed: int, *, frames: int = 12) -> SampleManifest:
    """Return a short sequence of labels at 10 Hz; its recordings stay where they are, so it has no assets."""
    rng = np.random.default_rng((seed, index))
    things = place_things(rng, 7, frames / FRAME_RATE_HZ)
    annotations = [
        label
        for frame in range(frames)
        for label in labels_of(tuple(thing.after(frame / FRAME_RATE_HZ) for thing in things), rng, frame)
    ]
    captured_at = START + timedelta(minutes=index)
    clock = Clock(start=captured_at, rate_hz=FRAME_RATE_HZ)
    return SampleManifest(
        format="concord.sample/1",
        sample_id=f"clip-{index:03d}",
        project=project,
        captured_at=captured_at,
        context=context(),
        streams=(
            Stream(
                id="camera", modality="video", sensor="camera-front", coordinate_frame="camera",
                calibration=calibration(), image_size_px=IMAGE_SIZE_PX, clock=clock,
            ),
            Stream(id="lidar", modality="lidar", sensor="lidar-top", coordinate_frame="lidar", clock=clock),
        ),
        annotations=tuple(annotations),
    )  # fmt: skip
