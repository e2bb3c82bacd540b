"""From broken and joined tracklets to events: what happened to which ids, where, and what would undo it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from services.alignment.matching import iou_pairs
from services.alignment.track_identity_event import Event
from services.alignment.track_identity_gaps import find_flips, find_holes
from services.alignment.track_identity_links import Tracklets, find_tracklets
from services.alignment.track_identity_motion import misses
from services.alignment.track_identity_rows import TrackTable
from services.rules.track_identity import TrackIdentityKind, TrackIdentityRules

MAX_CYCLE = 6


def find_events(table: TrackTable, rules: TrackIdentityRules) -> list[Event]:
    """Return what happened to the ids of ``table``, each cause once."""
    return _Finder(table, rules).run()


@dataclass(frozen=True, slots=True)
class _Link:
    """One object goes on under another id: tracklet ``a`` is continued by ``b``."""

    a: int
    b: int
    frame: int
    rank: int


class _Finder:
    def __init__(self, table: TrackTable, rules: TrackIdentityRules) -> None:
        self._table = table
        self._rules = rules
        self._codes = {name: code for code, name in enumerate(table.names)}
        self._t: Tracklets = find_tracklets(table, rules)
        self._chain = table.chains[self._t.first]
        self._object = table.objects[self._t.first]
        self._explained: set[int] = set()
        self._events: list[Event] = []

    def run(self) -> list[Event]:
        links = [
            _Link(a, b, int(self._table.frames[self._t.first[b]]), int(self._table.ranks[self._t.first[b]]))
            for a, b in enumerate(self._t.onward.tolist())
            if b >= 0 and self._object[a] != self._object[b]
        ]
        links.sort(key=lambda link: (link.rank, link.a))
        left = self._duplicates(links)
        left = self._swaps(left)
        left = self._there_and_back(left)
        for link in left:
            if not self._by_chance(link):
                self._single(link)
        self._breaks()
        self._events += find_holes(self._table, self._t, self._rules)
        self._events += find_flips(self._table, self._t, self._events)
        return self._events

    # What the tables say, in words.

    def _name(self, tracklet: int) -> str:
        return self._table.names[int(self._object[tracklet])]

    def _rows(self, tracklet: int) -> range:
        return range(int(self._t.first[tracklet]), int(self._t.last[tracklet]) + 1)

    def _frame(self, row: int) -> int:
        return int(self._table.frames[row])

    def _edge(self, *links: _Link) -> tuple[int, ...]:
        rows = [row for link in links for row in (int(self._t.last[link.a]), int(self._t.first[link.b]))]
        return tuple(sorted(set(rows)))

    def _explain(self, *tracklets: int) -> None:
        self._explained.update(tracklets)

    def _after(self, name: int, rank: int) -> list[int]:
        """Return the rows of an object's main chain from ``rank`` on."""
        rows = self._of(name)
        return [
            row
            for row in (rows.start + np.flatnonzero(self._table.ranks[rows.start : rows.stop] >= rank)).tolist()
            if not self._table.extra[self._table.chains[row]]
        ]

    def _of(self, name: int) -> range:
        """Return the rows of an object; they lie together."""
        low, high = np.searchsorted(self._table.objects, [name, name + 1]).tolist()
        return range(low, high)

    def _labelled_miss(self, link: _Link) -> float:
        row = int(self._t.last[link.a])
        miss = float(self._t.labelled[row]) if row < len(self._t.labelled) else np.inf
        return miss if np.isfinite(miss) else 0.0

    # Ids that stand twice in a frame.

    def _duplicates(self, links: list[_Link]) -> list[_Link]:
        table = self._table
        used: set[_Link] = set()
        chains = np.flatnonzero(table.extra).tolist()
        boxes = table.boxes() if chains else np.empty((0, 4))
        places: dict[int, list[int]] = defaultdict(list)
        for place, link in enumerate(links):
            places[link.a].append(place)
            places[link.b].append(place)
        for chain in chains:
            rows = range(int(table.starts[chain]), int(table.starts[chain + 1]))
            mains = self._mains(rows)
            members = range(self._t.of_row(rows[0]), self._t.of_row(rows[-1]) + 1)
            touching = [links[place] for place in sorted({place for t in members for place in places.get(t, ())})]
            used.update(touching)
            self._explain(*members, *(t for link in touching for t in (link.a, link.b)))
            both = [row for row in rows if mains.get(int(table.ranks[row])) is not None]
            twins = [mains[int(table.ranks[row])] for row in both]
            twice = bool(both) and bool(np.median(iou_pairs(boxes[both], boxes[twins])) >= self._rules.same_box_iou)
            others = sorted({self._name(link.a if link.b in members else link.b) for link in touching})
            self._events.append(self._duplicate(rows, both, twins, others, twice=twice))
        return [link for link in links if link not in used]

    def _mains(self, rows: range) -> dict[int, int]:
        table = self._table
        name = table.objects[rows[0]]
        low, high = np.searchsorted(table.objects, [name, name + 1]).tolist()
        first = table.starts[table.chains[low]], table.starts[table.chains[low] + 1]
        ranks = table.ranks[rows.start : rows.stop]
        main = np.arange(*(first if first[1] <= high else (low, high)))
        inside = main[np.isin(table.ranks[main], ranks)]
        return {int(table.ranks[row]): int(row) for row in inside}

    def _duplicate(self, rows: range, both: list[int], twins: list[int], others: list[str], *, twice: bool) -> Event:
        table, rules = self._table, self._rules
        name = table.name(rows[0])
        frames = tuple(sorted({self._frame(row) for row in (both or rows)}))
        span = f"frame {frames[0]}" if len(frames) == 1 else f"{len(frames)} frames, {frames[0]} to {frames[-1]}"
        concerned = tuple(sorted({*rows, *twins}))
        if twice:
            message = f"Object {name} is labelled twice, box on box, in {span}."
            return Event(
                "duplicate_in_frame", table, (name,), frames, concerned, message, float(len(both)), "frames", 0.0,
                removes=tuple(both) if len(both) == len(rows) else (),
            )  # fmt: skip
        renames: dict[int, str] = {}
        told = ""
        if len(others) == 1 and not self._taken(others[0], rows):
            renames = dict.fromkeys(rows, others[0])
            told = f" The motion of {others[0]} leads to the second one."
        if len(both) >= rules.merge_frames:
            message = f"Two objects share the id {name} in {span}.{told}"
            if not renames:
                renames = dict.fromkeys(rows, self._fresh(name))
            return Event(
                "merge", table, (name, *others), frames, concerned, message, float(len(both)), "frames",
                float(rules.merge_frames), renames=renames,
            )  # fmt: skip
        message = f"The id {name} stands on two objects in {span}.{told}"
        return Event(
            "duplicate_in_frame", table, (name, *others), frames, concerned, message, float(len(both)), "frames", 0.0,
            renames=renames,
        )  # fmt: skip

    def _taken(self, name: str, rows: range) -> bool:
        table = self._table
        code = self._codes[name]
        low, high = np.searchsorted(table.objects, [code, code + 1])
        return bool(np.isin(table.ranks[low:high], table.ranks[rows.start : rows.stop]).any())

    def _fresh(self, name: str) -> str:
        number = 2
        while f"{name}-{number}" in self._codes:
            number += 1
        return f"{name}-{number}"[-200:]

    # Ids that were exchanged.

    def _swaps(self, links: list[_Link]) -> list[_Link]:
        by_source: dict[int, list[_Link]] = defaultdict(list)
        for link in links:
            by_source[int(self._object[link.a])].append(link)
        used: set[_Link] = set()
        cycles: list[list[_Link]] = []
        for link in links:
            if link in used:
                continue
            path = self._cycle(link, by_source, used)
            if path is not None:
                used.update(path)
                cycles.append(path)
        open_cycles: dict[frozenset[int], list[_Link]] = {}
        for path in cycles:
            key = frozenset(int(self._object[link.a]) for link in path)
            begun = open_cycles.pop(key, None)
            if begun is not None and len(path) == 2:
                self._swap(begun, path)
            elif begun is not None:
                self._swap(begun, None)
                open_cycles[key] = path
            else:
                open_cycles[key] = path
        for path in open_cycles.values():
            self._swap(path, None)
        return [link for link in links if link not in used]

    def _cycle(self, start: _Link, by_source: dict[int, list[_Link]], used: set[_Link]) -> list[_Link] | None:
        path = [start]
        while len(path) <= MAX_CYCLE:
            goal = int(self._object[path[-1].b])
            if goal == self._object[start.a]:
                return path
            # One object that changes its id and back exchanges it with nobody.
            near = [
                link
                for link in by_source.get(goal, ())
                if link not in used
                and abs(link.rank - start.rank) <= self._rules.max_gap_frames
                and not {link.a, link.b} & {t for other in path for t in (other.a, other.b)}
            ]
            if not near:
                return None
            path.append(min(near, key=lambda link: (abs(link.rank - start.rank), link.a)))
        return None

    def _swap(self, begun: list[_Link], undone: list[_Link] | None) -> None:
        table = self._table
        self._explain(*(t for link in [*begun, *(undone or [])] for t in (link.a, link.b)))
        names = [self._name(link.a) for link in begun]
        frame = min(link.frame for link in begun)
        renames: dict[int, str] = {}
        for link in begun:
            rows = self._after(int(self._object[link.b]), link.rank)
            if undone is not None:
                stop = max(other.rank for other in undone if self._object[other.a] == self._object[link.b])
                rows = [row for row in rows if table.ranks[row] < stop]
            renames.update(dict.fromkeys(rows, self._name(link.a)))
        labelled = float(np.mean([self._labelled_miss(link) for link in begun]))
        crossed = float(np.mean([self._t.cost[link.a] for link in begun]))
        who = f"{names[0]} and {names[1]}" if len(names) == 2 else " → ".join([*names, names[0]])
        until = "" if undone is None else f" until frame {min(link.frame for link in undone) - 1}"
        message = (
            f"Objects {who} exchange their ids at frame {frame}{until}: exchanged back, each misses its motion by "
            f"{crossed:.2f} object sizes instead of {labelled:.2f}."
        )
        frames = tuple(sorted({link.frame for link in [*begun, *(undone or [])]}))
        self._events.append(
            Event(
                "swap", table, tuple(names), frames, self._edge(*begun, *(undone or [])), message, labelled,
                "object_sizes", self._rules.min_swap_sizes, renames=renames,
            )
        )  # fmt: skip

    # One object under another id, for a while or for good.

    def _there_and_back(self, links: list[_Link]) -> list[_Link]:
        by_a = {link.a: link for link in links}
        used: set[_Link] = set()
        for link in links:
            back = by_a.get(link.b)
            if link in used or back is None or self._object[back.b] != self._object[link.a]:
                continue
            used.update((link, back))
            self._explain(link.a, link.b, back.b)
            name, other = self._name(link.a), self._name(link.b)
            rows = self._rows(link.b)
            message = (
                f"Object {name} has the id {other} in {len(rows)} frames, {link.frame} to "
                f"{self._frame(rows[-1])}, and then its own again: it misses its motion by "
                f"{self._t.cost[link.a]:.2f} object sizes."
            )
            self._events.append(
                Event(
                    "switch", self._table, (name, other), (link.frame, back.frame), self._edge(link, back), message,
                    float(self._t.cost[link.a]), "object_sizes", self._rules.max_link_sizes,
                    renames=dict.fromkeys(rows, name),
                )
            )  # fmt: skip
        return [link for link in links if link not in used]

    def _by_chance(self, link: _Link) -> bool:
        """Whether the id at the link's end has a better story of its own: a long gap, or a jump out and back."""
        before, after = link.b - 1, link.b
        if before < 0 or self._chain[before] != self._chain[after]:
            return False
        beyond = int(self._t.onward[before])
        if beyond > after and self._chain[beyond] == self._chain[after]:
            return True
        row = int(self._t.last[before])
        return not self._t.broken[row] and self._t.onward[before] < 0 and self._same_thing(before, after)

    def _single(self, link: _Link) -> None:
        table = self._table
        self._explain(link.a, link.b)
        a, b = int(self._object[link.a]), int(self._object[link.b])
        rows_a, rows_b = self._of(a), self._of(b)
        goes_on = bool((table.ranks[rows_a.start : rows_a.stop] >= link.rank).any())
        was_there = bool((table.ranks[rows_b.start : rows_b.stop] < link.rank).any())
        missing = link.rank - int(table.ranks[self._t.last[link.a]]) - 1
        name, other = table.names[a], table.names[b]
        cost = float(self._t.cost[link.a])
        near = f"its motion leads to within {cost:.2f} object sizes"
        kind: TrackIdentityKind
        if was_there and not goes_on:
            kind = "merge"
            message = (
                f"At frame {link.frame} the id {other}, until then another object's, passes to object {name}, "
                f"which ends there: {near}."
            )
        elif goes_on or was_there:
            kind = "switch"
            message = (
                f"Object {name} goes on as {other} at frame {link.frame} ({near}), while {name} goes on elsewhere."
            )
        elif missing > 0:
            kind = "split"
            message = (
                f"Object {name} ends at frame {self._frame(int(self._t.last[link.a]))} and goes on as {other} at frame "
                f"{link.frame}, {missing} frames later: {near}."
            )
        else:
            kind = "switch"
            message = f"Object {name} changes its id to {other} at frame {link.frame}: {near}."
        unclear = kind == "switch" and (goes_on or was_there)
        renames = {} if unclear else dict.fromkeys(self._after(b, link.rank), name)
        self._events.append(
            Event(
                kind, table, (name, other), (link.frame,), self._edge(link), message, cost, "object_sizes",
                self._rules.max_link_sizes, renames=renames,
            )
        )  # fmt: skip

    # One id that is not where its object was.

    def _breaks(self) -> None:
        skipped = 0
        for t in range(1, len(self._t.first)):
            if t < skipped or self._chain[t] != self._chain[t - 1]:
                continue
            beyond = int(self._t.onward[t - 1])
            if beyond > t and self._chain[beyond] == self._chain[t]:
                self._excursion(t - 1, beyond)
                skipped = beyond + 1
                continue
            if {t - 1, t} & self._explained and self._is_explained(t - 1, t):
                continue
            self._one_break(t - 1, t)

    def _is_explained(self, before: int, after: int) -> bool:
        """Whether the object before went on under another id, or the one after came from another."""
        return int(self._t.onward[before]) >= 0 or int(self._t.origin[after]) >= 0

    def _excursion(self, before: int, beyond: int) -> None:
        table = self._table
        rows = range(int(self._t.first[before + 1]), int(self._t.last[beyond - 1]) + 1)
        name = self._name(before)
        last = int(self._t.last[before])
        far = float(self._t.labelled[last])
        frames = tuple(self._frame(row) for row in rows)
        kind: TrackIdentityKind = "jump" if len(rows) <= self._rules.short_frames else "switch"
        span = f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]} to {frames[-1]}"
        message = (
            f"Object {name} is {far:.2f} object sizes off its path in {span} and back on it at frame "
            f"{self._frame(int(self._t.first[beyond]))}."
        )
        edges = (last, *rows[:1_000], int(self._t.first[beyond]))
        self._events.append(
            Event(kind, table, (name,), frames[:1_000], edges, message, far, "object_sizes", self._gate())
        )

    def _gate(self) -> float:
        share = self._rules.space_share if self._table.space == "space" else 1.0
        return self._rules.max_step_sizes * share

    def _one_break(self, before: int, after: int) -> None:
        table, rules = self._table, self._rules
        last, first = int(self._t.last[before]), int(self._t.first[after])
        missing = int(self._t.steps[last])
        name = self._name(before)
        far = float(self._t.labelled[last])
        frames = (self._frame(last), self._frame(first))
        broken = bool(self._t.broken[last])
        if not broken and missing <= rules.max_gap_frames:
            return
        other_class = table.classes[last] != table.classes[first]
        if not broken and missing > rules.max_gap_frames and not other_class and self._same_thing(before, after):
            message = (
                f"Object {name} is missing for {missing} frames after frame {frames[0]}; the rules allow "
                f"{rules.max_gap_frames}."
            )
            self._events.append(
                Event("gap", table, (name,), frames, (last, first), message, float(missing), "frames",
                      float(rules.max_gap_frames))
            )  # fmt: skip
            return
        what = f"{far:.2f} object sizes from where its motion leads"
        if missing > 0:
            more = ", and of another class" if other_class else ""
            message = (
                f"The id {name} ends at frame {frames[0]} and comes back at frame {frames[1]} {what}{more}: "
                f"another object."
            )
            rows = self._after(int(self._object[after]), int(table.ranks[first]))
            self._events.append(
                Event("reuse", table, (name,), frames, (last, first), message, far, "object_sizes", self._gate(),
                      renames=dict.fromkeys(rows, self._fresh(name)))
            )  # fmt: skip
            return
        message = f"Object {name} jumps between frames {frames[0]} and {frames[1]}: it is {what}."
        self._events.append(
            Event("jump", table, (name,), frames, (last, first), message, far, "object_sizes", self._gate())
        )

    def _same_thing(self, before: int, after: int) -> bool:
        """Whether a long gap still ends where the object may be: its size fits, and it is not too far to go."""
        table = self._table
        rows = [np.array([value]) for value in (self._t.last[before], self._t.first[before])]
        later = [np.array([value]) for value in (self._t.first[after], self._t.last[after])]
        miss = float(misses(table, rows[0], rows[1], later[0], later[1]).min())
        steps = int(self._t.steps[rows[0][0]])
        gate = self._gate() + self._rules.step_growth_sizes * min(steps, 2 * self._rules.max_gap_frames)
        return miss <= gate
