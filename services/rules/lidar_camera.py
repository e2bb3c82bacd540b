"""Thresholds of the ``lidar_camera`` check."""

from __future__ import annotations

from services.contracts.base import Contract


class LidarCameraRules(Contract):
    """When a cuboid and a camera box disagree."""

    enabled: bool = True
