"""Find live sample revisions without a workflow, and start one for each: a lost Temporal database is rebuilt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from temporalio.client import Client

from infra.temporal.telling import MIGRATION_TYPE, WORKFLOW_TYPE, LifecycleTeller, tell_migration
from services.contracts.lifecycle import FINAL_STAGES, LifecycleInput, Stage
from services.lifecycle.steps import lifecycle_input
from services.ports.database import Database

_PAGE = 500
_STARTS_AT_ONCE = 8
_LIVE_STAGES = tuple(stage for stage in Stage if stage not in FINAL_STAGES)
_MIGRATING = f"WorkflowType = '{MIGRATION_TYPE}' AND ExecutionStatus = 'Running'"
_RUNNING = f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'"


async def rebuild(database: Database, client: Client, task_queue: str) -> int:
    """Start a workflow for every live revision that has none running; return how many were started.

    Running migrations are told to go on, which starts those that are lost too.

    Safe at any time and any number of times: a running workflow is left alone, a workflow started for a revision
    that ends meanwhile finds that out and ends too, and everything a workflow needs to know is in the database.

    Args:
        database: The store of record.
        client: Connected to Temporal.
        task_queue: The workers'.

    Raises:
        temporalio.service.RPCError: Temporal does not answer; call again.
        UnavailableError: The database does not answer; call again.
    """
    teller = LifecycleTeller(database, client, task_queue)
    slots = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def start(given: LifecycleInput) -> bool:
        async with slots:
            return await teller.start_again(given)

    started = 0
    async for page in _live_revisions(database):
        started += sum(await asyncio.gather(*(start(given) for given in page)))
    async with database.transaction() as tx:
        migrations = await tx.taxonomy_migrations.running()
    for migration in migrations:
        await tell_migration(client, task_queue, migration, "rebuilt")
    return started


async def missing_workflows(database: Database, client: Client) -> int:
    """Return how many more live revisions there are than running workflows, starts still in the outbox aside.

    Temporal's count lags behind a little, so that one answer above zero proves nothing.
    """
    running = (await client.count_workflows(_RUNNING)).count
    live = 0
    async with database.transaction() as tx:
        for project in await tx.projects.list():
            counts = await tx.samples.count_by_stage(project.id)
            live += sum(count for stage, count in counts.items() if stage not in FINAL_STAGES)
        waiting = (await tx.outbox.backlog()).get("workflow_start", 0)
        migrations = len(await tx.taxonomy_migrations.running()) - len(await tx.taxonomy_migrations.untold())
    migrating = (await client.count_workflows(_MIGRATING)).count if migrations > 0 else 0
    return max(0, live - waiting - running) + max(0, migrations - migrating)


async def _live_revisions(database: Database) -> AsyncIterator[tuple[LifecycleInput, ...]]:
    async with database.transaction() as tx:
        projects = await tx.projects.list()
    for project in projects:
        for stage in _LIVE_STAGES:
            after: tuple[datetime, str, int] | None = None
            while True:
                async with database.transaction() as tx:
                    page = await tx.samples.list(project.id, stage=stage, after=after, limit=_PAGE)
                if page:
                    yield tuple(lifecycle_input(summary.ref, project.config) for summary in page)
                if len(page) < _PAGE:
                    break
                last = page[-1]
                after = (last.created_at, last.ref.sample_id, last.ref.revision)
