"""Label documents without a manifest, as samples: what they say, with the recordings that lie beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from infra.storage.found import BadFile, FoundDocument, FoundSample
from infra.storage.neighbours import Neighbours, media_type_of, modality_of, sha256_of
from infra.storage.regular_file import read_regular
from services.contracts.annotations import Annotation
from services.contracts.manifest import Clock, LabelFormat, SampleManifest, Stream
from services.contracts.validation import places_of
from services.errors import AssetMissingError, ConcordError, InvalidInputError
from services.formats.bare import NEEDS_CALIBRATION, SPOKEN, Part, parts_of, read_bare
from services.formats.detect import HEAD_BYTES, detect
from services.formats.result import FileLosses, ImportResult, StreamFacts

MAX_LABEL_BYTES = 512 * 1024 * 1024
ENDINGS = frozenset({".json", ".xml", ".txt", ".vtt", ".srt", ".rttm", ".stm", ".textgrid"})
"""Endings of the files of a folder whose content is looked at; a file that is named is looked at in any case."""

AUDIO_STREAM = "audio"
_MAX_SIDE_PX = 65_536


@dataclass(frozen=True, slots=True)
class LabelPath:
    """A file whose content is that of a label format."""

    path: Path
    form: LabelFormat


def label_format(path: Path) -> LabelFormat | None:
    """Return the format of a file by its content, None where it is no label file.

    Raises:
        AssetMissingError: It can not be read.
    """
    try:
        with path.open("rb") as file:
            return detect(path.name, file.read(HEAD_BYTES))
    except OSError as error:
        raise AssetMissingError(f"{path} can not be read: {error.strerror}") from error


def read_documents(
    found: Iterable[LabelPath], root: Path, neighbours: Neighbours, *, carry_cuboids: bool = True
) -> Iterator[FoundDocument | BadFile]:
    """Yield the documents in the order of their paths; those of one recording, or one stem, become one.

    Args:
        found: The files.
        root: The folder against which they are named.
        neighbours: Finds the recordings.
        carry_cuboids: See :func:`services.formats.bare.read_bare`.
    """
    groups: dict[tuple[Path, str], list[LabelPath]] = {}
    names: set[str] = set()
    for item in sorted(found, key=lambda item: item.path):
        spoken = item.form in SPOKEN
        groups.setdefault((item.path.parent, item.path.stem if spoken else f"/{item.path.name}"), []).append(item)
    for group in groups.values():
        read: list[tuple[LabelPath, ImportResult]] = []
        for item in group:
            try:
                read.append((item, _read(item, carry_cuboids=carry_cuboids)))
            except ConcordError as error:
                yield BadFile(item.path, error)
        if read:
            recording = neighbours.recording(read[0][0].path) if read[0][0].form in SPOKEN else None
            yield _together(read, _free(_name(read[0][0].path, root), names), recording)


def _read(item: LabelPath, *, carry_cuboids: bool) -> ImportResult:
    try:
        data = read_regular(item.path, MAX_LABEL_BYTES)
    except OSError as error:
        raise AssetMissingError(f"{item.path} can not be read: {error.strerror}") from error
    try:
        return read_bare(item.form, data, name=str(item.path), carry_cuboids=carry_cuboids)
    except ConcordError as error:
        named = error.detail if str(item.path) in error.detail else f"{item.path}: {error.detail}"
        raise type(error)(named, places=error.places) from error


def _together(read: Sequence[tuple[LabelPath, ImportResult]], name: str, recording: Path | None) -> FoundDocument:
    """Return the documents of one recording as one; a label whose id is taken is told by its format as well."""
    first, result = read[0]
    losses = tuple(FileLosses(item.path.name, own.dropped) for item, own in read if own.dropped)
    if len(read) > 1:
        labels: dict[str, Annotation] = {}
        for number, (item, own) in enumerate(read):
            # The checks take labels of different authors as versions of one another, so each file has its own.
            twin = sum(other.form == item.form for other, _ in read[:number])
            mark = f"-{twin + 1}" if twin else ""
            renamed = {label.id: f"{item.form}{mark}-{label.id}" for label in own.annotations if label.id in labels}
            for label in own.annotations:
                labels[renamed.get(label.id, label.id)] = _renamed(label, renamed, mark)
        lengths = [facts.duration_s for _, own in read for facts in own.streams if facts.duration_s is not None]
        facts = StreamFacts(AUDIO_STREAM, modality="audio", duration_s=max(lengths, default=None))
        result = ImportResult(tuple(labels.values()), (facts,), tuple(d for _, own in read for d in own.dropped))
    if recording is not None:
        streams = [replace(facts, modality=modality_of(recording)) for facts in result.streams]
        result = replace(result, streams=tuple(streams))
    return FoundDocument(name, first.form, tuple(item.path for item, _ in read), result, losses, recording)


def _renamed(label: Annotation, renamed: dict[str, str], mark: str) -> Annotation:
    changes: dict[str, object] = {}
    if mark and label.author is not None:
        changes["author"] = label.author.model_copy(update={"id": f"{label.author.id}{mark}"})
    if label.id in renamed:
        changes["id"] = renamed[label.id][:200]
    return label.model_copy(update=changes) if changes else label


def samples_of(
    document: FoundDocument, project: str, neighbours: Neighbours, taken: set[str]
) -> Iterator[FoundSample | BadFile]:
    """Yield the samples that a document is.

    Args:
        document: The document.
        project: The project they belong to.
        neighbours: Finds the pictures that it names.
        taken: Ids that other samples have; those of these samples are added.
    """
    path = document.paths[0]
    for number, part in enumerate(parts_of(document.form, document.result)):
        wished = document.name if part.name is None else f"{document.name}-{part.name}"
        try:
            manifest = _manifest(_free(_safe(wished), taken), project, part, document, neighbours)
        except ConcordError as error:
            yield BadFile(path, error)
            continue
        yield FoundSample(manifest, path, _losses(document, part, whole=number == 0), has_manifest=False)


def _losses(document: FoundDocument, part: Part, *, whole: bool) -> tuple[FileLosses, ...]:
    """Return what a part's files lost; the losses of several files are told apart by the files they came from."""
    if len(document.paths) == 1:
        return (FileLosses(document.paths[0].name, part.dropped),) if part.dropped else ()
    known = {lost for losses in document.losses for lost in losses.dropped}
    own = tuple(lost for lost in part.dropped if lost not in known)
    more = (FileLosses(document.paths[0].name, own),) if own else ()
    return (*document.losses, *more) if whole else more


def _manifest(
    sample_id: str, project: str, part: Part, document: FoundDocument, neighbours: Neighbours
) -> SampleManifest:
    try:
        return SampleManifest(
            format="concord.sample/1",
            sample_id=sample_id,
            project=project,
            streams=tuple(_stream(facts, part, document, neighbours) for facts in part.streams),
            annotations=part.annotations,
        )
    except ValidationError as error:
        places = places_of(error)
        where, what = places[0] if places else ("", "it does not match")
        raise InvalidInputError(
            f"{document.paths[0].name} makes no sample: {where.strip('/')} {what}", places=places
        ) from error


def _stream(facts: StreamFacts, part: Part, document: FoundDocument, neighbours: Neighbours) -> Stream:
    asset = document.recording
    if asset is None and facts.uri is not None:
        asset = neighbours.named(document.paths[0], facts.uri)
    size = facts.size_px if facts.size_px and max(facts.size_px) <= _MAX_SIDE_PX and min(facts.size_px) > 0 else None
    return Stream(
        id=facts.id,
        modality=facts.modality or "metadata",
        uri=None if asset is None else asset.resolve().as_uri(),
        inline=part.inline.get(facts.id) if asset is None else None,
        sha256=None if asset is None else sha256_of(asset),
        media_type=None if asset is None else media_type_of(asset),
        coordinate_frame=facts.coordinate_frame,
        clock=None if facts.rate_hz is None else Clock(rate_hz=facts.rate_hz),
        calibration=facts.calibration,
        image_size_px=size,
        duration_s=facts.duration_s,
    )


def without_calibration(paths: Sequence[LabelPath]) -> Iterator[BadFile]:
    """Yield one entry a folder for files of KITTI's formats that lie outside a KITTI folder."""
    folders: dict[Path, list[LabelPath]] = {}
    for item in paths:
        if item.form in NEEDS_CALIBRATION:
            folders.setdefault(item.path.parent, []).append(item)
    for folder, items in folders.items():
        told = f"{items[0].path.name}" if len(items) == 1 else f"{items[0].path.name} and {len(items) - 1} more files"
        yield BadFile(
            folder,
            InvalidInputError(
                f"{folder}: {told} hold labels of format {items[0].form}, which need the calibration of their camera; "
                "put calib/ beside the folder of the labels, as KITTI has it, or name the files in label_files of a "
                "manifest"
            ),
        )


def _name(path: Path, root: Path) -> str:
    try:
        relative = path.resolve().relative_to(root.resolve())
    except ValueError:
        relative = Path(path.name)
    return "-".join(relative.with_suffix("").parts)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:@+-]+", "_", name).lstrip("._:@+-")[:150] or "unnamed"


def _free(name: str, taken: set[str]) -> str:
    """Return ``name``, with a number where it is taken; it is taken from now on."""
    own, number = name, 1
    while own in taken:
        number += 1
        own = f"{name}-{number}"
    taken.add(own)
    return own
