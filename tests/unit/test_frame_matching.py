"""Pairs in all frames at once are those of one table after the other."""

from __future__ import annotations

import numpy as np
import pytest

from services.alignment import frame_matching
from services.alignment.frame_matching import Boxes, assign_in_frames
from services.alignment.geometry import Floats, Ints
from services.alignment.matching import assign, iou_matrix


def _some(rng: np.random.Generator, *, crowd: float, whole: bool) -> Boxes:
    frames = np.sort(rng.integers(0, 9, int(rng.integers(0, 90))))
    low = rng.uniform(0.0, 100.0 * crowd, (len(frames), 2))
    boxes = np.concatenate([low, low + rng.uniform(5.0, 30.0, low.shape)], axis=1)
    # Whole numbers, few of them, make ties.
    return Boxes(frames, np.round(boxes, -1) if whole else boxes, rng.integers(-1, 6, len(frames)))


def _one_by_one(a: Boxes, b: Boxes, minimum: float) -> tuple[list[int], list[int]]:
    rows: list[int] = []
    columns: list[int] = []
    for frame in np.union1d(a.frames, b.frames).tolist():
        i, j = np.flatnonzero(a.frames == frame), np.flatnonzero(b.frames == frame)
        score = _table(a, i, b, j)
        r, c = assign(score, minimum=minimum)
        rows += i[r].tolist()
        columns += j[c].tolist()
    return rows, columns


def _table(a: Boxes, i: Ints, b: Boxes, j: Ints) -> Floats:
    score = iou_matrix(a.boxes_px[i], b.boxes_px[j])
    if a.names is None or b.names is None:
        return score
    one, other = a.names[i, None], b.names[None, j]
    return np.where((one >= 0) & (other >= 0) & (one != other), 0.0, score)


@pytest.mark.parametrize("crowd", [0.2, 0.5, 1.5])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("minimum", [0.0, 0.1, 0.5])
def test_pairs_are_those_of_one_table_after_the_other(crowd: float, whole: bool, minimum: float) -> None:
    rng = np.random.default_rng(5)
    pairs = 0
    for turn in range(40):
        a, b = _some(rng, crowd=crowd, whole=whole), _some(rng, crowd=crowd, whole=whole)
        if turn % 2:
            a, b = Boxes(a.frames, a.boxes_px), Boxes(b.frames, b.boxes_px)
        rows, columns = assign_in_frames(a, b, minimum=minimum)
        assert (rows.tolist(), columns.tolist()) == _one_by_one(a, b, minimum)
        pairs += len(rows)
    assert pairs


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    a, b = _some(rng, crowd=0.5, whole=False), _some(rng, crowd=0.5, whole=False)
    at_once = [part.tolist() for part in assign_in_frames(a, b, minimum=0.1)]
    monkeypatch.setattr(frame_matching, "_BLOCK", 7)
    assert [part.tolist() for part in assign_in_frames(a, b, minimum=0.1)] == at_once
    assert at_once[0]


def test_two_fair_pairs_are_better_than_one_good_one() -> None:
    # The first box of each stream overlaps most, but taking that pair would leave two boxes alone.
    a = Boxes(np.array([3, 3]), np.array([[0, 0, 10, 10], [3, 0, 13, 10]], dtype=np.float64))
    b = Boxes(np.array([3, 3]), np.array([[1, 0, 11, 10], [-3, 0, 7, 10]], dtype=np.float64))
    rows, columns = assign_in_frames(a, b, minimum=0.3)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
