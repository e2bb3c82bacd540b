"""Events by themselves: do they last, how long, inside of their recording, and in the order of their numbers?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.alignment.event_labels import EventLabel, EventView, fits, is_sound
from services.contracts.findings import Finding, LabelPatch, Measured, Suggestion
from services.contracts.labels_language import Emotion, TranscriptSegment
from services.contracts.labels_visual import Event
from services.rules.event_structure import EventRule, EventStructureRules

_ORDERED_SHARE = 0.8
_MIN_ORDERED = 5


def time_findings(view: EventView) -> Iterator[Finding]:
    """Yield ``negative_duration``, ``no_duration``, ``duration_implausible`` and ``outside_media``.

    The first three kinds and the end of the recording are left to ``audio_transcript`` for transcript segments
    while that check is on: one fault is told once.
    """
    told_elsewhere = view.rules.audio_transcript.enabled
    for event in view.events:
        if told_elsewhere and isinstance(event, TranscriptSegment):
            continue
        duration = _duration_fault(view, event)
        if duration is not None:
            yield duration
        outside = _outside(view, event)
        if outside is not None:
            yield outside


def _duration_fault(view: EventView, event: EventLabel) -> Finding | None:
    length_s = event.end_s - event.start_s
    name = f"The {event.type.replace('_', ' ')} {event.label!r}"
    if length_s < 0:
        return view.make(
            "negative_duration",
            f"{name} ends at {event.end_s:.3f} s, {-length_s:.3f} s before it starts at {event.start_s:.3f} s.",
            [event],
            measured=Measured(value=length_s, unit="s", threshold=0.0),
            suggestion=_exchanged(view, event),
        )
    if length_s == 0:
        if _instant(event, view.section):
            return None
        return view.make(
            "no_duration",
            f"{name} at {event.start_s:.3f} s has no duration: its end equals its start.",
            [event],
            measured=Measured(value=0.0, unit="s", threshold=0.0),
        )
    low, high = _limits(event, view.section)
    if low <= length_s <= high:
        return None
    short = length_s < low
    return view.make(
        "duration_implausible",
        f"{name} at {event.start_s:.2f} s lasts {length_s:.2f} s; at {'least' if short else 'most'} "
        f"{low if short else high:g} s are plausible.",
        [event],
        measured=Measured(value=length_s, unit="s", threshold=low if short else high),
    )


def _instant(event: EventLabel, section: EventStructureRules) -> bool:
    if isinstance(event, Event) and event.phase != "whole":
        return True
    paired = (pattern for rule in section.events if rule.pairs for pattern in (rule.label, rule.pairs))
    return any(fits(pattern, event.label) for pattern in (*section.instant_labels, *paired))


def _limits(event: EventLabel, section: EventStructureRules) -> tuple[float, float]:
    low, high = 0.0, section.max_duration_s.get(event.type, float("inf"))
    own: list[EventRule] = [rule for rule in section.events if fits(rule.label, event.label)]
    lows = [rule.min_duration_s for rule in own if rule.min_duration_s is not None]
    highs = [rule.max_duration_s for rule in own if rule.max_duration_s is not None]
    return max(lows, default=low), min(highs, default=high)


def _exchanged(view: EventView, event: EventLabel) -> Suggestion | None:
    """Propose to exchange the two times, if the label is without a fault then."""
    fixed = event.model_copy(update={"start_s": event.end_s, "end_s": event.start_s})
    low, high = _limits(fixed, view.section)
    if not low <= fixed.end_s - fixed.start_s <= high or _outside(view, fixed) is not None:
        return None
    return Suggestion(summary="Exchange start and end", patch=LabelPatch(upsert=(fixed,)))


def _outside(view: EventView, event: EventLabel) -> Finding | None:
    length_s = view.duration_s.get(event.stream)
    section = view.section
    before_s = -min(event.start_s, event.end_s)
    after_s = max(event.start_s, event.end_s) - length_s if length_s is not None else float("-inf")
    beyond_s = max(before_s, after_s)
    if beyond_s <= section.media_tolerance_s + 1e-9:
        return None
    inside = is_sound(event) and event.start_s < (length_s if length_s is not None else float("inf"))
    touches = inside and event.end_s > 0
    small = touches and beyond_s <= section.major_outside_s
    if after_s >= before_s and length_s is not None:
        where = f"{after_s:.3f} s after the end of its recording ({length_s:.3f} s)"
        verb = "ends" if touches else "lies up to"
    else:
        where, verb = f"{before_s:.3f} s before its recording", "begins"
    return view.make(
        "outside_media",
        f"The {event.type.replace('_', ' ')} {event.label!r} at {event.start_s:.3f} s {verb} {where}.",
        [event],
        measured=Measured(value=beyond_s, unit="s", threshold=section.media_tolerance_s),
        severity="minor" if small and section.severity_of("outside_media") == "major" else None,
        suggestion=_clipped(event, length_s) if touches else None,
    )


def _clipped(event: EventLabel, length_s: float | None) -> Suggestion | None:
    start_s, end_s = max(event.start_s, 0.0), event.end_s if length_s is None else min(event.end_s, length_s)
    if end_s <= start_s:
        return None
    fixed = event.model_copy(update={"start_s": start_s, "end_s": end_s})
    return Suggestion(summary="Cut the label to its recording", patch=LabelPatch(upsert=(fixed,)))


def sequence_findings(view: EventView) -> Iterator[Finding]:
    """Yield an ``order_violation`` for each run of numbered events whose times fall back behind the others'.

    Events are numbered by an attribute. Emotions of a conversation without one are taken in the order of the label
    set where most of them follow each other in time; the finding is minor then, as the order is only a habit.
    A longest sequence in order of time is kept (patience sorting), so that one misplaced event is one finding.
    """
    numbered: dict[tuple[str, str], list[tuple[float, str, EventLabel]]] = {}
    unnumbered: dict[tuple[str, str], list[EventLabel]] = {}
    judged = {event.id for event in view.events if not _told_by_transcript(view, event)}
    for label in view.sample.annotations:
        if label.id not in judged:
            continue
        event: EventLabel = label  # type: ignore[assignment]  # only events are judged
        author = event.author.id if event.author else ""
        number = _number(event, view.section)
        if number is not None:
            numbered.setdefault((event.stream, event.type), []).append((number, event.id, event))
        elif isinstance(event, Emotion):
            unnumbered.setdefault((event.stream, author), []).append(event)
    for items in numbered.values():
        items.sort(key=lambda item: item[:2])
        yield from _fallen_back(view, [event for _, _, event in items], sure=True)
    for events in unnumbered.values():
        if len(events) >= _MIN_ORDERED and _ordered_share(events) >= _ORDERED_SHARE:
            yield from _fallen_back(view, events, sure=False)


def _told_by_transcript(view: EventView, event: EventLabel) -> bool:
    return isinstance(event, TranscriptSegment) and view.rules.audio_transcript.enabled


def _number(event: EventLabel, section: EventStructureRules) -> float | None:
    for name in section.sequence_attributes:
        value = event.attributes.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _ordered_share(events: Sequence[EventLabel]) -> float:
    steps = [after.start_s >= before.start_s for before, after in pairwise(events)]
    return sum(steps) / max(len(steps), 1)


def _fallen_back(view: EventView, events: Sequence[EventLabel], *, sure: bool) -> Iterator[Finding]:
    kept = longest_ordered([event.start_s for event in events], view.section.order_tolerance_s)
    index = 0
    while index < len(events):
        if index in kept:
            index += 1
            continue
        end = index
        while end < len(events) and end not in kept:
            end += 1
        run = events[index:end]
        before = events[index - 1] if index else None
        neighbour = before if before is not None and run[0].start_s < before.start_s else _at(events, end) or before
        if neighbour is not None:
            what = f"The {run[0].type.replace('_', ' ')}" if len(run) == 1 else f"{len(run)} events in a row"
            side = "earlier" if run[0].start_s < neighbour.start_s else "later"
            gap_s = abs(neighbour.start_s - run[0].start_s)
            yield view.make(
                "order_violation",
                f"{what} from {run[0].start_s:.2f} s on stands {gap_s:.2f} s {side} than the neighbour at "
                f"{neighbour.start_s:.2f} s, against the order of the sequence.",
                [*run, neighbour],
                measured=Measured(value=gap_s, unit="s", threshold=view.section.order_tolerance_s),
                severity=None if sure else "minor",
                place="sequence",
            )
        index = end


def _at(events: Sequence[EventLabel], index: int) -> EventLabel | None:
    return events[index] if index < len(events) else None


def longest_ordered(starts_s: Sequence[float], tolerance_s: float) -> set[int]:
    """Return the indices of a longest run in order of time (patience sorting, O(n log n))."""
    tails: list[float] = []
    places: list[int] = []
    back: list[int] = []
    for index, start_s in enumerate(starts_s):
        pile = bisect_right(tails, start_s + tolerance_s)
        back.append(places[pile - 1] if pile else -1)
        if pile == len(tails):
            tails.append(start_s)
            places.append(index)
        elif start_s <= tails[pile]:
            tails[pile], places[pile] = start_s, index
    kept: set[int] = set()
    index = places[-1] if places else -1
    while index >= 0:
        kept.add(index)
        index = back[index]
    return kept
