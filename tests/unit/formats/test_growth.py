"""Long input takes long, and no longer: what would read a piece of it again for every other piece would take hours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from services.contracts.canonical import parse_json
from services.errors import ConcordError
from services.formats.detect import HEAD_BYTES, detect
from services.formats.label_file import import_label_file
from tests.format_documents import DOCUMENTS, MANIFEST, label_file

N = 1_000_000
_CVAT = b"<annotations><image id='0' name='a'>"
_TEXTGRID = b'File type = "ooTextFile"\nObject class = "TextGrid"\n0 '
_TIME = b"00:00:01.000 --> 00:00:02.000"
LABELS: dict[str, tuple[str, bytes]] = {
    "a tag without an end": ("cvat", _CVAT + b'<box label="' + b"x" * 4 * N),
    "a comment without an end": ("cvat", _CVAT + b"<!--" + b"x" * 4 * N),
    "a text of many megabytes": ("cvat", _CVAT + b"<tag label='x'><attribute name='y'>" + b"x" * 64 * N),
    "a number that ends in a letter": ("textgrid", _TEXTGRID + b"1" * N + b"x"),
    "a text without an end": ("textgrid", _TEXTGRID + b'"' + b'""' * N),
    "spaces after a time": ("srt", _TIME + b" x" + b" " * N + b"x \n"),
    "spaces before an arrow": ("srt", b" " * N + b"-->\n"),
    "markup without an end": ("srt", _TIME + b"\n" + b"<font <i" * (N // 8)),
    "braces without an end": ("srt", _TIME + b"\n" + b"{\\" * (N // 2)),
    "tags without an end": ("webvtt", b"WEBVTT\n\n" + _TIME + b"\n" + b"<" * N),
    "a word without an end": ("rttm", b"SPEAKER " + b"x" * N),
    "digits": ("mot", b"1," + b"1" * N + b"x,1,1,1,1,1\n"),
    "runs without an end": ("coco", b'[{"image_id":1,"category_id":1,"segmentation":{"size":[1,1],"counts":"' + b"o" * N
                            + b'"}}]'),
}  # fmt: skip
HEADS = {
    "comments": b"<!---->" * HEAD_BYTES,
    "declarations": b"<?x?>" * HEAD_BYTES,
    "document types": b"<!DOCTYPE [" * HEAD_BYTES,
    "digits": b"1" * (HEAD_BYTES - 20) + b"x 1 1 1 1 1 1\n",
    "decimals": b"1." + b"1" * (HEAD_BYTES - 20) + b"x 1 1 1 1 1 1\n",
    "keys": b'{"' + b'a"  ' * HEAD_BYTES,
    "spaces": _TIME + b" x" + b" " * HEAD_BYTES + b"x",
}
JSON = {
    "quotes without an end": b"[" * 33 + b'\\"' * N,
    "quotes without an end, and half an escape": b"[" * 33 + b'\\"' * N + b"\\",
    "brackets": b"[" * N,
    "brackets in a text": b'["' + b"[" * N + b'"]',
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.timeout(60)
def test_a_label_file_is_read_in_a_time_that_grows_with_its_length(name: str) -> None:
    form, data = LABELS[name]
    _read(lambda: import_label_file(label_file(form), MANIFEST, data))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.timeout(60)
def test_a_format_is_told_in_a_time_that_grows_with_the_length_of_the_head(name: str) -> None:
    assert detect("a.txt", HEADS[name][:HEAD_BYTES]) in (None, "srt")


@pytest.mark.parametrize("name", JSON)
@pytest.mark.timeout(60)
def test_json_is_refused_in_a_time_that_grows_with_its_length(name: str) -> None:
    _read(lambda: parse_json(JSON[name]))


def _read(read: Callable[[], object]) -> None:
    with contextlib.suppress(ConcordError):
        read()


@pytest.mark.parametrize("form", sorted(DOCUMENTS))
@pytest.mark.timeout(60)
def test_a_line_that_stands_there_a_thousand_times_is_no_trouble(form: str) -> None:
    data = DOCUMENTS[form][-1]
    lines = data.splitlines(keepends=True)
    middle = len(lines) // 2
    long = b"".join([*lines[:middle], *lines[middle : middle + 1] * 1_000, *lines[middle:]])
    _read(lambda: import_label_file(label_file(form), MANIFEST, long))
