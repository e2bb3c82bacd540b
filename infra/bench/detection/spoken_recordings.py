"""Recorded speech with known times: telephone calls, read sentences one after the other, sayings with timed words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from infra.bench.detection.recordings import read_samples
from infra.storage import call_folder
from services.alignment.sample import AudioData, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment, Word
from services.contracts.manifest import SampleManifest, Stream
from services.formats.textgrid import decode_textgrid, level_of, read_textgrid

_SENTENCES = Path("speechbrain_samples/tests/samples")
_SAYINGS = Path("praatio/examples/files")
_PAUSES_S = (0.4, 1.5)
_ROUNDS = 8
"""So often all sentences of a speaker are said: a drift of a few thousandths shows over minutes only."""


def calls(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield recorded calls, each a group."""
    if (data / "pyannote_call").is_dir():
        yield from read_samples(call_folder.iter_manifests(data / "pyannote_call", "bench"), 2)


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said in one file, with the times of its words where people marked them."""

    samples: NDArray[np.float32]
    rate_hz: int
    text: str
    words: tuple[Word, ...] = ()


def readings(data: Path, rounds: int = _ROUNDS) -> Iterator[tuple[str, CheckSample]]:
    """Yield one recording a speaker: the sentences that they read, in an order drawn anew each round, with pauses.

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
        said = [_Said(*_read(path), text) for path, text in files if path.is_file()]
        if len(said) > 1:
            yield speaker, _spoken(f"reading-{speaker}", speaker, said, rounds)


def sayings(data: Path, rounds: int) -> Iterator[tuple[str, CheckSample]]:
    """Yield one recording a saying, said again and again with pauses; people marked its words.

    A segment reaches from the first word to the last.
    """
    for path in sorted((data / _SAYINGS).glob("*.wav")):
        grid = next((one for one in (path.with_suffix(".TextGrid"), _words_beside(path)) if one.is_file()), None)
        if grid is None:
            continue
        labels = read_textgrid(decode_textgrid(grid.read_bytes()), stream="audio").annotations
        words = tuple(
            Word(text=label.text, start_s=label.start_s, end_s=label.end_s)
            for label in labels
            if isinstance(label, TranscriptSegment)
            and level_of(str(label.attributes.get("tier", ""))) in ("word", "words")
        )
        if words:
            said = [_Said(*_read(path), " ".join(word.text for word in words), words)]
            yield f"saying-{path.stem}", _spoken(f"saying-{path.stem}", path.stem, said, rounds)


def _words_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_words.TextGrid")


def _read(path: Path) -> tuple[NDArray[np.float32], int]:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return samples, int(rate_hz)


def _spoken(name: str, speaker: str, said: Sequence[_Said], rounds: int) -> CheckSample:
    rng = np.random.default_rng(len(said))
    rate_hz = said[0].rate_hz
    level = min(_quietest(one.samples, rate_hz) for one in said)
    parts: list[NDArray[np.float32]] = []
    labels: list[Annotation] = []
    at = 0
    for number, place in enumerate(index for _ in range(rounds) for index in rng.permutation(len(said))):
        one = said[place]
        pause = rng.normal(0, level, int(rng.uniform(*_PAUSES_S) * rate_hz)).astype(np.float32)
        parts += [pause, one.samples]
        start_s, end_s = (at + len(pause)) / rate_hz, (at + len(pause) + len(one.samples)) / rate_hz
        at += len(pause) + len(one.samples)
        words = tuple(
            word.model_copy(
                update={"start_s": round(word.start_s + start_s, 3), "end_s": round(word.end_s + start_s, 3)}
            )
            for word in one.words
        )
        times = {
            "start_s": words[0].start_s if words else round(start_s, 3),
            "end_s": words[-1].end_s if words else round(end_s, 3),
        }
        labels.append(
            TranscriptSegment(
                id=f"said-{number:03d}", stream="audio", text=one.text, speaker=speaker, words=words, **times
            )
        )
        labels.append(SpeakerTurn(id=f"turn-{number:03d}", stream="audio", speaker=f"voice-{speaker}", **times))
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id=name,
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
