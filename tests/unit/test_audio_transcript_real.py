from __future__ import annotations

import json

import pytest
import soundfile

from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import AudioData
from services.alignment.speech_activity import HOP_S, detect_speech, runs_of
from services.contracts.annotations import Annotation
from services.contracts.labels_language import TranscriptSegment
from services.rules.audio_transcript import SpeechActivityRules
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.spoken_calls import (
    DATA,
    Call,
    kinds,
    manifest_of,
    moved,
    needs_call,
    needs_praatio,
    needs_sentences,
    real_call,
    segment,
)


@pytest.fixture(scope="module")
def call() -> Call:
    return real_call()


@needs_call
def test_the_recorded_call_with_its_own_labels_has_no_finding(call: Call) -> None:
    outcome = check_audio_transcript(call.sample(call.manifest.annotations), DEFAULT_RULE_SET)
    assert outcome.findings == ()
    assert outcome.not_applicable == ()


@needs_call
@pytest.mark.parametrize("offset_s", [1.5, -1.5, 0.5, -0.5, 1.0, 3.0, -3.0, 8.0])
def test_a_shift_of_the_recorded_call_is_one_offset_within_a_tenth_of_a_second(call: Call, offset_s: float) -> None:
    outcome = check_audio_transcript(call.sample([*moved(call.segments, offset_s), *call.turns]), DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert finding.kind == "offset"
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(offset_s, abs=0.1)


@needs_call
def test_every_removed_segment_but_the_shortest_is_untranscribed_speech(call: Call) -> None:
    for lost in call.segments:
        rest: list[Annotation] = [item for item in call.segments if item is not lost]
        outcome = check_audio_transcript(call.sample(rest), DEFAULT_RULE_SET)
        found = [finding for finding in outcome.findings if finding.kind == "speech_untranscribed"]
        assert len(outcome.findings) == len(found)
        assert len(found) == 1 or lost.end_s - lost.start_s < 0.5
        assert all(finding.severity == "major" for finding in found) or lost.end_s - lost.start_s < 1.2


@needs_call
def test_a_segment_over_the_silence_before_the_call_is_found(call: Call) -> None:
    added = segment("x", 3.0, 5.0, "this was never said", "Diane")
    outcome = check_audio_transcript(call.sample([*call.manifest.annotations, added]), DEFAULT_RULE_SET)
    assert kinds(outcome.findings) == ["text_over_silence"]
    assert outcome.findings[0].annotations == ("x",)


@needs_call
def test_an_exchanged_speaker_is_found_though_the_turns_use_other_names(call: Call) -> None:
    item = call.segments[5]
    other = item.model_copy(update={"speaker": "Sheila" if item.speaker == "Diane" else "Diane"})
    labels = [other if label.id == item.id else label for label in call.manifest.annotations]
    outcome = check_audio_transcript(call.sample(labels), DEFAULT_RULE_SET)
    assert kinds(outcome.findings) == ["speaker_mismatch"]


@needs_praatio
@pytest.mark.parametrize(
    ("name", "start_s", "end_s", "text"),
    [("mary", 0.315, 1.518, "mary rolled the barrel")],
)
def test_a_short_recording_with_its_words_has_no_finding(name: str, start_s: float, end_s: float, text: str) -> None:
    samples, rate_hz = soundfile.read(DATA / f"praatio/examples/files/{name}.wav", dtype="float32")
    labels = (segment("s", start_s, end_s, text),)
    call = Call(manifest_of(), AudioData(samples, rate_hz), labels)
    assert check_audio_transcript(call.sample(labels), DEFAULT_RULE_SET).findings == ()


@needs_sentences
def test_sentences_over_their_whole_files_have_no_finding() -> None:
    folder = DATA / "speechbrain_samples/tests/samples"
    entries = json.loads((folder / "annotation/ASR_train.json").read_text())
    checked = 0
    for path in sorted((folder / "ASR").glob("*.wav")):
        samples, rate_hz = soundfile.read(path, dtype="float32")
        text = entries.get(path.stem, {}).get("wrd", "some words that were said here")
        labels: tuple[TranscriptSegment, ...] = (segment("s", 0.0, len(samples) / rate_hz, text),)
        call = Call(manifest_of(), AudioData(samples, rate_hz), labels)
        assert check_audio_transcript(call.sample(labels), DEFAULT_RULE_SET).findings == ()
        checked += 1
    assert checked >= 10


@needs_sentences
def test_speech_is_heard_where_people_marked_it() -> None:
    folder = DATA / "speechbrain_samples/tests/samples"
    samples, rate_hz = soundfile.read(folder / "VAD/valid.wav", dtype="float32")
    activity = detect_speech(AudioData(samples, rate_hz), SpeechActivityRules())
    marked = [(0.38, 2.7), (4.1, 5.88)]  # the file's own annotation
    starts, ends = runs_of(activity.active)
    heard = [(start * HOP_S, end * HOP_S) for start, end in zip(starts, ends, strict=True)]
    for start_s, end_s in marked:
        assert any(abs(a - start_s) < 0.1 and abs(b - end_s) < 0.1 for a, b in heard)
