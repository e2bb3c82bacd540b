from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.labels_visual import Box, Track, TrackBox
from services.errors import InvalidInputError
from services.formats.mot import Role, export_mot, read_mot, write_mot

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mot_motmetrics" / "TUD-Campus"


def test_nine_columns_give_class_visibility_and_ignore() -> None:
    one, two = read_mot("1,2,10,20,30.5,40,1,3,0.5\n\n2,2,11,20,30,40,0,13,0\n", stream="video")
    assert isinstance(one, Box)
    assert isinstance(two, Box)
    assert (one.frame, one.object_id, one.label, one.occlusion, one.ignore) == (0, "track-2", "car", 1, False)
    assert one.box == (10.0, 20.0, 40.5, 60.0)
    assert (two.frame, two.label, two.occlusion, two.ignore) == (1, "crowd", 2, True)


def test_tracker_scores_become_confidence_or_attribute_and_id_minus_one_is_no_identity() -> None:
    text = "1 -1 10 20 30 40 0.9 -1 -1 -1\n1,4,10,20,30,40,17.5,-1,-1,-1\n1,5,10,20,30,40,-1,1.5,2,3"
    sure, logit, world = read_mot(text, stream="video", role="prediction")
    assert (sure.object_id, sure.confidence) == (None, 0.9)
    assert (logit.confidence, logit.attributes) == (None, {"score": 17.5})
    assert world.attributes == {"mot_x": 1.5, "mot_y": 2.0, "mot_z": 3.0}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3", "3 columns"),
        ("0,1,1,1,5,5,1,-1,-1,-1", "frames count from 1"),
        ("1.5,1,1,1,5,5,1,-1,-1,-1", "whole number"),
        ("1,-7,1,1,5,5,1,-1,-1,-1", "the id is -7"),
        ("1,1,1,1,0,5,1,-1,-1,-1", "above 0"),
        ("1,1,nan,1,5,5,1,-1,-1,-1", "finite"),
        ("1,1,x,1,5,5,1,-1,-1,-1", "'x'"),
        ("1,1,1,1,5,5,1,77,0.5", "class is 77"),
        ("1,1,1,1,5,5,1,1,1.5", "visibility is 1.5"),
        ("1,1,1,1,5,5,1,,", "column 8"),
        ("1,1,999999999,1,1e-9,5,1,-1,-1,-1", "x_min < x_max"),
        ("300000000,1,1,1,5,5,1,-1,-1,-1", "frame"),
    ],
)
def test_a_bad_line_is_named_with_what_to_change(line: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=r"gt\.txt, line 2") as caught:
        read_mot("1,1,1,1,5,5,1,-1,-1,-1\n" + line, stream="video", source="gt.txt")
    assert reason in str(caught.value)


def test_frames_are_cut_out_and_rebased() -> None:
    text = "".join(f"{frame},1,1,1,5,5,1,-1,-1,-1\n" for frame in range(1, 11))
    assert [box.frame for box in read_mot(text, stream="video", frames=(3, 5))] == [0, 1, 2]


def test_tracks_are_written_and_losses_are_listed() -> None:
    track = Track(
        id="t", stream="video", label="car", object_id="red-car",
        boxes=(TrackBox(frame=0, box=(0, 0, 5, 5)), TrackBox(frame=1, box=(1, 0, 6, 5), truncation=0.5)),
    )  # fmt: skip
    assert write_mot([track], stream="video") == "1,1,0,0,5,5,1,-1,-1,-1\n2,1,1,0,5,5,1,-1,-1,-1\n"
    dropped = export_mot([track], stream="video").dropped
    assert [(lost.place, lost.what) for lost in dropped] == [
        ("t", "label"), ("t", "object_id"), ("t", "truncation of frame 1"), ("t", "type, keyframe"),
    ]  # fmt: skip
    assert [lost.what for lost in export_mot([track], stream="other").dropped] == ["track"]


@pytest.mark.skipif(not DATA.exists(), reason="needs the shared data beside the checkout")
@pytest.mark.parametrize(("name", "role"), [("gt.txt", "annotation"), ("test.txt", "prediction")])
def test_real_files_survive_import_export_import(name: str, role: Role) -> None:
    text = (DATA / name).read_text()
    labels = read_mot(text, stream="video", role=role)
    again = read_mot(write_mot(labels, stream="video", role=role), stream="video", role=role)
    key = [(a.frame, a.object_id, a.box, a.confidence) for a in labels if isinstance(a, Box)]
    assert sorted(key, key=repr) == sorted(
        ((a.frame, a.object_id, a.box, a.confidence) for a in again if isinstance(a, Box)), key=repr
    )
    assert len(labels) == len(text.splitlines())
    if role == "annotation":
        export = export_mot(labels, stream="video")
        assert export.dropped == ()
        assert read_mot(export.text, stream="video") == labels


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        read_mot(text, stream="video")


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(-1, 9), st.floats(-500, 500), st.floats(0.01, 900), st.floats(0, 1)),
        max_size=20,
    )
)
def test_import_export_import_gives_the_same_labels(
    rows: list[tuple[int, int, float, float, float]],
) -> None:
    text = "".join(f"{f},{i},{x:.4f},{x:.4f},{w:.4f},{w:.4f},1,3,{v:.4f}\n" for f, i, x, w, v in rows)
    labels = read_mot(text, stream="video")
    written = write_mot(labels, stream="video")
    again = read_mot(written, stream="video")
    assert write_mot(again, stream="video") == written
    key = sorted(a.model_dump_json(exclude={"id"}) for a in labels)
    assert sorted(a.model_dump_json(exclude={"id"}) for a in again) == key
