from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.labels_visual import (
    Box,
    ImageClassification,
    Keypoint,
    Keypoints,
    Polygon,
    RotatedBox,
    Track,
    TrackBox,
)
from services.contracts.manifest import LabelFile, SampleManifest
from services.errors import InvalidInputError
from services.formats.cvat import image_names, read_cvat
from services.formats.cvat_writer import write_cvat
from services.formats.label_file import read_label_file
from tests.unit.formats.samples import TEXT, numbered, only_concord_errors, without_ids

IMAGES = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><labels><label><name>car</name></label></labels></task></meta>
  <image id="0" name="train/a.jpg" width="1280" height="720">
    <box label="car" source="manual" occluded="1" xtl="10.5" ytl="20" xbr="30" ybr="40" z_order="0">
      <attribute name="colour">red &amp; blue</attribute>
    </box>
    <box label="car" occluded="0" xtl="10" ytl="20" xbr="30" ybr="60" rotation="30" z_order="1"></box>
    <polygon label="road" occluded="0" points="1,2;3,4;5,6.5" z_order="0"></polygon>
    <mask label="sky" rle="1,2" left="0" top="0" width="3" height="1"></mask>
    <tag label="rain" source="manual"></tag>
  </image>
  <image id="1" name="b.jpg" width="1280" height="720">
    <points label="face" points="1,2;3,4"></points>
    <box label="car" xtl="30" ytl="20" xbr="10" ybr="40"></box>
  </image>
</annotations>
"""
VIDEO = b"""<annotations>
  <track id="7" label="car" source="manual">
    <box frame="0" outside="0" occluded="1" keyframe="1" xtl="1" ytl="2" xbr="3" ybr="4">
      <attribute name="plate">AB</attribute>
    </box>
    <box frame="1" outside="0" occluded="0" keyframe="0" xtl="2" ytl="2" xbr="4" ybr="4">
      <attribute name="plate">CD</attribute>
    </box>
    <box frame="2" outside="1" occluded="0" keyframe="1" xtl="2" ytl="2" xbr="4" ybr="4"></box>
  </track>
  <track id="8" label="lane"><polygon frame="3" outside="0" occluded="0" points="1,2;3,4;5,6"></polygon></track>
</annotations>
"""


def test_shapes_of_images_are_read() -> None:
    result = read_cvat(IMAGES, stream="cam")
    box, turned, polygon, tag, points = result.annotations
    assert isinstance(box, Box)
    assert (box.box, box.label, box.frame, box.occlusion) == ((10.5, 20, 30, 40), "car", 0, 1)
    assert box.attributes == {"source": "manual", "z_order": "0", "colour": "red & blue"}
    assert isinstance(turned, RotatedBox)
    assert [*turned.center_px, *turned.size_px, turned.angle_deg] == [20, 40, 20, 40, 30]
    assert isinstance(polygon, Polygon)
    assert list(polygon.points_px) == [(1, 2), (3, 4), (5, 6.5)]
    assert isinstance(tag, ImageClassification)
    assert tag.label == "rain"
    assert isinstance(points, Keypoints)
    assert points.frame == 1
    assert [(item.place, item.what) for item in result.dropped] == [("line 16", "<box>"), ("*", "<mask>")]
    assert [(item.frame, item.uri, item.size_px) for item in result.streams[0].items] == [
        (0, "train/a.jpg", (1280, 720)),
        (1, "b.jpg", (1280, 720)),
    ]


def test_a_track_is_one_label_without_the_frames_outside() -> None:
    result = read_cvat(VIDEO, stream="cam")
    track, polygon = result.annotations
    assert isinstance(track, Track)
    assert (track.object_id, track.attributes) == ("track-7", {"plate": "AB", "source": "manual"})
    assert [(box.frame, box.keyframe, box.occlusion) for box in track.boxes] == [(0, True, 1), (1, False, 0)]
    assert isinstance(polygon, Polygon)
    assert (polygon.object_id, polygon.frame, polygon.label) == ("track-8", 3, "lane")
    assert [item.what for item in result.dropped] == ["plate of single frames"]


def test_a_manifests_cvat_file_gives_the_labels_of_its_image() -> None:
    assert list(image_names(IMAGES)) == ["train/a.jpg", "b.jpg"]
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "a",
            "project": "p",
            "streams": [{"id": "cam", "modality": "image", "uri": "images/b.jpg"}],
        }
    )
    (points,) = read_label_file(LabelFile(format="cvat", uri="a.xml", stream="cam"), manifest, IMAGES)
    assert (points.type, points.frame) == ("keypoints", 0)
    assert [label.frame for label in read_cvat(IMAGES, stream="cam", frames=(1, 1)).annotations] == [0]
    with pytest.raises(InvalidInputError, match="no image"):
        read_cvat(IMAGES, stream="cam", image="c.jpg")


BOMB = b"""<!DOCTYPE annotations [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>"""


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (BOMB, "line 1: a document type or entity is declared"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotations/>', "document type"),
        (b"<annotation/>", "it must be <annotations>"),
        (b"", "line 1: no element found"),
        (IMAGES.replace(b'xtl="10.5" ', b""), "line 6, <box>: the attribute 'xtl' is missing"),
        (IMAGES.replace(b"10.5", b"wide"), "line 6, <box>: xtl must be a number, got 'wide'"),
        (IMAGES.replace(b"10.5", b"nan"), "finite"),
        (IMAGES.replace(b"1,2;3,4;5,6.5", b"1,2;3"), "line 10, <polygon>: points must be x,y;x,y"),
        (IMAGES.replace(b"</image>", b"", 1), "mismatched tag"),
        (b"<annotations>" + b"<a>" * 50, "nested deeper"),
        (VIDEO.replace(b'frame="1"', b'frame="1.5"'), "frame must be a whole number"),
    ],
)
def test_a_fault_is_named_by_its_line(data: bytes, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        read_cvat(data, stream="cam")


def test_damaged_documents_are_refused_or_read() -> None:
    for data in (IMAGES, VIDEO):
        assert only_concord_errors(data, lambda copy: read_cvat(copy, stream="cam"), flips=200) > 60


@st.composite
def labels(draw: st.DrawFn) -> Annotation:
    x, y, w, h = (draw(st.floats(-1e4, 1e4)) for _ in range(4))
    common: dict[str, Any] = {
        "id": "x",
        "stream": "s",
        "label": draw(TEXT.filter(bool)),
        "attributes": draw(
            st.dictionaries(st.sampled_from(["source", "a b", "<&'\">"]), st.one_of(TEXT, st.integers(0, 9)))
        ),
    }
    kind = draw(st.integers(0, 5))
    if kind == 0:
        steps = tuple(
            TrackBox(frame=frame, box=(x, y, x + abs(w) + 1, y + abs(h) + 1), keyframe=draw(st.booleans()), occlusion=1)
            for frame in (0, 4)
        )
        return Track(**common, object_id=draw(st.sampled_from(["track-1", "track-2", "car"])), boxes=steps)
    common["frame"] = draw(st.sampled_from([None, 0, 2]))
    if kind == 1:
        return ImageClassification(**common)
    common["occlusion"] = draw(st.sampled_from([None, 0, 1, 2]))
    if kind == 2:
        return Box(**common, box=(x, y, x + abs(w) + 1, y + abs(h) + 1))
    if kind == 3:
        return RotatedBox(
            **common, center_px=(x, y), size_px=(abs(w) + 1, abs(h) + 1), angle_deg=draw(st.floats(-360, 360))
        )
    if kind == 4:
        return Polygon(**common, points_px=((x, y), (x + 1, y), (w, h)))
    return Keypoints(**common, keypoints=(Keypoint(name="point-1", x_px=x, y_px=y),))


@given(st.lists(labels(), max_size=5))
def test_cvat_is_read_back_as_it_was_read(given_labels: list[Annotation]) -> None:
    first = write_cvat(numbered(given_labels))
    once = read_cvat(first.data, stream="s")
    whole = sum(item.why.startswith("it has control characters") for item in first.dropped)
    assert len(once.annotations) + len(once.dropped) == len(given_labels) - whole
    export = write_cvat(once.annotations)
    again = read_cvat(export.data, stream="s")
    assert {item.what for item in export.dropped} <= {"center_px, size_px"}
    if not export.dropped:
        assert without_ids(again.annotations) == without_ids(once.annotations)
