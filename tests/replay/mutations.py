"""Changes to the workflow that nobody may make without a patch: replaying a recorded history must refuse each."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities import names
    from services.contracts.lifecycle import LifecycleInput, LifecycleResult, NextStep, SettleInput, StepResult
    from services.contracts.taxonomies import MigrationInput, MigrationStep

from workflows.options import patient
from workflows.sample_lifecycle import SampleLifecycle
from workflows.taxonomy_migration import TaxonomyMigration


@workflow.defn(name="SampleLifecycle")
class OneActivityMore(SampleLifecycle):
    """Settles before anything else."""

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: LifecycleInput) -> LifecycleResult:
        """Ask for one activity more."""
        given = SettleInput(ref=start.ref)
        options = patient(timedelta(minutes=1))
        await workflow.execute_activity(names.SETTLE_REVIEW, given, result_type=StepResult, **options)
        return await super().run(start)


@workflow.defn(name="SampleLifecycle")
class NoCommit(SampleLifecycle):
    """Stops where ground truth is to be committed."""

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: LifecycleInput) -> LifecycleResult:
        """Do the same."""
        return await super().run(start)

    async def _advance(self) -> StepResult:
        if self._step.next_step is NextStep.COMMIT:
            return self._step.model_copy(update={"next_step": NextStep.STOP})
        return await super()._advance()


@workflow.defn(name="SampleLifecycle")
class NoDeadline(SampleLifecycle):
    """Waits without a timer."""

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: LifecycleInput) -> LifecycleResult:
        """Do the same."""
        return await super().run(start)

    def _until_deadline(self) -> timedelta | None:  # type: ignore[override]
        return None


@workflow.defn(name="TaxonomyMigration")
class WaitsFirst(TaxonomyMigration):
    """Waits before anything else."""

    @workflow.init
    def __init__(self, start: MigrationInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: MigrationInput) -> MigrationStep:
        """Wait a minute, then do the same."""
        await workflow.sleep(timedelta(minutes=1))
        return await super().run(start)
