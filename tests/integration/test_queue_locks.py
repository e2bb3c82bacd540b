"""Claims in queues with a capacity, beside each other and beside changes of those queues."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.queues import ReviewQueue
from services.contracts.task_operations import OperationRequest
from services.errors import CapReachedError, NoTaskAvailableError, TaskHeldError
from services.review import leases
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.review.operations import TaskOperations
from services.review.queues import QueueRegistry
from tests.lock_waits import until_waiting_for_locks
from tests.review_world import OWN, add_projects, add_sample, open_task, principal, task_now

OLGA = principal("olga", Role.OPERATIONS)
RITA, BEN = (principal(name, Role.REVIEWER) for name in ("rita", "ben"))
NEXT = ClaimWish()


@pytest.fixture(autouse=True)
async def projects(database: PostgresDatabase) -> None:
    await add_projects(database)


async def put_queue(database: PostgresDatabase, name: str, capacity: int = 1) -> ReviewQueue:
    return await QueueRegistry(database).put(OLGA, OWN, ReviewQueue(name=name, capacity=capacity))


async def test_who_comes_too_late_for_the_last_place_leaves_the_limit_for_the_start_of_the_task(
    database: PostgresDatabase,
) -> None:
    await put_queue(database, "spatial")
    async with database.transaction() as tx:
        start_by = await tx.now() + timedelta(hours=1)
    tasks = [await open_task(database, await add_sample(database, f"s{n}"), start_by_at=start_by) for n in range(2)]
    await open_task(database, await add_sample(database, "s9"), queue="general", priority=1)
    async with database.transaction() as tx:
        _, taken = await leases.claim_next(tx, RITA, NEXT)
        late = asyncio.create_task(ReviewDesk(database).claim_next(BEN, NEXT))
        await until_waiting_for_locks(database)
    assert (taken.queue, (await late).queue) == ("spatial", "general")
    (left,) = [task for task in tasks if task.task_id != taken.task_id]
    now = await task_now(database, left.task_id)
    assert now.held_by is None
    assert now.fence == now.tier_fence, "the limit for the start holds until somebody has begun"


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_queue_is_changed_while_somebody_claims_in_it(database: PostgresDatabase, by_id: bool) -> None:
    queue = await put_queue(database, "spatial")
    task = await open_task(database, await add_sample(database, "s1"))
    desk = ReviewDesk(database)
    async with database.transaction() as tx:
        await tx.queues.get(OWN, "spatial", lock=True)
        claim = desk.claim(RITA, task.task_id) if by_id else desk.claim_next(RITA, NEXT)
        claiming = asyncio.create_task(claim)
        await until_waiting_for_locks(database)
        await tx.queues.put(OWN, queue.model_copy(update={"ageing_per_hour": 5.0}))
    assert (await claiming).task_id == task.task_id


async def test_two_who_find_two_queues_full_in_opposite_order_do_not_wait_for_each_other(
    database: PostgresDatabase,
) -> None:
    held = []
    for name, assignee in (("q1", "rita"), ("q2", "ben")):
        await put_queue(database, name)
        held.append(await open_task(database, await add_sample(database, f"{name}-held"), queue=name))
        await open_task(database, await add_sample(database, f"{name}-named"), queue=name, assignee=assignee)
        for n in range(2):
            await open_task(database, await add_sample(database, f"{name}-{n}"), queue=name)
    async with database.transaction() as tx:
        for task in held:
            await leases.claim(tx, principal("ann", Role.REVIEWER), task.task_id)
        both = []
        for person in (RITA, BEN):
            both.append(asyncio.create_task(ReviewDesk(database).claim_next(person, NEXT)))
            await until_waiting_for_locks(database, len(both))
    results = await asyncio.gather(*both, return_exceptions=True)
    assert [type(result) for result in results] == [NoTaskAvailableError, NoTaskAvailableError]


async def test_a_task_that_was_moved_while_its_queue_was_waited_for_is_not_claimed_past_the_new_one(
    database: PostgresDatabase,
) -> None:
    await put_queue(database, "spatial")
    task = await open_task(database, await add_sample(database, "s1"))
    async with database.transaction() as tx:
        await tx.queues.get(OWN, "spatial", lock=True)
        claiming = asyncio.create_task(ReviewDesk(database).claim(RITA, task.task_id))
        await until_waiting_for_locks(database)
        request = OperationRequest.model_validate({"change": {"action": "reroute", "queue": "other"}, "filter": {}})
        await TaskOperations(database).run(OLGA, OWN, request)
    with pytest.raises(TaskHeldError, match="moved"):
        await claiming
    assert (await ReviewDesk(database).claim(RITA, task.task_id)).queue == "other"


async def test_the_last_place_of_a_queue_is_taken_once_when_claimed_by_id(
    database: PostgresDatabase,
) -> None:
    await put_queue(database, "spatial")
    tasks = [await open_task(database, await add_sample(database, f"s{n}")) for n in range(2)]
    async with database.transaction() as tx:
        await leases.claim(tx, RITA, tasks[0].task_id)
        late = asyncio.create_task(ReviewDesk(database).claim(BEN, tasks[1].task_id))
        await until_waiting_for_locks(database)
    with pytest.raises(CapReachedError):
        await late


async def test_many_tasks_are_moved_while_the_ageing_of_their_queue_is_changed(
    database: PostgresDatabase,
) -> None:
    queue = await put_queue(database, "spatial", 9)
    tasks = [await open_task(database, await add_sample(database, f"s{n}")) for n in range(2)]
    last = max(task.task_id for task in tasks)
    request = OperationRequest.model_validate({"change": {"action": "reprioritise", "add": 5}, "filter": {}})
    aged = queue.model_copy(update={"ageing_per_hour": 5.0})
    async with database.transaction() as tx:
        await tx.review.task(last, lock=True)
        moving = asyncio.create_task(TaskOperations(database).run(OLGA, OWN, request))
        await until_waiting_for_locks(database)
        ageing = asyncio.create_task(QueueRegistry(database).put(OLGA, OWN, aged))
        await until_waiting_for_locks(database, 2)
    await asyncio.gather(moving, ageing)
