"""The dispatcher and a worker in this process, on real servers; and a worker of its own that gets stuck."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from activities.prepare import SAMPLES_WITH_MODELS
from activities.registry import all_activities
from infra.db.engine import open_database
from infra.temporal.client import connect_temporal
from infra.temporal.dispatcher import WorkflowDispatcher
from infra.temporal.worker import build_workers, work, working
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport
from services.contracts.lifecycle import LifecycleResult, RevisionRef, Stage, workflow_id_of
from services.contracts.manifest import SampleManifest
from services.contracts.review import ReviewTask
from services.lifecycle.gathering import PreLabelersFor
from services.ports.checks import CheckRunner
from services.rules.rule_set import RuleSet
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import World, no_models

# What Temporal bills a workflow for: its own start is not counted here, nor are queries.
ACTIONS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_MARKER_RECORDED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
}


class System:
    """One world with everything that moves its samples.

    Args:
        world: The database and its people.
        client: Connected to Temporal.
        task_queue: Nobody else's.
    """

    def __init__(self, world: World, client: Client, task_queue: str | None = None) -> None:
        self.world = world
        self.client = client
        self.task_queue = task_queue or f"test-{uuid4().hex}"

    @asynccontextmanager
    async def dispatcher(self, *, look_for_lost_every_s: float = 3_600.0) -> AsyncIterator[None]:
        stop = asyncio.Event()
        relay = WorkflowDispatcher(
            self.world.database, self.client, self.task_queue, look_for_lost_every_s=look_for_lost_every_s
        )
        running = asyncio.create_task(relay.run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    @asynccontextmanager
    async def worker(
        self,
        runner: CheckRunner | None = None,
        models: PreLabelersFor = no_models,
        samples_with_models: int = SAMPLES_WITH_MODELS,
    ) -> AsyncIterator[None]:
        activities = all_activities(
            self.world.database,
            NoAssets(),
            models,
            runner or self.world.runner,
            samples_with_models=samples_with_models,
        )
        shutdown = timedelta(seconds=0)
        async with working(build_workers(self.client, self.task_queue, activities, graceful_shutdown=shutdown)):
            yield

    @asynccontextmanager
    async def everything(self) -> AsyncIterator[None]:
        async with self.dispatcher(), self.worker():
            yield

    async def reaches(self, ref: RevisionRef, *stages: Stage) -> Stage:
        """Return once the sample is at one of these stages."""
        async with self.world.database.outbox_listener(poll_interval_s=0.2) as listener:
            while (stage := await self.world.stage(ref)) not in stages:
                await listener.wait()
        return stage

    async def next_task(self, ref: RevisionRef, *, after: ReviewTask) -> ReviewTask:
        """Return the only open task once it is another one than ``after``."""
        async with self.world.database.outbox_listener(poll_interval_s=0.2) as listener:
            while True:
                open_tasks = [task for task in await self.world.tasks(ref, live=True) if task.task_id != after.task_id]
                if open_tasks:
                    (task,) = open_tasks
                    return task
                await listener.wait()

    async def told(self) -> None:
        """Return once nothing waits in the outbox for Temporal."""
        async with self.world.database.outbox_listener(poll_interval_s=0.1) as listener:
            while True:
                async with self.world.database.transaction() as tx:
                    backlog = await tx.outbox.backlog()
                if not backlog.get("workflow_start") and not backlog.get("workflow_signal"):
                    return
                await listener.wait()

    async def result(self, ref: RevisionRef) -> LifecycleResult:
        handle = self.client.get_workflow_handle(workflow_id_of(ref), result_type=LifecycleResult)
        result: LifecycleResult = await handle.result()
        return result

    async def status(self, ref: RevisionRef) -> WorkflowExecutionStatus | None:
        return (await self.client.get_workflow_handle(workflow_id_of(ref)).describe()).status

    async def events(self, ref: RevisionRef) -> Counter[str]:
        """How many events of each type the workflow's history has."""
        history = await self.client.get_workflow_handle(workflow_id_of(ref)).fetch_history()
        return Counter(EventType.Name(event.event_type) for event in history.events)


def actions(events: Counter[str]) -> int:
    """Actions beyond the start that a history cost."""
    return sum(count for name, count in events.items() if EventType.Value(name) in ACTIONS)


class StuckRunner:
    """A check that says when it began and never ends."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        sys.stdout.write("checking\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        raise AssertionError


async def _stuck_worker(database_url: str, temporal_address: str, task_queue: str) -> None:
    client = await connect_temporal(temporal_address)
    async with open_database(database_url, pool_size=2) as database:
        activities = all_activities(database, NoAssets(), no_models, StuckRunner())
        await work(build_workers(client, task_queue, activities), asyncio.Event())


if __name__ == "__main__":
    asyncio.run(_stuck_worker(*sys.argv[1:4]))
