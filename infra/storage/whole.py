"""Tell whether a recording or a picture is whole, by its own lengths and end marks; nothing is decoded.

Decoders are made to show what is left of a file that was cut off. A check would judge the labels of what is gone.

Sources: Microsoft and IBM, *Multimedia Programming Interface and Data Specifications 1.0*, 1991 (RIFF); EBU Tech 3306
(RF64); RFC 3533 (Ogg); W3C, *Portable Network Graphics*, 2003; ITU-T T.81, annex B (JPEG).
"""

from __future__ import annotations

import re
import struct
import zlib

_MOST_PARTS = 100_000
"""Chunks or segments that are followed; more are in no file that a device wrote, and take long."""

_MOST_PAGES = 2_000_000
"""Pages of some kilobytes each: days of sound."""

_OPEN_END = 0x7FFF_F000
"""Programs that write into a pipe do not know the length, and put in the largest that their type holds."""

_HEADER_SLACK = 128
"""Some programs count the header as sound; so many bytes are less than a millisecond."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_JPEG_END, _JPEG_ALONE = 0xD9, 0x01
_OGG_PAGE_HEADER = 27
_OGG_ENDS = 0x04
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def why_not_whole(data: bytes) -> str | None:
    """Return a clause that says what is missing in a WAV, Ogg, PNG or JPEG file; None where nothing is known to be.

    A FLAC file tells its decoder, which refuses it.
    """
    if data[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return _riff(data)
    if data[:4] == b"OggS":
        return _ogg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    return _jpeg(data) if data[:3] == b"\xff\xd8\xff" else None


def _riff(data: bytes) -> str | None:
    order = ">" if data[:4] == b"RIFX" else "<"
    at, long = 12, 0
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            return None  # no sound at all, which the decoder tells
        kind, (size,) = data[at : at + 4], struct.unpack_from(f"{order}I", data, at + 4)
        at += 8
        if kind == b"ds64" and at + 16 <= len(data):
            (long,) = struct.unpack_from("<Q", data, at + 8)
        elif kind == b"data":
            told = long if data[:4] == b"RF64" and size == 0xFFFF_FFFF else size
            there = len(data) - at
            known = told < _OPEN_END or told == long
            return (
                f"its header tells of {told} bytes of sound, and {there} are there"
                if (known and told > there + _HEADER_SLACK)
                else None
            )
        at += size + size % 2
    return "it has too many chunks"


def _ogg(data: bytes) -> str | None:
    at, ended = 0, False
    pages: dict[bytes, int] = {}
    for _ in range(_MOST_PAGES):
        if at >= len(data) or (ended and data[at : at + 4] != b"OggS"):
            return None if ended else "the page that ends it is missing"
        head = data[at : at + _OGG_PAGE_HEADER]
        if head[:4] != b"OggS"[: len(head)]:
            return f"no page begins at byte {at}, where one should"
        if len(head) < _OGG_PAGE_HEADER:
            return f"it ends within the page at byte {at}"
        stream, (number,) = head[14:18], struct.unpack_from("<I", head, 18)
        if number != pages.get(stream, number - 1) + 1:
            return f"pages are missing before byte {at}"
        pages[stream] = number
        ended = bool(head[5] & _OGG_ENDS)
        lengths = data[at + _OGG_PAGE_HEADER : at + _OGG_PAGE_HEADER + head[26]]
        end = at + _OGG_PAGE_HEADER + head[26] + sum(lengths)
        if end > len(data):
            return f"it ends within the page at byte {at}"
        if _ogg_sum(data[at:end]) != struct.unpack_from("<I", head, 22)[0]:
            return f"the page at byte {at} is not as it was written"
        at = end
    return "it has too many pages"


def _ogg_sum(page: bytes) -> int:
    """Return a page's check sum: CRC-32 of the bits in their other order, without the inversions of zlib's."""
    turned = (page[:22] + bytes(4) + page[26:]).translate(_TURNED)
    return int(f"{zlib.crc32(turned, 0xFFFF_FFFF) ^ 0xFFFF_FFFF:032b}"[::-1], 2)


def _png(data: bytes) -> str | None:
    at = 8
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            return "the chunk that ends it is missing"
        (size,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + size
        if end > len(data):
            return f"it ends within the chunk at byte {at}"
        # A capital letter: nobody can show the picture without the chunk.
        if kind[:1].isupper() and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return f"the chunk at byte {at} is not as it was written"
        if kind == b"IEND":
            return None
        at = end
    return "it has too many chunks"


def _jpeg(data: bytes) -> str | None:
    at = 2
    for _ in range(_MOST_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return "the marker that ends it is missing"
        at, marker = found.end(), found[1][0]
        if marker == _JPEG_END:
            return None
        if marker != _JPEG_ALONE:
            at += max(int.from_bytes(data[at : at + 2]), 2)
        if at > len(data):
            return "it ends within a segment"
    return "it has too many segments"
