"""Assigning tasks of which one person may answer only one: on a real database."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import DecisionInput, NewTask, TakenTask, TaskKind, TaskState, Verdict
from services.contracts.task_operations import Assign, OperationRequest, Outcome, TaskFilter
from services.errors import NoTaskAvailableError
from services.lifecycle.prepare import prepare_sample
from services.review.leases import ClaimWish
from services.review.operations import TaskOperations
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, World, label, no_models, person

RITA, BEN = person("rita"), person("ben")
OLGA = person("olga", Role.OPERATIONS)


@pytest.fixture
async def world(database: PostgresDatabase) -> World:
    world = World(database)
    await world.open_project(annotate="always", overlap={"answers": 3})
    async with database.transaction() as tx:
        now = await tx.now()
        key = ApiKeyInfo(
            key_id="k1", actor_id="rita", role=Role.REVIEWER, projects=None, skills=("speech",), created_at=now
        )
        await tx.access.add_key(key, "1" * 64)
    return world


async def prepared(world: World, sample_id: str = "s-1") -> RevisionRef:
    ref = await world.post(sample_id)
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    return ref


async def assign(world: World, *, dry: bool = False) -> dict[Outcome, int]:
    request = OperationRequest(filter=TaskFilter(), change=Assign(action="assign", assignee="rita"))
    operations = TaskOperations(world.database)
    counted = (await operations.preview(OLGA, PROJECT, request)).outcomes
    if not dry:
        assert (await operations.run(OLGA, PROJECT, request)).outcomes == counted
    return dict(counted)


async def force(world: World, task_ids: Sequence[UUID]) -> None:
    """Name the person on tasks, as the store may hold it from before."""
    async with world.database._engine.begin() as connection:
        for task_id in task_ids:
            await connection.exec_driver_sql(
                f"UPDATE review_tasks SET assignee = 'rita' WHERE task_id = '{task_id}'"  # noqa: S608 - an id
            )


async def take(world: World, who: Principal = RITA) -> TakenTask:
    return await world.desk.claim_next(who, ClaimWish())


async def submit(world: World, task: TakenTask, who: Principal = RITA) -> None:
    given = DecisionInput(
        verdict=Verdict.SUBMIT, fence=task.fence, annotations=(Intent.model_validate(label("i1", "thanks")),)
    )
    await world.desk.decide(who, task.task_id, given)


async def test_one_person_is_assigned_one_answer_to_a_sample(world: World) -> None:
    for name in ("s-1", "s-2"):
        await prepared(world, name)
    assert await assign(world) == {Outcome.CHANGED: 2, Outcome.EXCLUDED: 4}
    assert await assign(world, dry=True) == {Outcome.EXCLUDED: 4}
    got = {(await take(world)).ref.sample_id for _ in range(2)}
    assert len(got) == 2
    assert await assign(world) == {Outcome.EXCLUDED: 4}, "what they hold counts"


async def test_what_a_person_has_answered_is_not_assigned_to_them(world: World) -> None:
    ref = await prepared(world)
    await submit(world, await take(world))
    assert await assign(world) == {Outcome.EXCLUDED: 2}
    assert {task.assignee for task in await world.tasks(ref, live=True)} == {None}


async def test_a_second_slot_that_names_a_person_keeps_nothing_from_them_and_goes_to_others(world: World) -> None:
    ref, other = await prepared(world), await prepared(world, "s-2")
    await force(world, [task.task_id for task in await world.tasks(ref)])
    first = await take(world)
    assert first.ref == ref
    assert (await take(world)).ref == other, "a second answer could not be given"
    await submit(world, first)
    with pytest.raises(NoTaskAvailableError):
        await take(world)
    assert {task.assignee for task in await world.tasks(ref, live=True)} == {None}
    assert (await take(world, BEN)).ref == ref


async def test_reviews_of_one_finding_are_assigned_to_one_person_once_and_rework_always(world: World) -> None:
    ref = await prepared(world)
    async with world.database.transaction() as tx:
        for task in await tx.review.tasks_of(ref):
            await tx.review.close_task(task.task_id, TaskState.CANCELLED)
        for kind, findings in (
            (TaskKind.REVIEW, ("f-1",)),
            (TaskKind.REVIEW, ("f-1", "f-2")),
            (TaskKind.REVIEW, ("f-3",)),
            (TaskKind.REWORK, ("f-1",)),
        ):
            await tx.review.open_task(NewTask(ref=ref, kind=kind, queue="speech", finding_ids=findings))
    assert await assign(world) == {Outcome.CHANGED: 3, Outcome.EXCLUDED: 1}
    kinds = [(await take(world)).kind for _ in range(3)]
    assert kinds == [TaskKind.REWORK, TaskKind.REVIEW, TaskKind.REVIEW]
