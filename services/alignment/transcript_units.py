"""A transcript whose times an importer read in another unit: milliseconds, frames or samples taken for seconds.

A unit is tried only where the transcript is several times as long as its recording, or a small part of it. It is the
cause where the transcript in that unit belongs to the recording by the tests that a shift must pass too
(:meth:`services.alignment.time_alignment.Evidence.fits`), and as it stands does not. Of several units, the one under
which the transcript agrees best with the speech is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.alignment.speech_activity import Span, SpeechActivity
from services.alignment.time_alignment import Correction, Evidence, find_time_fault
from services.alignment.time_fault_finding import MAX_PATCH, moved_labels
from services.alignment.transcript_track import FindingMaker, Track, claimed_spans
from services.contracts.findings import Cause, Finding, LabelPatch, Measured, Suggestion
from services.rules.audio_transcript import TimeAlignmentRules

_UNITS: dict[str, float] = {
    "milliseconds": 1e-3,
    "hundredths of a second": 1e-2,
    "frames of 24 a second": 1 / 24,
    "frames of 25 a second": 1 / 25,
    "frames of 30 a second": 1 / 30,
    "frames of 50 a second": 1 / 50,
    "frames of 60 a second": 1 / 60,
    "minutes": 60.0,
    "thousands of seconds": 1e3,
}
"""Name → seconds of one."""

_OUT_OF_PROPORTION = 3.0


@dataclass(frozen=True, slots=True)
class UnitError:
    """What the times are in, and how well the transcript agrees then.

    Attributes:
        unit: Its name.
        seconds: How many seconds one of it is.
        agreement: Score in this unit by the transcript's length, -1 to 1.
    """

    unit: str
    seconds: float
    agreement: float


def find_unit_error(
    activity: SpeechActivity, spans: Sequence[Span], rate_hz: int, rules: TimeAlignmentRules
) -> UnitError | None:
    """Return the unit that the times are in, None where they are seconds or no unit fits.

    Args:
        activity: Speech in the recording.
        spans: (start, end) of what the transcript claims as speech, taken for seconds.
        rate_hz: Sampling rate of the recording; times may be samples of it.
        rules: What a transcript that belongs to its recording must reach.
    """
    duration_s = Evidence(activity, (), rules).duration_s
    last_s = max((end for _, end in spans), default=0.0)
    if duration_s <= 0 or last_s <= 0 or activity.contrast_db < rules.min_contrast_db or not activity.active.any():
        return None
    if duration_s / _OUT_OF_PROPORTION <= last_s <= duration_s * _OUT_OF_PROPORTION:
        return None
    found = []
    for unit, seconds in {**_UNITS, f"samples at {rate_hz} Hz": 1 / rate_hz}.items():
        if last_s * seconds > duration_s + rules.max_offset_s:
            continue
        evidence = Evidence(activity, [(start * seconds, end * seconds) for start, end in spans], rules)
        if not len(evidence.spans):
            continue
        shift = find_time_fault(activity, evidence.spans.tolist(), rules)
        correction = shift.correction if shift is not None else Correction()
        scale, shift_s = 1.0 + correction.drift, correction.offset_s * (1.0 + correction.drift)
        if evidence.fits(scale, shift_s):
            score_s = float(evidence.score(np.array([scale]), np.array([shift_s]))[0])
            # A unit that needs no movement besides is the simpler explanation.
            found.append(
                (shift is None, score_s / evidence.claimed_s, UnitError(unit, seconds, score_s / evidence.claimed_s))
            )
    return max(found, key=lambda one: one[:2])[2] if found else None


def in_seconds(track: Track, error: UnitError) -> Track:
    """Return the transcript with its times in seconds."""
    return replace(track, segments=moved_labels(track.segments, Correction(0.0, error.seconds - 1.0)))


def unit_finding(maker: FindingMaker, error: UnitError, recording_s: float, explains: Sequence[str]) -> Finding:
    """Return the finding that names the unit.

    Args:
        maker: Of the transcript as it stands.
        error: The unit.
        recording_s: Length of the recording, seconds.
        explains: Ids of the findings that are gone when the times are seconds.
    """
    segments = maker.track.segments
    last = max(end for _, end in claimed_spans(segments))
    meant = in_seconds(maker.track, error).segments
    patch = LabelPatch(upsert=meant) if len(meant) <= MAX_PATCH else None
    return maker.make(
        "importer_error",
        f"The times of the transcript are {error.unit}, not seconds: they reach to {last:.6g} where the recording "
        f"ends at {recording_s:.1f} s, and agree with the speech once they are converted.",
        annotations=[segment.id for segment in segments],
        identity=(),
        interval_s=(0.0, recording_s),
        measured=Measured(value=last, unit="s", threshold=recording_s),
        cause=Cause(
            kind="importer_error",
            group="audio_transcript:importer_error:" + error.unit.replace(" ", "_"),
            estimate={"unit": error.unit, "seconds": error.seconds, "agreement": round(error.agreement, 4)},
        ),
        suggestion=Suggestion(
            summary=f"Convert the {len(segments)} segments from {error.unit} to seconds, and correct the importer.",
            patch=patch,
        ),
        explains=explains,
    )
