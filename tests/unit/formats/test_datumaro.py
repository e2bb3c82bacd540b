from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.labels_language import Summary
from services.contracts.labels_visual import Box, ImageClassification, Mask, Polygon, RunLengths
from services.errors import InvalidInputError
from services.formats.datumaro import image_names, read_datumaro, write_datumaro
from services.formats.detect import detect
from tests.unit.formats.samples import TEXT, numbered, only_concord_errors, without_ids

DOCUMENT: dict[str, Any] = {
    "dm_format_version": "1.0",
    "info": {},
    "categories": {"label": {"labels": [{"name": "cat", "parent": "", "attributes": []}], "attributes": []}},
    "items": [
        {"id": "a", "image": {"path": "train/a.jpg", "size": [480, 640]}, "annotations": [
            {"id": 1, "type": "bbox", "label_id": 0, "group": 3, "z_order": 2, "attributes": {"occluded": True},
             "bbox": [1, 2, 3, 4]},
            {"id": 2, "type": "label", "label_id": 7},
            {"id": 3, "type": "polyline", "label_id": 0, "points": [1, 2, 3, 4]},
        ]},
        {"id": "b", "annotations": [
            {"type": "bbox", "label_id": 0, "bbox": [1, 2, 0, 4]},
            {"type": "caption", "caption": "x"},
        ]},
    ],
}  # fmt: skip
DATA = json.dumps(DOCUMENT).encode()


def test_annotations_of_items_become_labels() -> None:
    result = read_datumaro(DATA, stream="cam")
    box, label, caption = result.annotations
    assert isinstance(box, Box)
    assert (box.box, box.label, box.object_id, box.frame) == ((1, 2, 4, 6), "cat", "group-3", 0)
    assert box.attributes == {"occluded": True, "z_order": 2}
    assert isinstance(label, ImageClassification)
    assert label.label == "label-7"
    assert isinstance(caption, Summary)
    assert (caption.text, caption.frame) == ("x", 1)
    assert [(item.place, item.what) for item in result.dropped] == [
        ("/items/1/annotations/0", "bbox cat"),
        ("/items", "polyline"),
    ]
    assert [(item.uri, item.size_px) for item in result.streams[0].items] == [("train/a.jpg", (640, 480)), ("b", None)]
    assert image_names(DATA) == ("train/a.jpg", "b")
    assert detect("x", DATA) == "datumaro"
    assert len(read_datumaro(DATA, stream="cam", image="a.jpg").annotations) == 2
    assert len(read_datumaro(DATA, stream="cam", frames=(1, 1)).annotations) == 1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"[1, 2, 3, 4]}, {", b"[1, 2, 3]}, {", "/items/0/annotations/0/bbox: must have 4 numbers"),
        (b'"items"', b'"things"', "'items' is missing"),
        (b'"label_id": 7', b'"label_id": "7"', "must be a number"),
    ],
)
def test_a_fault_is_named_by_its_pointer(old: bytes, new: bytes, what: str) -> None:
    assert old in DATA
    with pytest.raises(InvalidInputError, match=what):
        read_datumaro(DATA.replace(old, new, 1), stream="cam")
    with pytest.raises(InvalidInputError, match="no image"):
        read_datumaro(DATA, stream="cam", image="c.jpg")


def test_damaged_documents_are_refused_or_read() -> None:
    assert only_concord_errors(DATA, lambda copy: read_datumaro(copy, stream="cam"), flips=200) > 60


@st.composite
def labels(draw: st.DrawFn) -> Annotation:
    x, y, w, h = (draw(st.floats(-1e4, 1e4)) for _ in range(4))
    common: dict[str, Any] = {
        "id": "x",
        "stream": "s",
        "label": draw(st.sampled_from(["cat", "é"])),
        "frame": draw(st.sampled_from([None, 0, 2])),
        "object_id": draw(st.sampled_from([None, "group-2", "group-0", "car"])),
        "attributes": draw(st.sampled_from([{}, {"z_order": 1}, {"z_order": 0}, {"a": "b", "z_order": "x"}])),
    }
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return Box(**common, box=(x, y, x + abs(w) + 1, y + abs(h) + 1), occlusion=2)
    if kind == 1:
        return Polygon(**common, points_px=((x, y), (x + 1, y), (w, h)))
    if kind == 2:
        return Mask(**common, rle=RunLengths(size=(2, 3), counts=draw(st.sampled_from([(1, 2, 3), "123", "00"]))))
    if kind == 3:
        return ImageClassification(**common)
    return Summary(**common, text=draw(TEXT))


@given(st.lists(labels(), max_size=5))
def test_datumaro_is_read_back_as_it_was_read(given_labels: list[Annotation]) -> None:
    once = read_datumaro(write_datumaro(numbered(given_labels)).data, stream="s")
    export = write_datumaro(once.annotations)
    again = read_datumaro(export.data, stream="s")
    assert {item.what for item in export.dropped} <= {"box"}
    if not export.dropped:
        assert without_ids(again.annotations) == without_ids(once.annotations)
