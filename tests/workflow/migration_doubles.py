"""The activity of a taxonomy migration, answering what a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from activities import names
from infra.temporal.worker import build_worker
from services.contracts.taxonomies import MigrationInput, MigrationState, MigrationStep, migration_workflow_id

RUNNING = MigrationStep(state=MigrationState.RUNNING, seen=500, total=1_000)
PAUSED = MigrationStep(state=MigrationState.PAUSED, seen=500, total=1_000)
COMPLETED = MigrationStep(state=MigrationState.COMPLETED, seen=1_000, total=1_000)
CANCELLED = MigrationStep(state=MigrationState.CANCELLED, seen=500, total=1_000)
CHANGED = "migration_changed"


@dataclass
class MigrationScript:
    """What the activity answers, in order; the last answer is given from then on. An error is raised."""

    answers: list[MigrationStep | Exception] = field(default_factory=lambda: [COMPLETED])
    calls: list[datetime] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def called(self, times: int = 1) -> None:
        """Return once the activity was asked for that often."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.calls) >= times)

    def activity(self) -> Any:
        @activity.defn(name=names.MIGRATE_SAMPLES)
        async def migrate(given: MigrationInput) -> MigrationStep:
            async with self.changed:
                self.calls.append(activity.info().scheduled_time)
                answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
                self.changed.notify_all()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return migrate


@asynccontextmanager
async def migrating(
    client: Client, script: MigrationScript, migration_id: UUID | None = None
) -> AsyncIterator[WorkflowHandle[Any, MigrationStep]]:
    """Start a migration's workflow with a worker of its own."""
    given = MigrationInput(project="demo", migration_id=migration_id or uuid4())
    task_queue = f"test-{uuid4().hex}"
    worker = build_worker(client, task_queue, [script.activity()], graceful_shutdown=timedelta(seconds=0))
    async with worker:
        yield await client.start_workflow(
            "TaxonomyMigration",
            given,
            id=migration_workflow_id(given.project, given.migration_id),
            task_queue=task_queue,
            result_type=MigrationStep,
        )
