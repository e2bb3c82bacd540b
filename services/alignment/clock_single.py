"""One clock by itself, and against what else is said about its stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.alignment.clock_series import Maker, Series, readable
from services.alignment.sample import CheckSample
from services.contracts.findings import Cause, Finding, Measured
from services.contracts.manifest import Stream

_AUDIO_RATE_HZ = 1_000.0


def order_findings(maker: Maker, series: Series) -> Iterator[Finding]:
    """Yield ``no_progress``, ``non_monotonic`` and ``duplicate_timestamp``: one finding each for a stream."""
    times, name = series.times_s, series.stream.id
    if len(times) < 2:
        return
    steps = np.diff(times)
    if (steps == 0).all():
        message = f"All {len(times)} timestamps of {name} are the same: the clock stands still (0 Hz)."
        yield maker.make("no_progress", message, [name], measured=Measured(value=0.0, unit="Hz"))
        return
    # A timestamp is back where it lies before the latest one so far, and not only before its neighbour.
    high = np.maximum.accumulate(times)
    back = np.flatnonzero(times[1:] < high[:-1]) + 1
    if len(back):
        worst = int(back[np.argmax(high[back - 1] - times[back])])
        by_s = float(high[worst - 1] - times[worst])
        yield maker.make(
            "non_monotonic",
            f"{len(back)} of {len(times)} timestamps of {name} lie before an earlier item's, the worst by "
            f"{readable(by_s)} at item {worst}: the clock was set back, or the items are out of order.",
            [name],
            measured=Measured(value=by_s, unit="s", threshold=0.0),
            frames=back[:1_000].tolist(),
        )
    same = np.flatnonzero(steps == 0) + 1
    if len(same):
        yield maker.make(
            "duplicate_timestamp",
            f"{len(same)} of {len(times)} items of {name} have the timestamp of the item before.",
            [name],
            measured=Measured(value=len(same), unit="items", threshold=0.0),
            frames=same[:1_000].tolist(),
        )


def rhythm_findings(maker: Maker, series: Series) -> Iterator[Finding]:
    """Yield ``drop`` and ``jitter`` of a regular stream; a stream without a period has neither."""
    if series.period_s is None or not series.ordered or len(series.times_s) < maker.section.min_rhythm_items:
        return
    section, period_s, name = maker.section, series.period_s, series.stream.id
    intervals = np.diff(series.times_s)
    gaps = np.flatnonzero(intervals > section.drop_periods * period_s)
    lost = np.rint(intervals[gaps] / period_s).astype(int) - 1
    if len(gaps) > section.max_single_drops:
        yield maker.make(
            "drop",
            f"{name} lost about {lost.sum()} items in {len(gaps)} gaps, the longest of {intervals[gaps].max():.3f} s.",
            [name],
            measured=Measured(value=float(lost.sum()), unit="items", threshold=0.0),
            frames=(gaps + 1)[:1_000].tolist(),
            severity="major" if section.severity_of("drop") == "minor" else None,
            place="many",
        )
    else:
        for gap, count in zip(gaps.tolist(), lost.tolist(), strict=True):
            start_s, end_s = float(series.times_s[gap]), float(series.times_s[gap + 1])
            grave = count >= section.major_drop_items and section.severity_of("drop") == "minor"
            yield maker.make(
                "drop",
                f"{name} has a gap of {end_s - start_s:.3f} s after item {gap}, {(end_s - start_s) / period_s:.1f} "
                f"times its period: about {count} items are lost.",
                [name],
                measured=Measured(value=end_s - start_s, unit="s", threshold=section.drop_periods * period_s),
                frames=[gap, gap + 1],
                severity="major" if grave else None,
                interval_s=(start_s, end_s),
                place=str(gap),
            )
    kept = np.abs(np.delete(intervals, gaps) - period_s) / period_s
    jitter = float(np.quantile(kept, 0.95)) if len(kept) else 0.0
    if jitter > section.max_jitter:
        yield maker.make(
            "jitter",
            f"The intervals of {name} deviate from {period_s:.4f} s by {jitter:.0%} (95 % quantile).",
            [name],
            measured=Measured(value=jitter, unit="periods", threshold=section.max_jitter),
        )


def rate_findings(maker: Maker, sample: CheckSample, stream: Stream, series: Series | None) -> Iterator[Finding]:
    """Yield ``skew``: a rate that is not the one the rule set expects, or the recording has."""
    rate_hz = stream.clock.rate_hz if stream.clock else None
    if rate_hz is None and series is not None and series.period_s is not None and series.ordered:
        rate_hz = _steady_rate(series)
    section, told = maker.section, section_rate(maker, stream)
    audio = sample.audio.get(stream.id)
    source = "the rule set expects"
    if told is None and audio is not None and audio.rate_hz > 0 and rate_hz is not None and rate_hz >= _AUDIO_RATE_HZ:
        told, source = float(audio.rate_hz), "the recording has"
    if rate_hz is None or told is None:
        return
    error = rate_hz / told - 1
    if abs(error) > section.max_rate_error:
        yield maker.make(
            "skew",
            f"The clock of {stream.id} runs at {rate_hz:.4g} Hz, but {source} {told:.4g} Hz: {error:+.2%}.",
            [stream.id],
            measured=Measured(value=rate_hz, unit="Hz", threshold=told),
            cause=Cause(kind="skew", group=f"clock:skew:{stream.id}"[:200], estimate={"rate_error": round(error, 9)}),
        )


def _steady_rate(series: Series) -> float:
    """Return items a second without the lost ones: of the intervals that are no gap."""
    intervals = np.diff(series.times_s)
    period_s = series.period_s or 1.0
    return float(1 / np.mean(intervals[np.abs(intervals - period_s) <= 0.5 * period_s]))


def section_rate(maker: Maker, stream: Stream) -> float | None:
    """Return the rate that the rule set expects of a stream: by its id, its sensor, or its modality."""
    rates = maker.section.expected_rate_hz
    for name in (stream.id, stream.sensor, stream.modality):
        if name is not None and name in rates:
            return rates[name]
    return None


def contradiction_findings(
    maker: Maker, sample: CheckSample, stream: Stream, series: Series | None
) -> Iterator[Finding]:
    """Yield ``contradictory_clock``: two statements about one stream that can not both be true."""
    section, clock = maker.section, stream.clock
    if clock is not None and clock.start is not None and series is not None and len(series.times_s):
        first_s = series.origin_s + float(series.times_s[0]) - clock.start.timestamp()
        apart_s = abs(first_s) if series.stream.clock and not _relative(series) else 0.0
        if apart_s > max(section.tolerance_s, series.period_s or 0.0):
            yield maker.make(
                "contradictory_clock",
                f"The clock of {stream.id} starts {readable(apart_s)} {'before' if first_s > 0 else 'after'} its first "
                "timestamp.",
                [stream.id],
                measured=Measured(value=first_s, unit="s", threshold=section.tolerance_s),
                place="start",
            )
    lengths = dict(_lengths(sample, stream, series))
    if len(lengths) > 1:
        (short, low), (long, high) = (f(lengths.items(), key=lambda item: item[1]) for f in (min, max))
        period_s = (series.period_s if series else None) or 0.0
        limit_s = max(section.duration_tolerance_s, section.duration_tolerance * high) + 2 * period_s
        if high - low > limit_s:
            yield maker.make(
                "contradictory_clock",
                f"{stream.id} lasts {high:.2f} s by {long}, but {low:.2f} s by {short}.",
                [stream.id],
                measured=Measured(value=high - low, unit="s", threshold=limit_s),
                place="duration",
            )


def _relative(series: Series) -> bool:
    return isinstance(series.stream.clock.timestamps[0], int | float) if series.stream.clock else True


def _lengths(sample: CheckSample, stream: Stream, series: Series | None) -> Iterator[tuple[str, float]]:
    audio = sample.audio.get(stream.id)
    if audio is not None and audio.rate_hz > 0:
        yield "the recording", audio.duration_s
    if stream.duration_s is not None:
        yield "duration_s", stream.duration_s
    if series is not None and series.period_s is not None and series.ordered:
        yield "its timestamps", series.span_s + series.period_s


def frame_findings(maker: Maker, sample: CheckSample, series: Series) -> Iterator[Finding]:
    """Yield ``frame_outside_clock``: labels for items that the clock does not have; one finding for a stream."""
    outside = sorted(
        (label.frame, label.id)
        for label in sample.annotations
        if label.stream == series.stream.id and label.frame is not None and label.frame >= len(series.times_s)
    )
    if outside:
        yield maker.make(
            "frame_outside_clock",
            f"{len(outside)} labels of {series.stream.id} are for frames up to {outside[-1][0]}, but its clock has "
            f"{len(series.times_s)} timestamps, from 0 on.",
            [series.stream.id],
            measured=Measured(value=outside[-1][0], unit="frame", threshold=len(series.times_s) - 1),
            frames=sorted({frame for frame, _ in outside})[:1_000],
            annotations=[name for _, name in outside[:1_000]],
        )
