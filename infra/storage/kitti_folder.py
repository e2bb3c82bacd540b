"""Walk a KITTI folder on disk and make sample manifests of it."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from infra.storage.label_documents import MAX_LABEL_BYTES
from infra.storage.neighbours import sha256_of
from infra.storage.regular_file import read_regular
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.manifest import Clock, Context, LabelFile, SampleManifest, Stream
from services.errors import AssetMissingError, InvalidInputError
from services.formats.kitti import KittiCalibration, parse_calibration, read_objects, read_tracking

CAMERA_STREAM = "cam_left"
LIDAR_STREAM = "lidar_top"
TRACKING_SIZE_PX = (1242, 375)
"""(width, height) of most KITTI recordings; assumed, and said so, where there is no image to read it from."""

_AUTHOR = Author(kind="human", id="kitti", version="2012")
_TRACKING_RATE_HZ = 10.0
_DETECTION_PREFIXES = ("Car", "Pedestrian", "Cyclist")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the parts of a KITTI folder are; ``labels`` tells an object folder from a tracking folder."""

    root: Path
    labels: Path
    is_tracking: bool


def iter_manifests(folder: Path, project: str, *, clip_frames: int = 40) -> Iterator[SampleManifest]:
    """Yield one manifest for each frame of a KITTI object folder, or each clip of a KITTI tracking folder.

    Args:
        folder: The KITTI folder, its ``training`` child, or a parent of either.
        project: The project the samples belong to.
        clip_frames: Length of the clips that tracking sequences are cut into; the last clip may be shorter.

    Sizes of images are read where there is an image. For a tracking sequence without one, 1242 x 375 is assumed, and
    ``context.attributes["image_size_source"]`` says which it was. PointRCNN detections are not mixed with the
    annotations: they are named in ``label_files`` with the role ``prediction``.

    Raises:
        AssetMissingError: There is no KITTI folder, or a label file lacks its calibration.
        InvalidInputError: A file is malformed; the message names the file, the line and what to change.
    """
    if clip_frames < 1:
        raise InvalidInputError(f"clip_frames must be at least 1, got {clip_frames}")
    layouts = _find_layouts(folder)
    if not layouts:
        raise AssetMissingError(
            f"{folder} is no KITTI folder: it needs label_2/ (object) or label_02/ or label/ (tracking), with calib/"
        )
    for layout in layouts:
        for label_file in sorted(layout.labels.glob("*.txt")):
            if layout.is_tracking:
                yield from _clips(layout, label_file, project, clip_frames)
            else:
                yield _frame(layout, label_file, project)


def layout_roots(folder: Path) -> tuple[Path, ...]:
    """Return the KITTI folders behind ``folder``: those whose labels :func:`iter_manifests` reads."""
    return tuple(layout.root for layout in _find_layouts(folder))


def _find_layouts(folder: Path) -> list[_Layout]:
    layouts = []
    for root in _candidates(folder):
        for name, is_tracking in (("label_2", False), ("label_02", True), ("label", True)):
            if (root / name).is_dir() and (root / "calib").is_dir():
                layouts.append(_Layout(root, root / name, is_tracking))
                break
    return layouts


def _candidates(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return ()
    if folder.name in ("label_2", "label_02", "label", "image_2", "velodyne", "calib"):
        return (folder.parent,)
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    return (folder, *children, *(child / "training" for child in children if (child / "training").is_dir()))


def _frame(layout: _Layout, label_file: Path, project: str) -> SampleManifest:
    stem = label_file.stem
    calibration = _calibration(layout, stem)
    image = _first_existing(layout.root / "image_2", stem, (".png", ".jpg"))
    cloud = _first_existing(layout.root / "velodyne", stem, (".bin",))
    size = _image_size(image) if image else None
    return _manifest(
        sample_id=f"kitti-object-{stem}",
        project=project,
        streams=(
            Stream(
                id=CAMERA_STREAM,
                modality="image",
                uri=image.resolve().as_uri() if image else None,
                sha256=sha256_of(image) if image else None,
                media_type=_media_type(image),
                sensor=CAMERA_STREAM,
                coordinate_frame=CAMERA_STREAM,
                calibration=calibration.calibration(to=LIDAR_STREAM),
                image_size_px=size or TRACKING_SIZE_PX,
            ),
            Stream(
                id=LIDAR_STREAM,
                modality="lidar",
                uri=cloud.resolve().as_uri() if cloud else None,
                sha256=sha256_of(cloud) if cloud else None,
                media_type="application/octet-stream" if cloud else None,
                sensor=LIDAR_STREAM,
                coordinate_frame=LIDAR_STREAM,
            ),
        ),
        annotations=read_objects(
            _text(label_file),
            calibration,
            camera_stream=CAMERA_STREAM,
            lidar_stream=LIDAR_STREAM,
            frame=0,
            author=_AUTHOR,
            source=str(label_file),
        ),
        size_is_read=size is not None,
    )


def _clips(layout: _Layout, label_file: Path, project: str, clip_frames: int) -> Iterator[SampleManifest]:
    stem = label_file.stem
    calibration = _calibration(layout, stem)
    text = _text(label_file)
    image = next(iter(sorted((layout.root / "image_02" / stem).glob("*.png"))), None)
    size = _image_size(image) if image else None
    last = _last_frame(text, label_file)
    clock = Clock(rate_hz=_TRACKING_RATE_HZ)
    for first in range(0, last + 1, clip_frames):
        frames = (first, min(first + clip_frames - 1, last))
        yield _manifest(
            sample_id=f"kitti-tracking-{stem}-{frames[0]:03d}-{frames[1]:03d}",
            project=project,
            streams=(
                Stream(
                    id=CAMERA_STREAM,
                    modality="video",
                    sensor=CAMERA_STREAM,
                    coordinate_frame=CAMERA_STREAM,
                    clock=clock,
                    calibration=calibration.calibration(to=LIDAR_STREAM),
                    image_size_px=size or TRACKING_SIZE_PX,
                ),
                Stream(
                    id=LIDAR_STREAM,
                    modality="lidar",
                    sensor=LIDAR_STREAM,
                    coordinate_frame=LIDAR_STREAM,
                    clock=clock,
                ),
            ),
            annotations=read_tracking(
                text,
                calibration,
                camera_stream=CAMERA_STREAM,
                lidar_stream=LIDAR_STREAM,
                frames=frames,
                author=_AUTHOR,
                source=str(label_file),
            ),
            label_files=_detection_files(layout, stem, frames),
            size_is_read=size is not None,
        )


def _manifest(
    *,
    sample_id: str,
    project: str,
    streams: tuple[Stream, ...],
    annotations: tuple[Annotation, ...],
    size_is_read: bool,
    label_files: tuple[LabelFile, ...] = (),
) -> SampleManifest:
    source = "image" if size_is_read else "assumed 1242x375, the size of most KITTI recordings"
    return SampleManifest(
        format="concord.sample/1",
        sample_id=sample_id,
        project=project,
        context=Context(region="DE", product="kitti", risk="low", attributes={"image_size_source": source}),
        streams=streams,
        annotations=annotations,
        label_files=label_files,
    )


def _detection_files(layout: _Layout, stem: str, frames: tuple[int, int]) -> tuple[LabelFile, ...]:
    files = []
    for prefix in _DETECTION_PREFIXES:
        path = layout.root / "pointrcnn" / f"{prefix}_{stem}.txt"
        if path.is_file():
            files.append(
                LabelFile(
                    format="ab3dmot",
                    uri=path.resolve().as_uri(),
                    stream=CAMERA_STREAM,
                    spatial_stream=LIDAR_STREAM,
                    role="prediction",
                    frames=frames,
                    sha256=sha256_of(path),
                    author=Author(kind="model", id="pointrcnn"),
                )
            )
    return tuple(files)


def _calibration(layout: _Layout, stem: str) -> KittiCalibration:
    path = layout.root / "calib" / f"{stem}.txt"
    if not path.is_file():
        raise AssetMissingError(f"{path} is missing; every label file needs the calibration of the same name")
    return parse_calibration(_text(path), source=str(path))


def _last_frame(text: str, path: Path) -> int:
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.split(maxsplit=1)[:1]
        if word and not word[0].isdecimal():
            raise InvalidInputError(
                f"{path}, line {number}: frame must be a whole number, got {word[0][:40]!r}; correct or remove the line"
            )
        last = max(last, *(int(w) for w in word), 0)
    return last


def _first_existing(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    return next((folder / f"{stem}{s}" for s in suffixes if (folder / f"{stem}{s}").is_file()), None)


def _media_type(image: Path | None) -> str | None:
    return None if image is None else {".png": "image/png", ".jpg": "image/jpeg"}[image.suffix]


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no pixel is decoded, so that many are no danger
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                return image.size
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"{path} is no readable image ({error}); replace the file") from error


def _text(path: Path) -> str:
    try:
        return read_regular(path, MAX_LABEL_BYTES).decode("utf-8")
    except OSError as error:
        raise AssetMissingError(f"{path} can not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: byte {error.start} is not UTF-8; KITTI files are plain ASCII text") from error
