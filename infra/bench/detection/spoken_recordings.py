"""Recorded speech with known times: telephone calls, and read sentences one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from infra.bench.detection.recordings import read_samples
from infra.storage import call_folder
from services.alignment.sample import AudioData, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.contracts.manifest import SampleManifest, Stream

_SENTENCES = Path("speechbrain_samples/tests/samples")
_PAUSES_S = (0.4, 1.5)
_ROUNDS = 8
"""So often all sentences of a speaker are said: a drift of a few thousandths shows over minutes only."""


def calls(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield recorded calls, each a group."""
    if (data / "pyannote_call").is_dir():
        yield from read_samples(call_folder.iter_manifests(data / "pyannote_call", "bench"), 2)


def readings(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield one recording a speaker: the sentences that they read, in an order drawn anew each time, with pauses.

    Only sentences whose words are known are said. Pauses are noise as loud as the quietest moment of these sentences.
    A segment covers the whole file of its sentence.
    """
    table = data / _SENTENCES / "annotation" / "ASR_train.json"
    if not table.is_file():
        return
    entries = json.loads(table.read_text(encoding="utf-8"))
    for speaker in sorted({entry["spk_id"] for entry in entries.values()}):
        files = [
            (data / _SENTENCES / "ASR" / f"{name}.wav", str(entry["wrd"]).lower())
            for name, entry in sorted(entries.items())
            if entry["spk_id"] == speaker
        ]
        said = [(path, words) for path, words in files if path.is_file()]
        if len(said) > 1:
            yield speaker, _reading(speaker, said)


def _reading(speaker: str, said: list[tuple[Path, str]]) -> CheckSample:
    rng = np.random.default_rng(len(said))
    sounds = [soundfile.read(path, dtype="float32") for path, _ in said]
    rate_hz = int(sounds[0][1])
    level = min(_quietest(samples, rate_hz) for samples, _ in sounds)
    parts: list[NDArray[np.float32]] = []
    labels: list[Annotation] = []
    at = 0
    for number, place in enumerate(index for _ in range(_ROUNDS) for index in rng.permutation(len(said))):
        pause = rng.normal(0, level, int(rng.uniform(*_PAUSES_S) * rate_hz)).astype(np.float32)
        samples = sounds[place][0]
        parts += [pause, samples]
        start_s, end_s = (at + len(pause)) / rate_hz, (at + len(pause) + len(samples)) / rate_hz
        at += len(pause) + len(samples)
        times = {"start_s": round(start_s, 3), "end_s": round(end_s, 3)}
        labels.append(
            TranscriptSegment(id=f"said-{number:03d}", stream="audio", text=said[place][1], speaker=speaker, **times)
        )
        labels.append(SpeakerTurn(id=f"turn-{number:03d}", stream="audio", speaker=f"voice-{speaker}", **times))
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id=f"reading-{speaker}",
        project="bench",
        streams=(Stream(id="audio", modality="audio", duration_s=at / rate_hz),),
    )
    sample = CheckSample(manifest, tuple(labels))
    return replace(sample, audio={"audio": AudioData(np.concatenate(parts), rate_hz)})


def _quietest(samples: NDArray[np.float32], rate_hz: int) -> float:
    """Return the least root mean square of 50 ms."""
    length = rate_hz // 20
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    return float(np.sqrt(np.mean(frames**2, axis=1)).min())
