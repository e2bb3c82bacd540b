"""A model that never answers holds up its own samples and nobody else's, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest
from temporalio.client import Client

from activities.prepare import SAMPLES_WITH_MODELS
from infra.db.engine import PostgresDatabase
from infra.stack.directory import StackUrls
from infra.temporal.client import connect_temporal
from infra.temporal.worker import PREPARATIONS_AT_ONCE
from services.contracts.annotations import Annotation
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.pre_label import HttpModel, PreLabelSource
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import TaskKind
from services.ports.pre_label import PreLabeler, PreLabelRequest
from tests.integration.lifecycle_system import System
from tests.integration.lifecycle_world import World, label, person

HANGING = "hanging"
MORE_THAN_SLOTS = PREPARATIONS_AT_ONCE + 6
SOURCE = HttpModel.model_validate(
    {
        "name": "net",
        "url": "http://models.internal",
        "objects": [{"name": "text", "type": "Text", "stream": "note"}],
        "controls": [{"name": "choice", "to_name": "text", "type": "Choices", "labels": ["greeting"]}],
        "budget_s": 600,
    }
)


class Hanging:
    """A model that takes every sample and never gives one back."""

    name = "net"
    version = "1"

    def __init__(self) -> None:
        self.holds = 0
        self.changed = asyncio.Condition()

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        async with self.changed:
            self.holds += 1
            self.changed.notify_all()
        await asyncio.Event().wait()
        raise AssertionError

    async def has(self, samples: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.holds >= samples)

    def made_for(self, sources: Sequence[PreLabelSource]) -> tuple[PreLabeler, ...]:
        return tuple(self for _ in sources)


@pytest.fixture(scope="module")
async def temporal(stack_urls: StackUrls) -> Client:
    return await connect_temporal(stack_urls.temporal_address)


@pytest.fixture
async def system(database: PostgresDatabase, temporal: Client) -> System:
    system = System(World(database), temporal)
    await system.world.open_project()
    async with database.transaction() as tx:
        (rules,) = await tx.projects.list_rule_sets()
        config = ProjectConfig(rule_set=rules, pre_label=(SOURCE,))
        await tx.projects.add(Project(id=HANGING, name="Hanging", config=config))
    return system


async def post_hanging(system: System) -> list[RevisionRef]:
    return [await system.world.post(f"h-{number}", project=HANGING) for number in range(MORE_THAN_SLOTS)]


async def test_other_projects_sample_is_committed_while_a_model_hangs(system: System) -> None:
    model = Hanging()
    async with system.dispatcher(), system.worker(models=model.made_for):
        held = await post_hanging(system)
        await model.has(SAMPLES_WITH_MODELS)
        ref = await system.world.post("s-1", label("a1", "greeting"))
        async with asyncio.timeout(45):
            await system.reaches(ref, Stage.COMMITTED)
        assert model.holds == SAMPLES_WITH_MODELS
        assert {await system.world.stage(item) for item in held} <= {Stage.RECEIVED, Stage.PRE_LABELING}


async def test_decision_is_settled_checked_and_committed_while_every_prepare_slot_is_taken(system: System) -> None:
    model = Hanging()
    async with system.dispatcher(), system.worker(models=model.made_for, samples_with_models=MORE_THAN_SLOTS):
        ref = await system.world.post("s-1", label("a1", "wrong"))
        await system.reaches(ref, Stage.IN_REVIEW)
        await post_hanging(system)
        await model.has(PREPARATIONS_AT_ONCE)
        await system.world.fix(await system.world.only_task(ref, TaskKind.REVIEW), person("ben"), "a1", "greeting")
        async with asyncio.timeout(45):
            await system.reaches(ref, Stage.COMMITTED)
        assert model.holds == PREPARATIONS_AT_ONCE
