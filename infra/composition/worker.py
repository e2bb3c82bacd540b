"""The Temporal workers' process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.registry import all_activities
from infra.checks.runner import ProcessCheckRunner
from infra.composition.shared import Service, asset_reader, open_store, reader_config
from infra.pre_label.registry import PreLabelers
from infra.settings import Settings
from infra.telemetry.activities import ActivityLog
from infra.temporal.client import connect_temporal
from infra.temporal.worker import build_workers, work


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Service]:
    """Open the Temporal workers with everything its activities need."""
    async with (
        open_store(settings) as database,
        ProcessCheckRunner(reader_config(settings), settings.check_processes, settings.check_timeout_s) as runner,
    ):
        client = await connect_temporal(settings.temporal_address, settings.temporal_namespace)
        pre_labelers_for = PreLabelers(settings.pre_label_hosts)
        activities = all_activities(database, asset_reader(settings), pre_labelers_for, runner)
        workers = build_workers(client, settings.temporal_task_queue, activities, interceptors=[ActivityLog()])

        async def run(stop: asyncio.Event) -> None:
            await work(workers, stop)

        yield run
