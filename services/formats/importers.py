"""The readers that list what they drop, each by its format, as label files call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.contracts.label_base import Author
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats.result import ImportResult
from services.formats.srt import read_srt
from services.formats.textgrid import decode_textgrid, read_textgrid
from services.formats.webvtt import read_webvtt


@dataclass(frozen=True, slots=True)
class Document:
    """A label file with what a reader may need to know of its sample."""

    file: LabelFile
    stream: Stream
    manifest: SampleManifest
    data: bytes
    author: Author

    @property
    def text(self) -> str:
        """The bytes as text; :class:`InvalidInputError` where they are not UTF-8."""
        return decoded(self.data, self.file.uri)


Importer = Callable[[Document], ImportResult]


def decoded(data: bytes, name: str) -> str:
    """Return UTF-8 bytes as text.

    Raises:
        InvalidInputError: They are not UTF-8; names the byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name}: byte {error.start} is not UTF-8; save it as UTF-8") from error


def _webvtt(document: Document) -> ImportResult:
    return read_webvtt(document.text, stream=document.stream.id, author=document.author)


def _srt(document: Document) -> ImportResult:
    return read_srt(document.text, stream=document.stream.id, author=document.author)


def _textgrid(document: Document) -> ImportResult:
    text = decode_textgrid(document.data)
    return read_textgrid(text, stream=document.stream.id, author=document.author)


IMPORTERS: Mapping[str, Importer] = MappingProxyType(
    {
        "srt": _srt,
        "textgrid": _textgrid,
        "webvtt": _webvtt,
    }
)
