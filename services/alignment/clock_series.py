"""The clocks of a sample as arrays, and the findings about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.alignment.sample import CheckSample
from services.contracts.findings import Cause, Finding, Measured, Severity, finding_id
from services.contracts.manifest import Stream
from services.rules.clock import ClockKind, ClockRules
from services.rules.rule_set import RuleSet

CHECK = "clock"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """The timestamps of one stream.

    Attributes:
        stream: The stream.
        times_s: Shape (n,), seconds after ``origin_s``.
        origin_s: Unix time of the zero point, or 0 for times from the start of the sample: keeps microseconds exact.
        absolute: Whether the times say when, and not only how long after the start.
        period_s: Median interval of a regular stream, None where the stream has no period.
    """

    stream: Stream
    times_s: Floats
    origin_s: float
    absolute: bool
    period_s: float | None

    @property
    def ordered(self) -> bool:
        """Whether no timestamp lies before the one before it."""
        return bool((np.diff(self.times_s) >= 0).all())

    @property
    def span_s(self) -> float:
        """Seconds from the first to the last timestamp."""
        return float(self.times_s[-1] - self.times_s[0]) if len(self.times_s) else 0.0


def series_of(sample: CheckSample, rules: ClockRules) -> tuple[Series, ...]:
    """Return the streams that have timestamps, by id."""
    found = []
    for stream in sorted(sample.manifest.streams, key=lambda item: item.id):
        clock = stream.clock
        if clock is None or not clock.timestamps:
            continue
        first = clock.timestamps[0]
        start_s = clock.start.timestamp() if clock.start is not None else None
        if isinstance(first, datetime):
            begin = first
            times = np.array(
                [(time - begin).total_seconds() for time in clock.timestamps if isinstance(time, datetime)]
            )
            origin_s, absolute = begin.timestamp(), True
        else:
            times = np.array([time for time in clock.timestamps if not isinstance(time, datetime)], dtype=np.float64)
            origin_s, absolute = start_s or 0.0, start_s is not None
        found.append(Series(stream, times, origin_s, absolute, _period(times, rules)))
    return tuple(found)


def _period(times_s: Floats, rules: ClockRules) -> float | None:
    if len(times_s) < rules.min_items:
        return None
    intervals = np.diff(times_s)
    period_s = float(np.median(intervals))
    if period_s <= 0:
        return None
    spread = float(np.median(np.abs(intervals - period_s)))
    return period_s if spread <= rules.max_irregularity * period_s else None


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes findings whose ids name the streams and the place, never the numbers."""

    rules: RuleSet
    section: ClockRules

    def make(
        self,
        kind: ClockKind,
        message: str,
        streams: Sequence[str],
        *,
        measured: Measured | None = None,
        frames: Sequence[int] = (),
        annotations: Sequence[str] = (),
        severity: Severity | None = None,
        cause: Cause | None = None,
        interval_s: tuple[float, float] | None = None,
        place: str = "",
    ) -> Finding:
        """Return a finding about ``streams``."""
        if interval_s is not None and not (interval_s[0] >= -1e9 and interval_s[1] <= 1e10):
            interval_s = None
        return Finding(
            finding_id=finding_id(CHECK, kind, self.rules.id, streams=tuple(streams), place=place),
            check=CHECK,
            kind=kind,
            severity=severity or self.section.severity_of(kind),
            message=message[:2_000],
            measured=measured,
            streams=tuple(streams),
            annotations=tuple(annotations),
            frames=tuple(frames),
            interval_s=interval_s,
            cause=cause,
            rule=self.rules.reference,
        )


def readable(seconds: float) -> str:
    """Return a duration as a person says it: 21 h 58 min rather than 79107.77 s."""
    value = abs(seconds)
    if value < 120:
        return f"{value:.3f} s"
    if value < 7_200:
        return f"{value:.1f} s ({value / 60:.1f} min)"
    if value < 172_800:
        return f"{value:.0f} s ({value / 3_600:.2f} h)"
    return f"{value:.0f} s ({value / 86_400:.2f} days)"
