"""Events against the rule set's order: predecessors, pairs of start and end, and events that exclude each other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from services.alignment.event_labels import EventLabel, EventView, fits, is_sound, owner_of, scope_key
from services.contracts.findings import Finding, Measured
from services.contracts.labels_language import SpeakerTurn
from services.contracts.labels_visual import Event
from services.rules.event_structure import EventRule, Scope

Groups = dict[tuple[str, ...], list[EventLabel]]


def order_findings(view: EventView) -> Iterator[Finding]:
    """Yield ``missing_predecessor`` and ``order_violation`` for each rule that requires something before."""
    for number, rule in enumerate(view.section.events):
        if not rule.requires_before:
            continue
        followers = _by_scope(view.events, rule.label, rule.scope)
        for pattern in rule.requires_before:
            leaders = _by_scope(view.events, pattern, rule.scope)
            for key, events in sorted(followers.items()):
                yield from _preceded(view, rule, pattern, events, leaders.get(key, []), f"{number}:{pattern}")


def _by_scope(events: Iterable[EventLabel], pattern: str, scope: Scope) -> Groups:
    groups: Groups = {}
    for event in events:
        if fits(pattern, event.label) and is_sound(event):
            groups.setdefault(scope_key(event, scope), []).append(event)
    return groups


def _preceded(
    view: EventView, rule: EventRule, pattern: str, events: Sequence[EventLabel], leaders: list[EventLabel], place: str
) -> Iterator[Finding]:
    if not leaders:
        first = events[0]
        many = f" and {len(events) - 1} more" if len(events) > 1 else ""
        message = f"{first.label!r} at {_at(view, first):.2f} s{many} needs {pattern!r} before; there is none at all."
        yield view.make("missing_predecessor", message, events, place=place, identity=(first.id,))
        return
    alone, free = _unled(view, rule, events, leaders)
    following = 0
    for event in alone:
        while following < len(free) and _at(view, free[following]) <= _at(view, event):
            following += 1
        later = free[following] if following < len(free) else None
        too_late = later is not None and (rule.within_s is None or _at(view, later) - _at(view, event) <= rule.within_s)
        if later is not None and too_late:
            following += 1
            gap_s = _at(view, later) - _at(view, event)
            yield view.make(
                "order_violation",
                f"{event.label!r} at {_at(view, event):.2f} s begins {gap_s:.2f} s before {later.label!r} at "
                f"{_at(view, later):.2f} s, which must come first.",
                [event, later],
                measured=Measured(value=gap_s, unit="s", threshold=view.section.order_tolerance_s),
                place=place,
            )
            continue
        limit = f" in the {rule.within_s:g} s" if rule.within_s is not None else ""
        message = f"{event.label!r} at {_at(view, event):.2f} s has no {pattern!r} of its own{limit} before it."
        if not rule.each_once:
            message = f"{event.label!r} at {_at(view, event):.2f} s has no {pattern!r}{limit} before it."
        yield view.make("missing_predecessor", message, [event], place=place)


def _unled(
    view: EventView, rule: EventRule, events: Sequence[EventLabel], leaders: Sequence[EventLabel]
) -> tuple[list[EventLabel], list[EventLabel]]:
    """Return the events without a predecessor, and the predecessors that serve none; both in order of time."""
    events = sorted(events, key=lambda item: (_at(view, item), item.id))
    leaders = sorted(leaders, key=lambda item: (_at(view, item), item.id))
    starts = [_at(view, item) for item in leaders]
    reach, alone, used = rule.within_s or float("inf"), [], set()
    cursor = 0
    for event in events:
        now = _at(view, event)
        # An event that fits its own requirement, as after a pattern with a star, does not precede itself.
        last = bisect_right(starts, now + view.section.order_tolerance_s) - 1
        if rule.each_once:
            while cursor <= last and (now - starts[cursor] > reach or leaders[cursor].id == event.id):
                cursor += 1
            found = cursor if cursor <= last else -1
            cursor += found >= 0
        else:
            while last >= 0 and leaders[last].id == event.id:
                last -= 1
            found = last if last >= 0 and now - starts[last] <= reach else -1
        if found < 0:
            alone.append(event)
        else:
            used.add(leaders[found].id)
    return alone, [item for item in leaders if item.id not in used]


def _at(view: EventView, event: EventLabel) -> float:
    """Return when an event starts on the sample's clock, seconds."""
    return event.start_s + view.start_s.get(event.stream, 0.0)


def pair_findings(view: EventView) -> Iterator[Finding]:
    """Yield ``unpaired_start`` and ``unpaired_end``: by the phases of events and by the rules that pair classes."""
    phases: dict[tuple[str, str, str], list[tuple[EventLabel, bool]]] = {}
    paired = [pattern for rule in view.section.events if rule.pairs for pattern in (rule.label, rule.pairs)]
    for event in view.events:
        by_rule = any(fits(pattern, event.label) for pattern in paired)
        if isinstance(event, Event) and event.phase in ("start", "end") and not by_rule:
            key = (event.stream, event.label.casefold(), owner_of(event))
            phases.setdefault(key, []).append((event, event.phase == "start"))
    for _, items in sorted(phases.items()):
        yield from _paired(view, items, items[0][0].label, may_stay_open=False)
    for rule in view.section.events:
        if rule.pairs is None:
            continue
        groups: dict[tuple[str, ...], list[tuple[EventLabel, bool]]] = {}
        for event in view.events:
            starts = fits(rule.label, event.label)
            if starts or fits(rule.pairs, event.label):
                groups.setdefault(scope_key(event, rule.scope), []).append((event, starts))
        for _, items in sorted(groups.items()):
            yield from _paired(view, items, rule.pairs, may_stay_open=rule.may_stay_open)


def _paired(
    view: EventView, items: list[tuple[EventLabel, bool]], other: str, *, may_stay_open: bool
) -> Iterator[Finding]:
    items = sorted(items, key=lambda item: (_at(view, item[0]), item[0].id))
    opened: EventLabel | None = None
    for index, (event, starts) in enumerate(items):
        if starts:
            if opened is not None:
                yield _unpaired(view, opened, f"the next one starts at {_at(view, event):.2f} s")
            opened = event
        elif opened is not None:
            opened = None
        elif not (may_stay_open and index == 0):
            message = f"The end {event.label!r} at {_at(view, event):.2f} s has no start before it."
            yield view.make("unpaired_end", message, [event], place=other)
    if opened is not None and not may_stay_open:
        yield _unpaired(view, opened, "the labels end")


def _unpaired(view: EventView, event: EventLabel, until: str) -> Finding:
    message = f"The start {event.label!r} at {_at(view, event):.2f} s has no end before {until}."
    return view.make("unpaired_start", message, [event], place="start")


def exclusive_findings(view: EventView) -> Iterator[Finding]:
    """Yield ``exclusive_overlap`` for events of one exclusive group, and for two turns of one speaker.

    Labels of different authors are versions of each other and are not compared. One sweep in order of time.
    """
    groups: dict[tuple[str, ...], list[EventLabel]] = {}
    for event in view.events:
        if not is_sound(event):
            continue
        author = event.author.id if event.author else ""
        names: dict[str, Scope] = {}
        for rule in view.section.events:
            if rule.exclusive_group is not None and fits(rule.label, event.label):
                names.setdefault(f"group {rule.exclusive_group}", rule.scope)
        for name, scope in names.items():
            groups.setdefault((name, author, *scope_key(event, scope)), []).append(event)
        if isinstance(event, SpeakerTurn) and view.section.one_turn_per_speaker:
            groups.setdefault(("speaker", author, event.stream, event.speaker), []).append(event)
    for key, events in sorted(groups.items()):
        yield from _overlaps(view, key[0], events)


def _overlaps(view: EventView, group: str, events: list[EventLabel]) -> Iterator[Finding]:
    events = sorted(events, key=lambda item: (_at(view, item), item.end_s, item.id))
    holder: EventLabel | None = None
    limit_s = view.section.overlap_tolerance_s
    for event in events:
        if holder is not None:
            shared_s = min(_end(view, holder), _end(view, event)) - _at(view, event)
            if shared_s > limit_s:
                what = (
                    f"are turns of {event.speaker}"
                    if isinstance(event, SpeakerTurn)
                    else f"exclude each other ({group})"
                )
                yield view.make(
                    "exclusive_overlap",
                    f"{holder.label!r} at {_at(view, holder):.2f} s and {event.label!r} at {_at(view, event):.2f} s "
                    f"{what} but overlap for {shared_s:.2f} s.",
                    [holder, event],
                    measured=Measured(value=shared_s, unit="s", threshold=limit_s),
                    place=group,
                )
        if holder is None or _end(view, event) > _end(view, holder):
            holder = event


def _end(view: EventView, event: EventLabel) -> float:
    return event.end_s + view.start_s.get(event.stream, 0.0)
