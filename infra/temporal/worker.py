"""The Temporal worker: which workflows and activities, how many at once, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.sample_lifecycle import SampleLifecycle

WORKFLOWS: tuple[type, ...] = (SampleLifecycle,)

GRACEFUL_SHUTDOWN = timedelta(seconds=25)
"""What running activities get to finish; then they are cancelled and tried again elsewhere."""

_ACTIVITIES_AT_ONCE = 16
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
