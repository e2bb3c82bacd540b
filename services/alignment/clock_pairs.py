"""Clocks against each other: one offset, drift or step that explains how two streams' timestamps differ.

Two streams are paired item by item if the rule set says that they are simultaneous, or if they have equally many
items and either one period, or irregular intervals that correlate (the same moments, told by two clocks). Their
differences are fitted by a line with Theil and Sen's estimator, on items half a recording apart so that it stays
linear in time (Theil 1950, Sen 1968; pairs after Cox and Stuart 1955). With three streams or more, the median of the
group is the reference, so that one wrong clock is one finding and not one for each partner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.alignment.clock_series import Floats, Maker, Series, readable
from services.contracts.findings import Cause, Finding, Measured
from services.rules.clock import ClockRules

_UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


@dataclass(frozen=True, slots=True)
class Fit:
    """``difference = offset_s + drift * (time - first time)``, with one standard error each, and what is left."""

    offset_s: float
    offset_error_s: float
    drift: float
    drift_error: float
    residual_s: float


def fit_line(times_s: Floats, apart_s: Floats) -> Fit:
    """Return the robust line through differences of two clocks.

    Args:
        times_s: Shape (n,), rising, n at least 2.
        apart_s: Shape (n,).
    """
    count = len(times_s)
    half = count // 2
    base = times_s[count - half :] - times_s[:half]
    rises = (apart_s[count - half :] - apart_s[:half])[base > 0]
    base = base[base > 0]
    drift = float(np.median(rises / base)) if len(base) else 0.0
    level = apart_s - drift * (times_s - times_s[0])
    offset_s = float(np.median(level))
    residual_s = 1.4826 * float(np.median(np.abs(level - offset_s)))
    span = max(float(np.median(base)) if len(base) else 0.0, 1e-12)
    error = 1.2533 * residual_s
    return Fit(
        offset_s, max(2 * error / np.sqrt(count), 1e-9), drift, 2 * error / (span * np.sqrt(max(half, 1))), residual_s
    )


def groups_of(series: Sequence[Series], rules: ClockRules) -> Iterator[tuple[list[Series], bool]]:
    """Yield streams that are paired item by item, and whether they are known to be simultaneous."""
    by_id = {item.stream.id: item for item in series}
    grouped: set[str] = set()
    for names in rules.simultaneous:
        group = [by_id[name] for name in names if name in by_id and _usable(by_id[name], rules)]
        for part in _alike(group):
            grouped |= {item.stream.id for item in part}
            if len(part) > 1:
                yield part, True
    rest = [item for item in series if item.stream.id not in grouped and _usable(item, rules)]
    while rest:
        first, others = rest[0], rest[1:]
        joined = [first, *(item for item in others if _paired(first, item, rules))]
        if len(joined) > 1:
            yield joined, first.period_s is None
        names_joined = {item.stream.id for item in joined}
        rest = [item for item in others if item.stream.id not in names_joined]


def _usable(series: Series, rules: ClockRules) -> bool:
    # A clock that runs backwards, or stands still, has a finding of its own and no line to fit.
    return len(series.times_s) >= rules.min_items and series.ordered and series.span_s > 0


def _alike(group: Sequence[Series]) -> Iterator[list[Series]]:
    keys = sorted({(len(item.times_s), item.absolute) for item in group})
    for key in keys:
        yield [item for item in group if (len(item.times_s), item.absolute) == key]


def _paired(one: Series, other: Series, rules: ClockRules) -> bool:
    if len(one.times_s) != len(other.times_s) or one.absolute != other.absolute:
        return False
    if one.period_s is not None and other.period_s is not None:
        return abs(one.period_s / other.period_s - 1) <= rules.max_unpaired_period_error
    if one.period_s is not None or other.period_s is not None:
        return False
    a, b = np.diff(one.times_s), np.diff(other.times_s)
    if a.std() == 0 or b.std() == 0:
        return False
    alike = 0.5 <= float(np.median(a)) / max(float(np.median(b)), 1e-12) <= 2.0
    return alike and float(np.corrcoef(a, b)[0, 1]) >= rules.min_interval_correlation


def unit_findings(maker: Maker, series: Sequence[Series]) -> Iterator[Finding]:
    """Yield ``contradictory_clock`` for a stream whose times are in another unit than those of an equally long one."""
    done: set[str] = set()
    for one in series:
        for other in series:
            known = one.stream.id in done or other.stream.id in done
            if known or one is other or len(one.times_s) != len(other.times_s) or other.span_s <= 0:
                continue
            ratio = one.span_s / other.span_s
            for factor, unit in _UNITS.items():
                if len(one.times_s) >= maker.section.min_items and abs(ratio / factor - 1) <= 0.05:
                    done.add(one.stream.id)
                    yield maker.make(
                        "contradictory_clock",
                        f"The times of {one.stream.id} span {ratio:,.0f} times those of {other.stream.id}, with "
                        f"equally many items: they look like {unit}, not seconds.",
                        [one.stream.id, other.stream.id],
                        measured=Measured(value=ratio, unit="ratio", threshold=1.0),
                        cause=Cause(
                            kind="unit", group=f"clock:unit:{one.stream.id}"[:200], estimate={"factor": factor}
                        ),
                        place="unit",
                    )


def pair_findings(maker: Maker, group: Sequence[Series], *, known: bool) -> Iterator[Finding]:
    """Yield ``offset``, ``drift`` or ``step`` of each stream that differs from the reference of its group."""
    base = group[0]
    relative = np.stack([item.times_s + (item.origin_s - base.origin_s) for item in group])
    if len(group) == 2:
        candidates = [(group[1], relative[1] - relative[0], relative[0], base.stream.id)]
    else:
        middle = np.median(relative, axis=0)
        candidates = [(item, row - middle, middle, "the others") for item, row in zip(group, relative, strict=True)]
    for item, apart, reference, against in candidates:
        finding = _judged(maker, item, apart, reference - reference[0], against, group, known=known)
        if finding is not None:
            yield finding


def _judged(
    maker: Maker, item: Series, apart_s: Floats, times_s: Floats, against: str, group: Sequence[Series], *, known: bool
) -> Finding | None:
    section, name = maker.section, item.stream.id
    streams = [name, *(other.stream.id for other in group if other is not item)][
        : 2 if against != "the others" else 200
    ]
    period_s = item.period_s or 0.0
    limit_s = section.tolerance_s if known else max(section.tolerance_s, section.offset_periods * period_s)
    step = _step(apart_s, max(limit_s, section.tolerance_s))
    if step is not None:
        place, before_s, after_s = step
        return maker.make(
            "step",
            f"From item {place} on, the clock of {name} is {readable(after_s - before_s)} "
            f"{'later' if after_s > before_s else 'earlier'} against {against} than before: it was set.",
            streams,
            measured=Measured(value=after_s - before_s, unit="s", threshold=limit_s),
            frames=[place],
            cause=Cause(
                kind="step", group=f"clock:step:{name}"[:200],
                estimate={"step_s": round(after_s - before_s, 6), "offset_s": round(before_s, 6)},
            ),
        )  # fmt: skip
    fit = fit_line(times_s, apart_s)
    span_s = float(times_s[-1])
    travel_s = fit.drift * span_s
    drifts = abs(travel_s) > max(section.tolerance_s, section.min_sigma * fit.drift_error * span_s)
    # An offset may hide a slower part of it where the clocks are read at irregular moments.
    drifts = drifts and abs(travel_s) > 3 * fit.residual_s
    end_s = fit.offset_s + travel_s
    estimate: dict[str, bool | int | float | str] = {
        "offset_s": round(fit.offset_s, 6),
        "offset_uncertainty_s": round(max(fit.offset_error_s, 1e-6), 6),
        "residual_s": round(fit.residual_s, 6),
    }
    if drifts:
        estimate |= {
            "drift_ppm": round(fit.drift * 1e6, 3), "drift_uncertainty_ppm": round(max(fit.drift_error * 1e6, 1e-3), 3)
        }  # fmt: skip
        return maker.make(
            "drift",
            f"The clock of {name} runs {abs(fit.drift) * 1e6:,.0f} ppm (± {fit.drift_error * 1e6:,.0f}) too "
            f"{'fast' if fit.drift > 0 else 'slow'} against {against}: {fit.offset_s:+.3f} s at the first item, "
            f"{end_s:+.3f} s at the last; {fit.residual_s:.3f} s are left after the correction.",
            streams,
            measured=Measured(
                value=fit.drift * 1e6, unit="ppm", threshold=section.tolerance_s / max(span_s, 1e-9) * 1e6
            ),
            cause=Cause(kind="drift", group=f"clock:drift:{name}"[:200], estimate=estimate),
        )
    level_s = float(np.median(apart_s))
    estimate["offset_s"] = round(level_s, 6)
    if abs(level_s) <= max(limit_s, section.min_sigma * fit.offset_error_s):
        return None
    return maker.make(
        "offset",
        f"The clock of {name} is {readable(level_s)} {'late' if level_s > 0 else 'early'} "
        f"(± {max(fit.offset_error_s, 1e-3):.3f} s) against {against}; {fit.residual_s:.3f} s are left after the "
        "correction.",
        streams,
        measured=Measured(value=level_s, unit="s", threshold=limit_s),
        cause=Cause(kind="clock_offset", group=f"clock:offset:{name}"[:200], estimate=estimate),
    )


def _step(apart_s: Floats, limit_s: float) -> tuple[int, float, float] | None:
    """Return the item at which the difference changes for good, and the two levels; None for no single change."""
    jumps = np.abs(np.diff(apart_s))
    place = int(np.argmax(jumps)) + 1 if len(jumps) else 0
    if place < 2 or len(apart_s) - place < 2 or jumps[place - 1] <= limit_s:
        return None
    before, after = apart_s[:place], apart_s[place:]
    levels = float(np.median(before)), float(np.median(after))
    change_s = abs(levels[1] - levels[0])
    spread_s = max(float(np.quantile(np.abs(part - np.median(part)), 0.9)) for part in (before, after))
    if change_s <= limit_s or spread_s > change_s / 4:
        return None
    return place, *levels
