"""The whole life of cases, in any order: a thousand steps by default, ``CONCORD_CASE_STEPS=20000`` tries as many."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from infra.db.engine import open_database
from tests.integration.case_machine import CaseMachine, Shared

STEPS = int(os.environ.get("CONCORD_CASE_STEPS", "1000"))
STEPS_A_RUN = 80
# Of each there are many in every thousand steps; without one of them the machine is no longer where it should be.
MUST_BE_REACHED = {
    "claimed own",
    "annotate:submit",
    "review:approve",
    "adjudicate:approve",
    "second look",
    "four eyes",
    "committed:low",
    "committed:high",
}

pytestmark = pytest.mark.servers


@pytest.mark.timeout(1_800)
def test_any_life_of_a_case_keeps_every_promise(database_url: str) -> None:
    Shared.runs, Shared.steps, Shared.reached = 0, 0, Counter()
    with asyncio.Runner() as runner:
        Shared.runner = runner
        manager = open_database(database_url, pool_size=2)
        Shared.database = runner.run(manager.__aenter__())
        try:
            run_state_machine_as_test(
                CaseMachine,
                settings=settings(
                    # Some more than it takes: a run may end before its last step.
                    max_examples=STEPS // STEPS_A_RUN + 4,
                    stateful_step_count=STEPS_A_RUN,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    # A failing run is read as it is: to shrink it would take many times as long as the test.
                    phases=(Phase.explicit, Phase.generate),
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(manager.__aexit__(None, None, None))
    assert Shared.steps >= STEPS
    unreached = MUST_BE_REACHED - Shared.reached.keys()
    assert not unreached, (unreached, Shared.reached)
