from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from infra.bench.detection.remembered_words import RememberedWords
from services.alignment.audio_transcript import check_audio_transcript
from services.alignment.sample import CheckOutcome
from services.contracts.annotations import Annotation
from services.contracts.labels_language import TranscriptSegment
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.word_alignment import WordAlignmentRules
from tests.unit.spoken_calls import Call, kinds, moved, needs_call, real_call

pytest.importorskip("pocketsphinx", reason="the extra 'words' is not installed")

RULES = DEFAULT_RULE_SET.model_copy(update={"audio_transcript": AudioTranscriptRules(words=WordAlignmentRules())})


@pytest.fixture(scope="module")
def call() -> Call:
    return real_call()


@pytest.fixture(scope="module")
def aligner() -> RememberedWords:
    from infra.words.pocketsphinx_aligner import PocketsphinxAligner

    return RememberedWords(PocketsphinxAligner())


def checked(call: Call, labels: Sequence[Annotation], aligner: RememberedWords) -> CheckOutcome:
    return check_audio_transcript(replace(call.sample(labels), word_aligner=aligner), RULES)


def border_moved(segments: Sequence[TranscriptSegment], index: int, by_s: float) -> list[TranscriptSegment]:
    border_s = segments[index + 1].start_s + by_s
    changed = list(segments)
    changed[index] = segments[index].model_copy(update={"end_s": border_s})
    changed[index + 1] = segments[index + 1].model_copy(update={"start_s": border_s})
    return changed


@needs_call
def test_the_words_of_the_recorded_call_lie_in_their_segments(call: Call, aligner: RememberedWords) -> None:
    outcome = checked(call, call.manifest.annotations, aligner)
    assert outcome.findings == ()
    assert all("do not fit the sound" in one.reason for one in outcome.not_applicable)


@needs_call
def test_a_border_of_two_segments_that_no_silence_shows_is_found_by_the_words(
    call: Call, aligner: RememberedWords
) -> None:
    index = 10  # “Well, there isn't that much difference.” and “At least you know, …”
    labels = border_moved(call.segments, index, 0.7)
    assert check_audio_transcript(call.sample(labels), DEFAULT_RULE_SET).findings == ()
    outcome = checked(call, labels, aligner)
    assert kinds(outcome.findings) == ["boundary_off", "boundary_off"]
    assert {one.annotations for one in outcome.findings} == {
        (call.segments[index].id,),
        (call.segments[index + 1].id,),
    }


@needs_call
def test_words_that_are_not_said_make_no_boundary(call: Call, aligner: RememberedWords) -> None:
    labels = list(call.segments)
    labels[9] = labels[9].model_copy(update={"text": "What a lovely green umbrella, she whispered."})
    outcome = checked(call, labels, aligner)
    assert [one for one in outcome.findings if one.annotations == (labels[9].id,)] == []
    (reason,) = outcome.not_applicable
    assert "with words that do not fit the sound" in reason.reason


@needs_call
@pytest.mark.parametrize("offset_s", [1.5, -1.5])
def test_a_shift_of_the_recorded_call_is_measured_by_its_words(
    call: Call, aligner: RememberedWords, offset_s: float
) -> None:
    outcome = checked(call, moved(call.segments, offset_s), aligner)
    (finding,) = (one for one in outcome.findings if one.kind == "offset")
    assert finding.measured is not None
    assert finding.measured.value == pytest.approx(offset_s, abs=0.08)
