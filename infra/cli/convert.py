"""``concord convert``: labels from one format into another, with everything that does not come along."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from infra.checks.batch import ASSET_TIMEOUT_S, read_labels
from infra.cli.check import PROJECT, AssetsOption
from infra.cli.console import (
    EXIT_BAD_INPUT,
    JsonOption,
    losses_document,
    messages,
    output,
    plain,
    print_json,
    print_problem,
    told_in_short,
)
from infra.storage.assets import FileAssetReader
from infra.storage.found import BadFile, FoundDocument, FoundSample
from infra.storage.label_documents import MAX_LABEL_BYTES
from infra.storage.manifest_files import asset_root, find_samples, find_sources
from infra.telemetry.logging import configure_logging
from services.contracts.annotations import Annotation
from services.contracts.manifest import SampleManifest
from services.errors import ConcordError, InvalidInputError
from services.formats.bare import NEEDS_CALIBRATION, parts_of
from services.formats.exporters import EXPORTERS, Outgoing, export_labels, facts_of
from services.formats.nuscenes_sample import write_sample
from services.formats.nuscenes_writer import NuscenesExport
from services.formats.result import Dropped, ExportResult, FileLosses

_REASONS_SHOWN = 10
_TABLES = "nuscenes"
_FORMATS = sorted([*EXPORTERS, _TABLES])


@dataclass(frozen=True, slots=True)
class _Read:
    """Labels that were read, and what of their source was not."""

    source: Path
    outgoing: Outgoing
    losses: tuple[FileLosses, ...]
    manifest: SampleManifest | None = None


@dataclass(frozen=True, slots=True)
class _Converted:
    read: _Read
    result: ExportResult | NuscenesExport
    out: Path | None

    @property
    def labels(self) -> int:
        """How many labels were read."""
        return len(self.read.outgoing.annotations)

    @property
    def written(self) -> int:
        """How many of them the document holds, with whatever part of them."""
        kinds = {label.id: label.type for label in self.read.outgoing.annotations}
        return self.labels - len({lost.place for lost in self.result.dropped if kinds.get(lost.place) == lost.what})


def convert(
    source: Annotated[Path, typer.Argument(help="A label file, a manifest, or a folder of either.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of {', '.join(_FORMATS)}.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A new file, or a folder for several documents; standard output if left out."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="Whose labels are written, where a document holds those of one stream.")
    ] = None,
    assets: AssetsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write labels in another format, and list what was lost on the way in and on the way out.

    Exit 0: written. Exit 2: something could not be read or written. Nothing is ever overwritten.
    """
    configure_logging(level="ERROR", form="console")
    if to not in _FORMATS:
        raise InvalidInputError(f"labels are not written as {to!r}; formats are {', '.join(_FORMATS)}")
    if to == _TABLES and out is None:
        raise InvalidInputError("nuScenes' tables are several files; name a new folder for them with --out")
    read, errors = _read(source, to, tuple(assets or ()))
    places = _places(read, to, out)
    converted = [_Converted(item, _export(item, to, stream), place) for item, place in zip(read, places, strict=True)]
    for item in converted:
        if item.out is not None:
            _write(item.out, item.result)
    if json_output:
        print_json(_document(converted, to, errors))
    else:
        if out is None:
            for item in converted:
                if isinstance(item.result, ExportResult):
                    typer.echo(item.result.data, nl=False)
        _print(converted, to, messages() if out is None else output())
    for path, error in errors:
        print_problem(error.detail if str(path) in error.detail else f"{path}: {error.detail}", error.places)
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _export(read: _Read, to: str, stream: str | None) -> ExportResult | NuscenesExport:
    if to != _TABLES or read.manifest is None:
        return export_labels(to, read.outgoing, stream=stream)
    return write_sample(read.manifest, read.outgoing.annotations, lidar=stream)


def _read(source: Path, to: str, assets: Sequence[Path]) -> tuple[list[_Read], list[tuple[Path, ConcordError]]]:
    """Return the labels behind ``source``, one entry a document or sample, and what could not be read.

    Cuboids stay in the frame that a document has them in, unless the format that is written wants the LiDAR's. Tables
    hold what was recorded besides labels, so for them every document is a sample.
    """
    read: list[_Read] = []
    errors: list[tuple[Path, ConcordError]] = []
    roots = tuple(root.resolve() for root in (asset_root(source), *assets))
    reader = FileAssetReader(roots, MAX_LABEL_BYTES, ASSET_TIMEOUT_S)
    sources: Iterator[FoundSample | FoundDocument | BadFile] = (
        find_samples(source, project=PROJECT, assets=assets)
        if to == _TABLES
        else find_sources(source, project=PROJECT, assets=assets, carry_cuboids=to in NEEDS_CALIBRATION)
    )
    for found in sources:
        try:
            if isinstance(found, BadFile):
                errors.append((found.path, found.error))
            elif isinstance(found, FoundDocument):
                read.append(_of_document(found))
            else:
                read.append(asyncio.run(_of_sample(found, reader)))
        except ConcordError as error:
            errors.append((found.path if isinstance(found, FoundSample) else source, error))
    return read, errors


def _of_document(found: FoundDocument) -> _Read:
    streams = found.result.streams
    if len(streams) == 1 and streams[0].modality is None:
        streams = (replace(streams[0], modality=parts_of(found.form, found.result)[0].streams[0].modality),)
    return _Read(found.paths[0], Outgoing(found.name, _as_told(found.result.annotations), streams), found.losses)


def _as_told(labels: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Return labels without the author that reading gave them: no document said so, and none can lose it."""
    return tuple(
        label.model_copy(update={"author": None})
        if label.author is not None and label.author.kind == "importer"
        else label
        for label in labels
    )


async def _of_sample(found: FoundSample, reader: FileAssetReader) -> _Read:
    labels, losses = await read_labels(found.manifest, reader)
    streams = tuple(facts_of(stream) for stream in found.manifest.streams)
    outgoing = Outgoing(found.manifest.sample_id, labels if found.has_manifest else _as_told(labels), streams)
    return _Read(found.path, outgoing, (*found.losses, *losses), found.manifest)


def _places(read: Sequence[_Read], to: str, out: Path | None) -> list[Path | None]:
    """Return where each document goes; nothing that is there already is a place.

    Raises:
        InvalidInputError: It is; or several documents would go to one file.
    """
    if out is None:
        if len(read) > 1:
            raise InvalidInputError(f"there are {len(read)} documents to write; name a folder for them with --out")
        return [None] * len(read)
    if len(read) > 1 or out.is_dir():
        if out.exists() and not out.is_dir():
            raise InvalidInputError(f"there are {len(read)} documents to write and {out} is a file; name a folder")
        ending = "" if to == _TABLES else EXPORTERS[to].ending
        names = Counter[str]()
        places = []
        for item in read:
            names[item.outgoing.name] += 1
            count = names[item.outgoing.name]
            places.append(out / f"{item.outgoing.name}{f'-{count}' if count > 1 else ''}{ending}")
    else:
        places = [out] * len(read)
    for place in places:
        if place.exists():
            raise InvalidInputError(f"{place} is there already, and nothing is overwritten; name another with --out")
    return list(places)


def _write(place: Path, result: ExportResult | NuscenesExport) -> None:
    files = {place: result.data} if isinstance(result, ExportResult) else {
        place / f"{name}.json": data for name, data in result.tables.items()
    }  # fmt: skip
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
    except OSError as error:
        raise InvalidInputError(f"{place} can not be written: {error.strerror}") from error


def _document(converted: Sequence[_Converted], to: str, errors: Sequence[tuple[Path, ConcordError]]) -> dict[str, Any]:
    return {
        "to": to,
        "documents": [
            {
                "source": str(item.read.source),
                "name": item.read.outgoing.name,
                **(
                    {"document": item.result.text}
                    if isinstance(item.result, ExportResult) and item.out is None
                    else {"out": str(item.out)}
                ),
                "labels": item.labels,
                "written": item.written,
                "dropped_on_read": losses_document(item.read.losses),
                "dropped_on_write": [
                    {"place": lost.place, "what": lost.what, "why": lost.why} for lost in item.result.dropped
                ],
            }
            for item in converted
        ],
        **(
            {"errors": [{"path": str(path), "code": error.code, "detail": error.detail} for path, error in errors]}
            if errors
            else {}
        ),
    }


def _print(converted: Sequence[_Converted], to: str, console: Console) -> None:
    for item in converted:
        where = "" if item.out is None else f" in {item.out}"
        console.print(plain(f"{item.read.source}: {item.written} of {item.labels} labels written as {to}{where}"))
        for losses in item.read.losses:
            console.print(plain(f"  read     {told_in_short(losses)}"), style="dim")
        _print_unwritten(item.result.dropped, console)


def _print_unwritten(dropped: Sequence[Dropped], console: Console) -> None:
    """Print what a document does not hold: each reason once, with how often and where first."""
    first: dict[tuple[str, str], str] = {}
    counts = Counter[tuple[str, str]]()
    for lost in dropped:
        first.setdefault((lost.what, lost.why), lost.place)
        counts[lost.what, lost.why] += 1
    for (what, why), count in counts.most_common(_REASONS_SHOWN):
        often = f"{count} times, first in" if count > 1 else "in"
        console.print(plain(f"  written  without {what} ({often} {first[what, why]}): {why}"), style="dim")
    if len(counts) > _REASONS_SHOWN:
        console.print(plain(f"  written  and {len(counts) - _REASONS_SHOWN} more kinds of losses"), style="dim")
