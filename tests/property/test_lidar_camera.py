"""What is done frame by frame or at once gives what the plain definition gives, on random scenes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.alignment.geometry import Floats, Ints, cuboid_corners, matrices_from_yaw
from services.alignment.lidar_camera_pairs import pair_by_id
from services.alignment.lidar_camera_scene import BoxRows, CuboidRows, Scene, box_rows, cuboid_rows, ignored_boxes
from services.alignment.matching import cover_matrix
from services.alignment.projection import Camera, project_cuboids, project_points
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.rules.lidar_camera import ClassThresholds, LidarCameraRules

NEAR_M = 0.1
NAMES = (None, "x", "y", "z")
SEEDS = st.integers(0, 2**32 - 1)
CAMERA = Camera("pinhole", np.array([[720.0, 0.0, 610.0], [0.0, 720.0, 175.0], [0.0, 0.0, 1.0]]), (), 1242.0, 375.0)


def boxes(rng: np.random.Generator, count: int, *, ignored: float) -> BoxRows:
    low = rng.uniform(0, 80, (count, 2))
    corners = np.hstack([low, low + rng.uniform(5, 60, (count, 2))])
    labels = [
        Box(
            id=f"b{row}", stream="cam", label="car", frame=int(rng.integers(0, 4)), box=tuple(corners[row].tolist()),
            ignore=bool(rng.random() < ignored), object_id=NAMES[int(rng.integers(0, len(NAMES)))],
        )
        for row in range(count)
    ]  # fmt: skip
    return box_rows(labels, "cam")


def cuboids(rng: np.random.Generator, count: int) -> CuboidRows:
    labels = [
        Cuboid(
            id=f"c{row}", stream="lidar", label="car", frame=int(rng.integers(0, 4)), center_m=(0, 0, 10),
            size_m=(4, 2, 2), object_id=NAMES[int(rng.integers(0, len(NAMES)))], ignore=bool(rng.random() < 0.2),
        )
        for row in range(count)
    ]  # fmt: skip
    return cuboid_rows(labels, "lidar")


@given(SEEDS)
def test_a_box_is_ignored_where_one_region_of_its_frame_covers_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, regions = boxes(rng, int(rng.integers(0, 12)), ignored=0.0), boxes(rng, int(rng.integers(0, 6)), ignored=0.7)
    expected = np.zeros(len(rows), dtype=np.bool_)
    if len(rows) and regions.ignore.any():
        same_frame = rows.frames[:, None] == regions.frames[regions.ignore][None]
        covered = cover_matrix(rows.boxes_px, regions.boxes_px[regions.ignore]) >= 0.5
        expected = (same_frame & covered).any(axis=1)
    assert ignored_boxes(rows.boxes_px, rows.frames, regions, 0.5).tolist() == expected.tolist()


@given(SEEDS, st.integers(-2, 2))
def test_pairs_by_id_are_those_that_stand_once_in_a_frame_on_both_sides(seed: int, delay: int) -> None:
    rng = np.random.default_rng(seed)
    scene = scene_of(boxes(rng, int(rng.integers(1, 15)), ignored=0.2), cuboids(rng, int(rng.integers(1, 15))))
    scene = scene.delayed(delay)
    seen, spatial = once(scene.boxes), once(scene.cuboids)
    expected = sorted((row, seen[key]) for key, row in spatial.items() if key in seen)
    assert list(zip(*(rows.tolist() for rows in pair_by_id(scene)), strict=True)) == expected


def once(rows: BoxRows | CuboidRows) -> dict[tuple[int, str], int]:
    keys = [
        (int(frame), name) for frame, name, out in zip(rows.frames, rows.object_ids, rows.ignore, strict=True)
        if name is not None and not out
    ]  # fmt: skip
    return {
        (int(rows.frames[row]), name): row
        for row, name in enumerate(rows.object_ids)
        if name is not None and not rows.ignore[row] and keys.count((int(rows.frames[row]), name)) == 1
    }


def scene_of(seen: BoxRows, spatial: CuboidRows) -> Scene:
    other: ClassThresholds = LidarCameraRules().other
    return Scene(
        "cam", "lidar", CAMERA, np.eye(4), seen, spatial, (other,) * len(spatial), (other,) * len(seen),
        np.full(len(seen), -1), None, frozenset(),
    )  # fmt: skip


@given(SEEDS)
def test_a_cuboid_in_front_of_the_near_plane_is_boxed_in_by_its_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 20))
    centers: Floats = rng.uniform([-15, -4, -6], [15, 4, 50], (count, 3))
    corners = cuboid_corners(centers, rng.uniform(0.3, 6, (count, 3)), matrices_from_yaw(rng.uniform(-4, 4, count)))
    projected = project_cuboids(CAMERA, corners, near_m=NEAR_M)
    whole: Ints = np.flatnonzero((corners[:, :, 2] >= NEAR_M).all(axis=1))
    pixels = project_points(CAMERA, corners[whole])
    expected = np.hstack([pixels.min(axis=1), pixels.max(axis=1)])
    assert np.array_equal(projected.unclipped_px[whole], expected)
    behind = (corners[:, :, 2] < NEAR_M).all(axis=1)
    assert np.isnan(projected.unclipped_px[behind]).all()
    assert not projected.visible[behind].any()
