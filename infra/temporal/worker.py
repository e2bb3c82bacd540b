"""The Temporal workers of one process: which workflows and activities, how many at once, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.names import prepare_queue_of
from workflows.sample_lifecycle import SampleLifecycle
from workflows.taxonomy_migration import TaxonomyMigration

WORKFLOWS: tuple[type, ...] = (SampleLifecycle, TaxonomyMigration)

GRACEFUL_SHUTDOWN = timedelta(seconds=25)
"""What running activities get to finish; then they are cancelled and tried again elsewhere."""

_ACTIVITIES_AT_ONCE = 16
# They mostly wait, for models and for the storage.
PREPARATIONS_AT_ONCE = 64
_WORKFLOW_TASKS_AT_ONCE = 16
_CACHED_WORKFLOWS = 400


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox: everything a workflow imports is passed through, so that starting one is cheap.

    The modules passed through are pure: contracts, errors, names and options.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        "activities.names", "annotated_types", "pydantic", "pydantic_core", "services", "typing_inspection"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def build_worker(
    client: Client,
    task_queue: str,
    activities: Sequence[Callable[..., Any]],
    *,
    workflows: Sequence[type] = WORKFLOWS,
    interceptors: Sequence[Interceptor] = (),
    graceful_shutdown: timedelta = GRACEFUL_SHUTDOWN,
    max_cached_workflows: int = _CACHED_WORKFLOWS,
) -> Worker:
    """Return a worker, not running yet, with limits that fit two cores.

    Args:
        client: Connected; see :func:`infra.temporal.client.connect_temporal`.
        task_queue: Where the dispatcher starts workflows.
        activities: See :func:`activities.registry.all_activities`.
        workflows: The product's own; a benchmark brings its yardstick.
        interceptors: What goes around every activity, such as its log lines.
        graceful_shutdown: What running activities get to finish.
        max_cached_workflows: Workflows kept in memory; 0 replays each from its history every time.
    """
    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(workflows),
        activities=list(activities),
        interceptors=list(interceptors),
        workflow_runner=workflow_runner(),
        max_concurrent_activities=_ACTIVITIES_AT_ONCE,
        max_concurrent_workflow_tasks=_WORKFLOW_TASKS_AT_ONCE,
        max_cached_workflows=max_cached_workflows,
        graceful_shutdown_timeout=graceful_shutdown,
    )


def build_workers(
    client: Client,
    task_queue: str,
    activities: Sequence[Callable[..., Any]],
    *,
    interceptors: Sequence[Interceptor] = (),
    graceful_shutdown: timedelta = GRACEFUL_SHUTDOWN,
    max_cached_workflows: int = _CACHED_WORKFLOWS,
) -> tuple[Worker, Worker]:
    """Return the two workers of the lifecycle, not running yet.

    The first has the workflows and every activity, the second only prepares samples, with slots of its own, so that
    a model which does not answer keeps nothing else waiting. The first knows how to prepare as well: a release from
    before the second queue may have left such tasks.

    Args:
        client: Connected.
        task_queue: Where the dispatcher starts workflows; see :func:`activities.names.prepare_queue_of` for the other.
        activities: See :func:`activities.registry.all_activities`.
        interceptors: What goes around every activity.
        graceful_shutdown: What running activities get to finish.
        max_cached_workflows: As for :func:`build_worker`.
    """
    lifecycle = build_worker(
        client,
        task_queue,
        activities,
        interceptors=interceptors,
        graceful_shutdown=graceful_shutdown,
        max_cached_workflows=max_cached_workflows,
    )
    prepare = Worker(
        client,
        task_queue=prepare_queue_of(task_queue),
        activities=list(activities),
        interceptors=list(interceptors),
        max_concurrent_activities=PREPARATIONS_AT_ONCE,
        graceful_shutdown_timeout=graceful_shutdown,
    )
    return lifecycle, prepare


@asynccontextmanager
async def working(workers: Sequence[Worker]) -> AsyncIterator[None]:
    """Keep workers running inside the block."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        yield


async def work(workers: Sequence[Worker], stop: asyncio.Event) -> None:
    """Run workers until ``stop`` is set, or until one of them can not go on; then all shut down together.

    Raises:
        Exception: What ended a worker.
    """
    tasks = [asyncio.create_task(worker.run(), name=f"worker {worker.task_queue}") for worker in workers]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        running = [worker for worker, task in zip(workers, tasks, strict=True) if not task.done()]
        await asyncio.gather(*(worker.shutdown() for worker in running))
        await asyncio.gather(*tasks)
    finally:
        stopping.cancel()
