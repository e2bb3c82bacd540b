"""Made-up calls of any length: voices that can be told from silence, a transcript, and speaker turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.alignment.sample import AudioData, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.contracts.manifest import SampleManifest, Stream


@dataclass(frozen=True, slots=True)
class Pace:
    """How people take turns.

    Attributes:
        period_s: From one segment to the next, seconds.
        speech_s: How long each lasts, seconds.
    """

    period_s: float
    speech_s: float


CALL = Pace(2.5, 1.8)
BRISK = Pace(1.25, 1.0)
"""So that memory still holds the recording of a million labels: five days of it, 7 GB."""

RATE_HZ = 4_000
_WORDS = (
    "well", "then", "I", "think", "we", "could", "send", "it", "again", "on", "Monday", "if", "that", "is", "fine",
    "with", "you", "and", "your", "people", "there",
)  # fmt: skip
_FAULT_EVERY = 100
_BLOCK = 200


def voices(segments: int, rate_hz: int = RATE_HZ, *, pace: Pace = CALL, seed: int = 1) -> Iterator[NDArray[np.float32]]:
    """Yield the sound of so many segments in blocks; full scale is 1.

    A voice is eight harmonics of a gliding pitch, four syllables a second; between the segments is faint noise.
    """
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(pace.period_s * rate_hz)) / rate_hz
    pitch_hz = 140.0 * (1 + 0.05 * np.sin(2 * np.pi * 2.5 * time_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    sound = sum(np.sin(number * phase) / number for number in range(1, 9))
    voice = sound * np.abs(np.sin(2 * np.pi * 2 * time_s)) ** 0.5 * (time_s < pace.speech_s) * 0.2
    for begin in range(0, segments, _BLOCK):
        number = min(_BLOCK, segments - begin)
        block = rng.normal(0.0, 0.001, (number, len(time_s)))
        heard = np.arange(begin, begin + number) % _FAULT_EVERY != 7
        yield (block + heard[:, None] * voice).astype(np.float32).ravel()


def segments_of(
    number: int, *, author: str | None = None, stream: str = "call", pace: Pace = CALL
) -> Iterator[TranscriptSegment]:
    """Yield a transcript; one segment in a hundred overlaps the one before, and a second author hears another word."""
    rng = np.random.default_rng(2)
    words = rng.integers(0, len(_WORDS), (number, 6))
    for index, row in enumerate(words.tolist()):
        start_s = pace.period_s * index - (0.9 if index % _FAULT_EVERY == 8 else 0.0)
        said = [_WORDS[word] for word in row]
        if author is not None and index % _FAULT_EVERY == 9:
            said[:3] = ("nobody", "said", "this")
        yield TranscriptSegment(
            id=f"{author or 'seg'}-{index}", stream=stream, start_s=max(0.0, start_s),
            end_s=pace.period_s * index + pace.speech_s, text=" ".join(said), speaker=f"s{index % 2}",
            author=None if author is None else Author(kind="human", id=author),
        )  # fmt: skip


def _turns(number: int, pace: Pace) -> Iterator[SpeakerTurn]:
    for index in range(number):
        speaker = f"v{(index + (index % _FAULT_EVERY == 10)) % 2}"
        start_s = pace.period_s * index
        yield SpeakerTurn(
            id=f"turn-{index}", stream="call", speaker=speaker, start_s=start_s, end_s=start_s + pace.speech_s
        )


def call_manifest(uri: str | None = None) -> SampleManifest:
    """Return the manifest of a call."""
    stream = Stream(id="call", modality="audio", uri=uri)
    return SampleManifest(format="concord.sample/1", sample_id="call", project="bench", streams=(stream,))


def spoken_sample(labels: int) -> CheckSample:
    """Return what :func:`written_sample` does with its recording, of a brisk call."""
    written = written_sample(labels, BRISK)
    number = len(written.annotations) // 3
    # Filled block by block: the recording of a million labels fits into memory once.
    samples = np.empty(number * round(BRISK.period_s * RATE_HZ), dtype=np.float32)
    filled = 0
    for block in voices(number, pace=BRISK):
        samples[filled : filled + len(block)] = block
        filled += len(block)
    return replace(written, audio={"call": AudioData(samples, RATE_HZ)})


def written_sample(labels: int, pace: Pace = CALL) -> CheckSample:
    """Return a call without its recording: two people's transcripts and speaker turns, a third of the labels each."""
    number = max(1, labels // 3)
    found: tuple[Annotation, ...] = (
        *segments_of(number, author="ann", pace=pace),
        *segments_of(number, author="ben", pace=pace),
        *_turns(number, pace),
    )
    return CheckSample(call_manifest(), found)
