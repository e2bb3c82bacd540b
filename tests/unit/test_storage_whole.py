"""Recordings and pictures that were cut off or damaged are told from whole ones, also from whole ones that are odd."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.storage.decode import MAX_TEXT_BYTES, decode_audio
from infra.storage.whole import why_not_whole
from services.errors import AssetError
from tests.property.test_damaged_assets import ASSETS, report
from tests.unit.test_storage_decode import image, recording

WAV = recording(np.random.default_rng(3).uniform(-0.5, 0.5, 8_000))
OGG = ASSETS["Ogg Vorbis"][1]
LAST_PAGE = OGG.rindex(b"OggS")


def with_data_size(size: int) -> bytes:
    assert WAV[36:40] == b"data"
    return WAV[:40] + struct.pack("<I", size) + WAV[44:]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (WAV[:9_000], "its header tells of 16000 bytes of sound, and 8956 are there"),
        (OGG[:LAST_PAGE], "the page that ends it is missing"),
        (OGG[: LAST_PAGE + 40], f"it ends within the page at byte {LAST_PAGE}"),
        (OGG[: LAST_PAGE + 500] + b"?" + OGG[LAST_PAGE + 501 :], f"the page at byte {LAST_PAGE} is not as it was"),
        (OGG.replace(OGG[58:70], b""), "no page begins at byte"),
        (image((50, 50), "PNG")[:-12], "the chunk that ends it is missing"),
        (image((50, 50), "PNG")[:-14], "it ends within the chunk at byte 33"),
        (image((50, 50), "PNG").replace(b"IDATx", b"IDATy"), "the chunk at byte 33 is not as it was written"),
        (image((50, 50), "JPEG")[:-2], "the marker that ends it is missing"),
        (image((50, 50), "JPEG")[:30], "it ends within a segment"),
    ],
)
def test_what_is_cut_off_or_damaged_says_where(data: bytes, says: str) -> None:
    assert says in (why_not_whole(data) or "")


def _with_preview() -> bytes:
    """A JPEG whose first segment holds a whole picture of its own."""
    inner, outer = image((8, 8), "JPEG"), image((50, 50), "JPEG")
    return outer[:2] + b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner + outer[2:]


@pytest.mark.parametrize(
    "data",
    [
        WAV,
        WAV + b"LIST\x04\x00\x00\x00INFO",
        WAV[:-100],  # some programs count their header as sound
        with_data_size(0xFFFFFFFF),  # written into a pipe
        with_data_size(0x7FFFFFFF - 36),
        with_data_size(0),
        recording(np.zeros(100), file_format="RF64"),
        OGG + b"\x00" * 50,
        OGG + ASSETS["Ogg Opus"][1],
        image((50, 50), "PNG") + b"left over",
        image((50, 50), "JPEG") + b"left over",
        _with_preview(),
        b"GIF89a",
        b"",
    ],
)
def test_what_is_whole_is_whole_also_with_the_habits_of_some_programs(data: bytes) -> None:
    assert why_not_whole(data) is None


def test_a_picture_with_a_preview_is_cut_off_where_its_own_end_is_missing() -> None:
    assert why_not_whole(_with_preview()[:-2]) == "the marker that ends it is missing"


def test_a_progressive_jpeg_has_many_scans_and_one_end() -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format="JPEG", progressive=True)
    data = file.getvalue()
    assert data.count(b"\xff\xda") > 3
    assert why_not_whole(data) is None
    assert why_not_whole(data[: data.rindex(b"\xff\xda") + 50]) is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "data",
    [
        WAV[:12] + b"junk\x00\x00\x00\x00" * 110_000,
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 110_000,
        b"\xff\xd8\xff\xda\x00\x02" + b"\xff" * 8_000_000,
        b"\xff\xd8\xff\xda\x00\x02" + b"\xff\x00" * 4_000_000,
    ],
    ids=["chunks", "segments", "fill bytes", "stuffed bytes"],
)
def test_a_file_of_nothing_but_beginnings_is_given_up(data: bytes) -> None:
    assert why_not_whole(data) is not None


@pytest.mark.parametrize("rate_hz", [0, 1, 99, 4_000_000_000])
def test_a_sampling_rate_that_no_recording_has_is_refused(rate_hz: int) -> None:
    data = WAV[:24] + struct.pack("<I", rate_hz) + WAV[28:]
    with pytest.raises(AssetError, match=r"'a'.*(samples a second|can not be decoded)"):
        decode_audio(data, name="a")


def test_bytes_that_are_no_recording_leave_nothing_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssetError, match="it does not begin as one does"):
        decode_audio(b"\xff\xfb\x90\x00" * 500, name="a")
    assert capfd.readouterr() == ("", "")


def test_a_text_that_is_none_is_told_and_not_read_as_nothing(tmp_path: Path) -> None:
    (finding,) = [one for one in report("text", "Café".encode("latin-1"), tmp_path).findings if "unread" in one.kind]
    assert "the text 'cam' is not UTF-8 at byte 3; save it as UTF-8" in finding.message


def test_a_text_too_long_to_judge_is_not_applicable(tmp_path: Path) -> None:
    data = b"a red car\n" * (MAX_TEXT_BYTES // 10 + 1)
    told = report("text", data, tmp_path)
    reasons = [one.reason for one in told.not_applicable]
    assert f"the text of stream cam has {len(data)} bytes; at most {MAX_TEXT_BYTES} are read" in reasons
