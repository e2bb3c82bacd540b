"""Made-up telephone calls: sound that is built like speech, and a transcript that fits it.

The sound follows the source-filter model of speech (Fant, 1960): a pulse train for voiced sounds, noise for unvoiced
ones, shaped by formant resonances that change every few syllables, with pauses between sentences.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

from infra.demo.scenes import START, context, file_sha256
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.contracts.manifest import Clock, SampleManifest, Stream

RATE_HZ = 16_000
SENTENCES = (
    "Good morning, you are speaking with the service desk.",
    "Hello, my parcel was due on Monday and it has not come.",
    "I am sorry to hear that, may I have the order number?",
    "Yes, it is four seven one nine, from the second of March.",
    "Thank you, one moment while I look it up.",
    "It says delivered, but nobody rang the bell.",
    "I see that the driver left it with a neighbour.",
    "That is strange, there was no card in the letter box.",
    "Shall I ask the driver to call you this afternoon?",
    "Please do, I am at home until five.",
    "I have noted it, is there anything else I can do?",
    "No, that was all, thank you for your help.",
)
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (570, 840, 2410), (440, 1020, 2240))
AUTHOR = Author(kind="human", id="ann", team="blue")


def _resonate(sound: NDArray[np.float64], formant_hz: float, bandwidth_hz: float) -> NDArray[np.float64]:
    radius = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    angle = 2 * np.pi * formant_hz / RATE_HZ
    filtered: NDArray[np.float64] = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
    return filtered


def _word(rng: np.random.Generator, letters: int, pitch_hz: float) -> NDArray[np.float64]:
    syllables = []
    for _ in range(max(1, round(letters / 3))):
        count = int(RATE_HZ * rng.uniform(0.13, 0.2))
        if rng.random() < 0.3:  # an unvoiced beginning
            hiss = rng.normal(0, 0.25, count // 4)
            syllables.append(_resonate(hiss, 3_500, 900) * 4)
        phase = np.cumsum(np.full(count, pitch_hz * rng.uniform(0.93, 1.07) / RATE_HZ))
        pulses = (np.diff(np.floor(phase), prepend=0) > 0).astype(float) + rng.normal(0, 0.01, count)
        formants = FORMANTS_HZ[int(rng.integers(len(FORMANTS_HZ)))]
        vowel = sum((_resonate(pulses, hz, 60 + 30 * k) for k, hz in enumerate(formants)), np.zeros(count))
        envelope = np.sin(np.linspace(0.15, np.pi - 0.15, count)) ** 0.5
        syllables.append(vowel * envelope)
    return np.concatenate(syllables)


def speak(rng: np.random.Generator, text: str, pitch_hz: float) -> NDArray[np.float64]:
    """Return a sound with the rhythm and spectrum of ``text`` spoken, peak 0.5, at 16 kHz."""
    words = [_word(rng, len(word), pitch_hz) for word in text.split()]
    gap = np.zeros(int(RATE_HZ * 0.03))
    sound = np.concatenate([part for word in words for part in (word, gap)][:-1])
    loudest = float(np.abs(sound).max())
    scaled: NDArray[np.float64] = sound / loudest * 0.5
    return scaled


def call(folder: Path, project: str, index: int, seed: int, *, sentences: int = 10) -> SampleManifest:
    """Write a call (WAV) into ``folder`` and return its manifest with transcript and speaker turns."""
    rng = np.random.default_rng((seed, index))
    parts = [np.zeros(int(RATE_HZ * rng.uniform(0.6, 1.6)))]
    at = len(parts[0])
    annotations: list[Annotation] = []
    for number, text in enumerate(SENTENCES[:sentences]):
        speaker, pitch_hz = ("agent", 120.0) if number % 2 == 0 else ("caller", 195.0)
        sound = speak(rng, text, pitch_hz)
        start_s, end_s = at / RATE_HZ, (at + len(sound)) / RATE_HZ
        jitter = rng.normal(0, 0.02, 2)
        annotations.append(
            TranscriptSegment(
                id=f"segment-{number:02d}",
                stream="call",
                start_s=start_s + float(jitter[0]),
                end_s=end_s + float(jitter[1]),
                text=text,
                speaker=speaker,
                language="en-GB",
                author=AUTHOR,
            )
        )
        annotations.append(
            SpeakerTurn(
                id=f"turn-{number:02d}", stream="call", start_s=start_s, end_s=end_s, speaker=speaker, author=AUTHOR
            )
        )
        pause = np.zeros(int(RATE_HZ * rng.uniform(0.5, 1.3)))
        parts.extend([sound, pause])
        at += len(sound) + len(pause)
    sound = np.concatenate(parts)
    sound = sound + rng.normal(0, 0.0012, len(sound))
    path = folder / f"call-{index:03d}.wav"
    soundfile.write(path, sound.astype(np.float32), RATE_HZ, subtype="PCM_16")
    captured_at = START + timedelta(minutes=index)
    return SampleManifest(
        format="concord.sample/1",
        sample_id=f"call-{index:03d}",
        project=project,
        captured_at=captured_at,
        context=context(),
        streams=(
            Stream(
                id="call",
                modality="audio",
                uri=path.resolve().as_uri(),
                sha256=file_sha256(path),
                media_type="audio/wav",
                sensor="telephone",
                clock=Clock(start=captured_at, rate_hz=RATE_HZ),
                duration_s=len(sound) / RATE_HZ,
            ),
            Stream(id="ticket", modality="record", inline={"order": "4719", "channel": "telephone"}),
        ),
        annotations=tuple(annotations),
    )
