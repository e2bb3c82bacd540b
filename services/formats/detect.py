"""Which format a label file has, found by its content; the name decides only where the content says nothing."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath

from services.contracts.manifest import LabelFormat
from services.formats.cues import TIMING, lines_of

HEAD_BYTES = 65_536
"""As many bytes of a file are enough; fewer are, too, where the file is shorter."""

_ENDINGS: dict[str, LabelFormat] = {
    ".vtt": "webvtt",
    ".srt": "srt",
    ".rttm": "rttm",
    ".stm": "stm",
    ".textgrid": "textgrid",
}
_RTTM = frozenset({"SPEAKER", "SPKR-INFO", "SEGMENT", "LEXEME", "NON-LEX", "NON-SPEECH", "NOSCORE", "NO_RT_METADATA"})
# No way back into what was passed over: else a row of comments has as many readings as there are ways to join them.
_ROOT = re.compile(
    r"(?>\s++|<\?(?>.*?\?>)|<!--(?>.*?-->)|<!DOCTYPE[^>\[]*+(?>\[.*?\])?+\s*+>)*+<([A-Za-z_][\w.-]*+)", re.DOTALL
)
_KEY = re.compile(r'"([A-Za-z_]\w{0,40})"\s*:')
_NUMBER = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?")
_WHOLE = re.compile(r"[-+]?\d+(?:\.0*)?(?:[eE]\+?\d+)?")
_LINES = 20


def detect(name: str, head: bytes) -> LabelFormat | None:
    """Return the format of a label file, None if it is none that Concord knows.

    Args:
        name: The file's name or address.
        head: Its first bytes, :data:`HEAD_BYTES` or the whole of it.
    """
    text = _text(head).lstrip("\ufeff")
    found = _by_mark(text)
    if found is None:
        start = text.lstrip()[:1]
        if start == "<":
            root = _ROOT.match(text)
            return "cvat" if root is not None and root[1] == "annotations" else None
        found = _by_keys(text.lstrip()) if start in ("{", "[") else _by_lines(text)
    if found is None and not text.lstrip().startswith(("{", "[")):
        found = _ENDINGS.get(PurePosixPath(name.split("?", maxsplit=1)[0]).suffix.lower())
    return found


def _text(head: bytes) -> str:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return head[:HEAD_BYTES].decode(encoding, errors="replace")


def _by_mark(text: str) -> LabelFormat | None:
    if re.match(r"WEBVTT(?:\s|$)", text):
        return "webvtt"
    start = text[:300]
    if start.startswith("ooBinaryFile") or ("ooTextFile" in start and "TextGrid" in start):
        return "textgrid"
    return None


def _by_keys(text: str) -> LabelFormat | None:
    keys = set(_KEY.findall(text))
    first = _KEY.search(text)
    found: LabelFormat | None = None
    if first is not None and text.startswith("{") and first[1] == "openlabel":
        found = "openlabel"
    elif "dm_format_version" in keys or {"items", "categories", "info"} <= keys:
        found = "datumaro"
    elif "result" in keys and keys & {"annotations", "predictions"} and keys & {"data", "from_name", "completed_by"}:
        found = "label_studio"
    elif text.startswith("[") and ("token" in keys or {"sample_data_token", "bbox_corners"} <= keys):
        found = "nuscenes"
    elif {"image_id", "category_id"} <= keys or (
        "images" in keys and keys & {"file_name", "annotations", "categories"}
    ):
        found = "coco"
    return found


def _by_lines(text: str) -> LabelFormat | None:
    lines = [line for _, line in islice(lines_of(text), _LINES)]
    if any(TIMING.match(line) for line in lines):
        return "srt"
    told = [line for line in lines if line.strip() and not line.startswith(";;")]
    whole = told[:-1] or told  # the last one may be cut off
    kinds = {_of_line(line) for line in whole}
    return next(iter(kinds)) if len(kinds) == 1 else None


def _of_line(line: str) -> LabelFormat | None:
    words = line.split()
    if words[0] in _RTTM and 8 <= len(words) <= 10:
        return "rttm"
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) > 1 and all(_NUMBER.fullmatch(cell) for cell in cells):
        words = cells
    return _of_words(words)


def _of_words(words: list[str]) -> LabelFormat | None:
    numbers = [_NUMBER.fullmatch(word) is not None for word in words]
    count = len(words)
    found: LabelFormat | None = None
    if count in (15, 16) and not numbers[0] and all(numbers[1:]):
        found = "kitti"
    elif count in (17, 18) and all(numbers[:2]) and not numbers[2] and all(numbers[3:]):
        found = "kitti_tracking"
    elif 6 <= count <= 15 and all(numbers):
        # Columns of numbers are common; a frame from 1 and an id, both whole, tell tracks from other tables.
        whole = all(_WHOLE.fullmatch(word) for word in words[:2]) and float(words[0]) >= 1
        found = ("mot" if whole else None) if count <= 10 else "ab3dmot" if count == 15 else None
    elif count >= 5 and all(numbers[3:5]) and not numbers[2]:
        found = "stm"
    return found
