from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.bench.detection.audio_transcript_words import FAULTS
from infra.bench.detection.fault import LabelFault
from infra.bench.detection.remembered_words import RememberedWords
from infra.bench.detection.score import benchmarks
from services.alignment.audio_transcript import check_audio_transcript
from services.ports.word_aligner import AlignedWord
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.word_alignment import WordAlignmentRules
from tests.unit.known_words import KnowingAligner, labelled, with_own_words
from tests.unit.spoken_calls import made_call


class CountingAligner:
    def __init__(self) -> None:
        self.asked = 0

    def unable(self, language: str) -> str:
        return f"in the language {language}"

    def align(
        self, samples: NDArray[np.float32], rate_hz: int, words: Sequence[str]
    ) -> tuple[AlignedWord | None, ...] | None:
        self.asked += 1
        return tuple(AlignedWord(0.0, len(samples) / rate_hz, 1.0) for _ in words)


def test_words_are_a_further_benchmark_of_their_check() -> None:
    found = {(one.name, one.check) for one in benchmarks()}
    names = ("audio_transcript", "audio_transcript_words")
    assert {(name, "audio_transcript") for name in names} <= found


def test_the_same_words_over_the_same_sound_are_aligned_once() -> None:
    counting = CountingAligner()
    aligner = RememberedWords(counting)
    sound = np.arange(100, dtype=np.float32)
    first = aligner.align(sound, 10, ["a", "b"])
    assert aligner.align(sound.copy(), 10, ("a", "b")) == first
    assert counting.asked == 1
    aligner.align(sound, 10, ["a b"])
    aligner.align(sound, 20, ["a", "b"])
    aligner.align(sound[1:], 10, ["a", "b"])
    assert counting.asked == 4
    assert aligner.unable("de") == "in the language de"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_found_where_the_words_are_known(fault: LabelFault) -> None:
    call = made_call(8)
    segments, said = with_own_words(call)
    rules = DEFAULT_RULE_SET.model_copy(update={"audio_transcript": AudioTranscriptRules(words=WordAlignmentRules())})
    clean = replace(
        call.sample([*(labelled(item, said) for item in segments), *call.turns]),
        word_aligner=KnowingAligner(call.audio, said),
    )
    assert check_audio_transcript(clean, rules).findings == ()
    spoiled = fault.inject(clean, np.random.default_rng(4))
    assert spoiled is not None
    sample, concerned = spoiled
    found = [one for one in check_audio_transcript(sample, rules).findings if one.kind == fault.kind]
    assert found
    assert concerned & {name for one in found for name in one.annotations}
