"""Projection against answers known exactly, or computed here a second way, one point at a time."""

import math

import numpy as np
import pytest

from services.alignment.extrinsics import transform_between
from services.alignment.geometry import cuboid_corners, matrices_from_yaw, matrix_from_rotation_vector
from services.alignment.projection import Camera, project_cuboids, project_points
from services.contracts.manifest import SampleManifest

K = np.array([[700.0, 0.0, 600.0], [0.0, 710.0, 180.0], [0.0, 0.0, 1.0]])
PINHOLE = Camera("pinhole", K, (), 1200, 360)


def corners_of(center: tuple[float, float, float], size: tuple[float, float, float], yaw: float = 0.0) -> np.ndarray:
    return cuboid_corners(np.array([center]), np.array([size]), matrices_from_yaw(np.array([yaw])))


def test_cuboid_straight_ahead_has_the_box_of_its_near_face() -> None:
    projected = project_cuboids(PINHOLE, corners_of((0, 0, 10), (2, 1, 4)))
    # The near face is at z = 8, from -1 to 1 and from -0.5 to 0.5.
    expected = [600 - 700 / 8, 180 - 710 * 0.5 / 8, 600 + 700 / 8, 180 + 710 * 0.5 / 8]
    assert np.allclose(projected.boxes_px[0], expected)
    assert projected.depth_m[0] == pytest.approx(10)
    assert projected.truncation[0] == pytest.approx(0)
    assert projected.visible[0]


def test_cuboid_that_reaches_behind_the_camera_is_clipped_at_the_near_plane() -> None:
    # A wall to the right, 2 m to 3 m away, from 5 m behind to 15 m ahead: it fills the image from its far end.
    projected = project_cuboids(PINHOLE, corners_of((2.5, 0, 5), (1, 0.5, 20)), near_m=0.1)
    far = 600 + 700 * 2 / 15
    assert projected.clipped_near[0]
    assert projected.boxes_px[0] == pytest.approx([far, 0, 1200, 360])
    assert projected.unclipped_px[0, 2] == pytest.approx(600 + 700 * 3 / 0.1)


@pytest.mark.parametrize("center", [(0.0, 0.0, -10.0), (40.0, 0.0, 10.0), (0.0, -30.0, 10.0)])
def test_cuboid_behind_or_beside_the_image_is_not_visible(center: tuple[float, float, float]) -> None:
    projected = project_cuboids(PINHOLE, corners_of(center, (2, 2, 2)))
    assert not projected.visible[0]
    assert projected.truncation[0] == 1
    assert not projected.boxes_px.any()


def test_half_a_cuboid_outside_the_image_has_truncation_one_half() -> None:
    edge = 600 / 700 * 10
    projected = project_cuboids(PINHOLE, corners_of((edge, 0, 10 + 5e-7), (2, 1, 1e-6)))
    assert projected.truncation[0] == pytest.approx(0.5, abs=1e-3)


def one_point_pinhole(point: np.ndarray, k: tuple[float, ...]) -> tuple[float, float]:
    k1, k2, p1, p2, k3, k4, k5, k6 = (*k, *(0.0,) * (8 - len(k)))
    x, y = point[0] / point[2], point[1] / point[2]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    yd = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return 700 * xd + 600, 710 * yd + 180


def one_point_fisheye(point: np.ndarray, k: tuple[float, ...]) -> tuple[float, float]:
    r = math.hypot(point[0], point[1])
    theta = math.atan2(r, point[2])
    bent = theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)
    return 700 * bent * point[0] / r + 600, 710 * bent * point[1] / r + 180


COEFFICIENTS = [
    ("pinhole", (-0.3, 0.1, 0.001, -0.002)),
    ("pinhole", (-0.3, 0.1, 0.001, -0.002, -0.02)),
    ("pinhole", (0.1, 0.02, 0.0005, 0.0, 0.001, 0.2, 0.05, 0.002)),
    ("fisheye", (0.02, -0.01, 0.003, -0.0005)),
]


@pytest.mark.parametrize(("model", "distortion"), COEFFICIENTS)
def test_distorted_points_agree_with_the_formula_written_out(model: str, distortion: tuple[float, ...]) -> None:
    camera = Camera(model, K, distortion, 1200, 360)
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-6, 6, 200), rng.uniform(-2, 2, 200), rng.uniform(9, 40, 200)])
    one = one_point_fisheye if model == "fisheye" else one_point_pinhole
    expected = np.array([one(point, distortion) for point in points])
    assert np.abs(project_points(camera, points) - expected).max() < 1e-9


@pytest.mark.parametrize(("model", "distortion"), [("pinhole", ()), *COEFFICIENTS])
def test_boxes_of_a_scene_are_within_a_pixel_of_densely_sampled_surfaces(
    model: str, distortion: tuple[float, ...]
) -> None:
    camera = Camera(model, K, distortion, 1200, 360)
    rng = np.random.default_rng(11)
    steps = np.linspace(-0.5, 0.5, 81)
    grid = np.stack(np.meshgrid(steps, steps, steps[[0, -1]]), axis=-1).reshape(-1, 3)
    faces = np.concatenate([grid, grid[:, [0, 2, 1]], grid[:, [2, 0, 1]]])
    for _ in range(20):
        center = np.array([rng.uniform(-5, 5), rng.uniform(-1, 1), rng.uniform(9, 40)])
        size = rng.uniform(0.5, 4, 3)
        rotation = matrix_from_rotation_vector(rng.uniform(-2, 2, 3))
        surface = (faces * size) @ rotation.T + center
        pixels = project_points(camera, surface)
        clipped = np.clip(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]), 0, [1200, 360] * 2)
        projected = project_cuboids(camera, cuboid_corners(center[None], size[None], rotation[None]))
        assert np.abs(projected.boxes_px[0] - clipped).max() < 0.5


def test_strong_distortion_does_not_fold_far_points_back_into_the_image() -> None:
    camera = Camera("pinhole", K, (-0.4, 0.0, 0.0, 0.0), 1200, 360)
    angles = np.radians(np.arange(1, 89))
    pixels = project_points(camera, np.column_stack([np.sin(angles), 0 * angles, np.cos(angles)]))
    assert (np.diff(pixels[:, 0]) >= -1e-9).all()


def test_fisheye_sees_beside_itself_and_not_behind() -> None:
    camera = Camera("fisheye", np.array([[300.0, 0, 600], [0, 300, 500], [0, 0, 1]]), (), 1200, 1000)
    beside = project_points(camera, np.array([[10.0, 0.0, 0.0]]))
    assert beside[0] == pytest.approx([600 + 300 * math.pi / 2, 500])
    assert project_cuboids(camera, corners_of((10, 0, -0.5), (1, 1, 1))).visible[0]
    assert not project_cuboids(camera, corners_of((0.0, 0, -10), (1, 1, 1))).visible[0]


def test_points_at_or_behind_a_pinhole_have_no_pixel() -> None:
    assert np.isnan(project_points(PINHOLE, np.array([[1.0, 1.0, 0.0], [1.0, 1.0, -5.0]]))).all()


def test_transform_is_found_through_a_chain_with_an_inverse() -> None:
    def pose(x: float, yaw: float) -> list[list[float]]:
        matrix = np.eye(4)
        matrix[:3, :3] = matrices_from_yaw(yaw)
        matrix[0, 3] = x
        return matrix.tolist()

    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "s",
            "project": "p",
            "streams": [
                {
                    "id": "cam",
                    "modality": "image",
                    "calibration": {"extrinsics": {"to": "imu", "matrix": pose(1, 0.3)}},
                },
                {"id": "gps", "modality": "record", "coordinate_frame": "imu"},
                {
                    "id": "roof",
                    "modality": "lidar",
                    "coordinate_frame": "lidar_top",
                    "calibration": {"extrinsics": {"to": "imu", "matrix": pose(-2, -0.2)}},
                },
                {"id": "far", "modality": "lidar"},
            ],
        }
    )
    found = transform_between(manifest, dst_stream="cam", src_stream="roof")
    assert found is not None
    expected = np.linalg.inv(np.array(pose(1, 0.3))) @ np.array(pose(-2, -0.2))
    assert np.allclose(found, expected)
    assert transform_between(manifest, dst_stream="cam", src_stream="far") is None
    itself = transform_between(manifest, dst_stream="far", src_stream="far")
    assert itself is not None
    assert np.allclose(itself, np.eye(4))
