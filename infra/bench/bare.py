"""The yardstick: a Temporal workflow that runs activities which do nothing, one after the other."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from workflows.options import patient

ACTIVITY = "bench_nothing"


@activity.defn(name=ACTIVITY)
async def do_nothing(number: int) -> int:
    """Answer at once."""
    return number


@workflow.defn(name="BareYardstick")
class BareYardstick:
    """As many activities as a sample that needs no person, with the same options."""

    @workflow.run
    async def run(self, activities: int) -> int:
        """Run them in turn and return how many there were."""
        done = 0
        for number in range(activities):
            await workflow.execute_activity(ACTIVITY, number, result_type=int, **patient(timedelta(minutes=5)))
            done += 1
        return done
