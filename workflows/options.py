"""How long activities may take, and how patiently they are tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy


class ActivityOptions(TypedDict):
    """What every activity call states."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


def patient(attempt_within: timedelta) -> ActivityOptions:
    """Return options of an activity that waits out an outage of hours.

    Defects are given up after a few attempts by the activity itself, so that the policy needs no limit; what
    outlasts the whole time is tried again by the workflow.

    Args:
        attempt_within: How long one attempt may take. A dead worker is noticed by its missing heartbeats.
    """
    return ActivityOptions(
        start_to_close_timeout=attempt_within,
        schedule_to_close_timeout=timedelta(hours=12),
        heartbeat_timeout=timedelta(seconds=20),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=1),
            backoff_coefficient=2.0,
            maximum_interval=timedelta(seconds=30),
        ),
    )
