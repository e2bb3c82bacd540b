"""Where ids break, and which stretch of one id continues which stretch of another.

A stretch (tracklet) is a run of one chain's rows. Chains are cut where the labelled continuation is implausible: too
far from where the motion leads, or worse than an exchange of ids that an optimal assignment prefers (H. W. Kuhn, 1955;
for tracks as in CLEAR MOT, K. Bernardin and R. Stiefelhagen, 2008). Loose ends are then joined to loose beginnings by
a second optimal assignment. Neighbours come from one k-d tree over (frame, place), so the cost grows as n log n.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from services.alignment.geometry import Bools, Floats, Ints
from services.alignment.track_identity_motion import LAG, back_rows, labelled_misses, misses
from services.alignment.track_identity_rows import TrackTable
from services.rules.track_identity import TrackIdentityRules

NEIGHBOURS = 4
CANDIDATES = 16
_CROWD = 32
"""Up to so many rows in a frame all are compared with all; with more a tree is faster."""
_HALF = 0.499
_NEVER = 1e6
_CLASS_CHANGE = 1.0
_RETURN = 2.0 / 3.0
"""What the labelled return of an object is worth, where a continuation without any miss is worth 1."""


@dataclass(frozen=True, slots=True)
class Tracklets:
    """Stretches of chains, and how they continue each other.

    Attributes:
        first: Shape (t,): first rows, ascending.
        last: Shape (t,): last rows.
        onward: Shape (t,): the tracklet that continues this one by motion, or -1.
        origin: Shape (t,): the inverse.
        cost: Shape (t,): miss of the continuation, in object sizes.
        broken: Shape (n - 1,): rows whose labelled continuation is implausible.
        labelled: Shape (n - 1,): miss of each row's labelled continuation.
        steps: Shape (n - 1,): frames that the chain left out between a row and its next.
    """

    first: Ints
    last: Ints
    onward: Ints
    origin: Ints
    cost: Floats
    broken: Bools
    labelled: Floats
    steps: Ints

    def of_row(self, row: int) -> int:
        """Return the tracklet that holds a row."""
        return int(np.searchsorted(self.first, row, side="right")) - 1


def find_tracklets(table: TrackTable, rules: TrackIdentityRules) -> Tracklets:
    """Cut the chains of ``table`` and join what belongs together."""
    labelled = labelled_misses(table)
    steps = _left_out(table)
    broken = _implausible(table, labelled, steps, rules) | _out_and_back(table, rules)
    same = np.diff(table.chains) == 0
    _prefer_exchanges(table, broken, rules)
    cut = ~same | broken | (steps > 0)
    first = np.concatenate([[0], np.flatnonzero(cut) + 1]).astype(np.intp)
    last = np.concatenate([np.flatnonzero(cut), [len(table) - 1]]).astype(np.intp)
    onward, cost = _join(table, first, last, broken, rules)
    origin = np.full(len(first), -1, dtype=np.intp)
    joined = np.flatnonzero(onward >= 0)
    origin[onward[joined]] = joined
    return Tracklets(first, last, onward, origin, cost, broken & same, labelled, steps)


def _left_out(table: TrackTable) -> Ints:
    """Return the labelled frames each row's continuation leaves out, beyond the chain's own rhythm; (n - 1,)."""
    if len(table) < 2:
        return np.empty(0, dtype=np.intp)
    same = np.diff(table.chains) == 0
    step = np.where(same, np.diff(table.ranks), 0)
    # A track of key frames has a rhythm of its own: its median step.
    rows = np.flatnonzero(same)
    rhythm = np.ones(len(table.starts) - 1, dtype=np.intp)
    if len(rows):
        order = rows[np.lexsort((step[rows], table.chains[rows]))]
        chains, begins, counts = np.unique(table.chains[order], return_index=True, return_counts=True)
        rhythm[chains] = np.maximum(step[order[begins + (counts - 1) // 2]], 1)
    return np.maximum(step - rhythm[table.chains[:-1]], 0)


def _implausible(table: TrackTable, labelled: Floats, steps: Ints, rules: TrackIdentityRules) -> Bools:
    gate = rules.max_step_sizes + rules.step_growth_sizes * steps
    if table.space == "space":
        gate = gate * rules.space_share
    # The centre of a box that the image cuts off moves with the cut, not with the object.
    gate = np.where(table.cut_off[:-1] | table.cut_off[1:], 2.0 * gate, gate)
    broken = (labelled > gate) & np.isfinite(labelled)
    suspects = np.flatnonzero(broken)
    if not len(suspects):
        return np.asarray(broken)
    # A camera that is moved moves everything at once.
    arriving = np.flatnonzero(np.isfinite(labelled))
    order = arriving[np.argsort(table.ranks[arriving + 1], kind="stable")]
    ranks = table.ranks[order + 1]
    for row in suspects.tolist():
        low, high = np.searchsorted(ranks, [table.ranks[row + 1], table.ranks[row + 1] + 1]).tolist()
        if high - low >= 4 and np.median(labelled[order[low:high]]) > 0.5 * gate[row]:
            broken[row] = False
    return np.asarray(broken)


def _out_and_back(table: TrackTable, rules: TrackIdentityRules) -> Bools:
    """Mark both continuations of single rows that lie off a path which is smooth without them."""
    n = len(table)
    broken = np.zeros(max(n - 1, 0), dtype=np.bool_)
    if n < 3:
        return broken
    chain = table.chains
    rows = 1 + np.flatnonzero((chain[:-2] == chain[1:-1]) & (chain[2:] == chain[1:-1]))
    off = _off_the_middle(table, rows)
    least = rules.min_jump_sizes * (rules.space_share if table.space == "space" else 1.0)
    gate = least * np.where(table.cut_off[rows - 1] | table.cut_off[rows + 1], 1.4, 1.0)
    far = off > gate
    rows, off = rows[far], off[far]
    firsts, lasts = table.starts[chain[rows]], table.starts[chain[rows] + 1] - 1
    without = misses(table, rows - 1, firsts, rows + 1, lasts).max(axis=1)
    jumped = rows[without < 0.3 * off]
    broken[jumped - 1] = True
    broken[jumped] = True
    return broken


def _off_the_middle(table: TrackTable, rows: Ints) -> Floats:
    """Return how far rows are from the line between the rows before and after them, (n,), in object sizes."""
    before, after = rows - 1, rows + 1
    span = np.maximum(table.frames[after] - table.frames[before], 1).astype(np.float64)
    share = (table.frames[rows] - table.frames[before]) / span
    rest = 1 - share
    square, most = np.zeros(len(rows)), np.zeros(len(rows))
    for place, size in zip(table.centers.T, table.log_sizes.T, strict=True):
        off = place[rows] - (place[before] * rest + place[after] * share)
        square += off * off
        np.maximum(most, np.abs(size[rows] - (size[before] * rest + size[after] * share)), out=most)
    return np.hypot(np.sqrt(square) / np.sqrt(table.scales[before] * table.scales[after]), most)


def _prefer_exchanges(table: TrackTable, broken: Bools, rules: TrackIdentityRules) -> None:
    """Break the continuations that lose against an exchange of ids, by optimal assignment frame by frame."""
    for rank, chains in _contested(table):
        before, after = _around(table, rank, chains, rules.max_gap_frames)
        if not before or not after:
            continue
        cost = _costs(table, before, after, rules)
        shared = [
            (i, j) for i, a in enumerate(before) for j, b in enumerate(after) if table.chains[a] == table.chains[b]
        ]
        padded = np.full((len(before) + len(after),) * 2, rules.max_link_sizes)
        padded[len(before) :, len(after) :] = 0.0
        padded[: len(before), : len(after)] = cost
        rows, columns = linear_sum_assignment(padded)
        chosen = {
            (int(i), int(j))
            for i, j in zip(rows, columns, strict=True)
            if i < len(before) and j < len(after) and cost[i, j] <= rules.max_link_sizes
        }
        for old, new in _exchanges(set(shared), chosen):
            lost = np.mean([cost[pair] for pair in old])
            found = np.mean([cost[pair] for pair in new])
            if lost >= rules.min_swap_sizes and found <= rules.swap_ratio * lost:
                for i, _ in old:
                    broken[before[i]] = True


def _contested(table: TrackTable) -> Iterator[tuple[int, list[int]]]:
    """Yield (rank, chains) wherever another object's row is nearer to a motion's aim than the labelled one."""
    n = len(table)
    rows = np.flatnonzero(np.diff(table.chains) == 0)
    if n < 4 or not len(rows):
        return
    spread = float(np.ptp(table.centers, axis=0).max()) * 4.0 + 1.0
    room = _room(table, spread)
    asked = []
    for source, target, bound in ((rows, rows + 1, table.starts[:-1]), (rows + 1, rows, table.starts[1:] - 1)):
        aim, own = _aims(table, source, target, bound[table.chains[source]])
        # Who is nearer to the aim than the labelled row is within twice that row's miss of it.
        near = np.flatnonzero(own >= _HALF * room[target])
        asked.append((source[near], target[near], aim[:, near].T, own[near]))
    there_are = np.zeros(len(table.frame_of_rank), dtype=np.bool_)
    for _, target, _, _ in asked:
        there_are[table.ranks[target]] = True
    standing = np.flatnonzero(there_are[table.ranks])
    if not len(standing):
        return
    tree = cKDTree(np.column_stack([table.ranks[standing] * spread, table.centers[standing]]))
    pairs: list[Ints] = []
    for source, target, aim, own in asked:
        for begin in range(0, len(source), 200_000):
            part = slice(begin, begin + 200_000)
            points = np.column_stack([table.ranks[target[part]] * spread, aim[part]])
            apart, found = tree.query(points, k=NEIGHBOURS, distance_upper_bound=spread)
            rival = np.isfinite(apart) & (np.asarray(apart) < own[part, None])
            i, k = np.nonzero(rival)
            there = standing[np.asarray(found)[i, k]]
            usable = table.chains[there] != table.chains[target[part][i]]
            i, there = i[usable], there[usable]
            later = np.maximum(table.ranks[target[part][i]], table.ranks[source[part][i]])
            pairs.append(np.column_stack([later, table.chains[target[part][i]], table.chains[there]]))
    found_pairs = np.unique(np.concatenate(pairs), axis=0)
    for rank in np.unique(found_pairs[:, 0]).tolist():
        low, high = np.searchsorted(found_pairs[:, 0], [rank, rank + 1])
        here = found_pairs[low:high, 1:]
        names, index = np.unique(here, return_inverse=True)
        index = index.reshape(here.shape)
        graph = coo_array((np.ones(len(here)), (index[:, 0], index[:, 1])), shape=(len(names), len(names)))
        count, component = connected_components(graph, directed=False)
        for member in range(count):
            yield int(rank), names[component == member].tolist()


def _aims(table: TrackTable, source: Ints, target: Ints, bounds: Ints) -> tuple[Floats, Floats]:
    """Return where the motion at ``source`` leads at the time of ``target``, (d, n), and how far that row is, (n,)."""
    other = back_rows(source, bounds)
    span = (table.frames[source] - table.frames[other]).astype(np.float64)
    span[span == 0] = 1.0
    elapsed = table.frames[target] - table.frames[source]
    aim = np.empty((table.centers.shape[1], len(source)))
    square = np.zeros(len(source))
    for axis, place in enumerate(table.centers.T):
        here = place[source]
        aim[axis] = here + (here - place[other]) / span * elapsed
        off = place[target] - aim[axis]
        square += off * off
    return aim, np.sqrt(square)


def _room(table: TrackTable, spread: float) -> Floats:
    """Return how far each row is from the nearest other one of its frame, (n,); infinite where it is alone."""
    n = len(table)
    order = np.argsort(table.ranks, kind="stable")
    ranks = table.ranks[order]
    most = int(np.bincount(ranks).max())
    if most > _CROWD:
        points = np.column_stack([table.ranks * spread, table.centers])
        apart, _ = cKDTree(points).query(points, k=2, distance_upper_bound=spread)
        return np.asarray(np.asarray(apart)[:, 1])
    square = np.full(n, np.inf)
    places = [np.ascontiguousarray(place[order]) for place in table.centers.T]
    for step in range(1, most):
        apart = np.where(ranks[step:] == ranks[:-step], 0.0, np.inf)
        for place in places:
            off = place[step:] - place[:-step]
            apart += off * off
        np.minimum(square[step:], apart, out=square[step:])
        np.minimum(square[:-step], apart, out=square[:-step])
    room = np.empty(n)
    room[order] = np.sqrt(square)
    return room


def _around(table: TrackTable, rank: int, chains: list[int], max_gap: int) -> tuple[list[int], list[int]]:
    """Return the last rows of ``chains`` before ``rank``, within the gap, and their rows in it."""
    before, after = [], []
    for chain in chains:
        begin, end = table.starts[chain : chain + 2].tolist()
        row = int(begin + np.searchsorted(table.ranks[begin:end], rank))
        if row > begin and rank - table.ranks[row - 1] <= max_gap + 1:
            before.append(row - 1)
        if row < end and table.ranks[row] == rank:
            after.append(row)
    return before, after


def _costs(table: TrackTable, before: list[int], after: list[int], rules: TrackIdentityRules) -> Floats:
    """Return the miss of every continuation, (n, m); labelled ones get the benefit of the doubt."""
    i, j = (grid.ravel() for grid in np.meshgrid(before, after, indexing="ij"))
    firsts, lasts = table.starts[table.chains[i]], table.starts[table.chains[j] + 1] - 1
    both = misses(table, i, firsts, j, lasts)
    own = table.chains[i] == table.chains[j]
    other_class = table.classes[i] != table.classes[j]
    cost = np.where(own, both.min(axis=1) + _CLASS_CHANGE * other_class, both.mean(axis=1))
    cost[~own & other_class] = _NEVER
    cost[~own & ~_similar(table, i, j, rules)] = _NEVER
    return np.asarray(cost.reshape(len(before), len(after)))


def _similar(table: TrackTable, i: Ints, j: Ints, rules: TrackIdentityRules) -> Bools:
    ratio = np.abs(table.log_sizes[i] - table.log_sizes[j]).max(axis=1)
    return np.asarray((ratio <= np.log(rules.max_size_ratio)) | table.cut_off[i] | table.cut_off[j])


def _exchanges(
    labelled: set[tuple[int, int]], chosen: set[tuple[int, int]]
) -> Iterator[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Part the difference of two matchings into its alternating paths and cycles: (lost, gained) pairs."""
    lost, gained = labelled - chosen, chosen - labelled
    by_row: dict[int, list[tuple[bool, tuple[int, int]]]] = defaultdict(list)
    by_column: dict[int, list[tuple[bool, tuple[int, int]]]] = defaultdict(list)
    for is_new, pairs in ((False, lost), (True, gained)):
        for pair in sorted(pairs):
            by_row[pair[0]].append((is_new, pair))
            by_column[pair[1]].append((is_new, pair))
    left = {(False, pair) for pair in lost} | {(True, pair) for pair in gained}
    while left:
        waiting, part = [min(left)], set()
        while waiting:
            edge = waiting.pop()
            if edge not in left:
                continue
            left.discard(edge)
            part.add(edge)
            waiting += by_row[edge[1][0]] + by_column[edge[1][1]]
        old = sorted(pair for is_new, pair in part if not is_new)
        new = sorted(pair for is_new, pair in part if is_new)
        if old and new:
            yield old, new


def _join(table: TrackTable, first: Ints, last: Ints, broken: Bools, rules: TrackIdentityRules) -> tuple[Ints, Floats]:
    """Join tracklets' ends to others' beginnings: (t,) the next one or -1, and the miss."""
    onward = np.full(len(first), -1, dtype=np.intp)
    costs = np.full(len(first), np.inf)
    ends = np.flatnonzero(table.ranks[last] < len(table.frame_of_rank) - 1)
    begins = np.flatnonzero(table.ranks[first] > 0)
    if not len(ends) or not len(begins) or not len(broken):
        return onward, costs
    i, j = _loose(table, first, last, ends, begins)
    gap = table.ranks[first[j]] - table.ranks[last[i]]
    keep = (gap >= 1) & (gap <= rules.max_gap_frames + 1)
    keep &= table.classes[last[i]] == table.classes[first[j]]
    keep &= _similar(table, last[i], first[j], rules)
    keep &= ~((gap > 1) & (first[i] == last[i]) & (first[j] == last[j]))
    own = (j == i + 1) & (table.chains[last[i]] == table.chains[first[j]])
    keep &= ~(own & broken[np.minimum(last[i], len(broken) - 1)])
    keep |= own & (gap <= rules.max_gap_frames + 1) & ~broken[np.minimum(last[i], len(broken) - 1)]
    i, j, gap, own = i[keep], j[keep], gap[keep], own[keep]
    both = misses(table, last[i], first[i], first[j], last[j])
    gate = rules.max_link_sizes + rules.link_growth_sizes * (gap - 1)
    # One object leaves at the border of the image while another comes in: only a very good fit is one object.
    gate = np.where((gap > 1) & table.cut_off[last[i]] & table.cut_off[first[j]], gate / 2, gate)
    # An object that is hidden and comes back keeps its id, unless another id fits far better, or fills the gap.
    score = np.where(own, _RETURN, 1.0 - both.mean(axis=1) / gate)
    good = score > 0
    i, j, score, both = i[good], j[good], score[good], both[good]
    for rows, columns, dense in _parts(i, j, score, len(first)):
        taken = linear_sum_assignment(dense, maximize=True)
        for row, column in zip(taken[0].tolist(), taken[1].tolist(), strict=True):
            if dense[row, column] > 0:
                onward[rows[row]] = columns[column]
    position = {(int(a), int(b)): k for k, (a, b) in enumerate(zip(i, j, strict=True))}
    for row in np.flatnonzero(onward >= 0).tolist():
        costs[row] = float(both[position[row, int(onward[row])]].mean())
    return onward, costs


def _loose(table: TrackTable, first: Ints, last: Ints, ends: Ints, begins: Ints) -> tuple[Ints, Ints]:
    """Return candidate pairs (end, begin): the nearest in place and time."""
    unit = float(np.median(table.scales))
    back = first[ends] + np.maximum(last[ends] - first[ends] - LAG, 0)
    span = np.maximum(table.frames[last[ends]] - table.frames[back], 1)[:, None]
    aim = table.centers[last[ends]] + (table.centers[last[ends]] - table.centers[back]) / span
    tree = cKDTree(np.column_stack([table.centers[first[begins]] / unit, 0.25 * table.ranks[first[begins]]]))
    k = min(CANDIDATES, len(begins))
    _, found = tree.query(np.column_stack([aim / unit, 0.25 * (table.ranks[last[ends]] + 1)]), k=k)
    found = found.reshape(len(ends), k)
    # The labelled continuation is always a candidate.
    again = np.flatnonzero(table.chains[last[:-1]] == table.chains[first[1:]])
    i = np.concatenate([np.repeat(ends, k), again])
    j = np.concatenate([begins[found.ravel()], again + 1])
    pairs = np.unique(np.column_stack([i, j]), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _parts(i: Ints, j: Ints, score: Floats, count: int) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Yield (rows, columns, dense scores) of each connected part of a sparse assignment problem."""
    if not len(i):
        return
    graph = coo_array((np.ones(len(i)), (i, count + j)), shape=(2 * count, 2 * count))
    _, component = connected_components(graph, directed=False)
    part = component[i]
    order = np.argsort(part, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        rows, row_index = np.unique(i[members], return_inverse=True)
        columns, column_index = np.unique(j[members], return_inverse=True)
        dense = np.zeros((len(rows), len(columns)))
        dense[row_index, column_index] = score[members]
        yield rows, columns, dense
