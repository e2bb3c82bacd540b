"""OpenLABEL's streams and coordinate systems: what each sensor is, where it stands, and which way leads where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from services.alignment.geometry import Floats, invert_rigid, matrices_from_quaternions, quaternion_from_matrix
from services.contracts.manifest import Calibration, Modality
from services.contracts.validation import places_of
from services.formats.result import Intake, StreamFacts, identifier_or_none
from services.formats.tree import Node

_UPRIGHT_FROM_CAMERA: Floats = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Columns: the axes of an upright object (x forward, y left, z up) in one whose y looks down."""

_MODALITIES: Mapping[str, Modality] = {"camera": "image", "lidar": "lidar", "radar": "radar"}
_SINGULAR = 1e-9
_MAX_CHAIN = 100
_VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True, slots=True)
class StreamNames:
    """Which stream of the sample a name in the document means."""

    default: str
    given: Mapping[str, str] | None

    def stream_of(self, name: str | None) -> str | None:
        """Return the stream's id; None for a stream that the sample has not."""
        if name is None:
            return self.default
        if self.given is not None:
            return self.given.get(name)
        return identifier_or_none(name) or self.default


def read_streams(root: Node, names: StreamNames, intake: Intake) -> list[StreamFacts]:
    """Return what the document says about its streams; what the contract can not hold is listed."""
    streams, systems = root.get("streams"), root.get("coordinate_systems")
    facts: list[StreamFacts] = []
    for name, node in streams.items() if streams is not None else ():
        stream = names.stream_of(name)
        if stream is None:
            continue
        kind, uri, properties = node.get("type"), node.get("uri"), node.get("stream_properties")
        address = uri.text() if uri is not None and uri.text() else None
        modality = _MODALITIES.get(kind.text()) if kind is not None else None
        if modality == "image" and address is not None and address.lower().endswith(_VIDEOS):
            modality = "video"
        pinhole = properties.get("intrinsics_pinhole") if properties is not None else None
        size_px = None
        if pinhole is not None and pinhole.get("width_px") is not None and pinhole.get("height_px") is not None:
            size_px = (pinhole["width_px"].whole(), pinhole["height_px"].whole())
        system = systems.get(name) if systems is not None else None
        facts.append(
            StreamFacts(
                stream,
                modality=modality,
                uri=address,
                size_px=size_px,
                coordinate_frame=identifier_or_none(name) if system is not None else None,
                calibration=_calibration(pinhole, system, node, intake),
            )
        )
    return facts


def _calibration(pinhole: Node | None, system: Node | None, at: Node, intake: Intake) -> Calibration | None:
    fields: dict[str, Any] = {}
    pose = _pose(system) if system is not None else None
    if pinhole is not None:
        values = pinhole["camera_matrix_3x4"].numbers(12)
        matrix = np.array(values).reshape(3, 4)
        if matrix[:, 3].any():
            pose = _at_the_camera(pose, matrix)
            if pose is None:
                intake.drop(pinhole.at, "last column of camera_matrix_3x4", "without a pose it leads from nowhere")
        fields = {"model": "pinhole", "intrinsics": matrix[:, :3].tolist()}
        distortion = pinhole.get("distortion_coeffs_1xN")
        if distortion is not None and distortion.numbers():
            fields["distortion"] = distortion.numbers()
    parent = system.get("parent") if system is not None else None
    if pose is not None and parent is not None and parent.text():
        fields["extrinsics"] = {"to": identifier_or_none(parent.text()), "matrix": pose.tolist()}
    if not fields:
        return None
    try:
        return Calibration.model_validate(fields)
    except ValidationError as error:
        intake.drop(at.at, "calibration", "; ".join(f"{place} {said}" for place, said in places_of(error))[:500])
        return None


def _at_the_camera(pose: Floats | None, matrix: Floats) -> Floats | None:
    """Return the pose of the camera itself; None where that of its coordinate system is not known.

    A projection K [I | t] states where the camera stands in its coordinate system, as the rectified cameras of a stereo
    rig do that share one: p_camera = p_system + t (R. Hartley and A. Zisserman, *Multiple View Geometry*, section 6.2).
    """
    if pose is None or abs(np.linalg.det(matrix[:, :3])) < _SINGULAR:
        return None
    system_from_camera = np.eye(4)
    system_from_camera[:3, 3] = -np.linalg.solve(matrix[:, :3], matrix[:, 3])
    return np.asarray(pose @ system_from_camera)


def _pose(system: Node) -> Floats | None:
    pose = system.get("pose_wrt_parent")
    if pose is None:
        return None
    if pose.get("matrix4x4") is not None:
        return np.array(pose["matrix4x4"].numbers(16)).reshape(4, 4)
    if pose.get("quaternion") is not None and pose.get("translation") is not None:
        x, y, z, w = unit_quaternion(pose["quaternion"], pose["quaternion"].numbers(4))
        found = np.eye(4)
        found[:3, :3] = matrices_from_quaternions([w, x, y, z])
        found[:3, 3] = pose["translation"].numbers(3)
        return found
    return None


def unit_quaternion(at: Node, values: list[float]) -> list[float]:
    """Return the four numbers of a quaternion; :class:`InvalidInputError` where its length is not 1."""
    if not 0.98 <= sum(value * value for value in values) <= 1.02:
        raise at.bad("a quaternion has length 1; normalise it")
    return values


def transforms_into(root: Node, target: str) -> dict[str, Floats]:
    """Return for each coordinate system the 4x4 transform into ``target``; those without a way there are left out."""
    systems = root.get("coordinate_systems")
    nodes = {} if systems is None else dict(systems.items())
    chains = {name: _chain(name, nodes) for name in nodes}
    if target not in chains:
        return {}
    to_target = chains[target]
    found: dict[str, Floats] = {}
    for name, chain in chains.items():
        common = next((ancestor for ancestor in chain if ancestor in to_target), None)
        if common is not None:
            found[name] = invert_rigid(to_target[common]) @ chain[common]
    return found


def _chain(name: str, nodes: Mapping[str, Node]) -> dict[str, Floats]:
    """Return the transforms from ``name`` into itself and each ancestor that poses lead to."""
    chain = {name: np.eye(4)}
    here = name
    while here in nodes:
        pose, parent = _pose(nodes[here]), nodes[here].get("parent")
        if pose is None or parent is None or parent.text() in chain:
            break
        if abs(np.linalg.det(pose[:3, :3]) - 1) > 1e-2:
            raise nodes[here].bad("pose_wrt_parent is no rigid transform; correct its matrix")
        chain[parent.text()] = pose @ chain[here]
        here = parent.text()
        if len(chain) > _MAX_CHAIN:
            raise nodes[name].bad(f"more than {_MAX_CHAIN} coordinate systems lead from here to the root; join some")
    return chain


def from_camera(fields: dict[str, Any], transform: Floats, *, upright: bool) -> dict[str, Any]:
    """Return a cuboid's fields carried over by ``transform``; stood up where its y looks down."""
    if fields.get("rotation_wxyz") is not None:
        turn = matrices_from_quaternions(fields["rotation_wxyz"])
    else:
        c, s = np.cos(fields["yaw_rad"]), np.sin(fields["yaw_rad"])
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    length, second, third = fields["size_m"]
    size = (length, second, third)
    if upright:
        turn, size = turn @ _UPRIGHT_FROM_CAMERA, (length, third, second)
    rest = {key: value for key, value in fields.items() if key not in ("yaw_rad", "rotation_wxyz")}
    return {
        **rest,
        "center_m": (transform @ np.array([*fields["center_m"], 1.0]))[:3].tolist(),
        "size_m": size,
        "rotation_wxyz": quaternion_from_matrix(transform[:3, :3] @ turn).tolist(),
    }


def quaternion_wxyz(roll_rad: float, pitch_rad: float, yaw_rad: float) -> tuple[float, ...]:
    """Return the quaternion of R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, sr), (cp, sp), (cy, sy) = (
        (float(np.cos(half)), float(np.sin(half))) for half in (roll_rad / 2, pitch_rad / 2, yaw_rad / 2)
    )
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )
