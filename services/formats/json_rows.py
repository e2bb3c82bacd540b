"""A JSON array of records, read record by record: tables of any size in the memory of one record and one chunk."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from services.contracts.canonical import parse_json_at
from services.errors import InvalidInputError, MalformedJsonError
from services.formats.tree import Node

CHUNK_BYTES = 1 << 20
MAX_ROW_CHARACTERS = 1 << 20
"""A longer record is refused, so that a fault in a large file does not take the file into memory."""

_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Row:
    """A record of an array, and where its bytes are.

    Attributes:
        node: The record; its pointer is its index.
        index: Its ordinal in the array, from 0.
        offset: Where it begins in the file, bytes.
        length: How many bytes it has.
    """

    node: Node
    index: int
    offset: int
    length: int


def iter_rows(file: BinaryIO, source: str) -> Iterator[Row]:
    """Yield the records of a JSON array.

    Args:
        file: The document, UTF-8, at its beginning.
        source: How errors name it.

    Raises:
        MalformedJsonError: It is no JSON that Concord reads; names line and column, or the record.
        InvalidInputError: It is no array.
    """
    return _Reader(file, source).rows()


def read_row(file: BinaryIO, source: str, *, index: int, offset: int, length: int) -> Node:
    """Read one record again that :func:`iter_rows` told of.

    Raises:
        MalformedJsonError: The file is another than it was.
    """
    file.seek(offset)
    try:
        value, _ = parse_json_at(file.read(length).decode("utf-8"), 0)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise MalformedJsonError(
            f"{source}, /{index}: the file changed while it was read; leave it alone and try again"
        ) from None
    return Node(value, f"/{index}", source)


class _Reader:
    """What is left of the document: ``text[at:]``, and then the rest of ``file``."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._offset = 0
        self._read = 0
        self._line = 1
        self._column = 1

    def rows(self) -> Iterator[Row]:
        self._fill()
        if self._text.startswith("\ufeff"):
            self._offset, self._at = 3, 1
        if self._next() != "[":
            raise InvalidInputError(f"{self._source}, /: must be an array of records", places=(("/", "is no array"),))
        self._take(1)
        index = 0
        while self._next() != "]" or index:
            row = self._row(index)
            yield row
            index += 1
            mark = self._next()
            if mark not in (",", "]"):
                raise self._bad("expected ',' or ']' after a record" if mark else self._cut(index))
            self._take(1)
            if mark == "]":
                break
        else:
            self._take(1)
        if self._next():
            raise self._bad("more follows after the end of the array")

    def _row(self, index: int) -> Row:
        if not self._next():
            raise self._bad(self._cut(index))
        while True:
            try:
                value, end = parse_json_at(self._text, self._at)
            except json.JSONDecodeError as error:
                # Either the record goes on in the next chunk, or it is broken.
                if len(self._text) - self._at > MAX_ROW_CHARACTERS:
                    raise self._bad(f"record {index} is broken or too long: {error.msg}", error.pos) from None
                if not self._fill():
                    cut = error.pos >= len(self._text.rstrip(_SPACE)) or "Unterminated" in error.msg
                    raise self._bad(self._cut(index) if cut else error.msg, error.pos) from None
            except MalformedJsonError as error:
                raise MalformedJsonError(f"{self._source}, /{index}: {error.detail}", places=error.places) from None
            else:
                offset = self._offset
                self._take(end - self._at)
                return Row(Node(value, f"/{index}", self._source), index, offset, self._offset - offset)

    def _cut(self, index: int) -> str:
        return f"the file ends before the array does, after {index} records; it was cut off, so get it again"

    def _next(self) -> str:
        """Return the next character that is no space, without taking it; empty at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._take(at - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def _take(self, count: int) -> None:
        piece = self._text[self._at : self._at + count]
        self._offset += len(piece) if piece.isascii() else len(piece.encode())
        lines = piece.count("\n")
        self._line += lines
        self._column = len(piece) - piece.rfind("\n") if lines else self._column + len(piece)
        self._at += count

    def _fill(self) -> bool:
        """Read the next chunk; False at the end of the file."""
        pending = len(self._decoder.getstate()[0])
        data = self._file.read(CHUNK_BYTES)
        try:
            more = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise MalformedJsonError(
                f"{self._source}: byte {self._read - pending + error.start} is not UTF-8; encode the document as UTF-8"
            ) from error
        self._read += len(data)
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(data)

    def _bad(self, reason: str, position: int | None = None) -> MalformedJsonError:
        line, column = self._line, self._column
        if position is not None:
            piece = self._text[self._at : position]
            lines = piece.count("\n")
            line += lines
            column = len(piece) - piece.rfind("\n") if lines else column + len(piece)
        return MalformedJsonError(f"{self._source}: {reason} (line {line}, column {column})")
