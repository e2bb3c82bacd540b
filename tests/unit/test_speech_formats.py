from __future__ import annotations

from pathlib import Path

import pytest

from infra.storage.call_folder import iter_manifests
from services.contracts.label_base import Author
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.errors import InvalidInputError
from services.formats.rttm import parse_rttm, write_rttm
from services.formats.stm import parse_stm
from tests.unit.spoken_calls import DATA, needs_call

RTTM = """;; a comment
SPKR-INFO call 1 <NA> <NA> <NA> unknown anna <NA>
SPEAKER call 1 6.690 0.430 <NA> <NA> anna <NA> <NA>
SPEAKER call 1 7.550 0.800 <NA> <NA> bert 0.9
"""
STM = """;; a comment
call 1 Diane 6.68 7.16 <o,f0,female> Hello?
call 1 inter_segment_gap 7.16 7.5 IGNORE_TIME_SEGMENT_IN_SCORING

call 1 Sheila 7.634 8.155 Hello you.
call 1 Sheila 8.2 8.4
"""


def test_turns_of_an_rttm_document_are_read() -> None:
    author = Author(kind="model", id="diarizer", version="2")
    first, second = parse_rttm(RTTM, stream="audio", author=author)
    assert isinstance(first, SpeakerTurn)
    assert isinstance(second, SpeakerTurn)
    assert (first.start_s, first.end_s, first.speaker, first.confidence) == (6.69, 7.12, "anna", None)
    assert (second.start_s, second.end_s, second.speaker, second.confidence) == (7.55, 8.35, "bert", 0.9)
    assert first.author == author
    assert first.id != second.id


def test_rttm_survives_reading_and_writing() -> None:
    turns = parse_rttm(RTTM, stream="audio")
    again = parse_rttm(write_rttm(turns, recording="call"), stream="audio")
    assert [t.model_dump(exclude={"id"}) for t in again] == [t.model_dump(exclude={"id"}) for t in turns]


def test_a_recording_name_with_spaces_can_not_be_written() -> None:
    with pytest.raises(InvalidInputError, match="without spaces"):
        write_rttm((), recording="two words")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("SPEAKER call 1 abc 0.4 <NA> <NA> anna <NA>", "onset"),
        ("SPEAKER call 1 nan 0.4 <NA> <NA> anna <NA>", "onset"),
        ("SPEAKER call 1 1.0 inf <NA> <NA> anna <NA>", "duration"),
        ("SPEAKER call 1 1.0 0.4 <NA>", "fields"),
        ("SPEAKER call 1 1.0 0.4 <NA> <NA> anna 7", "confidence"),
        ("SPEAKER call 1 1.0 0.4 <NA> <NA> ??? <NA>", "speaker"),
        ("TURN call 1 1.0 0.4 <NA> <NA> anna <NA>", "SPEAKER"),
        ("SPEAKER other 1 1.0 0.4 <NA> <NA> anna <NA>", "split"),
    ],
)
def test_a_bad_rttm_line_is_named_with_what_to_change(line: str, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what) as error:
        parse_rttm(RTTM + line, stream="audio")
    assert "line 5" in error.value.detail
    assert error.value.places[0][0] == "/line/5"


def test_one_recording_of_several_can_be_chosen() -> None:
    both = RTTM + RTTM.replace(" call ", " other ")
    assert len(parse_rttm(both, stream="audio", recording="other")) == 2
    assert len(parse_stm(STM + STM.replace("call ", "other "), stream="audio", recording="call")) == 3


def test_segments_of_an_stm_document_are_read() -> None:
    first, second, empty = parse_stm(STM, stream="audio")
    assert isinstance(first, TranscriptSegment)
    assert isinstance(second, TranscriptSegment)
    assert isinstance(empty, TranscriptSegment)
    assert (first.speaker, first.start_s, first.end_s, first.text) == ("Diane", 6.68, 7.16, "Hello?")
    assert first.attributes == {"stm_label": "o,f0,female"}
    assert second.text == "Hello you."
    assert empty.text == ""


def test_an_end_before_its_start_is_read_and_left_to_the_checks() -> None:
    (item,) = parse_stm("call 1 A 5.0 4.0 text", stream="audio")
    assert isinstance(item, TranscriptSegment)
    assert item.end_s < item.start_s


@pytest.mark.parametrize(
    ("line", "what"), [("call 1 A 1.0", "fields"), ("call 1 A one 2 text", "begin"), ("x 1 A 1 2 text", "split")]
)
def test_a_bad_stm_line_is_named_with_what_to_change(line: str, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what) as error:
        parse_stm(STM + line, stream="audio")
    assert "line 7" in error.value.detail


@needs_call
def test_a_folder_of_calls_becomes_manifests() -> None:
    (manifest,) = iter_manifests(DATA / "pyannote_call", "calls")
    assert manifest.sample_id == "call-sample"
    assert (manifest.context.region, manifest.context.product, manifest.context.risk) == ("US", "call", "low")
    (stream,) = manifest.streams
    assert stream.uri is not None
    assert stream.uri.startswith("file:///")
    assert stream.sha256 is not None
    assert sum(isinstance(label, SpeakerTurn) for label in manifest.annotations) == 10
    assert sum(isinstance(label, TranscriptSegment) for label in manifest.annotations) == 13


def test_a_recording_without_labels_is_left_out_and_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    assert list(iter_manifests(tmp_path, "calls")) == []
    (tmp_path / "a.rttm").write_text("nonsense")
    with pytest.raises(InvalidInputError, match=r"a\.rttm: RTTM line 1"):
        list(iter_manifests(tmp_path, "calls"))
    (tmp_path / "a.rttm").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        list(iter_manifests(tmp_path, "calls"))
    with pytest.raises(InvalidInputError, match="there is no folder"):
        list(iter_manifests(tmp_path / "missing", "calls"))
