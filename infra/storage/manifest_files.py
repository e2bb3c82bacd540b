"""Find the samples behind a path: manifests, folders of them, KITTI and nuScenes folders, folders of recorded calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.storage import call_folder, kitti_folder, nuscenes_folder
from services.contracts.canonical import parse_json
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.contracts.validation import validate
from services.errors import AssetMissingError, ConcordError, InvalidInputError, PayloadTooLargeError

FORMAT = "concord.sample/1"
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class FoundSample:
    """A sample on disk.

    Attributes:
        manifest: Its manifest; addresses of assets are absolute.
        path: The file or folder it was found in.
    """

    manifest: SampleManifest
    path: Path


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that should hold a sample and does not.

    Attributes:
        path: The file.
        error: What is wrong with it.
    """

    path: Path
    error: ConcordError


def find_samples(path: Path, project: str) -> Iterator[FoundSample | BadFile]:
    """Yield every sample behind ``path``, in a stable order; formats are told by content, not by name.

    Args:
        path: A manifest, or a folder that is searched for manifests, KITTI labels, nuScenes tables and recorded
            calls.
        project: The project of samples whose format names none.

    Raises:
        AssetMissingError: There is nothing at ``path``.
        InvalidInputError: There is no sample behind it.
    """
    if path.is_file():
        yield _read(path)
        return
    if not path.is_dir():
        raise AssetMissingError(f"there is nothing at {path}; give a manifest or a folder")
    count = 0
    for found in _in_folder(path, project):
        count += 1
        yield found
    if not count:
        raise InvalidInputError(
            f"{path} holds no sample: neither manifests ({FORMAT}), nor KITTI labels, nor nuScenes tables, nor "
            "recorded calls with labels"
        )


def asset_root(path: Path) -> Path:
    """Return the folder that assets of samples behind ``path`` may be read from."""
    return path if path.is_dir() else path.parent


def _in_folder(folder: Path, project: str) -> Iterator[FoundSample | BadFile]:
    for file in sorted(folder.rglob("*.json")):
        if file.is_file() and _says_it_is_one(file):
            yield _read(file)
    for reader, source in (
        (kitti_folder.iter_manifests, folder),
        (nuscenes_folder.iter_manifests, folder),
        (call_folder.iter_manifests, folder),
    ):
        try:
            for manifest in reader(source, project):
                yield FoundSample(manifest, source)
        except AssetMissingError as error:
            if reader is kitti_folder.iter_manifests and not _looks_like_kitti(folder):
                continue
            yield BadFile(folder, error)
        except ConcordError as error:
            yield BadFile(folder, error)


def _looks_like_kitti(folder: Path) -> bool:
    return any(next(folder.glob(f"{depth}calib"), None) is not None for depth in ("", "*/", "*/*/"))


def _says_it_is_one(file: Path) -> bool:
    """Whether a file names the format; other JSON beside manifests is none of our business."""
    with file.open("rb") as content:
        return FORMAT.encode() in content.read(MAX_MANIFEST_BYTES)


def _read(file: Path) -> FoundSample | BadFile:
    try:
        return FoundSample(read_manifest(file), file)
    except ConcordError as error:
        return BadFile(file, error)


def read_manifest(file: Path) -> SampleManifest:
    """Return the manifest in a file; relative addresses of assets become absolute.

    Raises:
        PayloadTooLargeError, MalformedJsonError, InvalidInputError: What is wrong, and where.
        AssetMissingError: The file can not be read.
    """
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise PayloadTooLargeError(f"{file} has more than {MAX_MANIFEST_BYTES} bytes; a manifest refers to data")
        raw = file.read_bytes()
    except OSError as error:
        raise AssetMissingError(f"{file} can not be read: {error.strerror}") from error
    try:
        document = parse_json(raw)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InvalidInputError(
                f'it is no sample manifest: "format" must be "{FORMAT}"', places=(("/format", "is something else"),)
            )
        manifest = validate(SampleManifest, document, what="sample manifest")
    except ConcordError as error:
        raise type(error)(f"{file}: {error.detail}", places=error.places) from error
    return absolute(manifest, file.parent)


def absolute(manifest: SampleManifest, folder: Path) -> SampleManifest:
    """Return the manifest with relative addresses of assets made absolute against ``folder``."""
    base = folder.resolve().as_uri()

    def stream(item: Stream) -> Stream:
        return item if item.uri is None else item.model_copy(update={"uri": _absolute_uri(base, item.uri)})

    def label_file(item: LabelFile) -> LabelFile:
        return item.model_copy(update={"uri": _absolute_uri(base, item.uri)})

    return manifest.model_copy(
        update={
            "streams": tuple(stream(item) for item in manifest.streams),
            "label_files": tuple(label_file(item) for item in manifest.label_files),
        }
    )


def _absolute_uri(base: str, uri: str) -> str:
    # A path that begins with a slash is left to the asset reader, which says what to write instead.
    return uri if _HAS_SCHEME.match(uri) or uri.startswith("/") else f"{base}/{uri}"
