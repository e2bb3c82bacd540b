"""The pure parts of the benchmark of the checks."""

from __future__ import annotations

import math

import pytest

from infra.bench.checks.growth import growth_of, sizes_up_to, slope
from infra.bench.checks.inputs import Case, cases
from infra.bench.checks.memory import measure_memory
from infra.bench.checks.timings import measure_checks
from services.alignment.engine import CHECKS
from services.errors import InvalidInputError

SIZES = (100, 1_000, 10_000, 100_000)


@pytest.mark.parametrize(("power", "holds"), [(0.8, True), (1.0, True), (1.1, True), (1.5, False), (2.0, False)])
def test_a_power_is_fitted_and_held_against_n_log_n(power: float, holds: bool) -> None:
    growth = growth_of([(n, 3e-6 * n**power) for n in SIZES])
    assert growth.exponent == pytest.approx(power, abs=0.001)
    assert growth.end_exponent == pytest.approx(power, abs=0.001)
    assert growth.holds is holds


def test_n_log_n_itself_holds() -> None:
    assert growth_of([(n, n * math.log(n)) for n in SIZES]).holds


def test_a_constant_part_does_not_hide_the_growth_of_the_end() -> None:
    growth = growth_of([(n, 5.0 + 1e-6 * n**2) for n in (*SIZES, 1_000_000)])
    assert growth.exponent is not None
    assert growth.exponent < 1.7
    assert growth.holds is False


@pytest.mark.parametrize("points", [[], [(100, 1.0)], [(100, 1.0), (300, 4.0)]])
def test_too_few_sizes_prove_nothing(points: list[tuple[int, float]]) -> None:
    assert growth_of(points).holds is None


def test_one_size_has_no_slope() -> None:
    assert slope([(100, 1.0), (100, 2.0)]) is None


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [
        (50, [50]),
        (100, [100]),
        (1_000, [100, 1_000]),
        (5_000, [100, 1_000, 5_000]),
        (1_000_000, [100, 1_000, 10_000, 100_000, 1_000_000]),
    ],
)
def test_sizes_are_powers_of_ten_and_the_largest(largest: int, sizes: list[int]) -> None:
    assert sizes_up_to(largest) == sizes


def test_every_check_is_measured() -> None:
    assert {case.check for case in cases()} == set(CHECKS)


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.check}-{case.name}")
def test_an_input_has_its_labels_and_is_judged(case: Case) -> None:
    sample = case.make(1_000)
    assert len(sample.annotations) == pytest.approx(1_000, rel=0.1)
    assert len({label.id for label in sample.annotations}) == len(sample.annotations)
    outcome = CHECKS[case.check](sample, case.rules)
    assert case.check == "context_gate" or outcome.findings


def test_the_report_has_a_row_for_every_size() -> None:
    report = measure_checks(max_labels=1_000, rounds=1, checks=("clock",))
    assert [one.labels for one in report.timings] == [100, 1_000]
    assert all(one.seconds > 0 for one in report.timings)
    assert [one.check for one in report.growth] == ["clock"]


def test_a_check_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="there is no check 'nothing'"):
        measure_checks(max_labels=100, rounds=1, checks=("nothing",))


def test_memory_is_that_of_the_process_that_checks_a_large_input() -> None:
    report = measure_memory(share=0.0005)
    assert [one.scenario for one in report.scenarios] == ["cloud", "recording", "tracks"]
    for one in report.scenarios:
        assert one.labels > 0 < one.input_bytes
        # An interpreter with numpy alone has tens of megabytes: less would be the number of something else.
        assert 30_000_000 < one.peak_bytes < one.limit_bytes
        assert one.holds
    with pytest.raises(InvalidInputError, match="there is no scenario 'video'"):
        measure_memory(scenarios=("video",))
