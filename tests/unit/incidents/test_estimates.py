from __future__ import annotations

import numpy as np
import pytest

from services.contracts.incidents import MemberValue
from services.incidents.estimates import agreeing, agrees, axis_of, combine, distance, position_of
from services.rules.incidents import CauseValue

YAW = CauseValue(name="yaw_deg", uncertainty="yaw_deg_std", tolerance=0.1)
PITCH = CauseValue(name="pitch_deg", uncertainty="pitch_deg_std", tolerance=0.1)
WANTED = (YAW, PITCH)


def sample(yaw: float, pitch: float = 0.0, std: float | None = 0.05) -> tuple[MemberValue, ...]:
    return (
        MemberValue(name="yaw_deg", value=yaw, std=std),
        MemberValue(name="pitch_deg", value=pitch, std=std),
    )


def test_many_samples_give_a_mean_that_is_surer_than_any_of_them() -> None:
    rng = np.random.default_rng(1)
    samples = [sample(rng.normal(1.2, 0.05), rng.normal(-0.3, 0.05)) for _ in range(500)]
    estimate = combine(samples, WANTED, sigmas=4.0)
    yaw, pitch = estimate.value("yaw_deg"), estimate.value("pitch_deg")
    assert yaw is not None
    assert pitch is not None
    assert yaw.mean == pytest.approx(1.2, abs=4 * yaw.std)
    assert pitch.mean == pytest.approx(-0.3, abs=4 * pitch.std)
    assert yaw.std < 0.05 / 15
    assert (estimate.samples, axis_of(estimate, WANTED)) == (500, "yaw_deg")
    assert all(agrees(one, estimate, WANTED, sigmas=4.0) for one in samples)


def test_scatter_beyond_the_stated_uncertainty_is_found_and_widens_the_mean() -> None:
    rng = np.random.default_rng(2)
    close = combine([sample(rng.normal(1.0, 0.01), std=0.01) for _ in range(200)], (YAW,), sigmas=4.0)
    spread = combine([sample(rng.normal(1.0, 0.08), std=0.01) for _ in range(200)], (YAW,), sigmas=4.0)
    assert close.values[0].scatter < 0.005
    assert spread.values[0].scatter == pytest.approx(0.08, rel=0.3)
    assert spread.values[0].std > 4 * close.values[0].std


def test_one_wild_estimate_does_not_move_the_mean() -> None:
    samples = [sample(1.0) for _ in range(9)] + [sample(40.0, std=0.001)]
    estimate = combine(samples, (YAW,), sigmas=4.0)
    assert estimate.values[0].mean == pytest.approx(1.0, abs=1e-9)
    assert estimate.values[0].highest == 40.0


def test_order_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    samples = [sample(rng.normal(2.0, 0.2), rng.normal(0.0, 0.1), std=rng.uniform(0.01, 0.2)) for _ in range(50)]
    shuffled = [samples[place] for place in rng.permutation(50)]
    one, other = (combine(given, WANTED, sigmas=4.0) for given in (samples, shuffled))
    assert [value.mean for value in one.values] == pytest.approx([value.mean for value in other.values], rel=1e-12)


def test_a_single_sample_is_its_own_estimate() -> None:
    estimate = combine([sample(1.5, std=0.2)], (YAW,), sigmas=4.0)
    assert (estimate.values[0].mean, estimate.values[0].std, estimate.values[0].scatter) == (1.5, 0.2, 0.0)


@pytest.mark.parametrize(
    ("yaw", "std", "expected"),
    [(1.05, 0.0, True), (1.09, None, True), (1.3, 0.01, False), (1.3, 0.1, True), (-1.0, 0.1, False)],
)
def test_estimates_agree_within_tolerance_and_uncertainty(yaw: float, std: float | None, expected: bool) -> None:
    estimate = combine([sample(1.0, std=0.001) for _ in range(20)], (YAW,), sigmas=4.0)
    assert agrees(sample(yaw, std=std), estimate, (YAW,), sigmas=4.0) is expected


def test_what_lacks_a_value_is_another_cause_and_what_has_none_is_the_same() -> None:
    estimate = combine([sample(1.0)], WANTED, sigmas=4.0)
    assert not agrees(sample(1.0)[:1], estimate, WANTED, sigmas=4.0)
    assert agrees((), combine([()], (), sigmas=4.0), (), sigmas=4.0)
    assert distance((), combine([()], (), sigmas=4.0), ()) == 0.0


def test_two_causes_under_one_key_are_told_apart() -> None:
    others = [sample(1.0), sample(1.02), sample(3.0), sample(0.97), sample(3.05)]
    assert agreeing(sample(1.01), others, WANTED, sigmas=4.0) == (0, 1, 3)
    assert agreeing(sample(3.02), others, WANTED, sigmas=4.0) == (2, 4)
    assert agreeing(sample(-2.0), others, WANTED, sigmas=4.0) == ()


def test_the_nearer_cause_is_the_one_with_the_smaller_distance() -> None:
    near, far = (combine([sample(yaw)] * 3, WANTED, sigmas=4.0) for yaw in (1.0, 1.4))
    assert distance(sample(1.1), near, WANTED) < distance(sample(1.1), far, WANTED)
    assert position_of(sample(1.1), "yaw_deg") == 1.1
    assert position_of(sample(1.1), None) is None
