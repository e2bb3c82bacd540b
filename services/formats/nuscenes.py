"""Read nuScenes: 3D boxes of the scenes of a driving data set, and what its tables say about the sensors.

A ``sample_annotation`` states its box in the global frame. It becomes a ``cuboid`` in the frame of the LiDAR at that
keyframe, by the LiDAR's own ``ego_pose`` and ``calibrated_sensor``; the frame index is the ordinal of the sample in its
scene, the object is the instance's token, and the label's id the annotation's. nuScenes' size is (width, length,
height), the contract's (length, width, height); both have x along the length. Centres are rounded to a micrometre and
quaternions to nine decimals, so that writing and reading again, through the global frame, give the same labels.

``visibility`` is the share seen in all six images: 80-100 % becomes occlusion 0, 40-80 % 1, below 40 % 2. The level
stays in the attribute ``visibility``, each attribute's name becomes an attribute that is true, and ``num_radar_pts``
one that is a number. ``num_lidar_pts`` is ``point_count``.

**Cameras.** A camera is taken up to a twentieth of a second away from the LiDAR's sweep, in which a car drives half a
metre. The transform from a camera to the LiDAR therefore goes through the global frame at either's own moment, and
holds that motion: a thing that stands still projects to where it is seen. It differs from keyframe to keyframe, and
the contract has one transform a stream. So a stream has extrinsics only where one transform is true of all frames that
are read: always for a single keyframe (``frames``), and for a whole scene where the vehicle stood or drove evenly. In
other scenes they are left out and listed, since a transform that is wrong by half a metre is worse than none.

**Motion.** With two keyframes a second a vehicle that turns swings everything around it by metres from one frame to the
next, and what follows objects through time would take that for jumps. With ``still``, all cuboids are stated in the one
frame that the LiDAR had at the first keyframe, in which what stands still stays where it is.

The table ``image_annotations``, which the devkit's ``export_2d_annotations_as_json`` makes of the 3D boxes, is read
where it is there: each row is a ``box`` on its camera.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
from pydantic import ValidationError

from services.alignment.geometry import Floats, invert_rigid, transform_points
from services.contracts.label_base import Author
from services.contracts.manifest import Calibration, Clock, Modality
from services.contracts.validation import places_of
from services.errors import InvalidInputError
from services.formats.nuscenes_recording import (
    Recording,
    SceneRows,
    Sensor,
    Shot,
    are_one,
    conjugate,
    largest_difference,
    lidar_from_sensor,
    moment,
    quaternion_product,
)
from services.formats.nuscenes_tables import NuscenesTables, linked, token_of, unit_quaternion
from services.formats.result import ImportResult, Intake, StreamFacts, StreamItem, identifier_or_none
from services.formats.tree import Node

LIDAR_CHANNEL = "LIDAR_TOP"
AUTHOR = Author(kind="importer", id="nuscenes")

CENTER_DECIMALS = 6
ROTATION_DECIMALS = 9
_LEVEL = re.compile(r"v?(\d{1,3})-(\d{1,3})")
_KNOWN = frozenset(
    {
        "token", "sample_token", "instance_token", "attribute_tokens", "visibility_token", "translation", "size",
        "rotation", "num_lidar_pts", "num_radar_pts", "next", "prev", "category_name", "bbox_corners", "filename",
        "sample_data_token", "sample_annotation_token",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SceneImport:
    """One scene: what was recorded, and what was read of it."""

    recording: Recording
    result: ImportResult


def read_nuscenes(
    tables: Mapping[str, bytes], *, lidar: str | None = None, still: bool = False
) -> tuple[SceneImport, ...]:
    """Read tables that are in memory, by their names without ``.json``; what no scene holds is listed with the first.

    Args:
        tables: Their bytes.
        lidar: See :func:`read_scene`.
        still: See :func:`read_scene`.

    Raises:
        AssetMissingError, MalformedJsonError, InvalidInputError: See :class:`NuscenesTables` and :func:`read_scene`.
    """

    def open_table(name: str) -> BytesIO | None:
        return BytesIO(tables[name]) if name in tables else None

    found: list[SceneImport] = []
    with NuscenesTables(open_table) as index:
        for rows in index.scenes():
            result = read_scene(rows, lidar=lidar, still=still)
            if not found:
                result = ImportResult(result.annotations, result.streams, (*index.dropped, *result.dropped))
            found.append(SceneImport(rows.recording, result))
    return tuple(found)


def read_scene(
    rows: SceneRows,
    *,
    lidar: str | None = None,
    frames: tuple[int, int] | None = None,
    still: bool = False,
    author: Author | None = None,
) -> ImportResult:
    """Return the labels and streams of a scene, or of some of its keyframes.

    Args:
        rows: The scene.
        lidar: Channel of the LiDAR in whose frame cuboids are stated; ``LIDAR_TOP``, or the only one, by default.
        frames: (first, last) keyframe to read, inclusive; ``first`` becomes frame 0.
        still: State cuboids in the frame that the LiDAR had at the first keyframe that is read, and not in its frame at
            each; the stream's coordinate frame is then named by :func:`still_frame`, and boxes on images are left out.
        author: Who made the labels; an importer of this format by default.

    Raises:
        InvalidInputError: There is no such LiDAR, or a record can not be read; names table, record and member.
    """
    first, last = frames or (0, len(rows.recording.keyframes) - 1)
    recording = rows.recording.part(first, last) if frames else rows.recording
    channel = lidar_channel(recording, lidar)
    intake = Intake()
    reader = _Reader(rows, intake, author or AUTHOR)
    bases = base_shots(recording, channel, still=still)
    reader.cuboids(channel, bases, first, last)
    if not still:
        reader.boxes(recording, first, last)
    elif rows.image_annotations:
        why = "a box on an image needs its camera's transform, which is that of one keyframe"
        intake.drop(
            "image_annotations.json", f"{len(rows.image_annotations)} boxes", f"{why}; read keyframes one by one"
        )
    if rows.sweeps:
        why = "labels stand at keyframes; sweeps between them have none"
        intake.drop("sample_data.json", f"{rows.sweeps} recordings between keyframes", why)
    return intake.result(*_streams(recording, channel, bases, intake, still=still))


def still_frame(channel: str) -> str:
    """Return the name of the frame that a LiDAR had at the first keyframe."""
    return f"{channel}@first"


def base_shots(recording: Recording, channel: str, *, still: bool) -> Mapping[int, Shot]:
    """Return by frame the recording of the LiDAR in whose frame cuboids are stated; frames without are left out."""
    shots = recording.sensors[channel].shots
    if not still or not shots:
        return shots
    return dict.fromkeys(range(len(recording.keyframes)), shots[min(shots)])


def lidar_channel(recording: Recording, wanted: str | None = None) -> str:
    """Return the channel of the LiDAR to which cuboids belong.

    Raises:
        InvalidInputError: The scene has no such LiDAR, or several and none is named.
    """
    lidars = [name for name, sensor in recording.sensors.items() if sensor.modality == "lidar"]
    chosen = wanted or (LIDAR_CHANNEL if LIDAR_CHANNEL in lidars else lidars[0] if len(lidars) == 1 else None)
    if chosen in lidars:
        return chosen
    has = f"its LiDARs are {', '.join(lidars)}" if lidars else "it has no LiDAR with a recording at a keyframe"
    raise InvalidInputError(
        f"scene {recording.name}: cuboids need the frame of {chosen or 'one LiDAR'}, and {has}; name the channel"
    )


class _Reader:
    def __init__(self, rows: SceneRows, intake: Intake, author: Author) -> None:
        self._rows = rows
        self._intake = intake
        self._author = author

    def cuboids(self, channel: str, bases: Mapping[int, Shot], first: int, last: int) -> None:
        places: dict[int, tuple[Floats, Floats]] = {
            frame: (invert_rigid(shot.global_from_sensor()), conjugate(shot.rotation_wxyz()))
            for frame, shot in bases.items()
        }
        told: dict[str, list[tuple[int, Node]]] = defaultdict(list)
        for scene_frame, node in self._rows.annotations:
            if not first <= scene_frame <= last:
                continue
            frame = scene_frame - first
            place, instance = f"{node.source}{node.at}", named(node, "instance_token")
            told[instance].append((frame, node))
            common = self._common(node, frame, instance)
            common["label"] = linked(node, "instance_token", self._rows.categories, "instance")
            center = np.array(node["translation"].numbers(3))
            rotation = np.array(unit_quaternion(node["rotation"]))
            width, length, height = node["size"].numbers(3)
            if frame not in places:
                why = f"{channel} has no recording at this keyframe, so its frame is not known"
                self._intake.drop(place, "sample_annotation", why)
                continue
            lidar_from_global, turn = places[frame]
            points = _whole(node, "num_lidar_pts")
            self._intake.add(
                place,
                "sample_annotation",
                {
                    **common,
                    "type": "cuboid",
                    "id": named(node, "token"),
                    "stream": channel,
                    "center_m": rounded(transform_points(lidar_from_global, center), CENTER_DECIMALS),
                    "size_m": (length, width, height),
                    "rotation_wxyz": one_sign(rounded(quaternion_product(turn, rotation), ROTATION_DECIMALS)),
                    "point_count": points if points is not None and points >= 0 else None,
                },
            )
        self._judge_chains(told.values(), whole=first == 0 and last >= len(self._rows.recording.keyframes) - 1)

    def boxes(self, recording: Recording, first: int, last: int) -> None:
        for scene_frame, channel, node in self._rows.image_annotations:
            if not first <= scene_frame <= last:
                continue
            if channel not in recording.sensors or recording.sensors[channel].modality != "camera":
                raise node["sample_data_token"].bad(f"a box belongs on an image, and {channel} is no camera")
            fields = box_fields(node)
            if node.get("num_lidar_pts") is not None:
                why = "a box on an image counts no points; its cuboid does"
                self._intake.drop_often(node.source, "num_lidar_pts", why)
            self._intake.add(
                f"{node.source}{node.at}",
                "image_annotation",
                {
                    **self._common(node, scene_frame - first, named(node, "instance_token")),
                    **fields,
                    "id": f"{named(node, 'sample_annotation_token')}-{channel}"[:200],
                    "stream": channel,
                },
            )

    def _common(self, node: Node, frame: int, instance: str) -> dict[str, Any]:
        """Return the fields that cuboids and boxes share."""
        place = f"{node.source}{node.at}"
        attributes: dict[str, Any] = {}
        for token in node.all("attribute_tokens"):
            if token.text() not in self._rows.attributes:
                raise token.bad(f"there is no attribute with the token {token.text()[:60]!r}; correct it")
            attributes[self._rows.attributes[token.text()]] = True
        told: dict[str, Any] = {"num_radar_pts": _whole(node, "num_radar_pts")}
        level = node.get("visibility_token")
        if level is not None and level.text():
            told["visibility"] = linked(node, "visibility_token", self._rows.visibilities, "visibility")
        for key, value in told.items():
            if value is None:
                continue
            if key in attributes:
                self._intake.drop(place, f"the attribute {key}", f"a box has a {key} already")
            attributes[key] = value
        for key in node.mapping():
            if key not in _KNOWN:
                self._intake.drop_often(node.source, key, "the schema of nuScenes has no such member")
        return {
            "frame": frame,
            "object_id": instance,
            "occlusion": occlusion_of(told.get("visibility")),
            "attributes": attributes,
            "author": self._author,
        }

    def _judge_chains(self, instances: Iterable[list[tuple[int, Node]]], *, whole: bool) -> None:
        """List the links between an object's annotations that contradict the order of the samples."""
        for rows in instances:
            ordered = [node for _, node in sorted(rows, key=lambda row: row[0])]
            tokens = [node["token"].text() for node in ordered]
            for index, node in enumerate(ordered):
                for key, step in (("prev", -1), ("next", 1)):
                    there = index + step
                    inside = 0 <= there < len(tokens)
                    told = node.get(key)
                    if told is None or (not inside and not whole):
                        continue
                    if told.text() != (tokens[there] if inside else ""):
                        why = "an object's boxes are ordered by their samples, which says otherwise"
                        self._intake.drop_often(node.source, f"{key} of sample_annotation", why)


def box_fields(node: Node) -> dict[str, Any]:
    """Return the fields of a row of ``image_annotations`` that need no table: its class and its corners, pixels."""
    return {"type": "box", "label": node["category_name"].text(), "box": node["bbox_corners"].numbers(4)}


def named(node: Node, key: str) -> str:
    """Return a token that serves as an id.

    Raises:
        InvalidInputError: It has characters that no id has.
    """
    token = token_of(node, key)
    if identifier_or_none(token) != token:
        raise node[key].bad(
            f"a token has letters, digits and . _ : @ + - and begins with one of the first two: {token!r}"
        )
    return token


def occlusion_of(level: str | None) -> int | None:
    """Return the occlusion of a level of visibility such as ``v40-60``, the share seen in per cent; None for others."""
    found = _LEVEL.fullmatch(level or "")
    if found is None:
        return None
    low, high = int(found[1]), int(found[2])
    return 2 if high <= 40 else 0 if low >= 80 else 1


def rounded(values: Floats, decimals: int) -> list[float]:
    """Return numbers on a grid of decimals, without the negative zero."""
    return [round(value, decimals) + 0.0 for value in values.tolist()]


def one_sign(quaternion: list[float]) -> list[float]:
    """Return the one of two equal quaternions whose first number that is not zero is positive."""
    leading = next((value for value in quaternion if value), 1.0)
    return quaternion if leading > 0 else [-value + 0.0 for value in quaternion]


def _whole(node: Node, key: str) -> int | None:
    found = node.get(key)
    return None if found is None else found.whole()


def _streams(
    recording: Recording, lidar: str, bases: Mapping[int, Shot], intake: Intake, *, still: bool
) -> Iterator[StreamFacts]:
    target = still_frame(lidar) if still else lidar
    count = len(recording.keyframes)
    for channel, sensor in recording.sensors.items():
        if identifier_or_none(channel) != channel:
            raise InvalidInputError(
                f"sensor.json: the channel {channel!r} names a stream; use letters, digits and . _ : @ + -"
            )
        if not sensor.shots:
            continue
        modality: Modality = "lidar" if sensor.modality == "lidar" else "radar"
        if sensor.modality == "camera":
            modality = "image" if count == 1 else "video"
        sizes = {shot.size_px for shot in sensor.shots.values()}
        yield StreamFacts(
            id=channel,
            modality=modality,
            size_px=next(iter(sizes)) if len(sizes) == 1 else None,
            coordinate_frame=target if channel == lidar else channel,
            calibration=_calibration(sensor, None if channel == lidar else bases, target, intake),
            items=tuple(StreamItem(frame, shot.filename, shot.size_px) for frame, shot in sensor.shots.items()),
            clock=_clock(sensor, count, intake),
        )


def _clock(sensor: Sensor, count: int, intake: Intake) -> Clock | None:
    missing = [frame for frame in range(count) if frame not in sensor.shots]
    if missing:
        why = f"it has no recording at {len(missing)} of {count} keyframes, the first being {missing[0]}"
        intake.drop(sensor.channel, "timestamps", f"{why}; a clock has one time for every frame")
        return None
    times: tuple[datetime, ...] = tuple(moment(sensor.shots[frame].timestamp_us) for frame in range(count))
    return Clock(timestamps=times)


def _calibration(sensor: Sensor, bases: Mapping[int, Shot] | None, target: str, intake: Intake) -> Calibration | None:
    shots = list(sensor.shots.values())
    fields: dict[str, Any] = {}
    if sensor.modality == "camera":
        if len({shot.intrinsics for shot in shots}) == 1:
            fields = {"model": "pinhole", "intrinsics": shots[0].intrinsics}
        else:
            why = "they differ from keyframe to keyframe, and a stream has one calibration; read keyframes one by one"
            intake.drop(sensor.channel, "intrinsics", why)
    both = [frame for frame in sensor.shots if frame in bases] if bases is not None else []
    if bases is not None and both:
        transforms = np.stack([lidar_from_sensor(bases[frame], sensor.shots[frame]) for frame in both])
        if are_one(transforms):
            fields["extrinsics"] = {"to": target, "matrix": transforms[0].tolist()}
        else:
            apart_m, turned_rad = largest_difference(transforms)
            why = (
                f"with the vehicle's motion it differs by up to {apart_m:.3f} m and {turned_rad:.5f} rad among "
                f"{len(both)} keyframes, and a stream has one; read keyframes one by one"
            )
            intake.drop(sensor.channel, f"extrinsics to {target}", why)
    try:
        return Calibration.model_validate(fields) if fields else None
    except ValidationError as error:
        said = "; ".join(f"{place.strip('/')} {reason}".strip() for place, reason in places_of(error))[:500]
        raise InvalidInputError(
            f"calibrated_sensor.json: {sensor.channel} has no calibration that can be used: {said}; correct its record"
        ) from error
