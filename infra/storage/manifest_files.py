"""Find the samples behind a path: manifests, label files, folders of either, KITTI folders, nuScenes tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.storage import kitti_folder, nuscenes_folder
from infra.storage.found import BadFile, FoundDocument, FoundSample
from infra.storage.label_documents import (
    ENDINGS,
    LabelPath,
    label_format,
    read_documents,
    samples_of,
    without_calibration,
)
from infra.storage.neighbours import Neighbours
from infra.storage.regular_file import ensure_regular, read_regular
from services.contracts.canonical import parse_json
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.contracts.validation import validate
from services.errors import AssetMissingError, ConcordError, InvalidInputError
from services.formats.bare import NEEDS_CALIBRATION

FORMAT = "concord.sample/1"
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def find_samples(*paths: Path, project: str, assets: Sequence[Path] = ()) -> Iterator[FoundSample | BadFile]:
    """Yield every sample behind ``paths``, in a stable order; formats are told by content, not by name.

    Args:
        paths: Manifests, label files, and folders that are searched for them, for KITTI labels and for nuScenes tables.
            Label files of one recording that are named together become one sample.
        project: The project of samples whose format names none.
        assets: Further folders in which the recordings and pictures of label files may lie.

    Raises:
        AssetMissingError: There is nothing at a path.
        InvalidInputError: There is no sample behind it.
    """
    taken: set[str] = set()
    neighbours = neighbours_of(paths, assets)
    for found in find_sources(*paths, project=project, assets=assets):
        if isinstance(found, FoundDocument):
            yield from samples_of(found, project, neighbours, taken)
        else:
            yield found


def find_sources(
    *paths: Path, project: str, assets: Sequence[Path] = (), carry_cuboids: bool = True
) -> Iterator[FoundSample | FoundDocument | BadFile]:
    """Yield what :func:`find_samples` yields, but label documents as a whole, before they are told apart."""
    neighbours = neighbours_of(paths, assets)
    for group in _together(paths):
        if not group[0].is_dir():
            yield from _named(group, neighbours, carry_cuboids=carry_cuboids)
            continue
        count = 0
        for found in _in_folder(group[0], project, neighbours, carry_cuboids=carry_cuboids):
            count += 1
            yield found
        if not count:
            raise InvalidInputError(
                f"{group[0]} holds no sample: neither manifests ({FORMAT}), nor KITTI labels with their calibration, "
                f"nor nuScenes tables, nor label files of a format that Concord knows"
            )


def asset_root(path: Path) -> Path:
    """Return the folder that assets of samples behind ``path`` may be read from."""
    # Unlike Path.is_dir, this says no to a name that no file can have; what is wrong with it is told later.
    return path if os.path.isdir(path) else path.parent


def neighbours_of(paths: Sequence[Path], assets: Sequence[Path]) -> Neighbours:
    """Return what finds the files that label documents behind ``paths`` are about."""
    # Around a file that is named everything may lie: only folders that are given are searched as a whole.
    return Neighbours(
        [*(asset_root(path) for path in paths), *assets], [*(path for path in paths if os.path.isdir(path)), *assets]
    )


def _together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield each folder on its own, and files that stand side by side as one list."""
    files: list[Path] = []
    for path in dict.fromkeys(paths):
        if not os.path.isdir(path):
            _ensure_file(path)
            files.append(path)
            continue
        if files:
            yield files
            files = []
        yield [path]
    if files:
        yield files


def _ensure_file(path: Path) -> None:
    try:
        ensure_regular(path)
    except FileNotFoundError:
        raise AssetMissingError(f"there is nothing at {path}; give a manifest, a label file or a folder") from None
    except (OSError, ValueError) as error:  # a name that no file can have
        raise AssetMissingError(f"{str(path)[:200]} can not be read: {error}") from error


def _named(
    files: Sequence[Path], neighbours: Neighbours, *, carry_cuboids: bool
) -> Iterator[FoundSample | FoundDocument | BadFile]:
    labelled: list[LabelPath] = []
    for file in files:
        try:
            form = None if _says_it_is_one(file) else label_format(file)
        except OSError as error:
            yield BadFile(file, AssetMissingError(f"{file} can not be read: {error.strerror}"))
            continue
        if form is None:
            yield (
                _read(file)
                if _is_json(file)
                else BadFile(
                    file,
                    InvalidInputError(
                        f"{file} is neither a sample manifest ({FORMAT}) nor a label file that Concord can read"
                    ),
                )
            )
        else:
            labelled.append(LabelPath(file, form))
    root = Path(os.path.commonpath([item.path.parent.resolve() for item in labelled])) if labelled else Path()
    yield from read_documents(labelled, root, neighbours, carry_cuboids=carry_cuboids)


def _in_folder(
    folder: Path, project: str, neighbours: Neighbours, *, carry_cuboids: bool
) -> Iterator[FoundSample | FoundDocument | BadFile]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file()]
    manifests = {file for file in files if file.suffix == ".json" and _says_it_is_one(file)}
    named: set[Path] = set()
    for file in files:
        if file in manifests:
            found = _read(file)
            if isinstance(found, FoundSample):
                named.update(_files_of(found.manifest))
            yield found
    try:
        for manifest in kitti_folder.iter_manifests(folder, project):
            yield FoundSample(manifest, folder)
    except AssetMissingError as error:
        if _looks_like_kitti(folder):
            yield BadFile(folder, error)
    except ConcordError as error:
        yield BadFile(folder, error)
    try:
        for manifest in nuscenes_folder.iter_manifests(folder, project):
            yield FoundSample(manifest, folder)
    except ConcordError as error:
        yield BadFile(folder, error)
    left = [file for file in files if file not in manifests and file.resolve() not in named]
    yield from _labels_among(left, folder, neighbours, carry_cuboids=carry_cuboids)


def _labels_among(
    files: Iterable[Path], folder: Path, neighbours: Neighbours, *, carry_cuboids: bool
) -> Iterator[FoundDocument | BadFile]:
    kitti = [root.resolve() for root in kitti_folder.layout_roots(folder)]
    found: list[LabelPath] = []
    lost: list[LabelPath] = []
    for file in files:
        try:
            form = label_format(file)
        except ConcordError as error:
            yield BadFile(file, error)
            continue
        if form in NEEDS_CALIBRATION:
            if not any(file.resolve().is_relative_to(root) for root in kitti):
                lost.append(LabelPath(file, form))
        elif form is not None and form != "nuscenes":  # single tables of it are no documents
            found.append(LabelPath(file, form))
    yield from read_documents(found, folder, neighbours, carry_cuboids=carry_cuboids)
    yield from without_calibration(lost)


def _files_of(manifest: SampleManifest) -> Iterator[Path]:
    """Yield the files that a manifest names: its assets, and its labels in formats of their own."""
    for uri in (*(item.uri for item in manifest.streams), *(item.uri for item in manifest.label_files)):
        if uri is not None and uri.startswith("file:"):
            yield Path(unquote(urlsplit(uri).path)).resolve()


def _looks_like_kitti(folder: Path) -> bool:
    return any(next(folder.glob(f"{depth}calib"), None) is not None for depth in ("", "*/", "*/*/"))


def _says_it_is_one(file: Path) -> bool:
    """Whether a file names the format; other JSON beside manifests is none of our business."""
    with file.open("rb") as content:
        return FORMAT.encode() in content.read(MAX_MANIFEST_BYTES)


def _is_json(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(1_024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


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
        raw = read_regular(file, MAX_MANIFEST_BYTES)
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
