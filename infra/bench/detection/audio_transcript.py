"""Known faults between transcripts and sound, put into recorded speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Inject, Injected, LabelFault
from infra.bench.detection.recordings import as_injection
from infra.bench.detection.spoken_recordings import calls, readings
from infra.demo import faults
from services.alignment.sample import AudioData, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment

CHECK = "audio_transcript"
_LEAST_S = 1.0
_LEAST_LONG_S = 60.0


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield recorded calls, each a group, and readings, each speaker a group."""
    yield from calls(data)
    yield from readings(data)


def _segments(sample: CheckSample) -> list[TranscriptSegment]:
    return [label for label in sample.annotations if isinstance(label, TranscriptSegment)]


def _audio(sample: CheckSample) -> AudioData:
    return next(iter(sample.audio.values()))


def _one(sample: CheckSample, rng: np.random.Generator) -> TranscriptSegment | None:
    """Return a segment that has others before and after it."""
    inner = [one for one in _segments(sample)[1:-1] if one.end_s - one.start_s >= _LEAST_S]
    return inner[int(rng.integers(len(inner)))] if inner else None


def _with(sample: CheckSample, *labels: TranscriptSegment) -> Injected:
    """Return the sample with labels in place of those of the same ids, or added."""
    new = {label.id: label for label in labels}
    kept: list[Annotation] = [new.pop(label.id, label) for label in sample.annotations]
    return replace(sample, annotations=(*kept, *new.values())), frozenset(label.id for label in labels)


def _stretched(sample: CheckSample, rng: np.random.Generator, *, by: float) -> Injected | None:
    """Let the transcript's clock run ahead by a share of the time."""
    del rng
    if _audio(sample).duration_s < _LEAST_LONG_S:
        return None
    return _with(
        sample,
        *(
            one.model_copy(update={"start_s": one.start_s * (1 + by), "end_s": one.end_s * (1 + by)})
            for one in _segments(sample)
        ),
    )


def _in_units(sample: CheckSample, rng: np.random.Generator, *, a_second: float) -> Injected | None:
    """Write the transcript's times in another unit."""
    del rng
    return _with(
        sample,
        *(
            one.model_copy(
                update={"start_s": round(one.start_s * a_second, 3), "end_s": round(one.end_s * a_second, 3)}
            )
            for one in _segments(sample)
        ),
    )


def _over_silence(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Add a segment in a pause of at least a second."""
    labels = [label for label in sample.annotations if isinstance(label, TranscriptSegment | SpeakerTurn)]
    spans = sorted((label.start_s, label.end_s) for label in labels)
    pauses, end_s = [], 0.0
    for start_s, stop_s in spans:
        if start_s - end_s >= _LEAST_S:
            pauses.append((end_s, start_s))
        end_s = max(end_s, stop_s)
    if not pauses:
        return None
    start_s, stop_s = pauses[int(rng.integers(len(pauses)))]
    return _with(sample, _added(sample, "added", start_s + 0.15, stop_s - 0.15))


def _added(sample: CheckSample, name: str, start_s: float, end_s: float) -> TranscriptSegment:
    return _segments(sample)[0].model_copy(update={"id": name, "start_s": start_s, "end_s": end_s, "text": "and so on"})


def _beyond(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Let the last segment reach beyond the end of the recording."""
    last = max(_segments(sample), key=lambda one: one.end_s, default=None)
    end_s = _audio(sample).duration_s
    if last is None or last.start_s >= end_s:
        return None
    return _with(sample, last.model_copy(update={"end_s": end_s + float(rng.uniform(1.0, 4.0))}))


def _overlapping(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Let a segment begin before the one before it, of the same speaker, has ended."""
    by_speaker: dict[str | None, list[TranscriptSegment]] = {}
    for one in sorted(_segments(sample), key=lambda one: one.start_s):
        by_speaker.setdefault(one.speaker, []).append(one)
    pairs = [
        (before, after)
        for ordered in by_speaker.values()
        for before, after in pairwise(ordered)
        if before.end_s - before.start_s >= _LEAST_S and after.start_s - before.end_s <= 2.0
    ]
    if not pairs:
        return None
    before, after = pairs[int(rng.integers(len(pairs)))]
    return _with(sample, after.model_copy(update={"start_s": before.end_s - 0.6}))


def _out_of_order(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Put one segment at another place of a list that is in the order of time."""
    labels = sorted(_segments(sample), key=lambda one: one.start_s)
    if len(labels) < 6:
        return None
    place = int(rng.integers(3, len(labels)))
    moved = labels.pop(place)
    labels.insert(int(rng.integers(0, place - 2)), moved)
    others = [label for label in sample.annotations if not isinstance(label, TranscriptSegment)]
    return replace(sample, annotations=(*labels, *others)), frozenset({moved.id})


def _too_fast(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Write the words of all segments into one."""
    one = _one(sample, rng)
    if one is None:
        return None
    return _with(sample, one.model_copy(update={"text": " ".join(other.text for other in _segments(sample))[:2_000]}))


def _turned_around(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    one = _one(sample, rng)
    if one is None:
        return None
    return _with(sample, one.model_copy(update={"start_s": one.end_s, "end_s": one.start_s}))


def _without_length(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    one = _one(sample, rng)
    return None if one is None else _with(sample, one.model_copy(update={"end_s": one.start_s}))


def _other_speaker(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Give a segment to another speaker of the recording."""
    one = _one(sample, rng)
    speakers = sorted({other.speaker for other in _segments(sample) if other.speaker is not None})
    others = [name for name in speakers if one is not None and name != one.speaker]
    if one is None or not others:
        return None
    return _with(sample, one.model_copy(update={"speaker": others[int(rng.integers(len(others)))]}))


def _second_transcript(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Let a second author write the same, and in one segment the words of another."""
    one = _one(sample, rng)
    texts = [other.text for other in _segments(sample) if one is not None and _differ(one.text, other.text)]
    if one is None or not texts:
        return None
    second = Author(kind="human", id="second")
    wrong = texts[int(rng.integers(len(texts)))]
    copies = [
        other.model_copy(
            update={"id": f"second-{other.id}", "author": second} | ({"text": wrong} if other.id == one.id else {})
        )
        for other in _segments(sample)
    ]
    changed, _ = _with(sample, *copies)
    return changed, frozenset({one.id, f"second-{one.id}"})


def _differ(one: str, other: str) -> bool:
    return len(set(other.split())) >= 4 and not set(one.split()) & set(other.split())


def _other_recording(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    """Put silence with a few words at other times in place of the recording."""
    audio = _audio(sample)
    if len(_segments(sample)) < 6:
        return None
    quiet = rng.normal(0, 10 ** (-60 / 20), len(audio.samples)).astype(np.float32)
    longest = max(_segments(sample), key=lambda one: one.end_s - one.start_s)
    word = audio.samples[int(longest.start_s * audio.rate_hz) : int(longest.end_s * audio.rate_hz)]
    at = int(rng.integers(0, max(1, len(quiet) - len(word))))
    quiet[at : at + len(word)] += word[: len(quiet) - at]
    name = next(iter(sample.audio))
    return replace(sample, audio={name: AudioData(quiet, audio.rate_hz)}), frozenset()


def _late(by_s: float) -> Inject:
    return as_injection(partial(faults.delay_transcript, by_s=by_s))


FAULTS = (
    *(LabelFault(CHECK, "offset", _late(by_s), name=f"{by_s:+g} s") for by_s in (0.5, 1.5, -1.5, 3.0)),
    *(LabelFault(CHECK, "drift", partial(_stretched, by=by), name=f"{by:+.1%}") for by in (0.01, -0.01, 0.03)),
    *(
        LabelFault(CHECK, "importer_error", partial(_in_units, a_second=a_second), name=f"times in {unit}")
        for unit, a_second in (("milliseconds", 1e3), ("frames", 25.0), ("samples", 16_000.0), ("minutes", 1 / 60))
    ),
    LabelFault(CHECK, "speech_untranscribed", as_injection(faults.lose_segment), name="segment lost"),
    LabelFault(CHECK, "text_over_silence", _over_silence, name="segment in a pause"),
    LabelFault(CHECK, "beyond_end", _beyond, name="1 to 4 s beyond the end"),
    LabelFault(CHECK, "overlap", _overlapping, name="0.6 s of one speaker twice"),
    LabelFault(CHECK, "out_of_order", _out_of_order, name="one segment at another place"),
    LabelFault(CHECK, "rate_implausible", _too_fast, name="all words in one segment"),
    LabelFault(CHECK, "negative_duration", _turned_around, name="start and end exchanged"),
    LabelFault(CHECK, "no_duration", _without_length, name="end at the start"),
    LabelFault(CHECK, "speaker_mismatch", _other_speaker, name="another speaker's name"),
    LabelFault(CHECK, "text_mismatch", _second_transcript, name="another segment's words"),
    LabelFault(CHECK, "wrong_recording", _other_recording, name="another recording"),
)
