from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import AudioData, CheckOutcome
from services.alignment.speech_activity import Span, detect_speech
from services.alignment.suggestions import apply_suggestion
from services.alignment.time_alignment import Correction, TimeFault
from services.alignment.transcript_sound import Recording
from services.alignment.transcript_track import tracks_of
from services.alignment.transcript_words import listen
from services.alignment.word_stretches import align_track, tokens_of
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.labels_language import TranscriptSegment
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.word_alignment import WordAlignmentRules
from tests.unit.known_words import KnowingAligner, labelled, with_own_words
from tests.unit.spoken_calls import RATE_HZ, Call, kinds, made_call, moved, segment

RULES = DEFAULT_RULE_SET.model_copy(update={"audio_transcript": AudioTranscriptRules(words=WordAlignmentRules())})


@pytest.fixture(scope="module")
def call() -> Call:
    return made_call(3)


@pytest.fixture(scope="module")
def said(call: Call) -> dict[str, Span]:
    return with_own_words(call)[1]


@pytest.fixture
def segments(call: Call) -> list[TranscriptSegment]:
    return list(with_own_words(call)[0])


def checked(call: Call, labels: Sequence[Annotation], said: dict[str, Span], *, fails: bool = False) -> CheckOutcome:
    aligner = KnowingAligner(call.audio, said, fails=fails)
    return check_audio_transcript(replace(call.sample(labels), word_aligner=aligner), RULES)


def long_one(segments: Sequence[TranscriptSegment]) -> int:
    return next(index for index, item in enumerate(segments) if index > 2 and item.end_s - item.start_s > 2.0)


def only(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_words_that_lie_in_their_segments_are_no_finding(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    outcome = checked(call, [*(labelled(item, said) for item in segments), *call.turns], said)
    assert outcome == CheckOutcome()


@pytest.mark.parametrize(
    ("change", "worst_s", "text"),
    [
        ({"start_s": 1.0}, 1.0, "after its first word"),
        ({"end_s": -0.8}, -0.8, "before its last word does"),
    ],
)
def test_an_edge_among_its_own_words_is_one_finding_that_explains_the_speech_it_cut_off(
    call: Call,
    segments: list[TranscriptSegment],
    said: dict[str, Span],
    change: dict[str, float],
    worst_s: float,
    text: str,
) -> None:
    index = long_one(segments)
    item = segments[index]
    true = segments[index] = item.model_copy(
        update={"start_s": call.turns[index].start_s, "end_s": call.turns[index].end_s}
    )
    segments[index] = true.model_copy(update={name: getattr(true, name) + by_s for name, by_s in change.items()})
    outcome = checked(call, segments, said)
    finding = only(outcome.findings)
    assert finding.kind == "boundary_off"
    assert finding.annotations == (item.id,)
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(worst_s, abs=0.02)
    assert text in finding.message
    assert kinds(outcome.folded) == ["speech_untranscribed"]
    assert finding.explains == (outcome.folded[0].finding_id,)
    assert finding.suggestion is not None
    repaired = apply_suggestion(segments, finding.suggestion)
    assert checked(call, repaired, said).findings == ()


def test_an_edge_in_the_words_of_the_next_segment_is_found_and_one_in_silence_is_not(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = next(
        place for place in range(3, len(segments) - 1)
        if call.turns[place + 1].start_s - call.turns[place].end_s > 0.9
        and call.turns[place + 1].end_s - call.turns[place + 1].start_s > 1.5
    )  # fmt: skip
    item, following = segments[index], call.turns[index + 1]
    segments[index] = item.model_copy(update={"end_s": following.start_s - 0.1})
    assert checked(call, segments, said).findings == ()
    segments[index] = item.model_copy(update={"end_s": following.start_s + 0.7})
    finding = only(checked(call, segments, said).findings)
    assert (finding.kind, finding.annotations) == ("boundary_off", (item.id,))
    assert "in speech that is not its own" in finding.message


def test_the_border_of_two_segments_among_the_words_of_one_is_off_in_both() -> None:
    call = made_call(5, pause_s=0.0)
    true, said = with_own_words(call)
    segments = list(true)
    index = long_one(segments)
    border_s = call.turns[index].end_s - 0.9
    segments[index] = segments[index].model_copy(update={"end_s": border_s})
    segments[index + 1] = segments[index + 1].model_copy(update={"start_s": border_s})
    outcome = checked(call, segments, said)
    assert kinds(outcome.findings) == ["boundary_off", "boundary_off"]
    assert {finding.annotations[0] for finding in outcome.findings} == {segments[index].id, segments[index + 1].id}
    # Without words nothing is seen: the speech is covered all the time.
    assert check_audio_transcript(call.sample(segments), DEFAULT_RULE_SET).findings == ()


@pytest.mark.parametrize("offset_s", [1.5, -1.5])
def test_an_offset_is_measured_by_the_words(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span], offset_s: float
) -> None:
    late = moved(segments, offset_s)
    finding = only(checked(call, late, said).findings)
    coarse = only(check_audio_transcript(call.sample(late), DEFAULT_RULE_SET).findings)
    assert finding.kind == coarse.kind == "offset"
    assert finding.finding_id == coarse.finding_id
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(offset_s, abs=0.03)
    assert finding.cause is not None
    assert coarse.cause is not None
    uncertainty_s, before_s = (one.cause.estimate["offset_uncertainty_s"] for one in (finding, coarse) if one.cause)
    assert isinstance(uncertainty_s, float)
    assert isinstance(before_s, float)
    assert uncertainty_s < before_s
    assert finding.suggestion is not None
    assert checked(call, apply_suggestion(late, finding.suggestion), said).findings == ()


def heard(call: Call, labels: Sequence[TranscriptSegment], said: dict[str, Span]) -> TimeFault | None:
    """What the words alone say about the whole transcript."""
    section = RULES.audio_transcript
    recording = Recording(call.audio, detect_speech(call.audio, section.speech))
    (track,) = tracks_of(call.sample(labels))
    return listen(track, recording, None, KnowingAligner(call.audio, said), section)[0]


@pytest.mark.parametrize("offset_s", [0.4, -0.7])
def test_words_alone_show_an_offset_that_speech_and_pauses_left_open(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span], offset_s: float
) -> None:
    fault = heard(call, moved(segments, offset_s), said)
    assert fault is not None
    assert fault.kind == "offset"
    assert fault.offset_s == pytest.approx(offset_s, abs=0.03)


def test_ends_that_linger_and_single_segments_that_are_late_are_no_offset(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    lingering = [item.model_copy(update={"end_s": item.end_s + 0.8}) for item in segments]
    assert heard(call, lingering, said) is None
    assert heard(call, [*moved(segments[:6], 0.6), *segments[6:]], said) is None
    assert heard(call, segments[:4], said) is None


def test_an_edge_off_beside_an_offset_is_told_without_a_fix_of_its_own(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = long_one(segments)
    segments[index] = segments[index].model_copy(update={"start_s": segments[index].start_s + 1.0})
    outcome = checked(call, moved(segments, 1.5), said)
    assert kinds(outcome.findings) == ["boundary_off", "offset"]
    off = next(finding for finding in outcome.findings if finding.kind == "boundary_off")
    assert off.suggestion is None


def test_one_word_at_another_time_is_named_and_moved_to_where_it_is_said(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = long_one(segments)
    item = labelled(segments[index], said)
    words = list(item.words)
    words[2] = words[2].model_copy(update={"start_s": words[2].start_s + 0.3, "end_s": words[2].end_s + 0.3})
    segments[index] = item.model_copy(update={"words": tuple(words)})
    finding = only(checked(call, segments, said).findings)
    assert finding.kind == "word_time_off"
    assert finding.annotations == (item.id,)
    assert finding.message.startswith(f"1 of {len(words)} words")
    assert words[2].text in finding.message
    assert "0.30 s late" in finding.message
    assert finding.suggestion is not None
    repaired = apply_suggestion(segments, finding.suggestion)
    assert checked(call, repaired, said).findings == ()


def test_a_segment_off_as_a_whole_is_a_boundary_and_not_a_fault_of_each_word(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = long_one(segments)
    segments[index] = moved([segments[index]], 0.6)[0].model_copy(
        update={
            "words": tuple(
                word.model_copy(update={"start_s": word.start_s + 0.6, "end_s": word.end_s + 0.6})
                for word in labelled(segments[index], said).words
            )
        }
    )
    found = kinds(checked(call, segments, said).findings)
    assert "boundary_off" in found
    assert "word_time_off" not in found


def test_a_text_that_is_not_said_has_no_boundary_but_a_reason(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = long_one(segments)
    cut = segments[index].start_s + 0.2
    segments[index] = segments[index].model_copy(update={"text": "this was never said here", "start_s": cut})
    outcome = checked(call, segments, said)
    assert kinds(outcome.findings) == []
    (reason,) = outcome.not_applicable
    assert reason.reason == "the words of some segments are not judged: 1 with words that do not fit the sound"


def test_other_languages_simultaneous_speech_and_failures_are_counted_with_their_reasons(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    segments[4] = segments[4].model_copy(update={"language": "de-AT"})
    twin = segments[6].model_copy(update={"id": "zz", "speaker": "carla"})
    outcome = checked(call, [*segments, twin], said)
    (reason,) = outcome.not_applicable
    assert "1 in the language de-AT" in reason.reason
    assert "2 said at the same time as another" in reason.reason
    assert outcome.findings == ()
    (failed,) = checked(call, segments, said, fails=True).not_applicable
    assert f"{len(segments) - 1} with words that can not be laid over the sound" in failed.reason


def test_without_an_aligner_the_rest_is_judged_and_the_reason_is_told(
    call: Call, segments: list[TranscriptSegment]
) -> None:
    sample = replace(call.sample(moved(segments, 1.5)), unavailable={"word_aligner": "the package is not there"})
    outcome = check_audio_transcript(sample, RULES)
    assert kinds(outcome.findings) == ["offset"]
    (reason,) = outcome.not_applicable
    assert reason.reason == "words were not looked for: the package is not there"


def test_the_order_of_labels_does_not_matter(
    call: Call, segments: list[TranscriptSegment], said: dict[str, Span]
) -> None:
    index = long_one(segments)
    segments[index] = segments[index].model_copy(update={"start_s": segments[index].start_s + 1.0})
    forth = checked(call, segments, said)
    back = checked(call, segments[::-1], said)
    assert [finding.finding_id for finding in forth.findings] == [finding.finding_id for finding in back.findings]


def test_an_hour_is_aligned_stretch_by_stretch_and_no_more_than_the_limit() -> None:
    audio = AudioData(np.zeros(3_600 * RATE_HZ, dtype=np.float32), RATE_HZ)
    segments = [segment(f"s{index:04d}", 3.0 * index, 3.0 * index + 2.5, f"w{index}") for index in range(1_200)]
    said = {f"w{index}": (3.0 * index, 3.0 * index + 2.5) for index in range(1_200)}
    rules = WordAlignmentRules(max_aligned_s=300.0)
    aligner = KnowingAligner(audio, said)
    track = align_track(segments, Correction(), audio, aligner, rules)
    assert max(aligner.heard_s) < 2 * rules.stretch_s
    assert sum(aligner.heard_s) < 2 * rules.max_aligned_s
    assert sum(track.left_out.values()) + len(track.segments) == len(segments)
    starts_s = [item.span[0] for item in track.segments]
    assert starts_s[0] < 60
    assert starts_s[-1] > 3_300
    assert all(item.found[0].start_s == pytest.approx(item.span[0], abs=0.001) for item in track.segments)


def test_a_segment_of_more_than_a_minute_is_not_aligned() -> None:
    audio = AudioData(np.zeros(200 * RATE_HZ, dtype=np.float32), RATE_HZ)
    aligner = KnowingAligner(audio, {})
    track = align_track([segment("s", 0.0, 200.0, "word " * 500)], Correction(), audio, aligner, WordAlignmentRules())
    assert aligner.heard_s == []
    assert dict(track.left_out) == {"longer than 60 s": 1}


def test_marks_are_no_words() -> None:
    item = segment("s", 0.0, 1.0, "[noise] well <unk> then {cough} yes")
    assert tokens_of(item) == ("well", "then", "yes")
