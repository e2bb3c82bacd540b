"""Labels that come from outside by an event, and who may judge them: on a real database."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.events import EventType
from services.contracts.lifecycle import RevisionRef
from services.contracts.queues import ReviewQueue
from services.contracts.review import NewTask, ReviewTask, TaskKind, TaskState
from services.contracts.task_operations import Hold, OperationRequest, TaskFilter
from services.errors import NoTaskAvailableError
from services.review.leases import ClaimWish
from services.review.operations import TaskOperations
from services.review.queues import QueueRegistry
from tests.intake_events import event, structured, take_in
from tests.integration.lifecycle_world import PROJECT, World, label, person

RITA, BEN = person("rita"), person("ben")
OLGA = person("olga", Role.OPERATIONS)


@pytest.fixture
async def world(database: PostgresDatabase) -> World:
    world = World(database)
    await world.open_project()
    return world


async def reworked(world: World) -> tuple[RevisionRef, ReviewTask, ReviewTask]:
    """A sample with rework of label a1, and a review that still waits about a label of this name."""
    ref = await world.checked("s-1", label("a1", "wrong"), label("a2", "right"))
    (found,) = [item.finding.finding_id for item in await world.findings(ref)]
    review = await world.only_task(ref, TaskKind.REVIEW)
    async with world.database.transaction() as tx:
        rework = await tx.review.open_task(
            NewTask(ref=ref, kind=TaskKind.REWORK, queue="rework", finding_ids=("other",))
        )
    assert review.finding_ids == (found,)
    return ref, rework, review


async def hand_in(world: World, ref: RevisionRef, *labels: dict[str, Any], author: dict[str, str]) -> None:
    data = {"project": PROJECT, "sample_id": ref.sample_id, "annotations": list(labels), "author": author}
    await take_in(world.inbox, structured(event(data, EventType.LABELS_SUBMITTED, id=f"labels-{ref.sample_id}")))


@pytest.mark.parametrize(
    ("author", "own"),
    [({"kind": "human", "id": "rita"}, None), ({"kind": "model", "id": "editor"}, "rita")],
    ids=["of-who-sends-them", "of-who-a-label-names"],
)
async def test_who_made_labels_in_a_tool_is_given_no_review_of_them(
    world: World, author: dict[str, str], own: str | None
) -> None:
    ref, rework, review = await reworked(world)
    await hand_in(world, ref, label("a1", "better", own), label("a2", "right"), author=author)
    assert (await world.tasks(ref))[-1].task_id == rework.task_id
    with pytest.raises(NoTaskAvailableError):
        await world.desk.claim_next(RITA, ClaimWish())
    assert (await world.desk.claim_next(BEN, ClaimWish())).task_id == review.task_id


async def test_who_left_a_label_as_it_was_may_review_it(world: World) -> None:
    ref, _, review = await reworked(world)
    await hand_in(world, ref, label("a1", "wrong"), label("a2", "better"), author={"kind": "human", "id": "rita"})
    assert (await world.desk.claim_next(RITA, ClaimWish())).task_id == review.task_id


@pytest.mark.parametrize("how", ["hold", "pause"])
async def test_labels_of_a_tool_are_taken_although_the_task_is_given_to_nobody(world: World, how: str) -> None:
    ref, rework, _ = await reworked(world)
    if how == "hold":
        change = Hold(action="hold", reason="The classes are being discussed.")
        request = OperationRequest(filter=TaskFilter(task_ids=(rework.task_id,)), change=change)
        await TaskOperations(world.database).run(OLGA, PROJECT, request)
    else:
        queues = QueueRegistry(world.database)
        await queues.put(OLGA, PROJECT, ReviewQueue(name="rework"))
        await queues.pause(OLGA, PROJECT, "rework", paused=True)
    with pytest.raises(NoTaskAvailableError):
        await world.desk.claim_next(BEN, ClaimWish(kinds=(TaskKind.REWORK,)))
    await hand_in(world, ref, label("a1", "better"), author={"kind": "model", "id": "editor"})
    async with world.database.transaction() as tx:
        answered = await tx.review.task(rework.task_id)
    assert answered is not None
    assert answered.state is TaskState.COMPLETED
