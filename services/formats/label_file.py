"""Labels that stay in a format of their own: which reader fits a label file, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from services.alignment.geometry import invert_rigid, rigid
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.manifest import LabelFile, Matrix3, Matrix4, SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats.importers import IMPORTERS, Document, decoded
from services.formats.kitti import KittiCalibration, read_detections, read_objects, read_tracking
from services.formats.mot import read_mot
from services.formats.result import ImportResult
from services.formats.stm import parse_stm

_LEFT_COLOUR_FROM_RECTIFIED_M = (0.06, 0.0, 0.004)
"""KITTI states cuboids in the frame of its reference camera; the left colour camera stands 6 cm beside it, on one
rig for all recordings (A. Geiger et al., *Vision meets robotics: the KITTI dataset*, 2013, figure 3, and the P2
matrices of its calibration files)."""


def read_label_file(file: LabelFile, manifest: SampleManifest, data: bytes) -> tuple[Annotation, ...]:
    """Return the labels of one label file; see :func:`import_label_file`."""
    return import_label_file(file, manifest, data).annotations


def import_label_file(file: LabelFile, manifest: SampleManifest, data: bytes) -> ImportResult:
    """Return the labels of one label file, and what of it was not taken over.

    Args:
        file: What the manifest says of the file.
        manifest: The sample; KITTI formats need the calibration of the file's camera stream.
        data: The file's bytes, UTF-8 (a TextGrid may be UTF-16).

    Labels carry the file's author, or else one of kind ``importer`` (role annotation) or ``model`` (role prediction)
    named after the format.

    Raises:
        InvalidInputError: The format is not supported, or the file can not be read; names the place.
    """
    author = file.author or Author(kind="model" if file.role == "prediction" else "importer", id=file.format)
    importer = IMPORTERS.get(file.format)
    if importer is not None:
        return importer(Document(file, _stream(manifest, file), manifest, data, author))
    reader = _READERS.get(file.format)
    if reader is None:
        supported = sorted({*_READERS, *IMPORTERS})
        raise InvalidInputError(
            f"label files of format {file.format!r} are not read; supported are {', '.join(supported)}"
        )
    return ImportResult(reader(file, manifest, decoded(data, file.uri), author))


Reader = Callable[[LabelFile, SampleManifest, str, Author], tuple[Annotation, ...]]


def _stm(file: LabelFile, manifest: SampleManifest, text: str, author: Author) -> tuple[Annotation, ...]:
    return parse_stm(text, stream=_stream(manifest, file).id, author=author)


def _kitti(file: LabelFile, manifest: SampleManifest, text: str, author: Author) -> tuple[Annotation, ...]:
    calibration, lidar_stream = _calibration(file, manifest)
    return read_objects(
        text,
        calibration,
        camera_stream=file.stream,
        lidar_stream=lidar_stream,
        frame=file.frames[0] if file.frames else 0,
        author=author,
        source=file.uri,
    )


def _kitti_tracking(file: LabelFile, manifest: SampleManifest, text: str, author: Author) -> tuple[Annotation, ...]:
    calibration, lidar_stream = _calibration(file, manifest)
    return read_tracking(
        text,
        calibration,
        camera_stream=file.stream,
        lidar_stream=lidar_stream,
        frames=file.frames,
        author=author,
        source=file.uri,
    )


def _ab3dmot(file: LabelFile, manifest: SampleManifest, text: str, author: Author) -> tuple[Annotation, ...]:
    calibration, lidar_stream = _calibration(file, manifest)
    return read_detections(
        text,
        calibration,
        camera_stream=file.stream,
        lidar_stream=lidar_stream,
        frames=file.frames,
        author=author,
        source=file.uri,
    )


def _mot(file: LabelFile, manifest: SampleManifest, text: str, author: Author) -> tuple[Annotation, ...]:
    stream = _stream(manifest, file).id
    return read_mot(text, stream=stream, role=file.role, frames=file.frames, author=author, source=file.uri)


_READERS: Mapping[str, Reader] = {
    "ab3dmot": _ab3dmot,
    "kitti": _kitti,
    "kitti_tracking": _kitti_tracking,
    "mot": _mot,
    "stm": _stm,
}


def _stream(manifest: SampleManifest, file: LabelFile) -> Stream:
    try:
        return manifest.stream(file.stream)
    except KeyError:
        raise InvalidInputError(f"{file.uri}: the sample has no stream {file.stream!r}") from None


def _calibration(file: LabelFile, manifest: SampleManifest) -> tuple[KittiCalibration, str]:
    camera = _stream(manifest, file)
    calibration = camera.calibration
    if calibration is None or calibration.intrinsics is None or calibration.extrinsics is None:
        raise InvalidInputError(
            f"{file.uri}: the format {file.format} needs intrinsics and extrinsics of stream {camera.id!r}; "
            "add them to the stream's calibration"
        )
    names = {item.id: item.id for item in manifest.streams}
    names.update({item.coordinate_frame: item.id for item in manifest.streams if item.coordinate_frame is not None})
    named = calibration.extrinsics.to
    if file.spatial_stream is not None:
        target = manifest.stream(file.spatial_stream)
        if named not in (target.id, target.coordinate_frame):
            raise InvalidInputError(
                f"{file.uri}: the extrinsics of {camera.id!r} lead to {named!r}, not to {target.id!r}; "
                "give the transform into the frame of spatial_stream"
            )
        lidar_stream = target.id
    elif named in names:
        lidar_stream = names[named]
    else:
        raise InvalidInputError(
            f"{file.uri}: no stream has the coordinate frame {named!r}; name the LiDAR in spatial_stream"
        )
    return kitti_calibration(calibration.intrinsics, calibration.extrinsics.matrix), lidar_stream


def kitti_calibration(intrinsics: Matrix3, lidar_from_camera: Matrix4) -> KittiCalibration:
    """Return KITTI's calibration for a left colour camera.

    Args:
        intrinsics: Of the camera, px.
        lidar_from_camera: Its extrinsics into the LiDAR's frame, metres.
    """
    shift = np.asarray(_LEFT_COLOUR_FROM_RECTIFIED_M)
    camera_from_lidar = invert_rigid(np.asarray(lidar_from_camera, dtype=np.float64))
    projection = np.asarray(intrinsics, dtype=np.float64) @ np.hstack((np.eye(3), shift[:, None]))
    return KittiCalibration(
        projections=np.stack([projection] * 4),
        rectified_from_lidar=np.asarray(rigid(np.eye(3), -shift) @ camera_from_lidar),
    )
