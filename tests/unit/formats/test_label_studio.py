from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import EntitySpan, Relation, SoundEvent, Summary, TranscriptSegment
from services.contracts.labels_visual import Box, Polygon, RotatedBox, Track
from services.errors import ConcordError, InvalidInputError
from services.formats.label_studio import read_label_studio
from services.formats.label_studio_writer import write_label_studio
from tests.unit.formats.samples import DATA, needs_data, numbered, only_concord_errors

EXPORTS = DATA / "labelstudio_converter/tests/data"
REAL = (
    "test_export_csv/csv_test.json",
    "test_export_csv/csv_test2.json",
    "test_export_csv/csv_test_history.json",
    "test_export_json_min/data.json",
    "test_export_json_min/data_repeater.json",
    "test_export_yolo/data.json",
    "test_export_yolo/data_obb.json",
    "test_export_yolo/data_polygons.json",
)


def _task(*results: dict[str, Any], **made: Any) -> bytes:
    return json.dumps(
        [{"data": {"image": "a.jpg"}, "annotations": [{"id": 1, "result": list(results), **made}]}]
    ).encode()


def _result(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 100}
    return {"id": "r1", "type": kind, "from_name": kind, "to_name": "image", "value": value, **size, **more}


RECTANGLE = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["Car"]}


def test_percent_become_pixels() -> None:
    (box,) = read_label_studio(_task(_result("rectanglelabels", RECTANGLE, score=0.5)), stream="cam").annotations
    assert isinstance(box, Box)
    assert (box.id, box.box, box.label, box.confidence) == ("r1", (20, 20, 80, 60), "Car", 0.5)


def test_a_rotation_turns_about_the_top_left_corner() -> None:
    turned = {**RECTANGLE, "rotation": 90}
    (box,) = read_label_studio(_task(_result("rectanglelabels", turned)), stream="cam").annotations
    assert isinstance(box, RotatedBox)
    # The corner stays at (20, 20); a quarter turn clockwise lets the width hang down and the height go left.
    assert list(box.center_px) == [0, 50]
    assert [*box.size_px, box.angle_deg] == [60, 40, 90]


def test_results_of_one_region_become_one_label() -> None:
    shape = {key: value for key, value in RECTANGLE.items() if key != "rectanglelabels"}
    data = _task(
        _result("rectangle", shape),
        _result("labels", {**shape, "labels": ["Name", "Field"]}),
        _result("textarea", {**shape, "text": ["ACME"]}, from_name="transcription"),
        _result("choices", {**shape, "choices": ["clear"]}, from_name="quality"),
    )
    (box,) = read_label_studio(data, stream="cam").annotations
    assert box.label == "Name"
    assert box.attributes == {"labels": '["Name", "Field"]', "transcription": '["ACME"]', "quality": '["clear"]'}


def test_text_and_sound_are_read() -> None:
    data = _task(
        _result("labels", {"start": 0, "end": 6, "text": "Berlin", "labels": ["City"]}, id="a"),
        _result("labels", {"start": 0.5, "end": 1.5, "labels": ["Siren"]}, id="b"),
        _result("textarea", {"start": 0.5, "end": 1.5, "text": ["hello"]}, id="c"),
        _result("textarea", {"text": ["All fine."]}, id="d", from_name="summary"),
        _result("videorectangle", {"sequence": [{**RECTANGLE, "frame": 3}], "labels": ["Car"]}, id="e"),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["near"]},
        _result("brushlabels", {"rle": [1], "brushlabels": ["Car"]}, id="f"),
    )
    result = read_label_studio(data, stream="s")
    kinds = [type(label) for label in result.annotations]
    assert sorted(kind.__name__ for kind in kinds) == sorted(
        kind.__name__ for kind in (EntitySpan, SoundEvent, TranscriptSegment, Summary, Track, Relation)
    )
    assert [item.what.split()[0] for item in result.dropped] == ["brushlabels"]


@needs_data
def test_rejected_and_predicted_labels_are_told_apart() -> None:
    data = (EXPORTS / REAL[0]).read_bytes()
    made = read_label_studio(data, stream="cam")
    assert len(made.annotations) == 3
    assert {label.attributes["review"] for label in made.annotations} == {"rejected"}
    assert made.annotations[0].author == Author(kind="human", id="user-1")
    predicted = read_label_studio(data, stream="cam", part="predictions")
    assert {label.author for label in predicted.annotations} == {
        Author(kind="model", id="label-studio", version="model 0")
    }
    assert not any(label.attributes for label in predicted.annotations)
    assert "predictions (2 times)" in {item.what for item in made.dropped}
    one = read_label_studio(data, stream="cam", image="x/0030019819f25b28.jpg")
    assert len(one.annotations) == 1


def test_a_cancelled_annotation_is_listed() -> None:
    result = read_label_studio(_task(_result("rectanglelabels", RECTANGLE), was_cancelled=True), stream="cam")
    assert not result.annotations
    assert [item.place for item in result.dropped] == ["/0/annotations/0"]


def test_percent_without_a_size_are_listed() -> None:
    result = {key: value for key, value in _result("rectanglelabels", RECTANGLE).items() if "original" not in key}
    assert "original_width" in read_label_studio(_task(result), stream="cam").dropped[0].why
    assert read_label_studio(_task(result), stream="cam", size_px=(10, 10)).annotations


@pytest.mark.parametrize("name", REAL)
@needs_data
def test_real_exports_survive(name: str) -> None:
    result = read_label_studio((EXPORTS / name).read_bytes(), stream="cam", source=name)
    assert result.annotations
    assert {item.place for item in result.dropped} <= {"/"}
    export = write_label_studio(result.annotations, images=result.streams[0].items)
    assert not export.dropped
    again = read_label_studio(export.data, stream="cam")
    assert again.annotations == result.annotations


@needs_data
def test_damaged_exports_are_refused_or_read() -> None:
    for name in REAL:
        data = (EXPORTS / name).read_bytes()
        assert only_concord_errors(data, lambda copy: read_label_studio(copy, stream="cam"), cuts=15, flips=40) > 10


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"[3]", "must be an object"),
        (b'[{"a": 1}]', "no Label Studio task"),
        (_task(_result("rectanglelabels", {"x": 1})), "/0/annotations/0/result/0/value: 'y' is missing"),
        (_task(_result("polygonlabels", {"points": [[1]]})), "must have 2 numbers"),
        (_task({**_result("labels", {}), "meta": {"concord": {"attributes": 3}}}), "must be an object"),
    ],
)
def test_a_fault_is_named_by_its_pointer(data: bytes, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        read_label_studio(data, stream="cam")
    with pytest.raises(ConcordError):
        read_label_studio(b"{", stream="cam")


@st.composite
def labels(draw: st.DrawFn) -> Annotation:
    common: dict[str, Any] = {
        "id": "x",
        "stream": "s",
        "label": draw(st.sampled_from(["Car", "é"])),
        "confidence": draw(st.sampled_from([None, 0.25])),
        "author": draw(st.sampled_from([None, Author(kind="human", id="u1", team="blue")])),
        "object_id": draw(st.sampled_from([None, "car-1"])),
        "attributes": draw(st.sampled_from([{}, {"review": "rejected"}, {"a": 1}])),
    }
    framed = {**common, "frame": draw(st.sampled_from([0, 2]))}
    x, y, w, h = (draw(st.floats(-500, 5_000)) for _ in range(4))
    times = {"start_s": x, "end_s": y}
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return Box(**framed, box=(x, y, x + abs(w) + 1, y + abs(h) + 1), occlusion=1, ignore=True)
    if kind == 1:
        return RotatedBox(
            **framed, center_px=(x, y), size_px=(abs(w) + 1, abs(h) + 1), angle_deg=draw(st.floats(-360, 360))
        )
    if kind == 2:
        return Polygon(**framed, points_px=((x, y), (x + 1, y), (w, h)))
    if kind == 3:
        return EntitySpan(**framed, start_char=1, end_char=3, text="ab")
    if kind == 4:
        return SoundEvent(**common, **times)
    if kind == 5:
        return TranscriptSegment(**{**common, "label": "speech"}, **times, text="hi")
    return Summary(**framed, text="all\nwell")


@given(st.lists(labels(), max_size=5))
def test_label_studio_is_read_back_as_it_was_read(given_labels: list[Annotation]) -> None:
    once = read_label_studio(write_label_studio(numbered(given_labels), size_px=(1_242, 375)).data, stream="s")
    export = write_label_studio(once.annotations, size_px=(1_242, 375))
    again = read_label_studio(export.data, stream="s")
    assert len(once.annotations) == len(given_labels)
    assert again.annotations == once.annotations
    assert (export.dropped, again.dropped) == ((), ())
