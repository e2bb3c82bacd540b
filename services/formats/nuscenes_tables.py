"""nuScenes' folder of JSON tables, read scene by scene.

The tables point at each other and are in no order that can be relied on, and the large ones have millions of records.
They are read once, record by record; of ``sample_annotation``, ``sample_data`` and ``image_annotations`` only the
places of a scene's records are kept (16 bytes each), of ``ego_pose`` those that a keyframe uses. A scene's records are
read again when the scene is asked for. Held are: the names in the small tables, about 1 KB a ``sample``, 0.3 KB an
``instance`` and 0.3 KB a recording at a keyframe, and the records of one scene.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self, get_args

from services.errors import AssetMissingError
from services.formats.json_rows import Row, iter_rows, read_row
from services.formats.nuscenes_recording import (
    Keyframe,
    Pose,
    Recording,
    SceneRows,
    Sensor,
    SensorModality,
    Shot,
    moment,
)
from services.formats.result import Dropped
from services.formats.tree import Node

REQUIRED = (
    "scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor", "sample_annotation", "instance",
    "category", "attribute", "visibility",
)  # fmt: skip
"""The tables without which a scene can not be read."""

OPTIONAL = ("log", "image_annotations")
NOT_READ = ("map", "lidarseg", "panoptic")
"""Tables of the schema that say nothing about boxes."""

OpenTable = Callable[[str], BinaryIO | None]
"""Opens a table by its name, at its beginning; None where there is none."""

_MAX_TOKEN = 200
_LENGTH_TOLERANCE = 0.01


class NuscenesTables:
    """The tables of one version, indexed; close it, or use it as a context manager.

    Args:
        open_table: Opens a table.
        source: How errors name the folder.

    Raises:
        AssetMissingError: A table is missing; names it.
        MalformedJsonError, InvalidInputError: A table can not be read; names the table, the record and what is wrong.
    """

    def __init__(self, open_table: OpenTable, *, source: str = "nuScenes tables") -> None:
        self._files: dict[str, BinaryIO] = {}
        self._described: list[Dropped] = []
        try:
            for name in (*REQUIRED, *OPTIONAL, *NOT_READ):
                file = open_table(name)
                if file is not None:
                    self._files[name] = file
            missing = [f"{name}.json" for name in REQUIRED if name not in self._files]
            if missing:
                raise AssetMissingError(f"{source}: {', '.join(missing)} missing; add the tables of the same version")
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the tables."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all files."""
        self.close()

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """What of the tables is read for no scene."""
        tables = (Dropped(f"{name}.json", "the table", "it says nothing about boxes") for name in NOT_READ)
        return (*(entry for entry in tables if entry.place.removesuffix(".json") in self._files), *self._described)

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._scenes)

    def scenes(self) -> Iterator[SceneRows]:
        """Yield the scenes in the order of their table; the records of one are held at a time.

        Raises:
            InvalidInputError: A record is wrong, or points at nothing; names it.
        """
        for index in range(len(self)):
            yield self._scene(index)

    def _read(self) -> None:
        self._categories = self._names("category", "name")
        self._attributes = self._names("attribute", "name")
        self._visibilities = self._names("visibility", "level")
        self._channels = self._keyed("sensor", _channel)
        self._mountings = self._keyed("calibrated_sensor", self._mounting)
        self._logs = self._keyed("log", _texts) if "log" in self._files else {}
        self._instances = self._keyed("instance", self._category_of)
        self._chain_samples()
        self._places = {
            name: [_Places() for _ in self._scenes]
            for name in ("sample_data", "sample_annotation", "image_annotations")
        }
        self._sweeps = [0] * len(self._scenes)
        poses = self._index_shots()
        self._index_poses(poses)
        self._index_labels()

    def _rows(self, table: str) -> Iterator[Row]:
        file = self._files[table]
        file.seek(0)
        return iter_rows(file, f"{table}.json")

    def _keyed(self, table: str, value: Callable[[Node], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for row in self._rows(table):
            token = token_of(row.node, "token")
            if token in found:
                raise row.node.bad(f"the token {token!r} stands twice in the table; keep one of the records")
            found[token] = value(row.node)
        return found

    def _names(self, table: str, key: str) -> dict[str, str]:
        described = 0

        def name(node: Node) -> str:
            nonlocal described
            described += bool(_text(node, "description"))
            return _name(node[key])

        names = self._keyed(table, name)
        if described:
            why = "a label has the name; what it means belongs in the taxonomy"
            self._described.append(Dropped(f"{table}.json", f"description ({described} times)", why))
        return names

    def _mounting(self, node: Node) -> tuple[str, Pose, tuple[tuple[float, ...], ...]]:
        sensor = token_of(node, "sensor_token")
        channel, modality = linked(node, "sensor_token", self._channels, "sensor")
        rows = tuple(tuple(row.numbers(3)) for row in node.all("camera_intrinsic"))
        if modality == "camera" and (len(rows) != 3 or not (rows[0][0] > 0 and rows[1][1] > 0)):
            raise node["camera_intrinsic"].bad(
                f"{channel} is a camera: it needs 3 rows of 3 with focal lengths above 0"
            )
        return sensor, pose_of(node), rows if modality == "camera" else ()

    def _category_of(self, node: Node) -> str:
        name: str = linked(node, "category_token", self._categories, "category")
        return name

    def _chain_samples(self) -> None:
        """Read scenes and samples, and follow each scene from its first sample to its last."""
        samples: dict[str, tuple[str, int, str, int]] = {}
        for row in self._rows("sample"):
            node = row.node
            token = token_of(node, "token")
            if token in samples:
                raise node.bad(f"the token {token!r} stands twice in the table; keep one of the records")
            scene = token_of(node, "scene_token")
            samples[token] = (scene, time_of(node), _link_or_end(node, "next"), row.index)
        self._scenes: list[Node] = [row.node for row in self._rows("scene")]
        self._keyframes: list[tuple[Keyframe, ...]] = []
        self._frames: dict[str, tuple[int, int]] = {}
        seen: set[str] = set()
        for index, record in enumerate(self._scenes):
            token = token_of(record, "token")
            if token in seen:
                raise record.bad(f"the token {token!r} stands twice in the table; keep one of the records")
            seen.add(token)
            self._keyframes.append(tuple(self._follow(index, record, token, samples)))
        for lone, (scene_token, _, _, number) in samples.items():
            if lone not in self._frames:
                node = Node({}, f"/{number}", "sample.json")
                where = "no chain of next leads to it" if scene_token in seen else "there is no such scene"
                raise node.bad(
                    f"the sample says it is in scene {scene_token!r}, but {where}; correct next or the scene"
                )

    def _follow(
        self, index: int, scene: Node, token: str, samples: Mapping[str, tuple[str, int, str, int]]
    ) -> Iterator[Keyframe]:
        current = token_of(scene, "first_sample_token")
        pointer = scene["first_sample_token"]
        last = ""
        frame = 0
        while current:
            if current not in samples:
                raise pointer.bad(f"there is no sample with the token {current!r}; correct it or add the record")
            scene_token, timestamp_us, following, number = samples[current]
            here = Node({}, f"/{number}", "sample.json")
            if current in self._frames:
                raise here.bad("the chain of next comes here twice; let each sample follow one other")
            if scene_token != token:
                raise here.bad(f"the sample is in scene {scene_token!r}, but the chain of scene {token!r} leads to it")
            self._frames[current] = (index, frame)
            yield Keyframe(current, timestamp_us)
            pointer, last, current = Node({}, f"/{number}/next", "sample.json"), current, following
            frame += 1
        told = scene.get("last_sample_token")
        if told is not None and told.word() != last:
            raise told.bad(f"the chain of next ends at the sample {last!r}; correct it, or the sample's next")

    def _index_shots(self) -> dict[str, int]:
        """Note where the keyframes' recordings are; return the ego poses that they use, with -1 for where."""
        poses: dict[str, int] = {}
        for row in self._rows("sample_data"):
            scene, _ = linked(row.node, "sample_token", self._frames, "sample")
            if row.node["is_key_frame"].flag():
                self._places["sample_data"][scene].add(row)
                poses[token_of(row.node, "ego_pose_token")] = -1
            else:
                self._sweeps[scene] += 1
        return poses

    def _index_poses(self, poses: dict[str, int]) -> None:
        self._poses = poses
        self._pose_places = _Places()
        for row in self._rows("ego_pose"):
            token = row.node["token"].value
            if not isinstance(token, str) or token not in poses:
                continue
            if poses[token] >= 0:
                raise row.node.bad(f"the token {token!r} stands twice in the table; keep one of the records")
            poses[token] = len(self._pose_places)
            self._pose_places.add(row)

    def _index_labels(self) -> None:
        for row in self._rows("sample_annotation"):
            scene, _ = linked(row.node, "sample_token", self._frames, "sample")
            self._places["sample_annotation"][scene].add(row)
        if "image_annotations" not in self._files:
            return
        shots: dict[str, int] = {}
        for index in range(len(self)):
            for node in self._again("sample_data", index):
                shots[token_of(node, "token")] = index
        for row in self._rows("image_annotations"):
            # Boxes may stand on any image; those between keyframes have no place in a sample.
            found = shots.get(token_of(row.node, "sample_data_token"))
            if found is not None:
                self._places["image_annotations"][found].add(row)

    def _again(self, table: str, scene: int) -> Iterator[Node]:
        places = self._places[table][scene]
        return places.read(self._files[table], table) if len(places) else iter(())

    def _scene(self, index: int) -> SceneRows:
        scene = self._scenes[index]
        shots, sensors = self._shots(index)
        log_token = _link_or_end(scene, "log_token")
        log = self._logs.get(log_token, {}) if log_token else {}
        annotations = tuple(
            (linked(node, "sample_token", self._frames, "sample")[1], node)
            for node in self._again("sample_annotation", index)
        )
        instances = {token_of(node, "instance_token") for _, node in annotations}
        images = tuple(
            (*shots[token_of(node, "sample_data_token")], node) for node in self._again("image_annotations", index)
        )
        return SceneRows(
            recording=Recording(
                token=token_of(scene, "token"),
                name=_name(scene["name"]),
                description=_text(scene, "description"),
                log=log,
                keyframes=self._keyframes[index],
                sensors=sensors,
                log_token=log_token,
            ),
            annotations=annotations,
            image_annotations=images,
            categories={token: name for token, name in self._instances.items() if token in instances},
            attributes=self._attributes,
            visibilities=self._visibilities,
            sweeps=self._sweeps[index],
        )

    def _shots(self, index: int) -> tuple[dict[str, tuple[int, str]], dict[str, Sensor]]:
        """Return (frame, channel) of the scene's recordings by token, and its sensors by channel."""
        places: dict[str, tuple[int, str]] = {}
        found: dict[str, dict[int, Shot]] = {}
        tokens: dict[str, tuple[str, SensorModality]] = {}
        for node in self._again("sample_data", index):
            _, frame = linked(node, "sample_token", self._frames, "sample")
            sensor, mounting, intrinsics = linked(node, "calibrated_sensor_token", self._mountings, "calibrated_sensor")
            channel, modality = self._channels[sensor]
            token = token_of(node, "token")
            taken = found.setdefault(channel, {})
            if frame in taken or token in places:
                raise node.bad(f"{channel} has a second recording of this keyframe, or this token; keep one of them")
            tokens[channel] = (sensor, modality)
            places[token] = (frame, channel)
            taken[frame] = Shot(
                token=token,
                filename=node["filename"].text(),
                timestamp_us=time_of(node),
                size_px=_size(node) if modality == "camera" else None,
                ego_pose=self._pose(node),
                mounting=mounting,
                intrinsics=intrinsics,
            )
        sensors = {
            channel: Sensor(tokens[channel][0], channel, tokens[channel][1], dict(sorted(found[channel].items())))
            for channel in sorted(found)
        }
        return places, sensors

    def _pose(self, node: Node) -> Pose:
        place = self._poses[token_of(node, "ego_pose_token")]
        if place < 0:
            pointer = node["ego_pose_token"]
            raise pointer.bad(f"there is no ego_pose with the token {pointer.value!r}; correct it or add the record")
        row = self._pose_places.one(place, self._files["ego_pose"], "ego_pose")
        return pose_of(row, timed=True)


class _Places:
    """Where records are in their file: 16 bytes each."""

    def __init__(self) -> None:
        self._offsets, self._lengths, self._indexes = array("Q"), array("I"), array("I")

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, row: Row) -> None:
        self._offsets.append(row.offset)
        self._lengths.append(row.length)
        self._indexes.append(row.index)

    def one(self, place: int, file: BinaryIO, table: str) -> Node:
        offset, length, index = self._offsets[place], self._lengths[place], self._indexes[place]
        return read_row(file, f"{table}.json", index=index, offset=offset, length=length)

    def read(self, file: BinaryIO, table: str) -> Iterator[Node]:
        return (self.one(place, file, table) for place in range(len(self)))


def token_of(node: Node, key: str) -> str:
    """Return the token in a record's member.

    Raises:
        InvalidInputError: It is absent, no text, empty or too long.
    """
    member = node[key]
    token = member.text()
    if not 1 <= len(token) <= _MAX_TOKEN:
        raise member.bad(f"a token has 1 to {_MAX_TOKEN} characters, this one has {len(token)}")
    return token


def linked(node: Node, key: str, records: Mapping[str, Any], table: str) -> Any:
    """Return the record that a member points at.

    Raises:
        InvalidInputError: There is no such record in ``table``.
    """
    token = token_of(node, key)
    if token not in records:
        raise node[key].bad(f"there is no {table} with the token {token[:60]!r}; correct it or add the record")
    return records[token]


def pose_of(node: Node, *, timed: bool = False) -> Pose:
    """Return the transform of an ``ego_pose`` or ``calibrated_sensor`` record.

    Raises:
        InvalidInputError: Numbers are missing or not finite, or the quaternion has not the length 1.
    """
    x, y, z = node["translation"].numbers(3)
    return Pose(
        token=token_of(node, "token"),
        translation_m=(x, y, z),
        rotation_wxyz=unit_quaternion(node["rotation"]),
        timestamp_us=time_of(node) if timed else None,
    )


def unit_quaternion(node: Node) -> tuple[float, float, float, float]:
    """Return a quaternion (w, x, y, z) whose length is 1 within 1 %, as it stands.

    Raises:
        InvalidInputError: It has another length.
    """
    w, x, y, z = node.numbers(4)
    length = (w * w + x * x + y * y + z * z) ** 0.5
    if abs(length - 1) > _LENGTH_TOLERANCE:
        raise node.bad(f"a rotation is a quaternion w, x, y, z of length 1, this one has length {length:.4g}")
    return w, x, y, z


def time_of(node: Node) -> int:
    """Return a record's timestamp, microseconds of Unix time.

    Raises:
        InvalidInputError: It is absent, no whole number, or no time before the year 10000.
    """
    member = node["timestamp"]
    value = member.whole()
    try:
        moment(value)
    except OverflowError:
        raise member.bad("a timestamp is the Unix time in microseconds") from None
    return value


def _channel(node: Node) -> tuple[str, SensorModality]:
    modality = node["modality"].text()
    if modality not in get_args(SensorModality):
        raise node["modality"].bad(f"a sensor is a camera, lidar or radar, got {modality[:40]!r}")
    return _name(node["channel"]), modality  # type: ignore[return-value]


def _name(node: Node) -> str:
    name = node.text()
    if not 1 <= len(name) <= _MAX_TOKEN:
        raise node.bad(f"a name has 1 to {_MAX_TOKEN} characters, this one has {len(name)}")
    return name


def _text(node: Node, key: str) -> str:
    found = node.get(key)
    return "" if found is None else found.text()


def _texts(node: Node) -> dict[str, str]:
    return {key: value for key, value in node.mapping().items() if key != "token" and isinstance(value, str)}


def _link_or_end(node: Node, key: str) -> str:
    found = node.get(key)
    return "" if found is None else found.text()


def _size(node: Node) -> tuple[int, int] | None:
    width, height = node.get("width"), node.get("height")
    if width is None or height is None or (width.value == 0 and height.value == 0):
        return None
    size = width.whole(), height.whole()
    if not all(1 <= side <= 65_536 for side in size):
        raise width.bad("width and height of an image are 1 to 65536 px")
    return size
