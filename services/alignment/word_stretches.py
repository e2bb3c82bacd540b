"""The words of a transcript, laid over its recording stretch by stretch.

A text is aligned with what was said around it: neighbouring segments go together, so that a word that an edge wrongly
leaves to the neighbour still finds its sound, and no sound is left to be explained by words that are not its own. A
stretch ends at the longest pause within reach, and has one segment of each neighbour around it that is aligned again.
Memory is that of a stretch; of a transcript longer than the rule's limit, stretches evenly chosen are aligned.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from services.alignment.sample import AudioData
from services.alignment.speech_activity import Span
from services.alignment.time_alignment import Correction
from services.alignment.transcript_track import is_speech
from services.contracts.labels_language import TranscriptSegment
from services.ports.word_aligner import AlignedWord, WordAligner
from services.rules.word_alignment import WordAlignmentRules

_MARK = re.compile(r"\[[^\]]*\]|<[^>]*>|\{[^}]*\}")
_LONGEST_S = 60.0
"""The longest segment that is aligned: more at once takes more memory than a check may have."""
_AT_ONCE = 0.7
"""With this share of the shorter of two segments in both, their words can not be put in one order."""


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """A segment whose words were looked for.

    Attributes:
        segment: The label.
        span: Where it lies, moved by what was found before, seconds.
        tokens: Its words as they are written.
        words: Where each was found, seconds of the recording; None for one that has no sound.
    """

    segment: TranscriptSegment
    span: Span
    tokens: tuple[str, ...]
    words: tuple[AlignedWord | None, ...] = ()

    @property
    def found(self) -> list[AlignedWord]:
        """The words that have a place."""
        return [word for word in self.words if word is not None]

    @property
    def misfit_nats(self) -> float:
        """How badly the words fit, nats a frame, over all their frames; infinite without words."""
        lengths = [word.end_s - word.start_s for word in self.found]
        if not lengths:
            return float("inf")
        return sum(word.misfit_nats * length for word, length in zip(self.found, lengths, strict=True)) / sum(lengths)


@dataclass(slots=True)
class SpokenTrack:
    """What is known about the words of a transcript.

    Attributes:
        segments: Those whose words were looked for, in the order of time.
        left_out: Why others were not, with their number.
        unheard: Where those lie that could not be aligned, seconds.
    """

    segments: list[SpokenSegment] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unheard: list[Span] = field(default_factory=list)


def tokens_of(segment: TranscriptSegment) -> tuple[str, ...]:
    """Return the words of a segment as written: its word labels where there are any, else its text without marks."""
    if segment.words:
        return tuple(word.text for word in segment.words)
    return tuple(_MARK.sub(" ", segment.text).split())


def align_track(
    segments: Sequence[TranscriptSegment],
    correction: Correction,
    audio: AudioData,
    aligner: WordAligner,
    rules: WordAlignmentRules,
) -> SpokenTrack:
    """Return where the words of a transcript lie.

    Args:
        segments: In any order.
        correction: What moves them to where they belong as a whole.
        audio: Their recording.
        aligner: Lays words over samples.
        rules: How much at once, and how much in all.
    """
    track = SpokenTrack()
    asked = _to_be_asked(segments, correction, aligner, rules, track)
    stretches = list(_stretches(asked, rules))
    for stretch in _chosen(stretches, asked, rules, track):
        _align(asked, stretch, audio, aligner, rules, track)
    return track


def _to_be_asked(
    segments: Sequence[TranscriptSegment],
    correction: Correction,
    aligner: WordAligner,
    rules: WordAlignmentRules,
    track: SpokenTrack,
) -> list[SpokenSegment]:
    asked: list[SpokenSegment] = []
    reasons: dict[str, str] = {}
    for segment in segments:
        tokens = tokens_of(segment)
        if segment.end_s <= segment.start_s or not is_speech(segment) or not tokens:
            continue
        language = segment.language or rules.language
        if language not in reasons:
            reasons[language] = aligner.unable(language)
        span = (correction.apply(segment.start_s), correction.apply(segment.end_s))
        if reasons[language]:
            _leave_out(track, reasons[language], span)
        elif span[1] - span[0] > _LONGEST_S:
            _leave_out(track, f"longer than {_LONGEST_S:g} s", span)
        else:
            asked.append(SpokenSegment(segment, span, tokens))
    asked.sort(key=lambda item: (item.span, item.segment.id))
    return _apart(asked, track)


def _leave_out(track: SpokenTrack, reason: str, span: Span) -> None:
    track.left_out[reason] += 1
    track.unheard.append(span)


def _apart(asked: list[SpokenSegment], track: SpokenTrack) -> list[SpokenSegment]:
    """Leave out segments that are said at the same time as another."""
    at_once: set[int] = set()
    longest = 0
    for index in range(1, len(asked)):
        before, own = asked[longest].span, asked[index].span
        shared_s = min(before[1], own[1]) - own[0]
        if shared_s > _AT_ONCE * min(before[1] - before[0], own[1] - own[0]):
            at_once |= {longest, index}
        if own[1] > before[1]:
            longest = index
    for index in sorted(at_once):
        _leave_out(track, "said at the same time as another", asked[index].span)
    return [item for index, item in enumerate(asked) if index not in at_once]


_Stretch = tuple[int, int]


def _stretches(asked: Sequence[SpokenSegment], rules: WordAlignmentRules) -> Iterator[_Stretch]:
    """Yield (first, one past the last) of what is aligned together, ended at the longest pause in its second half."""
    first = 0
    while first < len(asked):
        start_s = asked[first].span[0]
        stop = first + 1
        while stop < len(asked) and asked[stop].span[1] - start_s <= rules.stretch_s:
            stop += 1
        if stop < len(asked):
            half = next(
                place for place in range(first + 1, stop + 1)
                if place == stop or asked[place - 1].span[1] - start_s >= rules.stretch_s / 2
            )  # fmt: skip
            stop = max(range(half, stop + 1), key=lambda place: asked[place].span[0] - asked[place - 1].span[1])
        yield first, stop
        first = stop


def _chosen(
    stretches: Sequence[_Stretch], asked: Sequence[SpokenSegment], rules: WordAlignmentRules, track: SpokenTrack
) -> Sequence[_Stretch]:
    """Return the stretches that the limit of time allows, evenly chosen."""
    total_s = sum(asked[stop - 1].span[1] - asked[first].span[0] for first, stop in stretches)
    if total_s <= rules.max_aligned_s:
        return stretches
    count = max(1, int(len(stretches) * rules.max_aligned_s / total_s))
    kept = {index * len(stretches) // count for index in range(count)}
    dropped = sum(stop - first for index, (first, stop) in enumerate(stretches) if index not in kept)
    track.left_out[f"beyond the {rules.max_aligned_s:g} s of a transcript that are aligned"] += dropped
    return [stretch for index, stretch in enumerate(stretches) if index in kept]


def _align(
    asked: Sequence[SpokenSegment],
    stretch: _Stretch,
    audio: AudioData,
    aligner: WordAligner,
    rules: WordAlignmentRules,
    track: SpokenTrack,
) -> None:
    first, stop = stretch
    before = first > 0 and asked[first].span[0] - asked[first - 1].span[1] < 2 * rules.search_s
    after = stop < len(asked) and asked[stop].span[0] - asked[stop - 1].span[1] < 2 * rules.search_s
    around = asked[first - before : stop + after]
    start_s = around[0].span[0] - (0.0 if before else rules.search_s)
    end_s = max(item.span[1] for item in around) + (0.0 if after else rules.search_s)
    start, end = (min(max(0, round(time_s * audio.rate_hz)), len(audio.samples)) for time_s in (start_s, end_s))
    words = aligner.align(audio.samples[start:end], audio.rate_hz, [token for item in around for token in item.tokens])
    place = sum(len(item.tokens) for item in around[:before])
    for item in asked[first:stop]:
        if words is None:
            _leave_out(track, "with words that can not be laid over the sound", item.span)
            continue
        own = words[place : place + len(item.tokens)]
        place += len(item.tokens)
        track.segments.append(replace(item, words=tuple(_moved(word, start / audio.rate_hz) for word in own)))


def _moved(word: AlignedWord | None, by_s: float) -> AlignedWord | None:
    return word and replace(word, start_s=round(word.start_s + by_s, 4), end_s=round(word.end_s + by_s, 4))


def near(spans: Sequence[Span], time_s: float, reach_s: float) -> bool:
    """Whether one of ``spans``, sorted and apart, comes within ``reach_s`` of a time."""
    index = bisect_left(spans, (time_s + reach_s, float("inf")))
    return index > 0 and spans[index - 1][1] > time_s - reach_s
