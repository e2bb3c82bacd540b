"""How a transcript lies against its recording in time: a shift, and a linear drift of its clock.

The evidence is the speech probability of each frame, mapped to -1 (silence) … +1 (speech), and -1 outside the
recording. The score of a hypothesis is its sum over all time that the moved transcript claims as speech, in seconds:
the cross-correlation of the transcript's activity with the soft speech activity. The score's constant parts cancel
between hypotheses, so only the edges of segments vote; pauses inside a segment do not matter.

* The shift is the maximum of that correlation (computed by FFT, C. Knapp and G. Carter, *The generalized correlation
  method for estimation of time delay*, IEEE Transactions on Acoustics, Speech and Signal Processing 24(4), 1976).
* Drift is a scale of the transcript's time: the correlation is repeated over a grid of scales, and the best
  candidates are refined on the exact score by the displacement at both ends of the transcript. A scale must be the
  finer the longer the transcript is, so a long one is searched from its beginning on: the best scales of the first
  half hour are followed through an hour, two hours, and so on, each time on a grid twice as fine around them. That
  keeps the search at n log n, where one grid for the whole length would take n² log n.
* A hypothesis is preferred to a simpler one only if it gains clearly: by a share of the transcript's length, by an
  absolute time, and over a random walk of the same evidence; and if no other, distant maximum is nearly as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from services.alignment.speech_activity import HOP_S, BoolArray, FloatArray, Span, SpeechActivity
from services.rules.audio_transcript import TimeAlignmentRules

Floats = NDArray[np.floating]
_CORRELATION_S = 0.3  # how long neighbouring frames of speech stay alike: about a syllable
_SURE = 0.8  # evidence above this is speech in any noise; as a probability 0.9
_EDGE_JITTER_S = 0.05  # how exactly people set an edge
_FIRST_SEARCH_S = 1_800.0  # over the first this long of a transcript every scale is tried
_FIRST_SEARCH_SPANS = 24  # … and over at least so many stretches: fewer leave too many scales alike
_SCALES_KEPT = 5


@dataclass(frozen=True, slots=True)
class Correction:
    """``t_new = (t_old + offset_s) * (1 + drift)``: the movement that puts labels where the sound is."""

    offset_s: float = 0.0
    drift: float = 0.0

    def apply(self, time_s: float) -> float:
        """Return the moved time."""
        return (time_s + self.offset_s) * (1.0 + self.drift)


@dataclass(frozen=True, slots=True)
class TimeFault:
    """A shift, or a shift with drift, that the evidence supports.

    Attributes:
        kind: ``offset`` or ``drift``.
        correction: What to do to the labels.
        offset_s: How late the labels are at the start of the recording (negative: early), seconds.
        drift: How much faster the labels' time grows than the recording's, as a fraction.
        offset_uncertainty_s: Half width of the shifts that explain the evidence about as well.
        drift_uncertainty: The same for the drift.
        gain_s: Seconds of disagreement that the correction removes.
        agreement: Score after the correction by transcript length, -1 to 1.
    """

    kind: str
    correction: Correction
    offset_s: float
    drift: float
    offset_uncertainty_s: float
    drift_uncertainty: float
    gain_s: float
    agreement: float


class Evidence:
    """Scores hypotheses about one transcript and one recording."""

    def __init__(self, activity: SpeechActivity, spans: Sequence[Span], rules: TimeAlignmentRules) -> None:
        self._rules = rules
        self._llr = 2.0 * activity.probability - 1.0
        self._cumulative = np.concatenate(([0.0], np.cumsum(self._llr))) * HOP_S
        self.duration_s = len(self._llr) * HOP_S
        reach_s = self.duration_s * (1 + 2 * rules.max_drift) + rules.max_offset_s
        self.spans = _union([span for span in spans if -rules.max_offset_s <= span[0] and span[1] <= reach_s])
        gaps = self.spans[1:, 0] - self.spans[:-1, 1]
        self.stretches = min(len(self.spans), 1) + int(np.count_nonzero(gaps > _CORRELATION_S))
        self.claimed_s = float((self.spans[:, 1] - self.spans[:, 0]).sum())

    def score(self, scale: Floats, shift_s: Floats) -> FloatArray:
        """Return the exact score, seconds, of each hypothesis ``t_new = t_old * scale + shift_s``."""
        scores = np.empty(len(scale))
        rows = max(1, 2_000_000 // max(1, self.spans.size))
        for first in range(0, len(scale), rows):
            part = slice(first, first + rows)
            moved = self.spans[None, :, :] * scale[part, None, None] + shift_s[part, None, None]
            integral = self._integral(moved)
            scores[part] = (integral[:, :, 1] - integral[:, :, 0]).sum(axis=1)
        return scores

    def until(self, time_s: float) -> Evidence:
        """Return the evidence of the part of the transcript that begins before ``time_s``."""
        part = copy(self)
        part.spans = self.spans[self.spans[:, 0] < time_s]
        return part

    def _integral(self, time_s: Floats) -> FloatArray:
        inside = np.clip(time_s, 0.0, self.duration_s)
        grid = np.minimum(inside / HOP_S, len(self._llr))
        index = np.minimum(grid.astype(np.int64), max(0, len(self._llr) - 1))
        value = self._cumulative[index] + (grid - index) * (
            self._cumulative[np.minimum(index + 1, len(self._llr))] - self._cumulative[index]
        )
        integral: FloatArray = value - np.abs(time_s - inside) * np.sign(time_s - inside)
        return integral

    def correlate(self, scales: Sequence[float], bin_s: float) -> tuple[Floats, FloatArray]:
        """Return (shifts, scores): the scores of every scale, shape (len(scales), len(shifts)), seconds."""
        reach = int(np.ceil(self._rules.max_offset_s / bin_s))
        highest = float(self.spans.max()) * max(scales)
        lowest = min(0.0, float(self.spans.min()))
        edges = np.arange(int(np.floor(lowest / bin_s)), int(np.ceil(highest / bin_s)) + 2) * bin_s
        wide = np.arange(
            round(edges[0] / bin_s) - reach, round(edges[-1] / bin_s) + reach + 1
        ) * bin_s  # fmt: skip
        evidence = np.diff(self._integral(wide))
        size = fft.next_fast_len(len(evidence) + len(edges), real=True)
        spectrum = fft.rfft(evidence, size)
        knots = self.spans.ravel()
        covered = np.cumsum(np.concatenate(([0.0], np.diff(knots) * (np.arange(len(knots) - 1) % 2 == 0))))
        scores = np.empty((len(scales), 2 * reach + 1))
        for row, scale in enumerate(scales):
            mask = np.diff(np.interp(edges, knots * scale, covered * scale)) / bin_s
            full = fft.irfft(spectrum * np.conj(fft.rfft(mask, size)), size)
            scores[row] = full[: 2 * reach + 1]
        return np.arange(-reach, reach + 1) * bin_s, scores

    def spread_s(self, shift_s: float) -> float:
        """Return the standard deviation of a score's change if the evidence were a random walk, seconds.

        Segments that nearly touch have no edge between them, and edges further than a syllable or two from where
        they belong meet sound that has nothing to do with them: the walk ends there.
        """
        variance = float(np.var(self._llr)) if len(self._llr) else 0.0
        return float(np.sqrt(2 * self.stretches * variance * min(abs(shift_s), 1.0) * _CORRELATION_S)) + 1e-9

    def fits(self, scale: float, shift_s: float) -> bool:
        """Whether the moved transcript belongs to this recording at all.

        Two tests: its correlation with the speech, in standard errors of unrelated ones; and how much of what is
        surely speech it covers, corrected for what it would cover by chance, as Cohen's kappa is.
        """
        mask = self._mask(scale, shift_s)
        if not mask.any() or mask.all() or float(np.std(self._llr)) < 1e-6:
            return False
        correlation = float(np.corrcoef(mask, self._llr)[0, 1])
        sigma = correlation * float(np.sqrt(self.duration_s / _CORRELATION_S))
        sure = self._llr > _SURE
        if not sure.any():
            return False
        chance = float(np.mean(mask))
        covered = (float(np.mean(mask[sure])) - chance) / (1.0 - chance)
        return sigma >= self._rules.min_fit_sigma and covered >= self._rules.min_coverage

    def _mask(self, scale: float, shift_s: float) -> BoolArray:
        frames = len(self._llr)
        steps = np.zeros(frames + 1)
        moved = np.clip(np.round((self.spans * scale + shift_s) / HOP_S).astype(np.int64), 0, frames)
        np.add.at(steps, moved[:, 0], 1.0)
        np.add.at(steps, moved[:, 1], -1.0)
        mask: BoolArray = np.cumsum(steps)[:frames] > 0
        return mask


def _union(spans: Sequence[Span]) -> FloatArray:
    merged: list[list[float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(end, merged[-1][1])
        elif end > start:
            merged.append([start, end])
    return np.array(merged).reshape(-1, 2)


def find_time_fault(activity: SpeechActivity, spans: Sequence[Span], rules: TimeAlignmentRules) -> TimeFault | None:
    """Return the shift or drift between transcript and recording, or none where none is clear.

    Args:
        activity: Speech in the recording.
        spans: (start, end) of what the transcript claims as speech, seconds, in any order.
        rules: Search range and the margins a fault must reach.
    """
    evidence = Evidence(activity, spans, rules)
    if len(evidence.spans) == 0 or activity.contrast_db < rules.min_contrast_db or not activity.active.any():
        return None
    base_s = float(evidence.score(np.ones(1), np.zeros(1))[0])
    shift_s, shifted_s, unique = _best_shift(evidence, rules)
    stretched = _best_stretch(evidence, rules)
    if stretched is not None:
        scale, start_shift_s, stretched_s = stretched
        travel_s = abs(scale - 1.0) * float(evidence.spans.max() - evidence.spans.min())
        # A shift alone would leave a quarter of the travel at an edge, on average.
        if (
            travel_s >= rules.min_drift_s
            and abs(1.0 / scale - 1.0) <= rules.max_drift
            and _clear(evidence, stretched_s - max(base_s, shifted_s), travel_s / 4, rules)
            and evidence.fits(scale, start_shift_s)
        ):
            return _drift_fault(evidence, scale, start_shift_s, stretched_s - base_s, stretched_s)
    if (
        abs(shift_s) < rules.min_offset_s
        or not unique
        or not _clear(evidence, shifted_s - base_s, shift_s, rules)
        or not evidence.fits(1.0, shift_s)
    ):
        return None
    half_width = _half_width(evidence, shift_s, shifted_s)
    agreement = shifted_s / evidence.claimed_s
    return TimeFault("offset", Correction(shift_s), -shift_s, 0.0, half_width, 0.0, shifted_s - base_s, agreement)


def _clear(evidence: Evidence, gain_s: float, distance_s: float, rules: TimeAlignmentRules) -> bool:
    return (
        gain_s >= rules.min_gain_share * evidence.claimed_s
        and gain_s >= rules.min_gain_s
        and gain_s >= rules.min_gain_sigma * evidence.spread_s(distance_s)
    )


def _best_shift(evidence: Evidence, rules: TimeAlignmentRules) -> tuple[float, float, bool]:
    """Return (shift, score, whether the maximum is unique and inside the search range)."""
    shifts, rows = evidence.correlate((1.0,), HOP_S)
    scores = rows[0]
    best = int(np.argmax(scores))
    top = float(scores[best])
    # A plateau (a segment in a long stretch of speech) is represented by its middle.
    flat = scores >= top - 0.005
    left, right = best, best
    while left > 0 and flat[left - 1]:
        left -= 1
    while right < len(scores) - 1 and flat[right + 1]:
        right += 1
    shift_s = float(shifts[(left + right) // 2])
    inside = left > 0 and right < len(scores) - 1
    base_s = float(scores[len(scores) // 2])
    rival = _rival(scores, left, right, round(rules.peak_width_s / HOP_S))
    # A large gain asks no more of the margin than what chance would hardly give.
    needed_s = min(rules.peak_margin * (top - base_s), rules.min_gain_sigma * evidence.spread_s(rules.peak_width_s))
    return shift_s, top, inside and top - rival >= needed_s


def _rival(scores: FloatArray, left: int, right: int, width: int) -> float:
    """Return the highest local maximum that is at least ``width`` away from the plateau."""
    padded = np.concatenate(([-np.inf], scores, [-np.inf]))
    peaks = (padded[1:-1] >= padded[:-2]) & (padded[1:-1] >= padded[2:])
    index = np.arange(len(scores))
    peaks &= (index < left - width) | (index > right + width)
    return float(scores[peaks].max()) if peaks.any() else -np.inf


def _half_width(evidence: Evidence, shift_s: float, top_s: float) -> float:
    around = np.arange(-100, 101) * HOP_S
    scores = evidence.score(np.ones(len(around)), shift_s + around)
    near = scores >= top_s - _EDGE_JITTER_S * np.sqrt(2.0 * len(evidence.spans))
    return max(HOP_S, float(np.abs(around[near]).max()) if near.any() else HOP_S)


def _best_stretch(evidence: Evidence, rules: TimeAlignmentRules) -> tuple[float, float, float] | None:
    """Return (scale, shift at time 0, score) of the best linear movement; none for a short transcript."""
    first_s, last_s = float(evidence.spans.min()), float(evidence.spans.max())
    if last_s - first_s < rules.min_drift_span_s or len(evidence.spans) < rules.min_drift_spans:
        return None
    bin_s = 0.2 if last_s > 600 else 0.1
    ends = (first_s, last_s)
    coarse = [_refine(evidence, start, ends, 2.5 * bin_s, bin_s / 4) for start in _candidates(evidence, rules, bin_s)]
    best = sorted(coarse, key=lambda found: -found[2])[:2]
    return max(
        (_refine(evidence, (scale, shift_s), ends, bin_s / 2, 0.01) for scale, shift_s, _ in best),
        key=lambda found: found[2],
    )


def _candidates(evidence: Evidence, rules: TimeAlignmentRules, bin_s: float) -> list[tuple[float, float]]:
    """Return the (scale, shift) pairs that correlate best over the whole transcript."""
    last_s = float(evidence.spans.max())
    enough = min(_FIRST_SEARCH_SPANS, len(evidence.spans)) - 1
    until_s = min(last_s, max(evidence.spans[0, 0] + _FIRST_SEARCH_S, evidence.spans[enough, 1]))
    step = 1.5 * bin_s / until_s
    count = int(np.ceil(rules.max_drift / step))
    steps = np.arange(-count, count + 1)
    while True:
        shifts, scores = evidence.until(until_s).correlate(tuple(1.0 + steps * step), bin_s)
        chosen = _apart(steps, scores.max(axis=1))
        if until_s >= last_s:
            return [(1.0 + float(steps[row]) * step, float(shifts[int(np.argmax(scores[row]))])) for row in chosen]
        until_s, step = 2.0 * until_s, step / 2.0
        steps = np.unique(2 * steps[chosen, None] + np.arange(-4, 5))


def _apart(steps: NDArray[np.int64], scores: FloatArray) -> list[int]:
    """Return the rows of the highest scores that are more than two steps from each other."""
    chosen: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if all(abs(int(steps[row] - steps[other])) > 2 for other in chosen):
            chosen.append(row)
        if len(chosen) == _SCALES_KEPT:
            break
    return chosen


def _refine(
    evidence: Evidence, start: tuple[float, float], ends: tuple[float, float], reach_s: float, step_s: float
) -> tuple[float, float, float]:
    # The two parameters are the displacements at the two ends, which the score separates better than
    # scale and shift.
    first_s, last_s = ends
    moves = np.arange(-round(reach_s / step_s), round(reach_s / step_s) + 1) * step_s
    at_first = (first_s * start[0] + start[1]) + np.repeat(moves, len(moves))
    at_last = (last_s * start[0] + start[1]) + np.tile(moves, len(moves))
    scale = (at_last - at_first) / (last_s - first_s)
    shift_s = at_first - scale * first_s
    scores = evidence.score(scale, shift_s)
    top = int(np.argmax(scores))
    return float(scale[top]), float(shift_s[top]), float(scores[top])


def _drift_fault(evidence: Evidence, scale: float, shift_s: float, gain_s: float, score_s: float) -> TimeFault:
    first_s, last_s = float(evidence.spans.min()), float(evidence.spans.max())
    span_s = last_s - first_s
    # Which turns about the middle, and which shifts, explain the evidence about as well.
    turns = np.arange(-60, 61) * 0.01
    scales = scale + turns / span_s
    scores = evidence.score(scales, shift_s - (scales - scale) * (first_s + last_s) / 2)
    near = scores >= score_s - _EDGE_JITTER_S * np.sqrt(2.0 * len(evidence.spans))
    drift_uncertainty = max(HOP_S, float(np.abs(turns[near]).max()) if near.any() else HOP_S) / span_s
    around = np.arange(-100, 101) * HOP_S
    scores = evidence.score(np.full(len(around), scale), shift_s + around)
    near = scores >= score_s - _EDGE_JITTER_S * np.sqrt(2.0 * len(evidence.spans))
    offset_uncertainty = max(HOP_S, float(np.abs(around[near]).max()) if near.any() else HOP_S)
    correction = Correction(offset_s=shift_s / scale, drift=scale - 1.0)
    return TimeFault(
        "drift",
        correction,
        # The inverse of the correction: t_label = t_true / scale - offset.
        -correction.offset_s,
        1.0 / scale - 1.0,
        offset_uncertainty,
        drift_uncertainty,
        gain_s,
        score_s / evidence.claimed_s,
    )
