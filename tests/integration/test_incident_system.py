"""An incident on real servers: what its samples wait for is told to their workflows, and survives a stopped worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from temporalio.client import Client

from infra.db.engine import PostgresDatabase
from infra.stack.directory import StackUrls
from infra.temporal.client import connect_temporal
from services.contracts.incidents import FixRequest, IncidentState, IncidentSummary
from services.contracts.lifecycle import RevisionRef, Stage
from tests.integration.incident_world import OPS, SHARED_RULES, IncidentWorld, off_clock, segment
from tests.integration.lifecycle_system import System
from tests.integration.lifecycle_world import PROJECT, label


@pytest.fixture(scope="module")
async def temporal(stack_urls: StackUrls) -> Client:
    return await connect_temporal(stack_urls.temporal_address)


@pytest.fixture
async def world(database: PostgresDatabase) -> IncidentWorld:
    world = IncidentWorld(database)
    await world.open_project(SHARED_RULES)
    return world


async def becomes(world: IncidentWorld, holds: Callable[[IncidentSummary], bool]) -> IncidentSummary:
    """Return the only incident once this holds for it."""
    async with world.database.outbox_listener(poll_interval_s=0.2) as listener:
        while True:
            if await world.all_incidents():
                found = await world.only_incident()
                if holds(found):
                    return found
            await listener.wait()


async def order(world: IncidentWorld) -> None:
    (incident,) = await world.all_incidents()
    preview = await world.incidents.preview(OPS, PROJECT, incident.incident_id, FixRequest(), world.shared)
    await world.incidents.fix(OPS, PROJECT, incident.incident_id, FixRequest(correction=preview.correction))


async def test_a_fix_that_is_ordered_while_no_worker_runs_is_applied_when_one_is_up(
    world: IncidentWorld, temporal: Client
) -> None:
    system = System(world, temporal)
    async with system.dispatcher():
        async with system.worker(runner=world.shared):
            refs = [await world.post(f"s-{number}", segment("a1", 1.5 + 0.01 * number)) for number in range(5)]
            await becomes(world, lambda found: found.progress.waiting == 5)
            async with world.database.outbox_listener(poll_interval_s=0.2) as listener:
                while len(await world.open_tasks()) != 2:
                    await listener.wait()
        await order(world)
        await system.told()
        assert (await world.only_incident()).progress.ordered == 5
        async with system.worker(runner=world.shared):
            for ref in refs:
                await system.reaches(ref, Stage.COMMITTED)
    found = await world.only_incident()
    assert (found.incident.state, found.progress.explained) == (IncidentState.CLOSED, 5)


async def test_a_corrected_clock_goes_on_as_the_workflow_of_a_new_revision(
    world: IncidentWorld, temporal: Client
) -> None:
    system = System(world, temporal)
    refs: list[RevisionRef] = []
    async with system.dispatcher(), system.worker(runner=world.shared):
        for number in range(3):
            ref = await world.post(f"s-{number}", label("a1", "greeting"), streams=off_clock(3.0))
            refs.append(ref.model_copy(update={"revision": 2}))
        await becomes(world, lambda found: found.progress.waiting == 3)
        await order(world)
        await becomes(world, lambda found: found.incident.state is IncidentState.CLOSED)
        for ref in refs:
            await system.reaches(ref, Stage.COMMITTED)
            before = ref.model_copy(update={"revision": 1})
            assert (await system.result(before)).stage is Stage.WITHDRAWN
