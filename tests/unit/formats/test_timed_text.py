from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SoundEvent, TranscriptSegment
from services.contracts.labels_visual import Event
from services.contracts.manifest import LabelFile, SampleManifest
from services.errors import InvalidInputError
from services.formats.importers import decoded
from services.formats.label_file import import_label_file, read_label_file
from services.formats.srt import read_srt, write_srt
from services.formats.textgrid import decode_textgrid, read_textgrid, write_textgrid
from services.formats.webvtt import read_webvtt, write_webvtt
from tests.unit.formats.samples import DATA, needs_data, numbered, only_concord_errors, segments, timed, without_ids

VTT = """\ufeffWEBVTT - Some title
Kind: captions

STYLE
::cue { color: red }

NOTE made by hand

intro
00:01.000 --> 00:02.500 align:start position:10%
<v Anna Lee>Good <i>morning</i> &amp; welcome</v>
<v.loud Bert>Hi</v>

01:00:00.000 --> 01:00:01.000
<lang en-GB>one<01:00:00.500><c> two</c></lang>

no times here

00:05.000 --> 00:06.000
"""
SRT = """1
00:00:01,000 --> 00:00:02,500
Good <i>morning</i>

and more

7
00:00:03.250 --> 00:00:04,000 X1:10 X2:20
{\\an8}42

00:00:05,000 --> 00:00:06,000
last
"""


def _segments(labels: tuple[Annotation, ...]) -> list[TranscriptSegment]:
    found = [label for label in labels if isinstance(label, TranscriptSegment)]
    assert len(found) == len(labels)
    return found


def test_webvtt_cues_become_segments_a_voice() -> None:
    author = Author(kind="human", id="u1")
    result = read_webvtt(VTT, stream="call", author=author)
    anna, bert, words, silent = _segments(result.annotations)
    assert (anna.start_s, anna.end_s, anna.text, anna.speaker) == (1.0, 2.5, "Good morning & welcome", "Anna_Lee")
    assert anna.attributes == {"cue_id": "intro", "settings": "align:start position:10%", "voice": "Anna Lee"}
    assert (bert.text, bert.speaker, bert.author) == ("Hi", "Bert", author)
    assert (words.text, words.language) == ("one two", "en-GB")
    assert [(word.text, word.start_s, word.end_s) for word in words.words] == [
        ("one", 3_600.0, 3_600.5),
        ("two", 3_600.5, 3_601.0),
    ]
    assert silent.text == ""
    assert [(item.place, item.what) for item in result.dropped] == [
        ("line 1", "- Some title"),
        ("line 2", "Kind: captions"),
        ("line 4", "STYLE ::cue { color: red }"),
        ("line 7", "NOTE made by hand"),
        ("line 10", "<i> <v.loud>"),
        ("line 14", "<c>"),
        ("line 17", "no times here"),
    ]


def test_srt_cues_keep_empty_lines_and_need_no_numbers() -> None:
    result = read_srt(SRT, stream="call")
    first, second, last = _segments(result.annotations)
    assert (first.text, first.start_s, first.end_s) == ("Good morning\n\nand more", 1.0, 2.5)
    assert (second.text, second.start_s, second.attributes) == ("42", 3.25, {"position": "X1:10 X2:20"})
    assert last.text == "last"
    assert [item.what for item in result.dropped] == ["<i> </i>", "{\\an8}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("WEBVTTX\n", 1),
        ("WEBVTT\n\n00:61.000 --> 00:62.000\nx", 3),
        ("WEBVTT\n\n00:01 --> 00:02\nx", 3),
        ("WEBVTT\r\rid\rabc --> d\rx", 4),
    ],
)
def test_bad_webvtt_is_named_by_its_line(text: str, line: int) -> None:
    with pytest.raises(InvalidInputError, match=f"line {line} ") as error:
        read_webvtt(text, stream="s")
    assert error.value.places[0][0] == f"/line/{line}"


def test_bad_srt_is_named_by_its_line() -> None:
    with pytest.raises(InvalidInputError, match=r"SRT line 2 .*write it as 00:01:02,345"):
        read_srt("1\n00:00:01,000 --> then\nx", stream="s")
    with pytest.raises(InvalidInputError, match=r"SRT line 1 .*no time span"):
        read_srt("just text", stream="s")
    assert read_srt("", stream="s").annotations == ()


@given(st.lists(segments(), max_size=4))
def test_webvtt_is_read_back_as_it_was_read(labels: list[TranscriptSegment]) -> None:
    once = read_webvtt(write_webvtt(numbered(labels)).text, stream="s")
    export = write_webvtt(once.annotations)
    again = read_webvtt(export.text, stream="s")
    assert again.annotations == once.annotations
    assert (once.dropped, again.dropped, export.dropped) == ((), (), ())


@given(st.lists(segments(), max_size=4))
def test_srt_is_read_back_as_it_was_read(labels: list[TranscriptSegment]) -> None:
    once = read_srt(write_srt(numbered(labels)).text, stream="s")
    export = write_srt(once.annotations)
    again = read_srt(export.text, stream="s")
    assert again.annotations == once.annotations
    assert (once.dropped, again.dropped, export.dropped) == ((), (), ())


@given(st.lists(st.one_of(segments(), timed()), max_size=5))
def test_textgrid_is_read_back_as_it_was_read(labels: list[Annotation]) -> None:
    once = read_textgrid(write_textgrid(numbered(labels)).text, stream="s")
    export = write_textgrid(once.annotations)
    again = read_textgrid(export.text, stream="s")
    assert without_ids(again.annotations) == without_ids(once.annotations)
    assert (once.dropped, again.dropped, export.dropped) == ((), (), ())


@given(segments())
def test_what_a_caption_file_loses_is_listed(label: TranscriptSegment) -> None:
    for write, read in ((write_webvtt, read_webvtt), (write_srt, read_srt), (write_textgrid, read_textgrid)):
        export = write([label])
        again = read(export.text, stream="s").annotations
        if not export.dropped and not (write is write_textgrid and "tier" not in label.attributes):
            assert without_ids(again) == without_ids([label])
        assert len(again) == 1 or export.dropped


@pytest.mark.parametrize("name", ["bobby_phones", "bobby_words", "damon_set_test", "mary", "mary_misaligned"])
@needs_data
def test_real_textgrids_survive(name: str) -> None:
    data = (DATA / f"praatio/examples/files/{name}.TextGrid").read_bytes()
    result = read_textgrid(decode_textgrid(data), stream="audio")
    assert result.annotations
    assert not result.dropped
    (stream,) = result.streams
    again = read_textgrid(write_textgrid(result.annotations, duration_s=stream.duration_s).text, stream="audio")
    assert without_ids(again.annotations) == without_ids(result.annotations)
    assert again.streams == result.streams
    assert read_textgrid(decode_textgrid(data.decode().encode("utf-16")), stream="audio") == result


@needs_data
def test_tiers_of_words_are_text_and_tiers_of_phones_are_sounds() -> None:
    text = (DATA / "praatio/examples/files/mary.TextGrid").read_text()
    labels = read_textgrid(text, stream="audio").annotations
    spoken = [label.text for label in labels if isinstance(label, TranscriptSegment) and not label.speaker]
    assert spoken[:3] == ["mary", "rolled", "the"]
    phones = [label for label in labels if isinstance(label, SoundEvent)]
    assert {label.attributes["tier"] for label in phones} == {"phone"}
    assert (phones[0].label, phones[0].start_s) == ("m", 0.3154201182247563)


def test_points_speakers_and_overlaps_have_their_tiers() -> None:
    labels: list[Annotation] = [
        TranscriptSegment(id="a", stream="s", text='say "hi"', speaker="Anna", start_s=0, end_s=2),
        TranscriptSegment(id="b", stream="s", text="both", speaker="Anna", start_s=1, end_s=3),
        Event(id="c", stream="s", label="bell", phase="moment", start_s=1.5, end_s=1.5),
        SoundEvent(id="d", stream="s", label="door", start_s=1.5, end_s=1.5),
    ]
    export = write_textgrid(labels, duration_s=4)
    assert [(item.place, item.what) for item in export.dropped] == [("d", "sound_event")]
    result = read_textgrid(export.text, stream="s")
    said = [label for label in result.annotations if isinstance(label, TranscriptSegment)]
    assert [(label.text, label.speaker) for label in said] == [('say "hi"', "Anna"), ("both", "Anna")]
    assert [label.label for label in result.annotations if isinstance(label, Event)] == ["bell"]
    assert result.streams[0].duration_s == 4


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"TextGrid"', '"Sound"', "line 2 .*first lines"),
        ("0\n4.0", "0\nlong", r"line 5 .*instead of|line \d+ .*instead of"),
        ('"IntervalTier"', '"PitchTier"', "PitchTier"),
        ('"Anna"', '"Anna', "closed|close|instead of"),
        ("2.0", "1e300", "seconds from"),
    ],
)
def test_a_broken_textgrid_is_named_by_its_line(old: str, new: str, what: str) -> None:
    label = TranscriptSegment(id="a", stream="s", text="hi", speaker="Anna", start_s=0, end_s=2)
    text = write_textgrid([label], duration_s=4.0).text
    assert old in text
    with pytest.raises(InvalidInputError, match=what):
        read_textgrid(text.replace(old, new), stream="s")
    with pytest.raises(InvalidInputError, match="cut off"):
        read_textgrid(text[:-12], stream="s")
    with pytest.raises(InvalidInputError, match="binary"):
        decode_textgrid(b"ooBinaryFile\x08TextGrid")


def test_damaged_captions_are_refused_or_read() -> None:
    only_concord_errors(VTT.encode(), lambda data: read_webvtt(decoded(data, "a.vtt"), stream="s"))
    only_concord_errors(SRT.encode(), lambda data: read_srt(decoded(data, "a.srt"), stream="s"))


@needs_data
def test_damaged_textgrids_are_refused_or_read() -> None:
    for path in (DATA / "praatio/examples/files").glob("*.TextGrid"):
        data = path.read_bytes()
        assert only_concord_errors(data, lambda copy: read_textgrid(decode_textgrid(copy), stream="s")) > 20


def test_a_manifests_caption_files_are_read() -> None:
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "a",
            "project": "p",
            "streams": [{"id": "call", "modality": "audio"}],
        }
    )
    labels = read_label_file(LabelFile(format="webvtt", uri="a.vtt", stream="call"), manifest, VTT.encode())
    assert len(labels) == 4
    assert labels[0].author == Author(kind="importer", id="webvtt")
    result = import_label_file(LabelFile(format="srt", uri="a.srt", stream="call"), manifest, SRT.encode())
    assert (len(result.annotations), len(result.dropped)) == (3, 2)
    rttm = b";; by hand\nSPKR-INFO call 1 <NA> <NA> <NA> unknown a <NA>\nSPEAKER call 1 1 2 <NA> <NA> anna <NA> <NA>\n"
    turns = import_label_file(LabelFile(format="rttm", uri="a.rttm", stream="call"), manifest, rttm)
    assert (len(turns.annotations), [item.place for item in turns.dropped]) == (1, ["line 2"])
