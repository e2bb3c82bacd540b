from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.webhooks import DeliveryState, EndpointState
from services.webhooks.retries import AttemptOutcome, RetryPolicy, Tried, decide_next

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy()
FAILED = AttemptOutcome(status=500, error="HTTP status 500")


def tried(attempts: int, *, failing_for_h: float | None = None, first_h: float = 24) -> Tried:
    since = None if failing_for_h is None else NOW - timedelta(hours=failing_for_h)
    return Tried(attempts, NOW - timedelta(hours=first_h), since)


def middle() -> float:
    return 0.5


def test_default_pauses_grow_exponentially_over_about_a_day() -> None:
    pauses = [POLICY.pause_s(failures, 0.5) for failures in range(1, POLICY.max_attempts)]
    assert pauses == [5, 20, 80, 320, 1280, 5120, 20480, 28800, 28800]
    assert 0.9 * 86_400 < POLICY.span_s < 1.1 * 86_400


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_share_and_no_count_overflows(failures: int, chance: float) -> None:
    exact = POLICY.pause_s(failures, 0.5)
    assert exact <= POLICY.longest_pause_s
    assert 0.8 * exact <= POLICY.pause_s(failures, chance) <= 1.2 * exact


def test_success_delivers_whatever_went_before() -> None:
    step = decide_next(AttemptOutcome(204, None), tried(10, failing_for_h=30), NOW, POLICY, middle)
    assert (step.delivery, step.endpoint, step.next_attempt_at) == (DeliveryState.DELIVERED, None, None)


@pytest.mark.parametrize("status", [None, 301, 307, 400, 401, 404, 429, 500, 503])
def test_every_other_answer_and_none_at_all_is_tried_again(status: int | None) -> None:
    step = decide_next(AttemptOutcome(status, "no"), tried(3), NOW, POLICY, middle)
    assert step.delivery is DeliveryState.WAITING
    assert step.next_attempt_at == NOW + timedelta(seconds=80)
    assert step.endpoint is None


def test_chance_moves_the_next_attempt() -> None:
    chances = iter((0.0, 0.5, 0.75))
    times = [decide_next(FAILED, tried(1), NOW, POLICY, chances.__next__).next_attempt_at for _ in range(3)]
    assert times == [NOW + timedelta(seconds=pause) for pause in (4, 5, 5.5)]


def test_gone_disables_the_endpoint_at_once() -> None:
    step = decide_next(AttemptOutcome(410, "HTTP status 410"), tried(1), NOW, POLICY, middle)
    assert (step.delivery, step.endpoint) == (DeliveryState.CANCELLED, EndpointState.DISABLED)
    assert step.reason is not None
    assert "410" in step.reason


@pytest.mark.parametrize(
    ("status", "asked_s", "pause_s"),
    [(429, 600, 600), (503, 1, 5), (503, 1e9, 28_800), (500, 600, 5), (200, 600, 5)],
    ids=["asked", "shorter than ours", "for ever", "a status that asks nothing", "a body that never came"],
)
def test_a_receiver_that_asks_for_time_gets_it_within_bounds(status: int, asked_s: float, pause_s: float) -> None:
    step = decide_next(AttemptOutcome(status, "wait", asked_s), tried(1), NOW, POLICY, middle)
    assert step.next_attempt_at == NOW + timedelta(seconds=pause_s)


def test_an_event_that_others_overtook_is_given_up_alone() -> None:
    step = decide_next(FAILED, tried(10, first_h=24, failing_for_h=2), NOW, POLICY, middle)
    assert (step.delivery, step.endpoint) == (DeliveryState.FAILED, None)
    assert decide_next(FAILED, tried(10), NOW, POLICY, middle).delivery is DeliveryState.FAILED


def test_an_endpoint_at_which_nothing_succeeded_all_the_while_is_paused_and_the_event_kept() -> None:
    step = decide_next(FAILED, tried(10, first_h=24, failing_for_h=24), NOW, POLICY, middle)
    assert (step.delivery, step.endpoint) == (DeliveryState.WAITING, EndpointState.PAUSED)
    assert step.reason is not None
    assert "HTTP status 500" in step.reason
    early = decide_next(FAILED, tried(9, first_h=24, failing_for_h=24), NOW, POLICY, middle)
    assert (early.delivery, early.endpoint) == (DeliveryState.WAITING, None)
