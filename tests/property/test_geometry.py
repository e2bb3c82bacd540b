import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.geometry import (
    count_points_in_cuboids,
    cuboid_corners,
    invert_rigid,
    matrices_from_quaternions,
    matrices_from_yaw,
    matrix_from_rotation_vector,
    nearest_rotation,
    quaternion_from_matrix,
    rigid,
    transform_points,
)
from services.alignment.matching import areas, assign, iou_matrix, iou_pairs
from services.alignment.projection import Camera, project_cuboids, project_points

coordinate = st.floats(-50, 50)
vectors = st.tuples(coordinate, coordinate, coordinate).map(np.array)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).map(np.array).filter(lambda q: float(np.linalg.norm(q)) > 0.1)
sizes = st.tuples(*[st.floats(0.2, 20)] * 3).map(np.array)
boxes = st.tuples(
    st.floats(0, 900), st.floats(0, 300), st.floats(1, 300), st.floats(1, 200)
).map(lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]]))  # fmt: skip
patient = settings(deadline=None)  # shared cores: a slow moment is no fault
CAMERA = Camera("pinhole", np.array([[700.0, 0, 600], [0, 710.0, 180], [0, 0, 1]]), (), 1242, 375)


@patient
@given(quaternions)
def test_rotation_of_any_quaternion_is_orthonormal_and_comes_back(quaternion: np.ndarray) -> None:
    rotation = matrices_from_quaternions(quaternion)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(rotation), 1.0)
    back = matrices_from_quaternions(quaternion_from_matrix(rotation))
    assert np.allclose(back, rotation, atol=1e-12)


@patient
@given(st.floats(-10, 10))
def test_yaw_and_rotation_vector_about_z_agree(angle: float) -> None:
    assert np.allclose(matrices_from_yaw(angle), matrix_from_rotation_vector([0, 0, angle]), atol=1e-12)


@patient
@given(quaternions, vectors, vectors)
def test_inverse_transform_brings_points_back(q: np.ndarray, t: np.ndarray, p: np.ndarray) -> None:
    transform = rigid(matrices_from_quaternions(q), t)
    assert np.allclose(transform_points(invert_rigid(transform), transform_points(transform, p)), p, atol=1e-9)


@patient
@given(quaternions, st.floats(-1e-3, 1e-3))
def test_nearest_rotation_of_a_disturbed_one_is_a_rotation_nearby(q: np.ndarray, error: float) -> None:
    rotation = matrices_from_quaternions(q)
    fixed = nearest_rotation(rotation + error)
    assert np.allclose(fixed @ fixed.T, np.eye(3), atol=1e-12)
    assert np.abs(fixed - rotation).max() < 1e-2


@patient
@given(vectors, sizes, quaternions)
def test_corners_have_the_cuboids_centre_size_and_hold_its_points(
    center: np.ndarray, size: np.ndarray, q: np.ndarray
) -> None:
    rotation = matrices_from_quaternions(q)[None]
    corners = cuboid_corners(center[None], size[None], rotation)
    assert np.allclose(corners.mean(axis=1)[0], center, atol=1e-9)
    assert np.allclose(np.linalg.norm(corners[0, 4] - corners[0, 0]), size[0])
    assert np.allclose(np.linalg.norm(corners[0, 2] - corners[0, 0]), size[1])
    assert np.allclose(np.linalg.norm(corners[0, 1] - corners[0, 0]), size[2])
    inside, outside = 0.99 * (corners[0] - center) + center, 1.01 * (corners[0] - center) + center
    points = np.concatenate([inside, outside, [[np.nan, 0, 0]]])
    assert count_points_in_cuboids(points, center[None], size[None], rotation).tolist() == [8]


@patient
@given(st.lists(boxes, min_size=1, max_size=6), st.lists(boxes, min_size=1, max_size=6))
def test_iou_is_symmetric_bounded_and_one_with_itself(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    first, second = np.array(a), np.array(b)
    iou = iou_matrix(first, second)
    assert np.allclose(iou, iou_matrix(second, first).T)
    assert (iou >= 0).all()
    assert (iou <= 1 + 1e-12).all()
    assert np.allclose(iou_pairs(first, first), 1.0)
    assert (areas(first) > 0).all()


@patient
@given(st.lists(boxes, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_assignment_finds_a_permutation_of_the_same_boxes(a: list[np.ndarray], random: object) -> None:
    first = np.array(a) + 1_000.0 * np.arange(len(a))[:, None]  # apart, so that the answer is unique
    order = np.arange(len(first))
    random.shuffle(order)  # type: ignore[attr-defined]
    rows, columns = assign(iou_matrix(first, first[order]), minimum=0.5)
    assert rows.tolist() == list(range(len(first)))
    assert order[columns].tolist() == rows.tolist()


@patient
@given(
    st.tuples(st.floats(-15, 15), st.floats(-4, 4), st.floats(-1, 40)).map(np.array),
    st.tuples(*[st.floats(0.3, 6)] * 3).map(np.array),
    quaternions,
)
def test_box_of_a_cuboid_holds_every_visible_point_of_it(center: np.ndarray, size: np.ndarray, q: np.ndarray) -> None:
    rotation = matrices_from_quaternions(q)[None]
    corners = cuboid_corners(center[None], size[None], rotation)
    projected = project_cuboids(CAMERA, corners, near_m=0.1)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 7)] * 3), axis=-1).reshape(-1, 3)
    points = (grid * size) @ rotation[0].T + center
    points = points[points[:, 2] >= 0.1]
    pixels = project_points(CAMERA, points)
    seen = pixels[((pixels >= 0) & (pixels <= [1242, 375])).all(axis=1)]
    if len(seen):
        assert projected.visible[0]
        box = projected.boxes_px[0]
        assert (seen >= box[:2] - 1e-6).all()
        assert (seen <= box[2:] + 1e-6).all()
