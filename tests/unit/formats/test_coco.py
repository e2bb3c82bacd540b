from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.labels_visual import Box, Keypoint, Keypoints, Mask, Polygon, RunLengths
from services.contracts.manifest import LabelFile, SampleManifest
from services.errors import ConcordError, InvalidInputError
from services.formats.coco import image_names, read_coco
from services.formats.coco_writer import write_coco
from services.formats.label_file import read_label_file
from services.formats.rle import checked_counts, decode_counts, encode_counts
from tests.unit.formats.samples import DATA, needs_data, numbered, only_concord_errors, without_ids

COCO = DATA / "coco_mmpose/tests/data"
REAL = (
    "coco/test_coco.json",
    "coco/test_coco_det_AP_H_56.json",
    "posetrack18/annotations/test_posetrack18_val.json",
    "posetrack18/annotations/val/012834_mpii_test.json",
    "posetrack18/annotations/test_posetrack18_human_detections.json",
)
DOCUMENT: dict[str, Any] = {
    "images": [{"id": 5, "file_name": "train/a.jpg", "width": 17, "height": 33}, {"id": 9, "file_name": "b.jpg"}],
    "categories": [{"id": 3, "name": "cat", "supercategory": "animal", "keypoints": ["nose", "tail"]}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 60, "iscrowd": 1,
         "segmentation": {"size": [33, 17], "counts": "b34j06L2N20N3Lm7"}, "depth": [1]},
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [1, 2, 0, 4], "score": 0.5, "track_id": 7,
         "segmentation": [[0, 0, 4, 0, 4, 4], [1, 2]], "keypoints": [1, 2, 2, 0, 0, 0], "attributes": {"fur": "red"}},
    ],
}  # fmt: skip


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("text", "size", "area"),
    [("01", (1, 1), 1), ("123", (2, 3), 2), ("`U1", (40, 30), 0), ("b34j06L2N20N3Lm7", (33, 17), 60)],
)
def test_run_lengths_are_those_of_the_coco_api(text: str, size: tuple[int, int], area: int) -> None:
    # Strings and areas as the COCO API itself writes them.
    runs = checked_counts(text, size)
    assert sum(runs[1::2]) == area
    assert encode_counts(runs) == text


@given(st.lists(st.integers(0, 2**31), max_size=20))
def test_run_lengths_survive(counts: list[int]) -> None:
    assert decode_counts(encode_counts(counts)) == counts


@given(st.text("0123456789:;<=>?@ABCabcmno", max_size=30))
def test_any_text_is_runs_or_refused(text: str) -> None:
    try:
        runs = decode_counts(text)
    except ValueError:
        return
    assert min(runs, default=0) >= 0


def test_one_annotation_becomes_labels_of_one_object() -> None:
    result = read_coco(_bytes(DOCUMENT), stream="cam")
    box, mask, polygon, points = result.annotations
    assert isinstance(box, Box)
    assert (box.box, box.label, box.frame, box.object_id, box.ignore) == ((1, 2, 4, 6), "cat", 0, "coco-1", True)
    assert isinstance(mask, Mask)
    assert mask.object_id == box.object_id
    assert isinstance(polygon, Polygon)
    assert (polygon.frame, polygon.object_id, polygon.confidence, polygon.attributes) == (
        1,
        "track-7",
        0.5,
        {"fur": "red"},
    )
    assert isinstance(points, Keypoints)
    assert [(point.name, point.visibility) for point in points.keypoints] == [("nose", 2), ("tail", 0)]
    assert {(item.place, item.what) for item in result.dropped} == {
        ("/annotations/1", "box of annotation 2"),
        ("/annotations/1/segmentation/1", "outline of 2 numbers"),
        ("/annotations", "depth"),
        ("/categories", "supercategory"),
    }
    (stream,) = result.streams
    assert [(item.frame, item.uri, item.size_px) for item in stream.items] == [
        (0, "train/a.jpg", (17, 33)),
        (1, "b.jpg", None),
    ]


def test_labels_of_one_image_are_picked_by_its_name() -> None:
    result = read_coco(_bytes(DOCUMENT), stream="cam", image="elsewhere/b.jpg")
    assert {(label.frame, label.object_id) for label in result.annotations} == {(0, "track-7")}
    assert "1 annotations" in {item.what for item in result.dropped}
    assert {label.frame for label in read_coco(_bytes(DOCUMENT), stream="cam", frames=(1, 1)).annotations} == {0}
    with pytest.raises(InvalidInputError, match=r"no image 'c\.jpg'"):
        read_coco(_bytes(DOCUMENT), stream="cam", image="c.jpg")


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("annotations", 0, "bbox"), [1, 2, 3], "/annotations/0/bbox: must have 4 numbers"),
        (("annotations", 0, "bbox"), "wide", "/annotations/0/bbox: must be an array"),
        (("annotations", 1, "keypoints"), [1, 2], "three numbers a point"),
        (("annotations", 0, "image_id"), None, "'image_id' is missing"),
        (("annotations",), None, "must be|missing|"),
        (("categories", 0, "name"), 7, "/categories/0/name: must be a text"),
    ],
)
def test_a_fault_is_named_by_its_pointer(path: tuple[str | int, ...], value: object, what: str) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    if value is None and len(path) == 1:
        assert not read_coco(_bytes(document), stream="cam").annotations
        return
    with pytest.raises(InvalidInputError, match=what):
        read_coco(_bytes(document), stream="cam")


@pytest.mark.parametrize("name", REAL)
@needs_data
def test_real_files_survive(name: str) -> None:
    result = read_coco((COCO / name).read_bytes(), stream="cam", source=name)
    assert len(result.annotations) >= 4
    assert not [item for item in result.dropped if "annotations/" in item.place]
    export = write_coco(result.annotations, images=result.streams[0].items)
    assert not export.dropped
    again = read_coco(export.data, stream="cam")
    assert without_ids(again.annotations) == without_ids(result.annotations)
    assert again.streams == result.streams
    assert not again.dropped or {item.what.split(" (")[0] for item in again.dropped} == {"skeleton"}


@needs_data
def test_a_manifests_coco_file_gives_the_labels_of_its_image() -> None:
    data = (COCO / "coco/test_coco.json").read_bytes()
    names = image_names(data)

    def read(uri: str) -> tuple[Annotation, ...]:
        manifest = SampleManifest.model_validate(
            {
                "format": "concord.sample/1",
                "sample_id": "a",
                "project": "p",
                "streams": [{"id": "cam", "modality": "image", "uri": uri}],
            }
        )
        return read_label_file(LabelFile(format="coco", uri="coco.json", stream="cam"), manifest, data)

    counts = [len(read(f"images/{name}")) for name in names]
    assert sum(counts) == len(read_coco(data, stream="cam").annotations)
    with pytest.raises(InvalidInputError, match=r"none of its 4 images is named 'x\.jpg'"):
        read("x.jpg")


@needs_data
def test_damaged_files_are_refused_or_read() -> None:
    for name in REAL[:3]:
        data = (COCO / name).read_bytes()[:9_000]
        only_concord_errors(data, lambda copy: read_coco(copy, stream="cam"), cuts=20, flips=30)
    refused = only_concord_errors(_bytes(DOCUMENT), lambda copy: read_coco(copy, stream="cam"), flips=300)
    assert refused > 100


NUMBER = st.floats(-1e5, 1e5)


@st.composite
def shapes(draw: st.DrawFn) -> Annotation:
    common: dict[str, Any] = {
        "id": "x",
        "stream": "s",
        "label": draw(st.sampled_from(["cat", "dog", "category-7"])),
        "frame": draw(st.sampled_from([None, 0, 1])),
        "object_id": draw(st.sampled_from([None, "coco-1", "coco-2", "track-1", "car"])),
        "ignore": draw(st.booleans()),
        "occlusion": draw(st.sampled_from([None, 1])),
        "confidence": draw(st.sampled_from([None, 0.25])),
        "attributes": draw(st.sampled_from([{}, {"a": 1}, {"area_px": 3.5}, {"area_px": "x"}])),
    }
    x, y, w, h = draw(NUMBER), draw(NUMBER), draw(st.floats(0.1, 1e4)), draw(st.floats(0.1, 1e4))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return Box(**common, box=(x, y, x + w, y + h))
    if kind == 1:
        holes = draw(st.sampled_from([(), (((1.0, 1.0), (2.0, 1.0), (2.0, 2.0)),)]))
        return Polygon(**common, points_px=((x, y), (x + w, y), (x + w, y + h)), holes_px=holes)
    if kind == 2:
        counts = draw(st.sampled_from(["123", (1, 2, 3), (6,), "00"]))
        return Mask(**common, rle=RunLengths(size=(2, 3), counts=counts))
    names = draw(st.sampled_from([("a",), ("a", "b"), ("b",)]))
    return Keypoints(**common, keypoints=tuple(Keypoint(name=name, x_px=x + 1e-3, y_px=y) for name in names))


@given(st.lists(shapes(), max_size=6))
def test_coco_is_read_back_as_it_was_read(labels: list[Annotation]) -> None:
    once = read_coco(write_coco(numbered(labels)).data, stream="s")
    export = write_coco(once.annotations)
    again = read_coco(export.data, stream="s")
    rounded = [item for item in export.dropped if item.what == "box"]
    assert len(rounded) == len(export.dropped)
    if not rounded:
        assert without_ids(again.annotations) == without_ids(once.annotations)


@given(shapes())
def test_what_a_coco_file_loses_is_listed(label: Annotation) -> None:
    export = write_coco([label])
    again = read_coco(export.data, stream="s").annotations
    if not export.dropped and label.object_id is not None and label.frame is not None:
        assert without_ids(again) == without_ids([label])
    assert len(again) == 1 or export.dropped


def test_a_document_that_is_no_coco_is_refused() -> None:
    for data in (b"", b"{}", b"[1]", b"[[]]", b'"x"', b"\xff", b"[" * 50, b'{"annotations": 3}', b"7"):
        with pytest.raises(ConcordError):
            read_coco(data, stream="s")
