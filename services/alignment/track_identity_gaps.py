"""What is missing or misnamed while an identity holds: holes in plain view, and classes that flip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from services.alignment.geometry import Ints
from services.alignment.matching import cover_matrix
from services.alignment.track_identity_event import Event
from services.alignment.track_identity_links import Tracklets
from services.alignment.track_identity_rows import TrackTable
from services.rules.track_identity import TrackIdentityRules


def find_holes(table: TrackTable, tracklets: Tracklets, rules: TrackIdentityRules) -> Iterator[Event]:
    """Yield short gaps of objects that were in plain view: stated to be visible, and nothing before them."""
    rows = np.flatnonzero((tracklets.steps > 0) & (tracklets.steps <= rules.max_gap_frames) & ~tracklets.broken)
    rows = rows[table.chains[rows] == table.chains[rows + 1]]
    rows = rows[(table.occlusion[rows] == 0) & (table.occlusion[rows + 1] == 0)]
    rows = rows[~(table.cut_off[rows] | table.cut_off[rows + 1])]
    boxes = table.boxes()
    by_frame = np.argsort(table.frames, kind="stable")
    sorted_frames = table.frames[by_frame]
    for row in rows.tolist():
        following = int(tracklets.onward[tracklets.of_row(row)])
        if following >= 0 and following != tracklets.of_row(row + 1):
            continue
        missing, frames = int(tracklets.steps[row]), (int(table.frames[row]), int(table.frames[row + 1]))
        around = by_frame[np.searchsorted(sorted_frames, frames[0] + 1) : np.searchsorted(sorted_frames, frames[1])]
        place = (boxes[row] + boxes[row + 1])[None] / 2
        if len(around) and cover_matrix(place, boxes[around]).max() >= rules.cover_share:
            continue
        message = (
            f"Object {table.name(row)} is missing for {missing} frames after frame {frames[0]}, though nothing "
            f"hides it before or after."
        )
        yield Event("gap", table, (table.name(row),), frames, (row, row + 1), message, float(missing), "frames", 0.0)


def find_flips(table: TrackTable, tracklets: Tracklets, events: Sequence[Event]) -> Iterator[Event]:
    """Yield objects whose class changes where their identity does not, and ``events`` say nothing of it."""
    moved = {row for event in events for row in event.renames}
    change = np.flatnonzero((np.diff(table.classes) != 0) & (np.diff(table.chains) == 0))
    for chain in np.unique(table.chains[change]).tolist():
        yield from _flip(table, tracklets, range(int(table.starts[chain]), int(table.starts[chain + 1])), moved)


def _flip(table: TrackTable, tracklets: Tracklets, rows: range, moved: set[int]) -> Iterator[Event]:
    for part in _unbroken(tracklets, rows):
        kept = [row for row in part if row not in moved]
        classes, counts = np.unique(table.classes[kept], return_counts=True)
        if len(classes) < 2:
            continue
        usual = int(classes[np.argmax(counts)])
        odd = [row for row in kept if table.classes[row] != usual]
        label = next(table.sources[row].label for row in kept if table.classes[row] == usual)
        frames = tuple(int(table.frames[row]) for row in odd)
        wrong = sorted({table.sources[row].label for row in odd})
        name = table.name(odd[0])
        share = len(odd) / len(kept)
        message = (
            f"Object {name} is {label} in {len(kept) - len(odd)} frames and {', '.join(wrong)} in {len(odd)}, "
            f"first at frame {frames[0]}."
        )
        relabels = dict.fromkeys(odd, label) if share <= 1 / 3 else {}
        yield Event("class_flip", table, (name,), frames[:1_000], tuple(odd), message, share, "share_of_frames", 0.0,
                  relabels=relabels)  # fmt: skip


def _unbroken(tracklets: Tracklets, rows: range) -> Iterator[range]:
    cuts = np.flatnonzero(tracklets.broken[rows.start : rows.stop - 1]) + rows.start + 1
    edges: Ints = np.concatenate([[rows.start], cuts, [rows.stop]])
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield range(low, high)
