"""Calls for the tests of the audio checks: made-up voices with known times, and the real call where it is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from infra.storage.call_folder import iter_manifests
from services.alignment.sample import AudioData, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.label_base import Author, TimedLabel
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.contracts.manifest import SampleManifest, Stream

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RATE_HZ = 8_000
WORDS = (
    "well", "then", "I", "think", "we", "could", "send", "it", "again", "on", "Monday", "if", "that", "is", "fine",
    "with", "you", "and", "your", "people", "there",
)  # fmt: skip
needs_call = pytest.mark.skipif(
    not (DATA / "pyannote_call").is_dir(), reason="the recorded call is not on this machine"
)
needs_praatio = pytest.mark.skipif(not (DATA / "praatio").is_dir(), reason="these recordings are not on this machine")
needs_sentences = pytest.mark.skipif(
    not (DATA / "speechbrain_samples").is_dir(), reason="these recordings are not on this machine"
)

Floats = NDArray[np.float64]


def syllable(rng: np.random.Generator, pitch_hz: float, length_s: float) -> Floats:
    """A vowel: harmonics of a gliding pitch under two formants, rising and falling."""
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 2.5 * time_s))) / RATE_HZ
    formants_hz = (rng.uniform(300, 800), rng.uniform(1000, 2300))
    sound = np.zeros(len(time_s))
    for number in range(1, int(3_400 / pitch_hz)):
        weight = sum(1 / (1 + ((number * pitch_hz - formant) / 120) ** 2) for formant in formants_hz)
        sound += weight * np.sin(number * phase)
    shaped: Floats = sound * np.sin(np.pi * np.linspace(0.05, 0.95, len(time_s))) ** 0.7
    return shaped


def voice(rng: np.random.Generator, length_s: float, pitch_hz: float) -> Floats:
    """Speech of exactly ``length_s`` seconds, with the short pauses that words have."""
    parts: list[Floats] = []
    left = round(length_s * RATE_HZ)
    while left > 0:
        sound = syllable(rng, pitch_hz * rng.uniform(0.9, 1.1), rng.uniform(0.12, 0.25)) * rng.uniform(0.5, 1.0)
        pause = np.zeros(int(rng.uniform(0.0, 0.06) * RATE_HZ))
        parts += [sound, pause]
        left -= len(sound) + len(pause)
    whole = np.concatenate(parts)[: round(length_s * RATE_HZ)]
    scaled: Floats = whole / np.abs(whole).max() * 0.4
    return scaled


@dataclass(frozen=True)
class Call:
    """A recording and the labels that fit it."""

    manifest: SampleManifest
    audio: AudioData
    segments: tuple[TranscriptSegment, ...]
    turns: tuple[SpeakerTurn, ...] = ()

    def sample(self, annotations: Iterable[Annotation]) -> CheckSample:
        return CheckSample(self.manifest, tuple(annotations), {"audio": self.audio})


def made_call(
    seed: int, *, seconds: float = 60.0, pause_s: float = 0.8, jitter_s: float = 0.05, snr_db: float = 40.0
) -> Call:
    """Two voices taking turns with random pauses, and noise."""
    rng = np.random.default_rng(seed)
    parts: list[Floats] = [np.zeros(int(RATE_HZ * rng.uniform(0.5, 2.0)))]
    segments: list[TranscriptSegment] = []
    turns: list[SpeakerTurn] = []
    at_s = len(parts[0]) / RATE_HZ
    while at_s < seconds:
        length_s = float(rng.uniform(0.8, 4.0))
        index = len(segments)
        speaker, pitch_hz = (("anna", 190.0), ("bert", 110.0))[index % 2]
        parts.append(voice(rng, length_s, pitch_hz))
        start_s = at_s
        at_s += len(parts[-1]) / RATE_HZ
        edges = rng.normal(0, jitter_s, 2)
        words = rng.choice(WORDS, max(1, round(length_s * 2.8)))
        segments.append(segment(f"s{index:03d}", start_s + edges[0], at_s + edges[1], " ".join(words), speaker))
        turns.append(turn(f"t{index:03d}", start_s, at_s, f"voice-{speaker[0]}"))
        parts.append(np.zeros(int(RATE_HZ * (0.25 + rng.exponential(pause_s)))))
        at_s += len(parts[-1]) / RATE_HZ
    sound = np.concatenate(parts)
    power = np.mean(sound[np.abs(sound) > 0.02] ** 2)
    sound = sound + rng.normal(0, 1, len(sound)) * np.sqrt(power / 10 ** (snr_db / 10))
    return Call(manifest_of(), AudioData(sound.astype(np.float32), RATE_HZ), tuple(segments), tuple(turns))


def manifest_of(*streams: Stream) -> SampleManifest:
    return SampleManifest(
        format="concord.sample/1",
        sample_id="call",
        project="calls",
        streams=streams or (Stream(id="audio", modality="audio", uri="call.wav"),),
    )


def segment(name: str, start_s: float, end_s: float, text: str, speaker: str | None = None) -> TranscriptSegment:
    return TranscriptSegment(
        id=name, stream="audio", start_s=float(start_s), end_s=float(end_s), text=text, speaker=speaker
    )


def turn(name: str, start_s: float, end_s: float, speaker: str) -> SpeakerTurn:
    return SpeakerTurn(id=name, stream="audio", start_s=float(start_s), end_s=float(end_s), speaker=speaker)


def moved(labels: Sequence[TranscriptSegment], offset_s: float, drift: float = 0.0) -> list[TranscriptSegment]:
    """Labels whose clock runs ``1 + drift`` fast and that are ``offset_s`` late at the start."""
    return [
        label.model_copy(
            update={
                "start_s": label.start_s * (1 + drift) + offset_s,
                "end_s": label.end_s * (1 + drift) + offset_s,
            }
        )
        for label in labels
    ]


def real_call() -> Call:
    """The recorded telephone call with its own transcript and speaker turns."""
    folder = DATA / "pyannote_call"
    manifest = next(iter_manifests(folder, "calls"))
    samples, rate_hz = soundfile.read(folder / "sample.wav", dtype="float32")
    return Call(
        manifest,
        AudioData(samples, rate_hz),
        tuple(label for label in manifest.annotations if isinstance(label, TranscriptSegment)),
        tuple(label for label in manifest.annotations if isinstance(label, SpeakerTurn)),
    )


def kinds(findings: Iterable[Finding]) -> list[str]:
    return sorted(finding.kind for finding in findings)


def by_author(label: TranscriptSegment, author: str, **changes: object) -> TranscriptSegment:
    return label.model_copy(update={"author": Author(kind="human", id=author), "id": f"{label.id}-{author}", **changes})


def timed(annotations: Iterable[Annotation]) -> list[TimedLabel]:
    return [label for label in annotations if isinstance(label, TimedLabel)]
