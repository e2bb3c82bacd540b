"""The coefficients against the numbers of the papers that defined them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agreement.alpha import alpha_interval, krippendorff_alpha
from services.agreement.kappa import agreement_weights, cohen_kappa, gwet_ac, kappa_of_table
from services.agreement.ratings import MISSING, Floats, Ints, Level, encode

_ = np.nan
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part C: four observers, twelve units.
FOUR_OBSERVERS: Floats = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
# The same paper, part A: two observers, ten units, two values.
TWO_VALUES: Floats = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=np.float64).T
# The same paper, part B: two observers, twelve units, five values.
FIVE_VALUES: Floats = np.array(
    [[1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1], [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4]], dtype=np.float64
).T
# Gwet's example of 100 pregnant women by abstractor (data set cont3x3abstractors of irrCAC, with its output).
ABSTRACTORS: Floats = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]], dtype=np.float64)
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def units_of(table: Floats) -> Ints:
    cells = [[a, b] for a, b in np.ndindex(*table.shape) for _ in range(int(table[a, b]))]
    return np.array(cells, dtype=np.intp)


def codes_of(values: Floats) -> Ints:
    return np.where(np.isnan(values), MISSING, np.nan_to_num(values) - 1).astype(np.intp)


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_four_observers_with_missing_values_is_as_published(level: Level, expected: float) -> None:
    found = krippendorff_alpha(FOUR_OBSERVERS, level)
    assert found.value == pytest.approx(expected, abs=6e-4)
    assert (found.units, found.ratings) == (11, 40)


def test_alpha_of_two_observers_is_as_published() -> None:
    assert krippendorff_alpha(TWO_VALUES).value == pytest.approx(0.095, abs=6e-4)
    assert krippendorff_alpha(FIVE_VALUES).value == pytest.approx(0.692, abs=6e-4)


def test_alpha_of_a_table_is_as_published() -> None:
    assert krippendorff_alpha(units_of(ABSTRACTORS).astype(np.float64)).value == pytest.approx(0.7972585, abs=1e-7)


def test_cohen_kappa_is_as_published() -> None:
    # Cohen (1960), table 1, and Cohen (1968) with his disagreement weights 0 to 6 over the same table.
    table = np.array([[88, 10, 2], [14, 40, 6], [18, 10, 12]], dtype=np.float64)
    disagreement = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]], dtype=np.float64)
    assert kappa_of_table(table, 200).value == pytest.approx(0.492, abs=6e-4)
    assert kappa_of_table(table, 200, 1 - disagreement / 6).value == pytest.approx(0.348, abs=6e-4)
    units = units_of(ABSTRACTORS)
    assert cohen_kappa(units[:, 0], units[:, 1], 3).value == pytest.approx(0.7964094, abs=1e-7)


def test_gwet_ac1_is_as_published() -> None:
    # Gwet (2008), table 1: 125 units, nearly all of one class; kappa is negative there.
    units = units_of(np.array([[118, 5], [2, 0]], dtype=np.float64))
    assert gwet_ac(units, 2).value == pytest.approx(0.9408, abs=1e-4)
    assert cohen_kappa(units[:, 0], units[:, 1], 2).value == pytest.approx(-0.0234, abs=1e-4)
    assert gwet_ac(units_of(ABSTRACTORS), 3).value == pytest.approx(0.8493305, abs=1e-7)
    # Gwet (2014): his version of the four raters.
    assert gwet_ac(codes_of(FOUR_OBSERVERS), 5).value == pytest.approx(0.77544, abs=1e-5)


def test_gwet_ac2_lies_above_ac1_where_near_values_are_confused() -> None:
    codes = np.array([[0, 1], [1, 2], [2, 2], [3, 3], [0, 0], [4, 3]], dtype=np.intp)
    plain = gwet_ac(codes, 5).value
    weighted = gwet_ac(codes, 5, agreement_weights(5, "interval")).value
    assert plain is not None
    assert weighted is not None
    assert weighted > plain


@pytest.mark.parametrize("level", LEVELS)
def test_unanimous_ratings_of_one_value_give_no_coefficient(level: Level) -> None:
    found = krippendorff_alpha(np.full((5, 3), 7.0), level)
    assert (found.value, found.degenerate, found.observed) == (None, "no_variation", 0.0)
    assert alpha_interval(np.full((5, 3), 7.0), level, seed=1) is None


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.full((3, 2), np.nan), np.array([[1.0, np.nan], [np.nan, 2]])])
def test_ratings_without_a_pair_give_no_coefficient(values: Floats) -> None:
    for level in LEVELS:
        assert krippendorff_alpha(values, level).degenerate == "no_pairs"
        assert alpha_interval(values, level, seed=1) is None
    assert gwet_ac(codes_of(values), 3).degenerate == "no_pairs"
    assert cohen_kappa(codes_of(values)[:, 0], codes_of(values)[:, 1], 3).degenerate == "no_pairs"


def test_kappa_and_ac_of_constants_say_why_there_is_none() -> None:
    ones = np.zeros((6, 2), dtype=np.intp)
    assert cohen_kappa(ones[:, 0], ones[:, 1], 2).degenerate == "no_variation"
    assert gwet_ac(ones, 1).degenerate == "no_variation"
    assert gwet_ac(ones, 2).value == pytest.approx(1.0)


def test_perfect_agreement_over_several_values_is_one() -> None:
    values = np.repeat(np.arange(6.0)[:, None], 3, axis=1)
    for level in LEVELS:
        assert krippendorff_alpha(values, level).value == pytest.approx(1.0)
        interval = alpha_interval(values, level, seed=0)
        assert interval is not None
        assert interval.low == pytest.approx(1.0)
        assert interval.high == pytest.approx(1.0)


def test_large_numbers_lose_no_precision() -> None:
    shifted = krippendorff_alpha(FOUR_OBSERVERS + 1e9, "interval").value
    assert shifted == pytest.approx(krippendorff_alpha(FOUR_OBSERVERS, "interval").value, abs=1e-6)


def test_the_interval_covers_the_true_alpha_as_often_as_it_says() -> None:
    # Two raters who each give the true one of two even values with 0.9, else a coin: alpha is 0.81 in the long run.
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(100):
        truth = rng.integers(0, 2, (80, 1))
        values = np.where(rng.random((80, 2)) < 0.9, truth, rng.integers(0, 2, (80, 2))).astype(np.float64)
        interval = alpha_interval(values, seed=seed, resamples=300)
        assert interval is not None
        covered += interval.low <= 0.81 <= interval.high
    assert covered >= 86


def test_clusters_of_repeated_units_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    few = rng.integers(0, 3, (30, 2)).astype(np.float64)
    few[:20, 1] = few[:20, 0]
    repeated = np.repeat(few, 20, axis=0)
    for level in LEVELS:
        naive = alpha_interval(repeated, level, seed=0)
        clustered = alpha_interval(repeated, level, seed=0, clusters=np.repeat(np.arange(30), 20))
        honest = alpha_interval(few, level, seed=0)
        assert naive is not None
        assert clustered is not None
        assert honest is not None
        assert naive.high - naive.low < 0.5 * (clustered.high - clustered.low)
        assert clustered.high - clustered.low == pytest.approx(honest.high - honest.low, rel=0.2)


def test_ratings_are_encoded_with_missing_ones() -> None:
    codes, raters, values = encode([{"b": "cat", "a": "dog"}, {"a": "cat"}])
    assert (raters, values) == (("a", "b"), ("cat", "dog"))
    assert codes.tolist() == [[1, 0], [0, MISSING]]


def by_pairs(values: Floats) -> float | None:
    """Nominal alpha from its definition: every pair of ratings one by one."""
    kept = [[item for item in row if not np.isnan(item)] for row in values]
    kept = [row for row in kept if len(row) >= 2]
    everything = [item for row in kept for item in row]
    observed = sum(
        sum(a != b for a, b in itertools.permutations(row, 2)) / (len(row) - 1) for row in kept
    ) / max(1, len(everything))  # fmt: skip
    pairs = [a != b for a, b in itertools.permutations(everything, 2)]
    return 1 - observed / (sum(pairs) / len(pairs)) if any(pairs) else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, float("nan")]), min_size=3, max_size=3), min_size=0, max_size=12),
)
def test_alpha_is_its_definition_and_knows_no_order(rows: list[list[float]]) -> None:
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    found = krippendorff_alpha(values).value
    expected = by_pairs(values)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))
    turned = values[::-1, ::-1]
    for level in LEVELS:
        one, other = krippendorff_alpha(values, level).value, krippendorff_alpha(turned, level).value
        assert one == (None if other is None else pytest.approx(other, abs=1e-9))
        a, b = alpha_interval(values, level, seed=3, resamples=50), alpha_interval(turned, level, seed=3, resamples=50)
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.low == pytest.approx(b.low)
            assert a.high == pytest.approx(b.high)
