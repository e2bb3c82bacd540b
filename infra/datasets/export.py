"""Export a version: part by part, so that what was interrupted goes on, and twice the same is the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from infra.dataset_calls import DatasetCalls
from infra.datasets.files import HashedFile, write_file
from infra.datasets.log import ExportHeader, ExportLog, FileEntry, Loss, PartEntry
from infra.datasets.writers import FORMATS, WITH_RECORDINGS, open_writer, tool_of
from services.contracts.canonical import canonical_json
from services.contracts.datasets import Dataset, DatasetVersion, MemberRecord
from services.datasets.croissant import ExportedFile, croissant_document
from services.datasets.datacard import datacard
from services.datasets.prov import RecordsProv, version_prov
from services.errors import IntegrityError, InvalidInputError
from services.formats.result import Dropped
from services.ports.assets import AssetReader

EXPORT_FORMAT = "concord.dataset_export/1"
_RECORDS_A_PAGE = 100
_MOST_LOSSES = 1_000
_LISTED_FILES = 10_001
CHECKSUMS = "SHA256SUMS"

_ERASED = (Dropped("*", "sample", "the content of its record was erased"),)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a version is exported.

    Attributes:
        form: One of :data:`FORMATS`.
        part_samples: How many samples a part has at most.
        license_url: For the Croissant document.
        url: For the Croissant document.
        recordings: Reads the recordings, which go into the shards of WebDataset; None leaves them where they are.
    """

    form: str
    part_samples: int = 1_000
    license_url: str | None = None
    url: str | None = None
    recordings: AssetReader | None = None


@dataclass(slots=True)
class Exported:
    """What an export came to.

    Attributes:
        parts: How many parts there are.
        taken_up: How many of them were there already.
        samples: How many samples were written.
        labels: How many labels these have.
        losses: What the format has no place for.
    """

    parts: int = 0
    taken_up: int = 0
    samples: int = 0
    labels: int = 0
    losses: dict[tuple[str, str], Loss] = field(default_factory=dict)

    def add(self, part: PartEntry) -> None:
        """Count a part."""
        self.parts += 1
        self.samples += part.samples
        self.labels += part.labels
        for loss in part.losses:
            known = self.losses.get((loss.what, loss.why))
            times = loss.times + (known.times if known is not None else 0)
            told = known or loss
            self.losses[loss.what, loss.why] = told.model_copy(update={"times": times})


async def export_version(
    calls: DatasetCalls,
    dataset: Dataset,
    version: DatasetVersion,
    root: Path,
    options: ExportOptions,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Exported:
    """Write a version to a folder, or go on where an earlier run of the same export ended.

    Args:
        calls: Where the records come from.
        dataset: The dataset.
        version: The version.
        root: The folder.
        options: How.
        advance: Called once for each sample that is written, or was already.

    Raises:
        InvalidInputError: The folder holds something else.
        IntegrityError: The records are not as many as the version says.
        ApiProblem: The service does not answer.
    """
    if options.form not in FORMATS:
        raise InvalidInputError(f"datasets are not written as {options.form!r}; formats are {', '.join(FORMATS)}")
    if options.recordings is not None and options.form not in WITH_RECORDINGS:
        raise InvalidInputError(f"recordings go into {', '.join(WITH_RECORDINGS)} only, not into {options.form}")
    header = ExportHeader(
        manifest_sha256=version.manifest_sha256,
        format=options.form,
        part_samples=options.part_samples,
        tool=tool_of(options.form),
        recordings=options.recordings is not None,
    )
    exported = Exported()
    with ExportLog(root, header) as log:
        finished = log.keep_whole()
        for part in finished:
            exported.add(part)
            for _ in range(part.samples):
                advance()
        exported.taken_up = len(finished)
        for split in version.content.splits:
            before = [part for part in finished if part.split == split.name]
            number, cursor = len(before), before[-1].cursor if before else None
            if before and cursor is None:
                continue
            while True:
                made = await _write_part(
                    _Source(calls, version, split.name, cursor), root, f"{split.name}-{number:05d}", options, advance
                )
                if made is None:
                    break
                log.add(made)
                exported.add(made)
                number, cursor = number + 1, made.cursor
                if cursor is None:
                    break
        if exported.samples != version.content.samples:
            raise IntegrityError(
                f"{version.name} has {version.content.samples} samples, and {exported.samples} were written"
            )
        _write_documents(log, dataset, version, root, options, exported)
    return exported


@dataclass(slots=True)
class _Source:
    """Records of a split, from a place on."""

    calls: DatasetCalls
    version: DatasetVersion
    split: str
    cursor: str | None

    async def page(self, limit: int) -> tuple[MemberRecord, ...]:
        """Return the next records, and go on behind them; ``cursor`` is None after the last."""
        content = self.version.content
        page = await self.calls.records(
            content.dataset, content.version, split=self.split, cursor=self.cursor, limit=min(limit, _RECORDS_A_PAGE)
        )
        self.cursor = page.next_cursor
        return page.items


async def _write_part(
    source: _Source, root: Path, name: str, options: ExportOptions, advance: Callable[[], None]
) -> PartEntry | None:
    """Write the next part of a split; None if nothing is left of it."""
    items = await source.page(options.part_samples)
    if not items:
        return None
    writer = open_writer(options.form, root, name, options.recordings)
    losses = _Losses(root, name)
    prov = RecordsProv(source.version)
    samples = labels = 0
    try:
        while items:
            for item in items:
                advance()
                if item.record.is_erased:
                    losses.add(item.member.sample_id, _ERASED)
                    continue
                losses.add(item.member.sample_id, await writer.add(item))
                prov.add(item)
                labels += len(item.record.body["annotations"])
            samples += len(items)
            left = options.part_samples - samples
            items = await source.page(left) if left and source.cursor is not None else ()
        data = writer.finish()
        lineage = write_file(root, f"prov/{name}.json", canonical_json(prov.document()) + b"\n")
        beside = [lineage, *losses.finish()]
    finally:
        writer.close()
        losses.close()
    return PartEntry(
        name=name,
        split=source.split,
        samples=samples,
        labels=labels,
        cursor=source.cursor,
        data=tuple(map(_entry, data)),
        beside=tuple(map(_entry, beside)),
        losses=losses.counted(),
    )


def _entry(file: ExportedFile) -> FileEntry:
    return FileEntry(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)


class _Losses:
    """Writes down what is not held, one a line, and counts it; without losses there is no file."""

    def __init__(self, root: Path, part: str) -> None:
        self._root = root
        self._path = f"losses/{part}.jsonl"
        self._file: HashedFile | None = None
        self._counts: dict[tuple[str, str], Loss] = {}

    def add(self, sample_id: str, dropped: Iterable[Dropped]) -> None:
        """Note what of a sample is not held."""
        for lost in dropped:
            if self._file is None:
                self._file = HashedFile(self._root, self._path)
            line = {"sample_id": sample_id, "place": lost.place, "what": lost.what, "why": lost.why}
            self._file.write(canonical_json(line) + b"\n")
            key = (lost.what, lost.why)
            if key not in self._counts and len(self._counts) >= _MOST_LOSSES:
                key = ("others", f"{self._path} has them")
            known = self._counts.get(key)
            first = f"{sample_id} {lost.place}" if known is None else known.first
            times = 1 if known is None else known.times + 1
            self._counts[key] = Loss(what=key[0], why=key[1], times=times, first=first)

    def counted(self) -> tuple[Loss, ...]:
        """Return each kind of loss once, the most frequent first."""
        return tuple(sorted(self._counts.values(), key=lambda loss: (-loss.times, loss.what, loss.why)))

    def finish(self) -> list[ExportedFile]:
        """Put the file under its name, if there is one."""
        return [] if self._file is None else [self._file.finish()]

    def close(self) -> None:
        """Give up what is not finished."""
        if self._file is not None:
            self._file.__exit__()


def _write_documents(
    log: ExportLog, dataset: Dataset, version: DatasetVersion, root: Path, options: ExportOptions, exported: Exported
) -> None:
    """Write what tells of the export as a whole: nothing in it depends on when, where or in how many runs it was."""
    listed: list[ExportedFile] = []
    parts: list[dict[str, Any]] = []
    bundles: dict[str, str] = {}
    for part in log.parts():
        listed += [entry.file for entry in part.data][: _LISTED_FILES - len(listed)]
        bundles[part.beside[0].path] = part.beside[0].sha256
        parts.append(
            {
                "name": part.name,
                "split": part.split,
                "samples": part.samples,
                "labels": part.labels,
                "files": len(part.data),
                "size_bytes": sum(entry.size_bytes for entry in part.data),
                "checksums_sha256": hashlib.sha256(b"".join(map(_checksum, part.files))).hexdigest(),
            }
        )
    description = dataset.description
    croissant = croissant_document(version, description, listed, license_url=options.license_url, url=options.url)
    losses = sorted(exported.losses.values(), key=lambda loss: (-loss.times, loss.what, loss.why))
    content = version.content
    manifest = {
        "format": EXPORT_FORMAT,
        "project": content.project,
        "dataset": content.dataset,
        "version": content.version,
        "manifest_sha256": version.manifest_sha256,
        "merkle_root": content.merkle_root,
        "export_format": options.form,
        "tool": tool_of(options.form),
        "part_samples": options.part_samples,
        "recordings": options.recordings is not None,
        "samples": exported.samples,
        "labels": exported.labels,
        "parts": parts,
        "losses": [loss.model_dump(mode="json") for loss in losses],
    }
    told = {
        "manifest.json": _pretty(manifest),
        "croissant.json": _pretty(croissant),
        "prov.json": _pretty(version_prov(version, bundles)),
        "datacard.json": _pretty(_bare(version).model_dump(mode="json", exclude_none=True)),
        "datacard.md": datacard(version, description).encode(),
    }
    written = [_entry(write_file(root, path, data)) for path, data in told.items()]
    with HashedFile(root, CHECKSUMS) as file:
        for entry in chain(written, chain.from_iterable(part.files for part in log.parts())):
            file.write(_checksum(entry))
        file.finish()


def _bare(version: DatasetVersion) -> DatasetVersion:
    """Return a version without what became of it since."""
    return DatasetVersion(**{name: getattr(version, name) for name in DatasetVersion.model_fields})


def _checksum(entry: FileEntry) -> bytes:
    return f"{entry.sha256}  {entry.path}\n".encode()


def _pretty(document: Any) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
