from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from services.contracts.taxonomies import MigrationChanged, MigrationProgress, MigrationState
from tests.workflow.doubles import broken
from tests.workflow.migration_doubles import (
    CANCELLED,
    CHANGED,
    COMPLETED,
    PAUSED,
    RUNNING,
    MigrationScript,
    migrating,
)


async def test_migration_runs_until_nothing_is_left(skipping: WorkflowEnvironment) -> None:
    script = MigrationScript([RUNNING, RUNNING, COMPLETED])
    async with migrating(skipping.client, script) as handle:
        assert await handle.result() == COMPLETED
    assert len(script.calls) == 3


async def test_paused_migration_asks_nothing_until_it_is_told_of_a_change(skipping: WorkflowEnvironment) -> None:
    script = MigrationScript([RUNNING, PAUSED, PAUSED, COMPLETED])
    async with migrating(skipping.client, script) as handle:
        await script.called(2)
        await skipping.sleep(timedelta(days=30))
        assert len(script.calls) == 2
        progress = await handle.query("progress", result_type=MigrationProgress)
        assert (progress.step, progress.fault) == (PAUSED, None)
        await handle.signal(CHANGED, MigrationChanged(message_id="change-2"))
        await script.called(3)
        await handle.signal(CHANGED, MigrationChanged(message_id="change-3"))
        assert (await handle.result()).state is MigrationState.COMPLETED
    assert len(script.calls) == 4


async def test_cancelled_migration_ends(skipping: WorkflowEnvironment) -> None:
    script = MigrationScript([RUNNING, CANCELLED])
    async with migrating(skipping.client, script) as handle:
        assert await handle.result() == CANCELLED


async def test_failed_activity_holds_the_migration_and_is_tried_again_later(skipping: WorkflowEnvironment) -> None:
    script = MigrationScript([broken(), broken(), COMPLETED])
    async with migrating(skipping.client, script) as handle:
        await script.called()
        assert await handle.result() == COMPLETED
    first, second, third = script.calls
    assert timedelta(minutes=1) <= second - first < third - second


async def test_held_migration_names_its_fault_and_a_change_wakes_it(skipping: WorkflowEnvironment) -> None:
    script = MigrationScript([broken("integrity"), COMPLETED])
    async with migrating(skipping.client, script) as handle:
        await script.called()
        progress = await handle.query("progress", result_type=MigrationProgress)
        while progress.fault is None:
            progress = await handle.query("progress", result_type=MigrationProgress)
        assert progress.fault == "integrity"
        await handle.signal(CHANGED, MigrationChanged(message_id="change-1"))
        assert await handle.result() == COMPLETED
    assert script.calls[1] - script.calls[0] < timedelta(minutes=1)


async def test_long_migration_is_continued_and_no_history_grows_large(skipping: WorkflowEnvironment) -> None:
    batches = 150
    script = MigrationScript([*[RUNNING] * batches, COMPLETED])
    async with migrating(skipping.client, script) as handle:
        assert await handle.result() == COMPLETED
        latest = skipping.client.get_workflow_handle(handle.id)
        assert (await latest.describe()).run_id != handle.first_execution_run_id
        first = skipping.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
        assert len((await first.fetch_history()).events) < 1_000
    assert len(script.calls) == batches + 1
