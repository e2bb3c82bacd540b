from __future__ import annotations

import numpy as np
import pytest

from services.incidents.spot_checks import Candidate, choose_spot_checks


def members(count: int, seed: int = 1) -> list[Candidate]:
    rng = np.random.default_rng(seed)
    return [Candidate(f"s-{number:04d}", "f-1", float(rng.normal(1.0, 0.1))) for number in range(count)]


def test_extremes_are_in_and_the_rest_comes_from_every_part() -> None:
    candidates = members(500)
    chosen = choose_spot_checks(candidates, 7, "incident")
    order = sorted(candidates, key=lambda item: item.position or 0.0)
    places = sorted(number for number, item in enumerate(order) if (item.sample_id, item.finding_id) in chosen)
    assert len(places) == 7
    assert (places[0], places[-1]) == (0, 499)
    middle = places[1:-1]
    assert [(place - 1) * 5 // 498 for place in middle] == [0, 1, 2, 3, 4]


def test_the_same_are_chosen_whatever_the_order_and_others_for_another_incident() -> None:
    candidates = members(200)
    chosen = choose_spot_checks(candidates, 6, "a")
    assert (
        choose_spot_checks([candidates[place] for place in np.random.default_rng(9).permutation(200)], 6, "a") == chosen
    )
    assert choose_spot_checks(candidates, 6, "b") != chosen


def test_what_is_held_or_decided_stays_and_counts() -> None:
    candidates = members(100)
    kept = [Candidate(item.sample_id, item.finding_id, item.position, kept=True) for item in candidates[10:14]]
    chosen = choose_spot_checks([*candidates[:10], *kept, *candidates[14:]], 5, "a")
    assert {(item.sample_id, item.finding_id) for item in kept} < chosen
    assert len(chosen) == 5
    assert len(choose_spot_checks([*candidates[:10], *kept, *candidates[14:]], 3, "a")) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 5, 50])
def test_never_more_than_asked_for_nor_than_there_are(count: int) -> None:
    for size in (0, 1, 2, 4, 30):
        assert len(choose_spot_checks(members(size), count, "x")) == min(count, size)


def test_a_sample_is_a_spot_check_once_and_values_may_be_missing() -> None:
    twice = [Candidate("s-1", name, 1.0) for name in ("f-1", "f-2")] + [Candidate("s-2", "f-1", 2.0)]
    assert {sample_id for sample_id, _ in choose_spot_checks(twice, 5, "x")} == {"s-1", "s-2"}
    assert len(choose_spot_checks(twice, 5, "x")) == 2
    unvalued = [Candidate(f"s-{number}", "f-1") for number in range(40)]
    assert len(choose_spot_checks(unvalued, 5, "x")) == 5
    mixed = [*unvalued, Candidate("s-high", "f-1", 9.0), Candidate("s-low", "f-1", -9.0)]
    chosen = {sample_id for sample_id, _ in choose_spot_checks(mixed, 5, "x")}
    assert {"s-high", "s-low"} < chosen
