from __future__ import annotations

import numpy as np
import pytest

from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import AudioData, CheckSample
from services.alignment.time_fault_finding import apply_time_shift
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.labels_language import SoundEvent, TranscriptSegment, Word
from services.contracts.manifest import Stream
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.spoken_calls import Call, by_author, kinds, made_call, manifest_of, moved, segment


@pytest.fixture(scope="module")
def call() -> Call:
    return made_call(3)


def found(call: Call, annotations: object, rules: RuleSet = DEFAULT_RULE_SET) -> tuple[Finding, ...]:
    assert isinstance(annotations, list | tuple)
    return check_audio_transcript(call.sample(annotations), rules).findings


def with_rules(**changes: object) -> RuleSet:
    rules = AudioTranscriptRules.model_validate(changes)
    return DEFAULT_RULE_SET.model_copy(update={"audio_transcript": rules})


def long_segment(call: Call) -> TranscriptSegment:
    return next(item for item in call.segments[2:-2] if item.end_s - item.start_s > 2.0)


def test_a_transcript_that_fits_has_no_finding(call: Call) -> None:
    outcome = check_audio_transcript(call.sample([*call.segments, *call.turns]), DEFAULT_RULE_SET)
    assert outcome.findings == ()
    assert outcome.folded == ()
    assert outcome.not_applicable == ()


@pytest.mark.parametrize("offset_s", [1.5, -1.5, 0.5, 3.0])
def test_a_shifted_transcript_is_one_offset_that_explains_its_symptoms(call: Call, offset_s: float) -> None:
    outcome = check_audio_transcript(call.sample([*moved(call.segments, offset_s), *call.turns]), DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert finding.kind == "offset"
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(offset_s, abs=0.1)
    assert finding.cause is not None
    assert finding.cause.estimate["offset_s"] == pytest.approx(offset_s, abs=0.1)
    assert set(finding.explains) == {symptom.finding_id for symptom in outcome.folded}
    assert set(finding.annotations) == {item.id for item in call.segments}


def test_the_suggested_movement_removes_the_offset_and_leaves_the_turns_alone(call: Call) -> None:
    annotations: list[Annotation] = [*moved(call.segments, 1.5), *call.turns]
    (finding,) = found(call, annotations)
    assert finding.suggestion is not None
    shift = finding.suggestion.time_shift
    assert shift is not None
    assert shift.types == ("transcript_segment",)
    repaired = apply_time_shift(annotations, shift)
    assert found(call, repaired) == ()
    assert all(item in repaired for item in call.turns)


def test_segments_and_turns_shifted_together_are_one_offset_of_the_whole_stream(call: Call) -> None:
    late = [item.model_copy(update={"start_s": item.start_s + 2, "end_s": item.end_s + 2}) for item in call.turns]
    (finding,) = found(call, [*moved(call.segments, 2.0), *late])
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    assert finding.suggestion.time_shift.types == ()


def test_turns_shifted_alone_are_reported_as_the_turns_offset(call: Call) -> None:
    late = [item.model_copy(update={"start_s": item.start_s + 2, "end_s": item.end_s + 2}) for item in call.turns]
    (finding,) = found(call, [*call.segments, *late])
    assert finding.kind == "offset"
    assert set(finding.annotations) == {item.id for item in call.turns}
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    assert finding.suggestion.time_shift.types == ("speaker_turn",)


@pytest.mark.parametrize(("offset_s", "drift"), [(0.0, 0.01), (1.0, -0.02), (-0.5, 0.005), (0.0, 0.03)])
def test_a_drifting_clock_is_told_from_a_shift(offset_s: float, drift: float) -> None:
    call = made_call(11, seconds=150)
    annotations = moved(call.segments, offset_s, drift)
    (finding,) = found(call, annotations)
    assert finding.kind == "drift"
    assert finding.cause is not None
    assert finding.cause.estimate["offset_s"] == pytest.approx(offset_s, abs=0.15)
    assert finding.cause.estimate["drift_ppm"] == pytest.approx(drift * 1e6, abs=1_000)
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    assert found(call, list(apply_time_shift(annotations, finding.suggestion.time_shift))) == ()


def test_what_remains_after_the_shift_is_reported_by_itself(call: Call) -> None:
    lost = long_segment(call)
    annotations = moved([item for item in call.segments if item is not lost], 1.5)
    findings = found(call, annotations)
    assert kinds(findings) == ["offset", "speech_untranscribed"]
    rest = next(finding for finding in findings if finding.kind == "speech_untranscribed")
    assert rest.interval_s is not None
    assert rest.interval_s[0] == pytest.approx(lost.start_s, abs=0.3)
    assert rest.interval_s[1] == pytest.approx(lost.end_s, abs=0.3)


def test_a_removed_segment_is_untranscribed_speech(call: Call) -> None:
    lost = long_segment(call)
    (finding,) = found(call, [item for item in call.segments if item is not lost])
    assert finding.kind == "speech_untranscribed"
    assert finding.severity == "major"


def test_untranscribed_speech_keeps_its_id_when_another_segment_is_repaired(call: Call) -> None:
    lost = (call.segments[3], call.segments[9])
    both = found(call, [item for item in call.segments if item not in lost])
    one = found(call, [item for item in call.segments if item is not lost[1]])
    assert len(both) == 2
    assert {finding.finding_id for finding in one} < {finding.finding_id for finding in both}


def test_sound_that_an_event_accounts_for_is_not_untranscribed(call: Call) -> None:
    lost = long_segment(call)
    event = SoundEvent(id="e", stream="audio", label="laughter", start_s=lost.start_s, end_s=lost.end_s)
    rest = [item for item in call.segments if item is not lost]
    assert found(call, [*rest, event]) == ()
    assert kinds(found(call, [*rest, event.model_copy(update={"label": "speech"})])) == ["speech_untranscribed"]


@pytest.mark.parametrize("sound", ["tone", "noise", "knock"])
def test_sounds_that_are_no_voice_are_not_untranscribed_speech(sound: str) -> None:
    call = made_call(4, seconds=30)
    rng = np.random.default_rng(0)
    rate = call.audio.rate_hz
    time_s = np.arange(2 * rate) / rate
    shapes = {
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time_s),
        "noise": rng.normal(0, 0.1, len(time_s)),
        "knock": rng.normal(0, 0.3, len(time_s)) * (time_s % 0.4 < 0.06),
    }
    samples = np.concatenate([call.audio.samples, np.zeros(rate), shapes[sound], np.zeros(rate)])
    samples = (samples + rng.normal(0, 0.0005, len(samples))).astype(np.float32)
    changed = Call(call.manifest, AudioData(samples, rate), call.segments)
    assert found(changed, call.segments) == ()


def test_text_over_silence_is_found(call: Call) -> None:
    end_s = call.audio.duration_s
    samples = np.concatenate([call.audio.samples, call.audio.samples[:1600].repeat(1) * 0, np.zeros(40_000)])
    noise = np.random.default_rng(1).normal(0, 0.0005, len(samples))
    longer = Call(call.manifest, AudioData((samples + noise).astype(np.float32), call.audio.rate_hz), call.segments)
    (finding,) = found(longer, [*call.segments, segment("x", end_s + 1, end_s + 3, "nobody said this", "anna")])
    assert finding.kind == "text_over_silence"
    assert finding.annotations == ("x",)


def test_a_mark_in_brackets_claims_no_speech(call: Call) -> None:
    gap = next((a, b) for a, b in zip(call.segments, call.segments[1:], strict=False) if b.start_s - a.end_s > 0.9)
    mark = segment("x", gap[0].end_s + 0.2, gap[1].start_s - 0.2, "[silence]")
    assert found(call, [*call.segments, mark]) == ()
    said = mark.model_copy(update={"text": "yes"})
    assert kinds(found(call, [*call.segments, said])) == ["text_over_silence"]


def test_a_transcript_of_another_recording_is_one_cause(call: Call) -> None:
    silent = Call(
        call.manifest,
        AudioData(np.random.default_rng(2).normal(0, 1e-5, len(call.audio.samples)).astype(np.float32), 8_000),
        call.segments,
    )
    outcome = check_audio_transcript(silent.sample(call.segments), DEFAULT_RULE_SET)
    assert kinds(outcome.findings) == ["wrong_recording"]
    assert len(outcome.folded) == len(call.segments)


def test_the_transcript_of_another_call_has_hardly_ever_an_offset() -> None:
    calls = [made_call(seed, seconds=45) for seed in range(20, 28)]
    wrong = [kinds(found(one, other.segments)) for one in calls for other in calls if one is not other]
    assert sum("offset" in names or "drift" in names for names in wrong) <= 0.05 * len(wrong)


def test_one_speaker_twice_at_once_is_an_overlap(call: Call) -> None:
    first = call.segments[4]
    twin = segment("x", first.start_s + 0.1, first.end_s, "the same again", first.speaker)
    findings = found(call, [*call.segments, twin])
    assert kinds(findings) == ["overlap"]
    assert set(findings[0].annotations) == {first.id, "x"}
    other = twin.model_copy(update={"speaker": "somebody"})
    assert found(call, [*call.segments, other]) == ()


def test_a_segment_out_of_the_order_of_time_is_found(call: Call) -> None:
    labels = list(call.segments)
    labels.insert(3, labels.pop(10))
    findings = found(call, labels)
    assert kinds(findings) == ["out_of_order"]
    assert findings[0].annotations == (call.segments[10].id,)


def test_an_order_that_means_nothing_is_no_fault(call: Call) -> None:
    labels = list(call.segments)
    shuffled = [labels[i] for i in np.random.default_rng(5).permutation(len(labels))]
    by_speaker = sorted(labels, key=lambda item: str(item.speaker))
    added_last = [*labels[:5], *labels[6:], labels[5]]
    for order in (shuffled, by_speaker, labels[::-1], added_last):
        assert found(call, order) == ()


def test_words_that_go_back_in_time_are_out_of_order(call: Call) -> None:
    item = long_segment(call)
    words = (
        Word(text="one", start_s=item.start_s, end_s=item.start_s + 0.9),
        Word(text="two", start_s=item.start_s + 1.0, end_s=item.end_s),
    )
    rest = [label for label in call.segments if label is not item]
    assert found(call, [*rest, item.model_copy(update={"words": words})]) == ()
    back = item.model_copy(update={"words": words[::-1]})
    assert kinds(found(call, [*rest, back])) == ["out_of_order"]


def test_an_end_before_the_start_has_its_own_kind(call: Call) -> None:
    labels = list(call.segments)
    item = labels[5]
    labels[5] = item.model_copy(update={"start_s": item.end_s, "end_s": item.start_s})
    assert "negative_duration" in kinds(found(call, labels))
    labels[5] = item.model_copy(update={"end_s": item.start_s})
    assert "no_duration" in kinds(found(call, labels))


def test_a_segment_beyond_the_end_is_found(call: Call) -> None:
    end_s = call.audio.duration_s
    findings = found(call, [*call.segments, segment("x", end_s + 1, end_s + 2, "too late", "anna")])
    assert kinds(findings) == ["beyond_end"]


def test_rates_nobody_speaks_at_are_found(call: Call) -> None:
    item = long_segment(call)
    labels = [label for label in call.segments if label is not item]
    fast = item.model_copy(update={"text": item.text * 12})
    assert kinds(found(call, [*labels, fast])) == ["rate_implausible"]
    slow_rules = with_rules(min_slow_s=1.0)
    slow = item.model_copy(update={"text": "a"})
    assert kinds(found(call, [*labels, slow], slow_rules)) == ["rate_implausible"]


def test_a_swapped_speaker_is_found_under_other_names(call: Call) -> None:
    labels: list[Annotation] = [*call.segments, *call.turns]
    item = call.segments[6]
    labels[6] = item.model_copy(update={"speaker": "bert" if item.speaker == "anna" else "anna"})
    findings = found(call, labels)
    assert kinds(findings) == ["speaker_mismatch"]
    assert findings[0].annotations == (item.id,)


def test_another_transcript_with_other_words_is_a_mismatch(call: Call) -> None:
    one = [by_author(item, "u1") for item in call.segments]
    other = [by_author(item, "u2") for item in call.segments]
    assert found(call, [*one, *other]) == ()
    changed = other[7].model_copy(update={"text": "completely different words were heard at this place"})
    findings = found(call, [*one, *other[:7], changed, *other[8:]])
    assert kinds(findings) == ["text_mismatch"]
    assert set(findings[0].annotations) == {changed.id, one[7].id}


def test_spelling_and_punctuation_are_no_mismatch(call: Call) -> None:
    one = [by_author(item, "u1") for item in call.segments]
    other = [by_author(item, "u2", text=item.text.upper().replace(" ", ", ") + ".") for item in call.segments]
    assert found(call, [*one, *other]) == ()


def test_two_authors_who_share_the_work_have_one_transcript(call: Call) -> None:
    half = len(call.segments) // 2
    labels = [by_author(item, "u1" if i < half else "u2") for i, item in enumerate(call.segments)]
    assert found(call, labels) == ()


def test_one_of_two_versions_shifted_gets_a_patch_for_its_labels_only(call: Call) -> None:
    one = [by_author(item, "u1") for item in call.segments]
    late = moved([by_author(item, "u2") for item in call.segments], 1.5)
    (finding,) = found(call, [*one, *late])
    assert finding.kind == "offset"
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    repaired = {label.id: label for label in finding.suggestion.patch.upsert}
    assert set(repaired) == {label.id for label in late}
    assert found(call, [*one, *repaired.values()]) == ()


def test_a_transcript_on_a_text_stream_is_compared_with_the_only_recording(call: Call) -> None:
    manifest = manifest_of(
        Stream(id="audio", modality="audio", uri="a.wav"), Stream(id="text", modality="text", inline="x")
    )
    labels = tuple(item.model_copy(update={"stream": "text"}) for item in moved(call.segments, 1.5))
    outcome = check_audio_transcript(CheckSample(manifest, labels, {"audio": call.audio}), DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert finding.kind == "offset"
    assert set(finding.streams) == {"audio", "text"}
    assert finding.suggestion is not None
    assert finding.suggestion.time_shift is not None
    assert finding.suggestion.time_shift.stream == "text"


def test_two_recordings_leave_a_text_stream_without_one(call: Call) -> None:
    manifest = manifest_of(
        Stream(id="audio", modality="audio", uri="a.wav"),
        Stream(id="audio-2", modality="audio", uri="b.wav"),
        Stream(id="text", modality="text", inline="x"),
    )
    labels = tuple(item.model_copy(update={"stream": "text"}) for item in call.segments)
    sample = CheckSample(manifest, labels, {"audio": call.audio, "audio-2": call.audio})
    outcome = check_audio_transcript(sample, DEFAULT_RULE_SET)
    assert outcome.findings == ()
    assert "2 audio streams" in outcome.not_applicable[0].reason


def test_without_the_recording_times_are_not_applicable_but_the_rest_is_judged(call: Call) -> None:
    labels = list(call.segments)
    labels[5] = labels[5].model_copy(update={"start_s": labels[5].end_s, "end_s": labels[5].start_s})
    outcome = check_audio_transcript(CheckSample(call.manifest, tuple(labels), {}), DEFAULT_RULE_SET)
    assert kinds(outcome.findings) == ["negative_duration"]
    (reason,) = outcome.not_applicable
    assert reason.check == "audio_transcript"
    assert "recording" in reason.reason


def test_a_sample_without_a_transcript_is_not_applicable(call: Call) -> None:
    outcome = check_audio_transcript(call.sample(call.turns), DEFAULT_RULE_SET)
    assert outcome.findings == ()
    assert "no transcript" in outcome.not_applicable[0].reason


@pytest.mark.parametrize("samples", [0, 1, 79, 80])
def test_an_empty_recording_is_not_applicable(call: Call, samples: int) -> None:
    tiny = Call(call.manifest, AudioData(np.zeros(samples, dtype=np.float32), 8_000), call.segments)
    outcome = check_audio_transcript(tiny.sample(call.segments[:1]), DEFAULT_RULE_SET)
    assert outcome.not_applicable or kinds(outcome.findings)


def test_speech_drowned_in_noise_is_not_judged() -> None:
    call = made_call(6, snr_db=-25)
    outcome = check_audio_transcript(call.sample(moved(call.segments, 1.5)), DEFAULT_RULE_SET)
    assert kinds(outcome.findings) in ([], ["beyond_end"])
    assert outcome.not_applicable


def test_noisy_telephone_speech_that_fits_has_no_major_finding() -> None:
    for seed in range(5):
        call = made_call(seed, snr_db=8)
        majors = [f for f in found(call, call.segments) if f.severity in ("major", "critical")]
        assert majors == []


def test_a_severity_is_rule_data(call: Call) -> None:
    rules = with_rules(severities={"offset": "critical"})
    (finding,) = found(call, moved(call.segments, 1.5), rules)
    assert finding.severity == "critical"


def test_a_wider_tolerance_accepts_a_small_shift(call: Call) -> None:
    rules = with_rules(alignment={"min_offset_s": 1.0}, end_tolerance_s=1.0)
    assert "offset" not in kinds(found(call, moved(call.segments, 0.5), rules))
