"""Known faults of edges and words, put into recorded speech; found with the extra ``words``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault
from infra.bench.detection.recordings import as_injection
from infra.bench.detection.remembered_words import RememberedWords
from infra.bench.detection.spoken_recordings import calls, readings, sayings
from infra.demo import faults
from infra.words.pocketsphinx_aligner import installed_aligner
from services.alignment.sample import CheckSample
from services.contracts.labels_language import TranscriptSegment
from services.rules.rule_set import RuleSet
from services.rules.word_alignment import WordAlignmentRules

CHECK = "audio_transcript"
_ROUNDS = 3
_SAYING_ROUNDS = 6
_LEFT_S = 0.3
"""So much of a segment stays when an edge is moved."""


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield recorded calls and sayings, each a group, and readings, each speaker a group.

    Raises:
        UnavailableError: The extra ``words`` is not installed.
    """
    aligner = RememberedWords(installed_aligner())
    for group, sample in (*calls(data), *readings(data, _ROUNDS), *sayings(data, _SAYING_ROUNDS)):
        yield group, replace(sample, word_aligner=aligner)


def rules_of(data: Path, rules: RuleSet) -> RuleSet:
    """Return the rules with words asked for."""
    del data
    section = rules.audio_transcript
    words = section.words or WordAlignmentRules()
    return rules.model_copy(update={"audio_transcript": section.model_copy(update={"words": words})})


def _segments(sample: CheckSample) -> list[TranscriptSegment]:
    segments = [label for label in sample.annotations if isinstance(label, TranscriptSegment)]
    return sorted(segments, key=lambda one: (one.start_s, one.end_s))


def _with(sample: CheckSample, *labels: TranscriptSegment) -> Injected:
    new = {label.id: label for label in labels}
    changed = tuple(new.get(label.id, label) for label in sample.annotations)
    return replace(sample, annotations=changed), frozenset(new)


def _cut(sample: CheckSample, rng: np.random.Generator, *, by_s: float) -> Injected | None:
    """Let a segment begin later, or end earlier, than its words."""
    long = [one for one in _segments(sample) if one.end_s - one.start_s >= by_s + _LEFT_S]
    if not long:
        return None
    one = long[int(rng.integers(len(long)))]
    if rng.integers(2):
        return _with(sample, one.model_copy(update={"start_s": one.start_s + by_s}))
    return _with(sample, one.model_copy(update={"end_s": one.end_s - by_s}))


def _into_next(sample: CheckSample, rng: np.random.Generator, *, by_s: float) -> Injected | None:
    """Let a segment end among the words of the next one."""
    pairs = [
        (one, after) for one, after in pairwise(_segments(sample)) if after.end_s - after.start_s >= by_s + _LEFT_S
    ]
    if not pairs:
        return None
    one, after = pairs[int(rng.integers(len(pairs)))]
    return _with(sample, one.model_copy(update={"end_s": after.start_s + by_s}))


def _border(sample: CheckSample, rng: np.random.Generator, *, by_s: float) -> Injected | None:
    """Let a segment end, and the next one begin, so much too late."""
    pairs = [
        (one, after) for one, after in pairwise(_segments(sample)) if after.end_s - after.start_s >= by_s + _LEFT_S
    ]
    if not pairs:
        return None
    one, after = pairs[int(rng.integers(len(pairs)))]
    border_s = after.start_s + by_s
    return _with(sample, one.model_copy(update={"end_s": border_s}), after.model_copy(update={"start_s": border_s}))


def _beside(sample: CheckSample, rng: np.random.Generator, *, by_s: float) -> Injected | None:
    """Move one segment, with its words."""
    segments = _segments(sample)[1:-1]
    if not segments:
        return None
    one = segments[int(rng.integers(len(segments)))]
    words = tuple(
        word.model_copy(update={"start_s": word.start_s + by_s, "end_s": word.end_s + by_s}) for word in one.words
    )
    times = {"start_s": one.start_s + by_s, "end_s": one.end_s + by_s, "words": words}
    return _with(sample, one.model_copy(update=times))


def _word_beside(sample: CheckSample, rng: np.random.Generator, *, by_s: float, all_after: bool) -> Injected | None:
    """Move one word, or a word and all that follow, within a segment."""
    segments = [one for one in _segments(sample) if len(one.words) > 2]
    if not segments:
        return None
    one = segments[int(rng.integers(len(segments)))]
    first = int(rng.integers(1, len(one.words)))
    moved = range(first, len(one.words)) if all_after else (first,)
    words = tuple(
        word.model_copy(update={"start_s": word.start_s + by_s, "end_s": word.end_s + by_s}) if place in moved else word
        for place, word in enumerate(one.words)
    )
    return _with(sample, one.model_copy(update={"words": words}))


_OFF = "boundary_off"

FAULTS = (
    *(LabelFault(CHECK, _OFF, partial(_cut, by_s=by_s), name=f"{by_s:g} s cut off") for by_s in (0.5, 0.7, 1.0)),
    *(LabelFault(CHECK, _OFF, partial(_into_next, by_s=by_s), name=f"{by_s:g} s into the next") for by_s in (0.6, 1.0)),
    LabelFault(CHECK, _OFF, partial(_border, by_s=0.7), name="border 0.7 s late"),
    LabelFault(CHECK, _OFF, partial(_beside, by_s=0.7), name="segment 0.7 s late"),
    *(
        LabelFault(
            CHECK,
            "word_time_off",
            partial(_word_beside, by_s=by_s, all_after=all_after),
            name=f"{'words from one on' if all_after else 'one word'} {by_s:+g} s",
        )
        for by_s, all_after in ((0.3, False), (0.5, False), (-0.3, True), (0.5, True))
    ),
    *(
        LabelFault(
            CHECK,
            "offset",
            as_injection(partial(faults.delay_transcript, by_s=by_s)),
            name=f"{by_s:+g} s, words",
        )
        for by_s in (1.5, -1.5)
    ),
)
