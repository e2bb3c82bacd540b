"""When somebody speaks in a recording, from the waveform alone.

Frames of 10 ms are judged by their energy in the telephone band (300 to 3,400 Hz by default) against a noise floor
and a speech level that both follow the recording:

* the floor is a low quantile of the energy over a sliding window, the idea of minimum statistics (R. Martin,
  *Noise power spectral density estimation based on optimal smoothing and minimum statistics*, IEEE Transactions
  on Speech and Audio Processing 9(5), 2001): even fluent speech falls back to the noise between syllables;
* the decision level lies a fixed share of the way from the floor to the speech level, as in adaptive energy
  detectors (J. Ramírez et al., *Efficient voice activity detection algorithms using long-term speech
  information*, Speech Communication 42, 2004), so that breath and echo are not speech in a clean recording and
  speech is still found in a noisy one;
* a hysteresis and a hangover (ITU-T G.729 Annex B uses the same two) join the frames to stretches.

Whether a stretch is a voice, and not a tone or a knock, is told by its periodicity in the range of human pitch (the
normalised autocorrelation; P. Boersma, 1993) together with the modulation of its energy (E. Scheirer and
M. Slaney, 1997). This is asked only of stretches that a finding would name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from services.alignment.sample import AudioData
from services.rules.audio_transcript import SpeechActivityRules

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Span = tuple[float, float]

HOP_S = 0.01
_SILENCE_POWER = 1e-12
_CHUNK_S = 30
_BLOCK_FRAMES = 50  # half a second: long enough for a quantile, short enough to follow the noise
MIN_RATE_HZ = 2_000


@dataclass(frozen=True, slots=True)
class SpeechActivity:
    """Speech, frame by frame.

    Attributes:
        probability: Shape (n,), 0 to 1: soft evidence of a frame of 10 ms, without hysteresis or hangover.
        active: Shape (n,): the decision, with hysteresis and hangover.
        level_db: Shape (n,): band energy, dB relative to full scale.
        contrast_db: Speech level over noise floor, dB: how much the evidence is worth.
    """

    probability: FloatArray
    active: BoolArray
    level_db: FloatArray
    contrast_db: float

    @property
    def duration_s(self) -> float:
        """Length of the judged recording, seconds."""
        return len(self.active) * HOP_S


def frame_of(time_s: float, frames: int) -> int:
    """Return the frame boundary nearest to ``time_s``, kept inside the recording."""
    return min(max(round(time_s / HOP_S), 0), frames)


def detect_speech(audio: AudioData, rules: SpeechActivityRules) -> SpeechActivity:
    """Return the speech activity of a recording.

    Runs in linear time, chunk by chunk: beside the samples it holds a few numbers a frame.

    Args:
        audio: Any rate from 2 kHz; mono.
        rules: Band, thresholds and times.
    """
    level_db = _band_level_db(audio, rules)
    if len(level_db) == 0:
        empty = np.zeros(0)
        return SpeechActivity(empty, np.zeros(0, dtype=bool), empty, 0.0)
    floor_db, speech_db = _floor_and_level(level_db, rules)
    middle_db = floor_db + np.maximum(rules.min_snr_db, rules.decision_share * (speech_db - floor_db))
    above_db = level_db - middle_db
    probability = 1.0 / (1.0 + np.exp(-np.clip(above_db / rules.softness_db, -30.0, 30.0)))
    active = _decide(above_db, rules)
    contrast = float(np.median((speech_db - floor_db)[active])) if active.any() else 0.0
    return SpeechActivity(probability, active, level_db, contrast)


def _band_level_db(audio: AudioData, rules: SpeechActivityRules) -> FloatArray:
    rate = audio.rate_hz
    high_hz = min(rules.band_hz[1], 0.45 * rate)
    low_hz = min(rules.band_hz[0], 0.5 * high_hz)
    sections = signal.butter(2, (low_hz, high_hz), btype="bandpass", fs=rate, output="sos")
    state = np.zeros((sections.shape[0], 2))
    samples_a_chunk = _CHUNK_S * rate  # a whole number of frames at every rate, as a chunk is whole seconds
    powers = []
    for start in range(0, len(audio.samples), samples_a_chunk):
        chunk = _finite(audio.samples[start : start + samples_a_chunk])
        filtered, state = signal.sosfilt(sections, chunk, zi=state)
        frames = int(len(chunk) / rate / HOP_S + 1e-9)
        if frames == 0:
            continue
        edges = np.round(np.arange(frames + 1) * rate * HOP_S).astype(np.int64)
        sums = np.add.reduceat(filtered[: edges[-1]] ** 2, edges[:-1])
        powers.append(sums / np.diff(edges))
    if not powers:
        return np.zeros(0)
    # Three frames: shorter than any pause between words, long enough to span a pitch period.
    smooth = ndimage.uniform_filter1d(np.concatenate(powers), 3, mode="nearest")
    level_db: FloatArray = 10.0 * np.log10(np.maximum(smooth, 0.0) + _SILENCE_POWER)
    return level_db


def _finite(samples: NDArray[np.float32]) -> FloatArray:
    """Return the samples as doubles; a broken decoder's NaN and infinities become silence and full scale."""
    clean: FloatArray = np.clip(np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0), -8.0, 8.0)
    return clean


def _floor_and_level(level_db: FloatArray, rules: SpeechActivityRules) -> tuple[FloatArray, FloatArray]:
    blocks = np.array_split(level_db, max(1, len(level_db) // _BLOCK_FRAMES))
    low, high = _quantiles(blocks, 0.15), _quantiles(blocks, 0.9)
    width = max(1, round(rules.window_s / (_BLOCK_FRAMES * HOP_S)))
    floor = ndimage.percentile_filter(low, 10, size=min(width, 2 * len(low) + 1), mode="nearest")
    level = ndimage.percentile_filter(high, 90, size=min(width, 2 * len(high) + 1), mode="nearest")
    floor = np.maximum(floor, rules.silence_dbfs)
    # A voice far below the loudest ones is an echo, or the room behind an open microphone.
    level = np.maximum(level, np.quantile(high, 0.95) - rules.quietest_voice_db)
    centres = np.cumsum([0, *(len(block) for block in blocks[:-1])]) + np.array([len(b) / 2 for b in blocks])
    frames = np.arange(len(level_db))
    return np.interp(frames, centres, floor), np.interp(frames, centres, level)


def _quantiles(blocks: Sequence[FloatArray], share: float) -> FloatArray:
    """Return one quantile of each block; the blocks' lengths differ by at most one, the longer first."""
    alike = [np.stack(list(group)) for _, group in groupby(blocks, key=len)]
    return np.concatenate([np.quantile(group, share, axis=1) for group in alike])


def _decide(above_db: FloatArray, rules: SpeechActivityRules) -> BoolArray:
    # Hysteresis: a run above the lower threshold counts if it reaches the higher one for long enough.
    low = above_db > -rules.hysteresis_db
    strong = _drop_short_runs(above_db > rules.hysteresis_db, frames=3)
    labels, count = ndimage.label(low)
    kept = np.zeros(count + 1, dtype=bool)
    kept[np.unique(labels[strong])] = True
    kept[0] = False
    active = kept[labels]
    return _drop_short_runs(close_gaps(active, rules.hangover_s), frames=round(rules.min_speech_s / HOP_S))


def close_gaps(active: BoolArray, gap_s: float) -> BoolArray:
    """Return ``active`` with inner pauses of at most ``gap_s`` seconds filled."""
    filled = active.copy()
    starts, ends = runs_of(~active)
    for start, end in zip(starts, ends, strict=True):
        if start > 0 and end < len(active) and (end - start) * HOP_S <= gap_s + 1e-9:
            filled[start:end] = True
    return filled


def _drop_short_runs(active: BoolArray, frames: int) -> BoolArray:
    kept = active.copy()
    starts, ends = runs_of(active)
    for start, end in zip(starts, ends, strict=True):
        if end - start < frames:
            kept[start:end] = False
    return kept


def runs_of(active: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (first frames, frames after the last) of each run of true frames."""
    padded = np.concatenate(([0], active.astype(np.int8), [0]))
    steps = np.diff(padded)
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def voice_share(audio: AudioData, activity: SpeechActivity, span: Span, rules: SpeechActivityRules) -> float:
    """Return which share of a stretch's active frames is voiced, 0 to 1; 0 where its energy does not vary.

    A frame of 40 ms is voiced if the normalised autocorrelation of its band below 1 kHz has a peak of at least
    ``min_periodicity`` at a lag of human pitch (70 to 400 Hz). A tone is periodic too, but its energy does not
    rise and fall as that of syllables does.

    Args:
        audio: The recording.
        activity: Its speech activity.
        span: (start, end) of the stretch, seconds; only its first minute is heard.
        rules: Thresholds.
    """
    first, last = (frame_of(time_s, len(activity.active)) for time_s in (span[0], min(span[1], span[0] + 60.0)))
    active = activity.active[first:last]
    if not active.any():
        return 0.0
    levels = activity.level_db[first:last][active]
    if float(np.quantile(levels, 0.9) - np.quantile(levels, 0.1)) < rules.min_modulation_db:
        return 0.0
    rate = audio.rate_hz
    step = max(1, int(rate // 4_000))
    samples = _finite(audio.samples[round(first * HOP_S * rate) : round(last * HOP_S * rate)])
    high_hz = min(1_000.0, 0.45 * rate)
    sections = signal.butter(2, (60.0, high_hz), btype="bandpass", fs=rate, output="sos")
    thin = signal.sosfilt(sections, samples)[::step]
    thin_rate = rate / step
    width, hop = round(0.04 * thin_rate), round(HOP_S * thin_rate)
    if len(thin) < width:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(thin, width)[::hop]
    periodic = _periodicity(windows, thin_rate) >= rules.min_periodicity
    heard = active[np.minimum(np.arange(len(periodic)) + 2, len(active) - 1)]
    return float(np.mean(periodic[heard])) if heard.any() else 0.0


def _periodicity(windows: FloatArray, rate_hz: float) -> FloatArray:
    width = windows.shape[1]
    taper = np.hanning(width)
    tapered = (windows - windows.mean(axis=1, keepdims=True)) * taper
    size = fft.next_fast_len(2 * width, real=True)
    spectrum = np.abs(fft.rfft(tapered, size, axis=1)) ** 2
    correlation = fft.irfft(spectrum, size, axis=1)[:, :width]
    own = np.abs(fft.rfft(taper, size)) ** 2
    taper_correlation = fft.irfft(own, size)[:width]
    energy = np.maximum(correlation[:, :1], 1e-12)
    # Dividing by the taper's own autocorrelation undoes its fall over the lags (Boersma 1993).
    normalised = correlation / energy / np.maximum(taper_correlation / taper_correlation[0], 1e-3)
    first, last = int(rate_hz / 400.0), min(int(rate_hz / 70.0) + 1, width - 1)
    peak: FloatArray = normalised[:, first:last].max(axis=1)
    return peak
