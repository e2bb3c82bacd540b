"""Shift and drift of transcripts of hours, against speech that is known frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alignment.speech_activity import HOP_S, Span, SpeechActivity
from services.alignment.time_alignment import Evidence, find_time_fault
from services.rules.audio_transcript import TimeAlignmentRules

RULES = TimeAlignmentRules()


def spoken(duration_s: float, *, seed: int, begin_s: float = 2.0) -> list[Span]:
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.8, 4.0, int(duration_s / 1.5))
    pauses = rng.uniform(0.3, 3.0, len(lengths))
    starts = begin_s + np.cumsum(np.concatenate(([0.0], (lengths + pauses)[:-1])))
    return [(start, start + length) for start, length in zip(starts, lengths, strict=True) if start < duration_s - 4]


def heard(spans: list[Span], duration_s: float) -> SpeechActivity:
    active = np.zeros(round(duration_s / HOP_S), dtype=bool)
    for start_s, end_s in spans:
        active[round(start_s / HOP_S) : round(end_s / HOP_S)] = True
    probability = np.where(active, 0.95, 0.05)
    return SpeechActivity(probability, active, np.where(active, -20.0, -60.0), 40.0)


@settings(max_examples=10, deadline=None)
@given(
    hours=st.floats(0.6, 3.0),
    drift=st.floats(0.0003, 0.03),
    early=st.booleans(),
    offset_s=st.floats(-6.0, 6.0),
    begin_s=st.sampled_from([2.0, 1_500.0]),
    seed=st.integers(0, 100),
)
def test_drift_of_hours_is_found_with_its_rate_and_its_offset(
    hours: float, drift: float, early: bool, offset_s: float, begin_s: float, seed: int
) -> None:
    duration_s = 3_600 * hours
    truth = spoken(duration_s, seed=seed, begin_s=begin_s)
    drift = -drift if early else drift
    labelled = [(start_s * (1 + drift) + offset_s, end_s * (1 + drift) + offset_s) for start_s, end_s in truth]

    fault = find_time_fault(heard(truth, duration_s), labelled, RULES)

    assert fault is not None
    assert fault.kind == "drift"
    for (start_s, _), (moved_s, _) in ((truth[0], labelled[0]), (truth[-1], labelled[-1])):
        assert fault.correction.apply(moved_s) == pytest.approx(start_s, abs=0.1)


def test_transcript_of_hours_that_fits_has_no_fault() -> None:
    truth = spoken(9_000, seed=4)

    assert find_time_fault(heard(truth, 9_000), truth, RULES) is None


def test_number_of_scales_tried_does_not_grow_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    correlate = Evidence.correlate

    def counted(self: Evidence, scales: tuple[float, ...], bin_s: float) -> object:
        tried.append(len(scales))
        return correlate(self, scales, bin_s)

    monkeypatch.setattr(Evidence, "correlate", counted)
    work = []
    for duration_s in (2_400, 19_200):
        tried.clear()
        truth = spoken(duration_s, seed=5)
        find_time_fault(heard(truth, duration_s), truth, RULES)
        work.append(sum(tried))

    assert work[1] <= 1.5 * work[0]
