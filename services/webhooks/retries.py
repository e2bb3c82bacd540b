"""What follows an attempt: when the next one is, when an event is given up, when an endpoint is paused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.contracts.webhooks import DeliveryState, EndpointState, NextStep

GONE = 410
_TOLD_TO_WAIT = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failed attempts are repeated.

    The default makes ten attempts over 23.6 hours: after 5 s, 20 s, 80 s, 5 min, 21 min, 1.4 h, 5.7 h, then twice 8 h.

    Attributes:
        first_pause_s: Pause after the first failure, in seconds.
        factor: Each pause is so many times the one before.
        longest_pause_s: Bound on a pause, in seconds; also on what a receiver may ask for.
        max_attempts: After so many failures an event is given up.
        jitter: Share by which a pause is made longer or shorter at random, so that senders do not march in step.
    """

    first_pause_s: float = 5.0
    factor: float = 4.0
    longest_pause_s: float = 28_800.0
    max_attempts: int = 10
    jitter: float = 0.2

    def pause_s(self, failures: int, chance: float) -> float:
        """Return the pause after a failure.

        Args:
            failures: How many attempts have failed, this one among them; from 1.
            chance: A random number in [0, 1).
        """
        # Capped before it is raised: 4.0 to the power of 1,000 overflows.
        steps = min(failures - 1, self.max_attempts)
        pause_s = min(self.first_pause_s * self.factor**steps, self.longest_pause_s)
        return pause_s * (1 + self.jitter * (2 * chance - 1))

    @property
    def span_s(self) -> float:
        """Seconds from the first attempt to the last, without jitter and without the attempts themselves."""
        return sum(self.pause_s(failures, 0.5) for failures in range(1, self.max_attempts))


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What came of one request.

    Attributes:
        status: HTTP status; None where no answer came.
        error: Why it failed, one clause; None after a 2xx.
        retry_after_s: How long the receiver asks to be left alone.
    """

    status: int | None
    error: str | None
    retry_after_s: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has taken the event."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Tried:
    """What is known about a delivery when an attempt ends.

    Attributes:
        attempts: Attempts since it was begun, this one among them; from 1.
        first_attempt_at: When the first of them began.
        failing_since: When the endpoint's unbroken run of failures began, before this attempt; None if there is none.
    """

    attempts: int
    first_attempt_at: datetime
    failing_since: datetime | None


def decide_next(
    outcome: AttemptOutcome, tried: Tried, now: datetime, policy: RetryPolicy, chance: Callable[[], float]
) -> NextStep:
    """Decide what follows an attempt.

    A 2xx is a success and everything else a failure; what a receiver means by 400 today it may accept after its own
    next release. 410 says that nobody wants events there any more. When an event is to be given up although nothing
    at all has succeeded at its endpoint since the event was first tried, the fault is not the event's: the endpoint is
    paused and the event kept.

    Args:
        outcome: What came of the attempt.
        tried: What is known about the delivery.
        now: When the attempt ended, by the database's clock.
        policy: How failed attempts are repeated.
        chance: Gives random numbers in [0, 1).
    """
    if outcome.succeeded:
        return NextStep(delivery=DeliveryState.DELIVERED)
    if outcome.status == GONE:
        return NextStep(
            delivery=DeliveryState.CANCELLED,
            endpoint=EndpointState.DISABLED,
            reason="The receiver answered 410 Gone: it wants no events here any more.",
        )
    if tried.attempts < policy.max_attempts:
        pause_s = policy.pause_s(tried.attempts, chance())
        if outcome.retry_after_s is not None and outcome.status in _TOLD_TO_WAIT:
            pause_s = max(pause_s, min(outcome.retry_after_s, policy.longest_pause_s))
        return NextStep(delivery=DeliveryState.WAITING, next_attempt_at=now + timedelta(seconds=pause_s))
    if tried.failing_since is not None and tried.failing_since <= tried.first_attempt_at:
        return NextStep(
            delivery=DeliveryState.WAITING,
            next_attempt_at=now,
            endpoint=EndpointState.PAUSED,
            reason=f"No attempt has succeeded since {tried.failing_since.isoformat(timespec='seconds')}, and one event "
            f"has failed {tried.attempts} times; the last time: {outcome.error}",
        )
    return NextStep(delivery=DeliveryState.FAILED)
