"""The formats of an export: each writes one part, sample by sample, in memory that does not grow with the part."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from infra.datasets.files import HashedFile, write_file
from services.contracts.canonical import canonical_json
from services.contracts.datasets import MemberRecord
from services.datasets.croissant import ExportedFile
from services.datasets.documents import DOCUMENT_FORMATS, sample_files
from services.datasets.lines import line_bytes, line_of
from services.datasets.table import LABEL_COLUMNS, SAMPLE_COLUMNS, Kind, label_rows, sample_row
from services.errors import AssetError, InvalidInputError
from services.formats.result import Dropped
from services.ports.assets import AssetReader

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS_A_GROUP = 8_192
_MODE = 0o644


class PartWriter(Protocol):
    """Writes the samples of one part."""

    async def add(self, item: MemberRecord) -> tuple[Dropped, ...]:
        """Write a sample; return what of it is not held."""
        ...

    def finish(self) -> list[ExportedFile]:
        """Put the part's files under their names and return them."""
        ...

    def close(self) -> None:
        """Give up what is not finished."""
        ...


class JsonLines:
    """One canonical JSON document a line: the record, its lineage, and where it is."""

    def __init__(self, root: Path, part: str) -> None:
        self._file = HashedFile(root, f"data/{part}.jsonl")

    async def add(self, item: MemberRecord) -> tuple[Dropped, ...]:
        """Write a sample."""
        self._file.write(line_bytes(item))
        return ()

    def finish(self) -> list[ExportedFile]:
        """Put the file under its name."""
        return [self._file.finish()]

    def close(self) -> None:
        """Give up what is not finished."""
        self._file.__exit__()


class WebDataset:
    """A tar of one JSON document a sample, named ``<key>.json``: what readers of WebDataset shards expect.

    The key is the sample id, with dots percent-encoded: a key ends at its first dot. Owner, time and mode are fixed.

    Args:
        root: The export's folder.
        part: Name of the part.
        recordings: Reads the recordings, which go in as ``<key>.<stream>.<ending>``; None: none go in.
    """

    def __init__(self, root: Path, part: str, recordings: AssetReader | None) -> None:
        self._recordings = recordings
        self._file = HashedFile(root, f"data/{part}.tar")
        self._tar = tarfile.open(fileobj=self._file, mode="w|", format=tarfile.GNU_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115

    async def add(self, item: MemberRecord) -> tuple[Dropped, ...]:
        """Write a sample."""
        key = webdataset_key(item.member.sample_id)
        self._entry(f"{key}.json", canonical_json(line_of(item)))
        dropped: list[Dropped] = []
        if self._recordings is None:
            return ()
        for stream in item.record.body["streams"]:
            if "uri" not in stream:
                continue
            try:
                # One at a time: a recording may be as large as the memory has room for.
                recording = await self._recordings.read(stream["uri"], sha256=stream.get("sha256"))
            except AssetError as error:
                dropped.append(Dropped(stream["id"], "recording", error.detail))
                continue
            self._entry(f"{key}.{webdataset_key(stream['id'])}.{_ending(stream['uri'])}", recording.data)
        return tuple(dropped)

    def _entry(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), _MODE
        self._tar.addfile(entry, io.BytesIO(data))

    def finish(self) -> list[ExportedFile]:
        """Put the tar under its name."""
        self._tar.close()
        return [self._file.finish()]

    def close(self) -> None:
        """Give up what is not finished."""
        self._file.__exit__()


def webdataset_key(sample_id: str) -> str:
    """Return a sample id as the key of a shard."""
    return quote(sample_id, safe="").replace(".", "%2E")


def _ending(uri: str) -> str:
    ending = PurePosixPath(unquote(urlsplit(uri).path)).suffix[1:].lower()
    return ending if ending.isascii() and ending.isalnum() else "bin"


class Parquet:
    """Two tables: samples, and labels with one row each. The column ``annotation`` holds a label whole."""

    def __init__(self, root: Path, part: str) -> None:
        self._files = ExitStack()
        self._tables = [
            self._table(root, f"data/{part}.samples.parquet", SAMPLE_COLUMNS),
            self._table(root, f"data/{part}.labels.parquet", LABEL_COLUMNS),
        ]

    def _table(self, root: Path, path: str, columns: Mapping[str, tuple[Kind, str]]) -> _Table:
        file = self._files.enter_context(HashedFile(root, path))
        return _Table(file, columns)

    async def add(self, item: MemberRecord) -> tuple[Dropped, ...]:
        """Write a sample."""
        samples, labels = self._tables
        samples.add(sample_row(item))
        for row in label_rows(item):
            labels.add(row)
        return ()

    def finish(self) -> list[ExportedFile]:
        """Put both files under their names."""
        return [table.finish() for table in self._tables]

    def close(self) -> None:
        """Give up what is not finished."""
        self._files.close()


class _Table:
    """A Parquet file that is written some thousand rows at a time, with settings that no default can change."""

    def __init__(self, file: HashedFile, columns: Mapping[str, tuple[Kind, str]]) -> None:
        arrow, parquet = _pyarrow()
        kinds: dict[Kind, pa.DataType] = {
            "text": arrow.string(), "json": arrow.string(), "integer": arrow.int64(), "number": arrow.float64(),
        }  # fmt: skip
        self._arrow = arrow
        self._schema = arrow.schema([arrow.field(name, kinds[kind]) for name, (kind, _) in columns.items()])
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter = parquet.ParquetWriter(
            file,
            self._schema,
            version="2.6",
            compression="zstd",
            compression_level=3,
            use_dictionary=True,
            write_statistics=True,
            data_page_version="1.0",
            data_page_size=1024 * 1024,
            write_batch_size=1024,
            store_schema=False,
        )

    def add(self, row: dict[str, Any]) -> None:
        """Write a row."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_A_GROUP:
            self._flush()

    def finish(self) -> ExportedFile:
        """Put the file under its name."""
        self._flush()
        self._writer.close()
        return self._file.finish()

    def _flush(self) -> None:
        if self._rows:
            table = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
            self._writer.write_table(table, row_group_size=_ROWS_A_GROUP)
            self._rows = []


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - a tenth of a second that only this format needs
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInputError("Parquet is written by pyarrow, which is not installed here; install it") from error
    return pa, pq


class Documents:
    """Files of a label format in a folder of each sample, with a manifest that names them."""

    def __init__(self, form: str, root: Path, part: str) -> None:
        self._form = form
        self._root = root
        self._part = part
        self._files: list[ExportedFile] = []

    async def add(self, item: MemberRecord) -> tuple[Dropped, ...]:
        """Write a sample."""
        written = sample_files(self._form, item.record.body)
        folder = f"data/{self._part}/{item.member.sample_id}"
        self._files += [write_file(self._root, f"{folder}/{name}", data) for name, data in written.files.items()]
        return written.dropped

    def finish(self) -> list[ExportedFile]:
        """Return what was written."""
        return self._files

    def close(self) -> None:
        """Nothing is open: every file is whole, and written again by whoever takes the part up."""


def open_writer(form: str, root: Path, part: str, recordings: AssetReader | None) -> PartWriter:
    """Return what writes a part.

    Args:
        form: One of :data:`FORMATS`.
        root: The export's folder.
        part: Name of the part.
        recordings: Reads recordings, for the formats of :data:`WITH_RECORDINGS`.
    """
    match form:
        case "jsonl":
            return JsonLines(root, part)
        case "parquet":
            return Parquet(root, part)
        case "webdataset":
            return WebDataset(root, part, recordings)
    return Documents(form, root, part)


FORMATS = ("jsonl", "parquet", "webdataset", *DOCUMENT_FORMATS)
"""What a version is exported as."""

WITH_RECORDINGS = frozenset({"webdataset"})
"""Formats that have a place for the recordings themselves."""


def tool_of(form: str) -> str:
    """Return what besides the product decides about the bytes of a format; empty where nothing does."""
    return f"pyarrow {_pyarrow()[0].__version__}" if form == "parquet" else ""
