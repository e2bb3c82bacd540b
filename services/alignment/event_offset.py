"""Events labelled in two modalities: is a whole stream of labels late, or one event at two times?

For two sides (the events of one stream and one sense) every pair of equivalent events votes for the difference of
its centres with a triangular kernel. The kernel is as wide as the tolerance plus half the difference of the two
lengths, since a short event may lie anywhere in a long one, and as much lower as it is wider. The offset is the place
of the greatest sum (maximum consensus), refined by the median of the pairs it brings together; its uncertainty is
the standard error of that median, from the median absolute deviation. The sums at all other offsets say what
unrelated events would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from services.alignment.event_labels import EventLabel, EventView, fits, is_sound, owner_of
from services.contracts.findings import Cause, Finding, Measured, Suggestion, TimeShift
from services.rules.event_structure import CrossModalRules

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Side = tuple[str, str]

_HEARD = ("sound_event", "acoustic_event", "speaker_turn", "transcript_segment")
_NAMED_ALIKE = ("action", "event", "sound_event", "acoustic_event", "emotion")
_SENSES = ("video", "image", "lidar", "radar", "record", "metadata", "text", "audio")
_MAX_PAIRS = 2_000_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs of equivalent events of two sides.

    Attributes:
        first: Indices of events of the first side, shape (n,).
        second: Indices of events of the second side, shape (n,).
        apart_s: Centre of the second less that of the first, shape (n,), seconds.
        slack_s: Kernel half widths, shape (n,), seconds.
        reach_s: Half the sum of the lengths: events overlap when their centres are nearer, shape (n,), seconds.
        strict: Whether two events of this pair must coincide, shape (n,).
        counted: How many events of the smaller side have an equivalent class on the other.
    """

    first: Ints
    second: Ints
    apart_s: Floats
    slack_s: Floats
    reach_s: Floats
    strict: NDArray[np.bool_]
    counted: int

    def moved(self, offset_s: float) -> Pairs:
        """Return the pairs with the second side moved back by ``offset_s``."""
        return Pairs(
            self.first, self.second, self.apart_s - offset_s, self.slack_s, self.reach_s, self.strict, self.counted
        )


@dataclass(frozen=True, slots=True)
class Offset:
    """How late the second side is, with its uncertainty (one standard error), and how many events say so."""

    offset_s: float
    uncertainty_s: float
    events: int
    share: float
    sigma: float


def cross_modal_findings(view: EventView) -> tuple[list[Finding], list[Finding]]:
    """Return the findings and those that an offset of a whole stream explains."""
    rules = view.section.cross_modal
    findings: list[Finding] = []
    folded: list[Finding] = []
    if not rules.enabled:
        return findings, folded
    sides = _sides(view)
    for one, other in combinations(sorted(sides, key=_rank), 2):
        if one[1] == other[1]:
            continue
        first, second = sides[one], sides[other]
        pairs = _pairs(view, first, second)
        if pairs is None:
            continue
        offset = find_offset(pairs, rules)
        before = list(_single(view, first, second, pairs))
        if offset is None:
            findings.extend(before)
            continue
        after = list(_single(view, first, second, pairs.moved(offset.offset_s)))
        remaining = {finding.finding_id for finding in after}
        explained = [finding for finding in before if finding.finding_id not in remaining]
        proved = find_offset(pairs.moved(offset.offset_s), rules) is None
        findings.append(_cause(view, (one, other), second, offset, explained, proved=proved))
        findings.extend(after)
        folded.extend(explained)
    findings.extend(_missing(view, sides))
    return findings, folded


def _rank(side: Side) -> tuple[int, str]:
    return (_SENSES.index(side[1]), side[0])


def _sides(view: EventView) -> dict[Side, list[EventLabel]]:
    modality = {stream.id: stream.modality for stream in view.sample.manifest.streams}
    sides: dict[Side, list[EventLabel]] = {}
    for event in view.events:
        if is_sound(event) and event.stream in modality:
            sense = "audio" if event.type in _HEARD else modality[event.stream]
            sides.setdefault((event.stream, sense), []).append(event)
    return sides


def _links(
    view: EventView, first: Sequence[EventLabel], second: Sequence[EventLabel]
) -> Iterator[tuple[Ints, Ints, bool]]:
    """Yield the indices of events of both sides that one class, or one rule, makes equivalent; and whether strictly."""
    rules = view.section.cross_modal
    if rules.same_class:
        alike = [_by_class(side) for side in (first, second)]
        for name in sorted(set(alike[0]) & set(alike[1])):
            yield np.array(alike[0][name], dtype=np.intp), np.array(alike[1][name], dtype=np.intp), True
    for rule in rules.same_events:
        for left, right in ((rule.labels, rule.counterparts), (rule.counterparts, rule.labels)):
            a = _fitting(first, left)
            b = _fitting(second, right)
            if len(a) and len(b):
                yield a, b, rule.required


def _by_class(events: Sequence[EventLabel]) -> dict[str, list[int]]:
    names: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        if event.type in _NAMED_ALIKE:
            names.setdefault(event.label.casefold(), []).append(index)
    return names


def _fitting(events: Sequence[EventLabel], patterns: Iterable[str]) -> Ints:
    patterns = tuple(patterns)
    chosen = [i for i, event in enumerate(events) if any(fits(pattern, event.label) for pattern in patterns)]
    return np.array(chosen, dtype=np.intp)


def _pairs(view: EventView, first: Sequence[EventLabel], second: Sequence[EventLabel]) -> Pairs | None:
    rules = view.section.cross_modal
    (c_a, l_a), (c_b, l_b) = _centres(view, first), _centres(view, second)
    rows: list[tuple[Ints, Ints]] = []
    strict: list[NDArray[np.bool_]] = []
    counted, total = 0, 0
    for a, b, must in _links(view, first, second):
        order = a[np.argsort(c_a[a], kind="stable")]
        reach_s = rules.max_offset_s + (l_a[a].max() + l_b[b].max()) / 2
        low = np.searchsorted(c_a[order], c_b[b] - reach_s)
        high = np.searchsorted(c_a[order], c_b[b] + reach_s, side="right")
        counts = high - low
        total += int(counts.sum())
        if total > _MAX_PAIRS:
            return None  # events this dense say nothing about an offset
        seconds = np.repeat(b, counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows.append((order[np.repeat(low, counts) + within], seconds))
        strict.append(np.full(len(seconds), must))
        counted += min(len(a), len(b))
    if not rows or total == 0:
        return None
    i, j = np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])
    sure = np.concatenate(strict)
    owners_a, owners_b = [owner_of(event) for event in first], [owner_of(event) for event in second]
    same = np.array(
        [
            not owners_a[x] or not owners_b[y] or owners_a[x] == owners_b[y]
            for x, y in zip(i.tolist(), j.tolist(), strict=True)
        ]
    )
    i, j, sure = i[same], j[same], sure[same]
    if len(i) == 0:
        return None
    slack_s = np.minimum(rules.tolerance_s + np.abs(l_a[i] - l_b[j]) / 2, rules.max_offset_s / 2)
    return Pairs(i, j, c_b[j] - c_a[i], slack_s, (l_a[i] + l_b[j]) / 2, sure, counted)


def _centres(view: EventView, events: Sequence[EventLabel]) -> tuple[Floats, Floats]:
    times = np.array([(event.start_s, event.end_s) for event in events], dtype=np.float64).reshape(-1, 2)
    starts = np.array([view.start_s.get(event.stream, 0.0) for event in events])
    return times.mean(axis=1) + starts, times[:, 1] - times[:, 0]


def find_offset(pairs: Pairs, rules: CrossModalRules) -> Offset | None:
    """Return how late the second side is, or None where no offset stands out."""
    step_s = rules.tolerance_s / 10
    edge = int(np.ceil(1.5 * rules.max_offset_s / step_s)) + 1
    score = _votes(pairs, rules.tolerance_s, step_s, edge)
    grid = (np.arange(len(score)) - edge) * step_s
    searched = np.abs(grid) <= rules.max_offset_s + 1e-9
    peak = int(np.argmax(np.where(searched, score, -1.0)))
    chosen = _assigned(np.abs(pairs.apart_s - grid[peak]) / pairs.slack_s, pairs, 1.0)
    if len(chosen) < rules.min_pairs or len(chosen) < rules.min_share * pairs.counted:
        return None
    elsewhere = searched & (np.abs(grid - grid[peak]) > 2 * float(np.median(pairs.slack_s[chosen])))
    if not elsewhere.any():
        return None
    spread = max(float(score[elsewhere].std()), 0.02 * float(score[peak]))
    sigma = (float(score[peak]) - float(score[elsewhere].mean())) / spread
    rival = max(float(score[elsewhere].max()), float(score[edge]))
    apart = pairs.apart_s[chosen]
    offset_s = float(np.median(apart))
    deviation = 1.4826 * float(np.median(np.abs(apart - offset_s)))
    uncertainty_s = max(1.2533 * deviation / np.sqrt(len(chosen)), 0.001)
    if sigma < rules.min_peak_sigma or float(score[peak]) < rules.min_gain * rival:
        return None
    if abs(offset_s) < max(rules.min_offset_s, 2.5 * uncertainty_s):
        return None
    return Offset(offset_s, float(uncertainty_s), len(chosen), len(chosen) / pairs.counted, sigma)


def _votes(pairs: Pairs, tolerance_s: float, step_s: float, edge: int) -> Floats:
    """Return the sum of all kernels on a grid, as the second integral of their corners: linear in the pairs."""
    height = tolerance_s / pairs.slack_s
    slope = height / pairs.slack_s
    corners = np.zeros(2 * edge + 3)
    for places, weight in (
        (pairs.apart_s - pairs.slack_s, slope),
        (pairs.apart_s, -2 * slope),
        (pairs.apart_s + pairs.slack_s, slope),
    ):
        exact = np.clip(places / step_s + edge + 1, 0, len(corners) - 1.001)
        cell = exact.astype(np.intp)
        part = exact - cell
        np.add.at(corners, cell, weight * (1 - part))
        np.add.at(corners, cell + 1, weight * part)
    return np.asarray(np.cumsum(np.cumsum(corners))[1:-1] * step_s)[: 2 * edge + 1]


def _assigned(cost: Floats, pairs: Pairs, limit: float) -> Ints:
    """Return pairs of which no two share an event, the cheapest first, none dearer than ``limit``."""
    order = np.lexsort((pairs.second, pairs.first, cost))
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    chosen = []
    for place in order[: int(np.count_nonzero(cost <= limit))].tolist():
        a, b = int(pairs.first[place]), int(pairs.second[place])
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            chosen.append(place)
    return np.array(chosen, dtype=np.intp)


def _single(
    view: EventView, first: Sequence[EventLabel], second: Sequence[EventLabel], pairs: Pairs
) -> Iterator[Finding]:
    """Yield a finding for each event at two times: both left over, neither coincident with another."""
    rules = view.section.cross_modal
    gap_s = np.maximum(np.abs(pairs.apart_s) - pairs.reach_s, 0.0)
    for place in _assigned(gap_s + 1e-6 * np.abs(pairs.apart_s), pairs, rules.single_gap_s).tolist():
        if gap_s[place] <= rules.tolerance_s or not pairs.strict[place]:
            continue
        one, other = first[int(pairs.first[place])], second[int(pairs.second[place])]
        late = "after" if pairs.apart_s[place] > 0 else "before"
        yield view.make(
            "cross_modal_offset",
            f"{other.label!r} on {other.stream} at {other.start_s:.2f} s lies {gap_s[place]:.2f} s {late} "
            f"{one.label!r} on {one.stream} at {one.start_s:.2f} s; one event must coincide in both.",
            [one, other],
            measured=Measured(value=float(gap_s[place]), unit="s", threshold=rules.tolerance_s),
        )


def _cause(
    view: EventView,
    sides: tuple[Side, Side],
    second: Sequence[EventLabel],
    offset: Offset,
    explained: Sequence[Finding],
    *,
    proved: bool,
) -> Finding:
    (one, _), (other, sense) = sides
    side = "late" if offset.offset_s > 0 else "early"
    moved = [event for event in second if event.stream == other]
    types = tuple(sorted({event.type for event in moved}))
    timed = {label.type for label in view.sample.annotations if label.stream == other and hasattr(label, "start_s")}
    shift = TimeShift(stream=other, types=() if timed <= set(types) else types, offset_s=round(-offset.offset_s, 4))
    summary = f"Move {', '.join(types)} of {other} by {-offset.offset_s:+.3f} s"
    return view.make(
        "cross_modal_offset",
        f"The {sense} events on {other} are {abs(offset.offset_s):.2f} s {side} (± {offset.uncertainty_s:.2f} s) "
        f"against {one}: moved by {-offset.offset_s:+.2f} s, {offset.events} events coincide with their counterparts.",
        moved[:2_000],
        measured=Measured(value=offset.offset_s, unit="s", threshold=view.section.cross_modal.min_offset_s),
        cause=Cause(
            kind="time_offset",
            group=f"event_structure:offset:{other}"[:200],
            estimate={
                "offset_s": round(offset.offset_s, 4), "offset_uncertainty_s": round(offset.uncertainty_s, 4),
                "events": offset.events, "share": round(offset.share, 4), "peak_sigma": round(offset.sigma, 2),
            },
        ),
        suggestion=Suggestion(summary=summary, time_shift=shift) if proved else None,
        streams=sorted({one, other}),
        identity=(),
        place=f"{one}/{other}/{sense}",
        explains=[finding.finding_id for finding in explained],
    )  # fmt: skip


def _missing(view: EventView, sides: dict[Side, list[EventLabel]]) -> Iterator[Finding]:
    """Yield ``missing_counterpart`` where a rule requires one and no event of the other class is near."""
    rules = view.section.cross_modal
    for rule in rules.same_events:
        if not rule.required:
            continue
        for side, events in sorted(sides.items()):
            near = sorted(
                (event.start_s + view.start_s.get(event.stream, 0.0), event.end_s + view.start_s.get(event.stream, 0.0))
                for name, others in sides.items()
                if name[1] != side[1]
                for event in others
                if any(fits(pattern, event.label) for pattern in rule.counterparts)
            )
            starts = np.array([span[0] for span in near])
            ends = np.maximum.accumulate(np.array([span[1] for span in near])) if near else starts
            for event in events:
                if not any(fits(pattern, event.label) for pattern in rule.labels):
                    continue
                shift_s = view.start_s.get(event.stream, 0.0)
                last = int(np.searchsorted(starts, event.end_s + shift_s + rules.max_offset_s, side="right")) - 1
                if last < 0 or ends[last] < event.start_s + shift_s - rules.max_offset_s:
                    wanted = " or ".join(repr(name) for name in rule.counterparts[:5])
                    where = f"{event.label!r} on {event.stream} at {event.start_s:.2f} s"
                    message = f"{where} needs {wanted} in another modality."
                    yield view.make("missing_counterpart", message, [event])
