"""Thresholds of the ``clock`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Identifier, Name
from services.contracts.findings import Severity

ClockKind = Literal[
    "non_monotonic", "duplicate_timestamp", "no_progress", "drop", "jitter", "skew", "step", "offset", "drift",
    "no_overlap", "contradictory_clock", "frame_outside_clock",
]  # fmt: skip
Time = Annotated[float, Field(ge=0, le=1e8)]

_SEVERITIES: dict[ClockKind, Severity] = {
    "non_monotonic": "major",
    "duplicate_timestamp": "minor",
    "no_progress": "major",
    "drop": "minor",
    "jitter": "minor",
    "skew": "major",
    "step": "major",
    "offset": "major",
    "drift": "major",
    "no_overlap": "major",
    "contradictory_clock": "major",
    "frame_outside_clock": "major",
}


class ClockRules(Contract):
    """When the clocks of a sample's streams contradict themselves, or each other."""

    enabled: bool = True
    severities: Annotated[dict[ClockKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    expected_rate_hz: Annotated[dict[Name, Annotated[float, Field(gt=0, le=1e7)]], Field(max_length=500)] = Field(
        default_factory=dict, description="The true rate by stream id, sensor or modality, the first that is given, Hz."
    )
    max_rate_error: Fraction = Field(
        default=0.01, description="How far a rate may be from the expected or decoded one, as a share."
    )
    simultaneous: Annotated[
        tuple[Annotated[tuple[Identifier, ...], Field(min_length=2, max_length=200)], ...], Field(max_length=200)
    ] = Field(default=(), description="Groups of streams whose items with one index are taken at one moment.")
    min_items: Annotated[int, Field(ge=3, le=10_000)] = Field(
        default=5, description="Streams with fewer timestamps have no period, and are not compared item by item."
    )
    min_rhythm_items: Annotated[int, Field(ge=3, le=10_000)] = Field(
        default=20, description="Streams with fewer timestamps show no rhythm, regular or not: no drops, no jitter."
    )
    max_irregularity: Fraction = Field(
        default=0.25,
        description="With a median absolute deviation of the intervals above this share of their median, a stream has "
        "no period: photographs, and not a film.",
    )
    drop_periods: Annotated[float, Field(ge=1.1, le=100)] = Field(
        default=1.7, description="A longer interval has lost items, in periods."
    )
    major_drop_items: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=5, description="From this many lost items in a row on, a drop is major."
    )
    max_single_drops: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=20, description="More gaps than this in one stream are one finding."
    )
    max_jitter: Fraction = Field(
        default=0.2, description="Largest 95 % quantile of the deviation from the period, as a share of the period."
    )
    tolerance_s: Time = Field(
        default=0.05, description="Moments that are one may be so far apart between two clocks, seconds."
    )
    offset_periods: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.75,
        description="Of streams that are not known to be simultaneous, an offset below this many periods is a phase.",
    )
    min_sigma: Annotated[float, Field(ge=1, le=50)] = Field(
        default=4.0, description="An offset or drift must be so many standard errors from none."
    )
    min_interval_correlation: Fraction = Field(
        default=0.9, description="From this correlation of their intervals on, irregular streams show the same moments."
    )
    max_unpaired_period_error: Fraction = Field(
        default=0.1, description="Regular streams of one length are paired if their periods differ by less than this."
    )
    duration_tolerance_s: Time = Field(
        default=0.5, description="How far two statements of one stream's length may differ, beside one period, seconds."
    )
    duration_tolerance: Fraction = Field(default=0.01, description="The same as a share of the length.")
    capture_tolerance_s: Time = Field(
        default=21_600.0, description="How far captured_at may be from every clock that says when it starts, seconds."
    )

    def severity_of(self, kind: ClockKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])
