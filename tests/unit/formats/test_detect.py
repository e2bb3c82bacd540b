from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formats.detect import HEAD_BYTES, detect
from tests.unit.formats.samples import DATA, needs_data, only_concord_errors

REAL = {
    "praatio/examples/files/*.TextGrid": "textgrid",
    "coco_mmpose/tests/data/coco/*.json": "coco",
    "coco_mmpose/tests/data/posetrack18/annotations/*.json": "coco",
    "labelstudio_converter/tests/data/test_export_csv/*.json": "label_studio",
    "labelstudio_converter/tests/data/test_export_yolo/*.json": "label_studio",
    "labelstudio_converter/tests/data/test_export_json_min/data*.json": "label_studio",
    "openlabel_vcd/tests/etc/openlabel*.json": "openlabel",
    "openlabel_vcd/tests/etc/vcd*.json": None,
    "pyannote_call/*.rttm": "rttm",
    "pyannote_call/*.stm": "stm",
    "kitti_tracking/label/*.txt": "kitti_tracking",
    "kitti_tracking/calib/*.txt": None,
    "kitti_tracking/pointrcnn/**/*.txt": "ab3dmot",
    "kitti_object/training/label_2/*.txt": "kitti",
    "mot_motmetrics/TUD-Campus/*.txt": "mot",
    "labelstudio_converter/tests/pathtrack/info.xml": None,
    "*/SOURCE.md": None,
    "speechbrain_samples/tests/samples/annotation/*.json": None,
}


@pytest.mark.parametrize(("pattern", "expected"), REAL.items())
@needs_data
def test_real_files_are_known_by_their_content(pattern: str, expected: str | None) -> None:
    paths = list(DATA.glob(pattern))
    assert paths
    for path in paths:
        assert (path, detect("labels", path.read_bytes()[:HEAD_BYTES])) == (path, expected)
        assert detect("labels", path.read_bytes()[:2_000]) in (expected, None)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xef\xbb\xbfWEBVTT\n\n", "webvtt"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhi", "srt"),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<annotations><version>1.1', "cvat"),
        (b"<html>", None),
        (b'{"dm_format_version": "1.0", "items": []}', "datumaro"),
        (b'[{"token": "a", "sample_token": "b"}]', "nuscenes"),
        (b'{"sample_id": "a"}', None),
        (b"", None),
        (b"\xff\xfe" + 'File type = "ooTextFile"\nObject class = "TextGrid"'.encode("utf-16-le"), "textgrid"),
    ],
)
def test_a_beginning_is_enough(head: bytes, expected: str | None) -> None:
    assert detect("x", head) == expected


def test_the_name_decides_where_the_content_says_nothing() -> None:
    assert detect("s3://bucket/call.VTT?version=1", b"no header") == "webvtt"
    assert detect("call.srt", b"{") is None


@given(st.binary(max_size=300))
def test_any_bytes_have_a_format_or_none(head: bytes) -> None:
    only_concord_errors(head or b"x", lambda copy: detect("x", copy), cuts=1, flips=0)
