"""Sample manifests from a folder of nuScenes tables: one for each scene, and one for each keyframe where that is exact.

A scene is one sample: its objects are followed through time, in the one frame that the LiDAR had at the first
keyframe, and its sensors' clocks are compared. Where the vehicle moved, no one transform ties a camera to that frame,
so the sample has none, and the check of cuboids against camera boxes is not applicable rather than wrong by the way
driven. If the tables hold boxes on images too (``image_annotations``), every keyframe that has some is a sample of
its own besides: its boxes, its cuboids in the LiDAR's frame, its files, and the exact transform of each camera, the
vehicle's motion between the two moments included. ``docs/decisions/0006-nuscenes-scenes-and-keyframes.md`` has the
figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from services.contracts.annotations import MAX_ANNOTATIONS
from services.contracts.label_base import Author
from services.contracts.manifest import Context, SampleManifest, Stream
from services.errors import AssetMissingError, ConcordError, InvalidInputError
from services.formats.nuscenes import read_scene
from services.formats.nuscenes_recording import Recording, SceneRows, moment
from services.formats.nuscenes_tables import REQUIRED, NuscenesTables
from services.formats.result import Dropped, ImportResult

Unit = Literal["scene", "keyframe"]

_FEW_TABLES = 4
_TOKEN = re.compile(rb'^(?:\xef\xbb\xbf)?\s*\[\s*(?:\]|\{[^{}]*"token"\s*:)')
_HEAD_BYTES = 65_536
_REGIONS = {"singapore": "SG", "boston": "US"}
_MAX_TEXT = 2_000
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".bin": "application/octet-stream"}


def iter_manifests(folder: Path, project: str, *, unit: Unit | None = None) -> Iterator[SampleManifest]:
    """Yield the samples of every folder of tables in ``folder``, up to two levels down; none where there is none.

    Args:
        folder: The tables' folder, such as ``v1.0-mini``, or the data set's root above it.
        project: The project the samples belong to.
        unit: What a sample is; by default a scene, and a keyframe that has boxes on images is one besides.

    Tables of any size are read in the memory that :mod:`services.formats.nuscenes_tables` states, plus one scene.
    Recordings are referred to where they are there, inside ``folder``; a scene's are series and are not. What was not
    taken over is told in ``context.attributes["not_taken_over"]``.

    Raises:
        AssetMissingError: A table is missing.
        MalformedJsonError, InvalidInputError: A table can not be read; names folder, table, record and what is wrong.
    """
    for tables in find_tables(folder):
        try:
            yield from _samples(folder, tables, project, unit)
        except ConcordError as error:
            raise type(error)(f"{tables}: {error.detail}", places=error.places) from error


def find_tables(folder: Path) -> Sequence[Path]:
    """Return the folders at most two levels down that hold several of nuScenes' tables, told by their content."""
    if not folder.is_dir():
        return ()
    candidates = [folder]
    for _ in range(2):
        candidates += [child for parent in candidates for child in parent.iterdir() if child.is_dir()]
    found = dict.fromkeys(path for path in candidates if _holds_tables(path))
    return sorted(found)


def _holds_tables(folder: Path) -> bool:
    named = [folder / f"{name}.json" for name in REQUIRED]
    there = [path for path in named if path.is_file()]
    return len(there) >= _FEW_TABLES and sum(_is_table(path) for path in there) >= _FEW_TABLES - 1


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return _TOKEN.match(file.read(_HEAD_BYTES)) is not None


def _samples(folder: Path, tables: Path, project: str, unit: Unit | None) -> Iterator[SampleManifest]:
    def open_table(name: str) -> BinaryIO | None:
        path = tables / f"{name}.json"
        try:
            return path.open("rb") if path.is_file() else None
        except OSError as error:
            raise AssetMissingError(f"{path} can not be read: {error.strerror}") from error

    author = Author(kind="human", id="nuscenes", version=tables.name[:200])
    names: set[str] = set()
    files = _Files(folder.resolve(), (tables if (tables / "samples").is_dir() else tables.parent).resolve())
    with NuscenesTables(open_table, source=tables.name) as index:
        for rows in index.scenes():
            name = f"nuscenes-{_safe(rows.recording.name)}"
            if name in names:
                name = f"{name}-{_safe(rows.recording.token)}"
            names.add(name)
            if unit != "keyframe":
                result = read_scene(rows, author=author, still=True)
                yield _manifest(name, project, rows.recording, result, index.dropped)
            if unit != "scene":
                yield from _keyframes(name, project, rows, author, files, every=unit == "keyframe")


def _keyframes(
    name: str, project: str, rows: SceneRows, author: Author, files: _Files, *, every: bool
) -> Iterator[SampleManifest]:
    seen = {frame for frame, _, _ in rows.image_annotations}
    for frame in range(len(rows.recording.keyframes)):
        if not every and frame not in seen:
            continue
        recording = rows.recording.part(frame, frame)
        result = read_scene(rows, author=author, frames=(frame, frame))
        yield _manifest(f"{name}-{frame:04d}", project, recording, result, (), files)


def _manifest(
    sample_id: str,
    project: str,
    recording: Recording,
    result: ImportResult,
    of_all: Sequence[Dropped],
    files: _Files | None = None,
) -> SampleManifest:
    if len(result.annotations) > MAX_ANNOTATIONS:
        raise InvalidInputError(
            f"scene {recording.name} has {len(result.annotations)} labels; a sample has at most {MAX_ANNOTATIONS}"
        )
    lost = "; ".join(f"{entry.place}: {entry.what}: {entry.why}" for entry in (*result.dropped, *of_all))
    told = {
        "scene": recording.name,
        "description": recording.description,
        "not_taken_over": lost,
        **{key: recording.log.get(key, "") for key in ("logfile", "vehicle", "date_captured", "location")},
    }
    return SampleManifest(
        format="concord.sample/1",
        sample_id=sample_id,
        project=project,
        captured_at=moment(recording.keyframes[0].timestamp_us),
        context=Context(
            region=_REGIONS.get(recording.log.get("location", "").split("-", maxsplit=1)[0]),
            product="nuscenes",
            attributes={key: value[:_MAX_TEXT] for key, value in told.items() if value},
        ),
        streams=tuple(
            Stream(
                id=stream.id,
                modality=stream.modality or "video",
                uri=None if files is None else files.uri(stream.items[0].uri),
                media_type=None if files is None else _MEDIA_TYPES.get(Path(stream.items[0].uri).suffix),
                sensor=stream.id,
                coordinate_frame=stream.coordinate_frame,
                clock=stream.clock,
                calibration=stream.calibration,
                image_size_px=stream.size_px,
            )
            for stream in result.streams
        ),
        annotations=result.annotations,
    )


class _Files:
    """The recordings behind the tables.

    Args:
        folder: What may be read: the path that was given.
        root: What file names are relative to.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root

    def uri(self, name: str) -> str | None:
        path = (self._root / name).resolve()
        inside = path.is_relative_to(self._root) and path.is_relative_to(self._folder)
        # A radar's .pcd is no layout that checks take points of.
        return path.as_uri() if inside and path.is_file() and path.suffix != ".pcd" else None


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:@+-]+", "_", name)[:150]
