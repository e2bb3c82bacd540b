"""An aligner that knows where the words of a made-up call are said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.alignment.sample import AudioData
from services.alignment.speech_activity import Span
from services.contracts.labels_language import TranscriptSegment, Word
from services.ports.word_aligner import AlignedWord
from tests.unit.spoken_calls import Call

FITS, MISFIT = 3.0, 11.0


def with_own_words(call: Call, a_second: float = 3.0) -> tuple[tuple[TranscriptSegment, ...], dict[str, Span]]:
    """Return the segments with words that occur once, and when each is said: side by side over its segment."""
    said: dict[str, Span] = {}
    segments = []
    for item, turn in zip(call.segments, call.turns, strict=True):
        edges = np.linspace(turn.start_s, turn.end_s, max(1, round((turn.end_s - turn.start_s) * a_second)) + 1)
        words = [f"{item.id[1:]}w{number}" for number in range(len(edges) - 1)]
        said.update({word: (float(a), float(b)) for word, a, b in zip(words, edges[:-1], edges[1:], strict=True)})
        segments.append(item.model_copy(update={"text": " ".join(words)}))
    return tuple(segments), said


def labelled(item: TranscriptSegment, said: Mapping[str, Span]) -> TranscriptSegment:
    """Return the segment with a label a word."""
    words = [Word(text=word, start_s=said[word][0], end_s=said[word][1]) for word in item.text.split()]
    return item.model_copy(update={"words": tuple(words)})


class KnowingAligner:
    """Finds the words of ``said`` where they lie inside the samples; others are put anywhere and do not fit.

    It tells which part of the recording it hears by where the samples lie in memory.

    Attributes:
        heard_s: How long what it was given was, seconds, call by call.
    """

    def __init__(self, audio: AudioData, said: Mapping[str, Span], *, fails: bool = False) -> None:
        self._audio = audio
        self._said = said
        self._fails = fails
        self.heard_s: list[float] = []

    def unable(self, language: str) -> str:
        return "" if language.startswith("en") else f"in the language {language}"

    def align(
        self, samples: NDArray[np.float32], rate_hz: int, words: Sequence[str]
    ) -> tuple[AlignedWord | None, ...] | None:
        self.heard_s.append(len(samples) / rate_hz)
        if self._fails:
            return None
        own, whole = (array.__array_interface__["data"][0] for array in (samples, self._audio.samples))
        start_s = (own - whole) / samples.itemsize / rate_hz
        length_s = len(samples) / rate_hz
        return tuple(self._place(word, start_s, length_s, index / len(words)) for index, word in enumerate(words))

    def _place(self, word: str, start_s: float, length_s: float, share: float) -> AlignedWord | None:
        if not word.isalnum():
            return None
        begin_s, end_s = (time_s - start_s for time_s in self._said.get(word, (-1.0, -1.0)))
        if begin_s >= 0 and end_s <= length_s:
            return AlignedWord(begin_s, end_s, FITS)
        return AlignedWord(share * length_s, share * length_s + 0.1, MISFIT)
