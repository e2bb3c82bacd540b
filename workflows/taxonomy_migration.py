"""A taxonomy migration: it waits and goes on, the activity migrates."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities import names
    from services.contracts.taxonomies import (
        MigrationChanged,
        MigrationInput,
        MigrationProgress,
        MigrationState,
        MigrationStep,
    )
    from workflows.options import patient

CONTINUE_AFTER_EVENTS = 700
"""A longer history is continued as a new one; the next step adds a dozen events at most."""

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)


@workflow.defn(name="TaxonomyMigration")
class TaxonomyMigration:
    """One migration of a project's samples, from its start to its end.

    PostgreSQL says where it is and whether somebody has paused it; every activity answers with that. What the
    workflow keeps is whether it was told of a change that no activity has looked at yet.
    """

    @workflow.init
    def __init__(self, start: MigrationInput) -> None:
        self._start = start
        self._step = MigrationStep(state=MigrationState.RUNNING)
        self._unread = False
        self._fault: str | None = None
        self._pause = _FIRST_PAUSE

    @workflow.run
    async def run(self, start: MigrationInput) -> MigrationStep:
        """Migrate until nothing is left or somebody cancels."""
        while True:
            # Nothing is carried: the next run asks the database first.
            if workflow.info().get_current_history_length() >= CONTINUE_AFTER_EVENTS:
                workflow.continue_as_new(start)
            # Before the activity, so that what is told while it runs is looked at after it.
            self._unread = False
            try:
                self._step = await workflow.execute_activity(
                    names.MIGRATE_SAMPLES, start, result_type=MigrationStep, **patient(timedelta(minutes=10))
                )
            except ActivityError as error:
                await self._hold(error)
                continue
            self._fault, self._pause = None, _FIRST_PAUSE
            if self._step.state is MigrationState.PAUSED:
                await workflow.wait_condition(lambda: self._unread)
            elif self._step.state is not MigrationState.RUNNING:
                return self._step

    @workflow.signal
    def migration_changed(self, message: MigrationChanged) -> None:
        """Somebody started, paused, resumed or cancelled the migration; the database says which."""
        self._unread = True

    @workflow.query
    def progress(self) -> MigrationProgress:
        """How far the migration is, as the workflow knows it."""
        return MigrationProgress(migration_id=self._start.migration_id, step=self._step, fault=self._fault)

    async def _hold(self, error: ActivityError) -> None:
        """Wait after an activity that was given up: it is tried again after a pause, or when something is told."""
        if is_cancelled_exception(error):
            raise error
        self._fault = error.cause.type if isinstance(error.cause, ApplicationError) else None
        self._fault = self._fault or type(error.cause).__name__
        workflow.logger.error("The migration is held up by %s", self._fault)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._unread, timeout=self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
