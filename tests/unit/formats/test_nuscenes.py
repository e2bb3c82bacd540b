from __future__ import annotations

import numpy as np

from services.alignment.geometry import cuboid_corners, matrices_from_quaternions
from services.contracts.labels_spatial import Cuboid
from services.formats.nuscenes import read_nuscenes
from tests.unit.formats.nuscenes_scenes import THINGS, Maker, encoded


def test_cuboids_stand_in_the_frame_of_the_lidar_at_their_keyframe() -> None:
    maker = Maker()
    (scene,) = read_nuscenes(encoded(maker.build()))
    cuboids = [label for label in scene.result.annotations if isinstance(label, Cuboid)]
    assert len(cuboids) == len(THINGS) * maker.keyframes
    for cuboid in cuboids:
        frame = cuboid.frame or 0
        thing = next(t for t in THINGS if cuboid.object_id == f"scene-0001-{t.token}")
        rotation, origin = maker.sensor_at("LIDAR_TOP", frame)
        local = rotation.inv().apply(maker.corners_in_global(thing, frame) - origin)
        assert cuboid.rotation_wxyz is not None
        turn = matrices_from_quaternions(cuboid.rotation_wxyz)
        corners = cuboid_corners(np.array([cuboid.center_m]), np.array([cuboid.size_m]), turn[None])[0]
        assert np.abs(corners - local).max() < 1e-5
        assert cuboid.size_m == (thing.size[1], thing.size[0], thing.size[2])
        assert cuboid.label == thing.category
        assert (cuboid.point_count, cuboid.attributes["num_radar_pts"]) == (10 + frame, frame)
