"""What of an export is finished: one line a part, written once its files are on the disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field

from infra.datasets.files import is_whole
from services.contracts.base import Contract, Sha256
from services.contracts.canonical import canonical_json, parse_json
from services.contracts.datasets import SplitName
from services.contracts.validation import validate
from services.datasets.croissant import ExportedFile
from services.errors import ConcordError, InvalidInputError

Entry = TypeVar("Entry", bound=Contract)
LOG_NAME = ".export.jsonl"


class ExportHeader(Contract):
    """What is exported and how: an export is taken up only by the same again."""

    log: Literal["concord.dataset_export_log/1"] = "concord.dataset_export_log/1"
    manifest_sha256: Sha256 = Field(description="Of the dataset version.")
    format: str
    part_samples: int
    tool: str = Field(description="What besides the product decides about the bytes.")
    recordings: bool = Field(description="Whether recordings are part of it.")


class FileEntry(Contract):
    """A finished file."""

    path: str
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256

    @property
    def file(self) -> ExportedFile:
        """As the rest of the product passes it around."""
        return ExportedFile(self.path, self.size_bytes, self.sha256)


class Loss(Contract):
    """Something that a format has no place for, with how often and where first."""

    what: str
    why: str
    times: int
    first: str


class PartEntry(Contract):
    """A finished part."""

    name: str
    split: SplitName
    samples: int
    labels: int
    cursor: str | None = Field(default=None, description="Where the next part of the split begins; none: nowhere.")
    data: tuple[FileEntry, ...]
    beside: tuple[FileEntry, ...] = Field(description="Its lineage, and its losses if there are any.")
    losses: tuple[Loss, ...] = ()

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All its files."""
        return (*self.data, *self.beside)


class ExportLog:
    """The log of the export in a folder; one process at a time.

    Args:
        root: The export's folder: new, empty, or that of the same export.
        header: What is exported.

    Raises:
        InvalidInputError: The folder holds something else, or another process writes to it.
    """

    def __init__(self, root: Path, header: ExportHeader) -> None:
        self._root = root
        self._path = root / LOG_NAME
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not self._path.exists() and any(root.iterdir()):
                raise InvalidInputError(f"{root} holds other files, and nothing is overwritten; name a new folder")
            self._file = self._path.open("a+b")
        except OSError as error:
            raise InvalidInputError(f"{root} can not be written: {error.strerror}") from error
        try:
            self._open(header)
        except BaseException:
            self._file.close()
            raise

    def _open(self, header: ExportHeader) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidInputError(f"another export is writing to {self._root}") from None
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            self._append(header)
            return
        _, line = first
        known = _read(ExportHeader, line, self._path)
        if known != header:
            raise InvalidInputError(
                f"{self._root} holds another export, or one with other options: version {known.manifest_sha256[:12]}… "
                f"as {known.format} in parts of {known.part_samples}; name a new folder"
            )

    def keep_whole(self) -> list[PartEntry]:
        """Return the finished parts, without their data files, up to the first whose files are not as they were.

        What follows that one is forgotten, and made again.
        """
        kept: list[PartEntry] = []
        end = 0
        for index, (end_of_line, line) in enumerate(self._lines()):
            if index:
                try:
                    part = _read(PartEntry, line, self._path)
                except ConcordError:  # a line that was cut off
                    break
                if not all(is_whole(self._root, entry.file) for entry in part.files):
                    break
                kept.append(part.model_copy(update={"data": ()}))
            end = end_of_line
        self._file.truncate(end)
        return kept

    def parts(self) -> Iterator[PartEntry]:
        """Yield the finished parts, one at a time, with all their files."""
        for index, (_, line) in enumerate(self._lines()):
            if index:
                yield _read(PartEntry, line, self._path)

    def add(self, part: PartEntry) -> None:
        """Note that a part is finished."""
        self._append(part)

    def _append(self, entry: Contract) -> None:
        self._file.write(canonical_json(entry) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield every line with where it ends."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                end += len(line)
                yield end, line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _read(kind: type[Entry], line: bytes, path: Path) -> Entry:
    if not line.endswith(b"\n"):
        raise InvalidInputError(f"{path} ends within a line")
    return validate(kind, parse_json(line), what=str(path))
