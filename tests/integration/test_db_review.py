from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.escalation import EscalationFacts, TaskCause
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import FindingState, ReviewTask, TaskKind, TaskState
from services.errors import ForbiddenError, IntegrityError, SelfReviewError, StaleFenceError, TaskFinishedError
from services.ports.review import TaskClock
from tests.integration.db_samples import (
    PROJECT,
    a_decision,
    a_finding,
    a_person,
    a_sample,
    a_task,
    claim_next,
    open_task,
    task_now,
)

LEASE = timedelta(minutes=15)
LATE = TaskCause(
    rule="overdue", rule_set=RuleReference(id="default", version=1), facts=EscalationFacts(risk="low", confidence=0.1)
)
LATER = TaskClock(start_by_at=datetime(2027, 1, 4, 9, tzinfo=UTC), due_at=datetime(2027, 1, 4, 17, tzinfo=UTC))


async def end_lease(database_url: str, task: ReviewTask) -> None:
    """Move a lease into the past, which the database's clock then has reached."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "UPDATE review_tasks SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE task_id = $1",
            task.task_id,
        )
    finally:
        await connection.close()


async def take(database: PostgresDatabase, task: ReviewTask, actor: str) -> ReviewTask:
    async with database.transaction() as tx:
        claimed = await tx.review.claim(task.task_id, actor, LEASE)
    assert claimed is not None
    return claimed


async def decide(database: PostgresDatabase, task: ReviewTask, actor: str) -> None:
    async with database.transaction() as tx:
        await tx.review.add_decision(a_decision(task, actor), {"verdict": "approve"})
        await tx.review.close_task(task.task_id, TaskState.COMPLETED)


async def test_findings_are_replaced_by_id(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    first, second = a_finding(ref, "f-1"), a_finding(ref, "f-2")
    async with database.transaction() as tx:
        await tx.review.put_finding(second)
        await tx.review.put_finding(first)
        assert await tx.review.findings(ref) == (first, second)
        changed = first.model_copy(update={"state": FindingState.RESOLVED, "fixed_by_label_version": 2})
        await tx.review.put_finding(changed)
    async with database.transaction() as tx:
        assert await tx.review.findings(ref) == (changed, second)


async def test_finding_closed_by_an_unknown_decision_does_not_commit(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    with pytest.raises(IntegrityError, match="fk_findings_decisions"):
        async with database.transaction() as tx:
            await tx.review.put_finding(a_finding(ref, decision_id=uuid4(), state=FindingState.DISMISSED))


async def test_task_of_the_same_decision_and_kind_opens_once(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    origin = await take(database, await open_task(database, ref), "rev")
    decision = a_decision(origin, "rev")
    async with database.transaction() as tx:
        await tx.review.add_decision(decision, {})
        follow_up = a_task(ref, kind=TaskKind.ADJUDICATE, origin_decision_id=decision.decision_id)
        first = await tx.review.open_task(follow_up)
        again = await tx.review.open_task(follow_up.model_copy(update={"priority": 900}))
        rework = await tx.review.open_task(follow_up.model_copy(update={"kind": TaskKind.REWORK}))
    assert again == first
    assert rework.task_id != first.task_id
    async with database.transaction() as tx:
        assert [task.task_id for task in await tx.review.tasks_of(ref)] == [
            origin.task_id,
            first.task_id,
            rework.task_id,
        ]


async def test_claimed_task_is_held_until_the_databases_clock_ends_the_lease(
    database: PostgresDatabase, database_url: str
) -> None:
    ref = await a_sample(database)
    task = await open_task(database, ref)
    claimed = await take(database, task, "rev")
    assert (claimed.state, claimed.held_by, claimed.fence) == (TaskState.CLAIMED, "rev", 1)
    async with database.transaction() as tx:
        assert claimed.lease_expires_at is not None
        assert timedelta(minutes=14) < claimed.lease_expires_at - await tx.now() <= LEASE
        assert await tx.review.claim(task.task_id, "other", LEASE) is None
    await end_lease(database_url, task)
    late = await task_now(database, task.task_id)
    assert (late.state, late.held_by, late.lease_expires_at, late.fence) == (TaskState.OPEN, None, None, 1)
    async with database.transaction() as tx:
        assert await tx.review.renew(task.task_id, 1, LEASE) is None
        assert not await tx.review.release(task.task_id, 1)
        listed = await tx.review.list_tasks(projects=None, queue=None, state=TaskState.OPEN, after=None, limit=9)
        assert [item.task_id for item in listed] == [task.task_id]
    assert (await take(database, task, "other")).fence == 2


async def test_claiming_ones_own_task_renews_it_and_after_the_lease_raises_the_fence(
    database: PostgresDatabase, database_url: str
) -> None:
    task = await open_task(database, await a_sample(database))
    first = await take(database, task, "rev")
    again = await take(database, task, "rev")
    assert again.fence == first.fence
    assert first.lease_expires_at is not None
    assert again.lease_expires_at is not None
    assert again.lease_expires_at > first.lease_expires_at
    await end_lease(database_url, task)
    assert (await take(database, task, "rev")).fence == 2


async def test_renew_extends_and_release_gives_back_only_under_the_fence(database: PostgresDatabase) -> None:
    task = await take(database, await open_task(database, await a_sample(database)), "rev")
    async with database.transaction() as tx:
        assert await tx.review.renew(task.task_id, 9, LEASE) is None
        lease = await tx.review.renew(task.task_id, 1, 2 * LEASE)
        assert lease is not None
        assert task.lease_expires_at is not None
        assert lease.lease_expires_at > task.lease_expires_at
        shorter = await tx.review.renew(task.task_id, 1, timedelta(seconds=1))
        assert shorter == lease
        assert not await tx.review.release(task.task_id, 9)
        assert await tx.review.release(task.task_id, 1)
        assert not await tx.review.release(task.task_id, 1)
    released = await task_now(database, task.task_id)
    assert (released.state, released.held_by, released.fence) == (TaskState.OPEN, None, 1)
    assert (await take(database, task, "other")).fence == 2


async def test_excluded_or_other_than_the_assignee_can_not_hold_a_task(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    excluding = await open_task(database, ref, excluded_actors=("ann",))
    named = await open_task(database, ref, assignee="ann")
    with pytest.raises(SelfReviewError):
        await take(database, excluding, "ann")
    with pytest.raises(ForbiddenError):
        await take(database, named, "bob")
    async with database.transaction() as tx:
        claimed = await claim_next(tx, a_person("ann"))
        assert claimed is not None
        assert claimed.task_id == named.task_id


async def test_person_excluded_later_loses_the_hold(database: PostgresDatabase) -> None:
    task = await take(database, await open_task(database, await a_sample(database)), "rev")
    async with database.transaction() as tx:
        await tx.review.exclude_actor(task.task_id, "somebody")
        await tx.review.exclude_actor(task.task_id, "rev")
        await tx.review.exclude_actor(task.task_id, "rev")
    after = await task_now(database, task.task_id)
    assert (after.state, after.held_by, after.excluded_actors) == (TaskState.OPEN, None, ("somebody", "rev"))


async def test_decision_is_kept_once_with_its_body(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    task = await take(database, await open_task(database, ref), "rev")
    decision = a_decision(task, "rev")
    async with database.transaction() as tx:
        assert await tx.review.decision_of_task(task.task_id) is None
        await tx.review.add_decision(decision, {"verdict": "approve", "x": [1.5, None]})
        await tx.review.close_task(task.task_id, TaskState.COMPLETED)
        with pytest.raises(TaskFinishedError):
            await tx.review.add_decision(a_decision(task, "rev"), {})
    async with database.transaction() as tx:
        assert await tx.review.decision_of_task(task.task_id) == decision
        assert await tx.review.decisions(ref) == (decision,)
        assert await tx.review.decision_bodies(ref) == {decision.decision_id: {"verdict": "approve", "x": [1.5, None]}}
        finished = await tx.review.task(task.task_id, lock=True)
    assert finished is not None
    assert (finished.state, finished.held_by, finished.completed_at is not None) == (TaskState.COMPLETED, None, True)


async def test_decision_of_an_excluded_person_is_refused_by_the_database(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    task = await open_task(database, ref, excluded_actors=("ann",))
    with pytest.raises(SelfReviewError):
        async with database.transaction() as tx:
            await tx.review.add_decision(a_decision(task, "ann"), {})
    held = await take(database, task, "rev")
    async with database.transaction() as tx:
        await tx.review.exclude_actor(task.task_id, "rev")
    with pytest.raises(SelfReviewError):
        async with database.transaction() as tx:
            await tx.review.add_decision(a_decision(held, "rev"), {})


async def test_decision_under_an_older_fence_is_refused_by_the_database(
    database: PostgresDatabase, database_url: str
) -> None:
    ref = await a_sample(database)
    slow = await take(database, await open_task(database, ref), "slow")
    await end_lease(database_url, slow)
    await take(database, slow, "quick")
    with pytest.raises(StaleFenceError):
        async with database.transaction() as tx:
            await tx.review.add_decision(a_decision(slow, "slow"), {})


async def test_finished_task_stays_finished(database: PostgresDatabase) -> None:
    task = await open_task(database, await a_sample(database))
    async with database.transaction() as tx:
        await tx.review.close_task(task.task_id, TaskState.CANCELLED)
        await tx.review.close_task(task.task_id, TaskState.CANCELLED)
        with pytest.raises(TaskFinishedError):
            await tx.review.close_task(task.task_id, TaskState.COMPLETED)
        with pytest.raises(TaskFinishedError):
            await tx.review.close_task(uuid4(), TaskState.CANCELLED)
        assert await tx.review.claim(task.task_id, "rev", LEASE) is None
        await tx.review.raise_priority(task.task_id, 5)
        await tx.review.move_to_tier(task.task_id, "spatial.expert", None, "late", LATE, LATER)
        await tx.review.exclude_actor(task.task_id, "rev")
    after = await task_now(database, task.task_id)
    assert (after.state, after.priority, after.kind) == (TaskState.CANCELLED, task.priority, TaskKind.REVIEW)


async def test_overdue_review_moves_to_the_experts_unless_somebody_holds_it(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    free, held = await open_task(database, ref), await open_task(database, ref)
    await take(database, held, "rev")
    async with database.transaction() as tx:
        for task in (free, held):
            await tx.review.move_to_tier(task.task_id, "spatial.expert", "lidar", "nobody decided in time", LATE, LATER)
        await tx.review.raise_priority(held.task_id, 7)
    moved, kept = await task_now(database, free.task_id), await task_now(database, held.task_id)
    assert (moved.kind, moved.queue, moved.reason) == (TaskKind.ADJUDICATE, "spatial.expert", "nobody decided in time")
    assert (moved.skill, kept.skill) == ("lidar", held.skill)
    assert (moved.caused_by, kept.caused_by) == (LATE, None)
    assert moved.priority > free.priority
    assert (moved.start_by_at, moved.due_at) == (LATER.start_by_at, LATER.due_at)
    assert kept.due_at == held.due_at
    assert (kept.kind, kept.held_by, kept.priority) == (TaskKind.REVIEW, "rev", held.priority + 7)


async def test_draft_is_kept_per_person_whatever_the_lease(database: PostgresDatabase) -> None:
    task = await open_task(database, await a_sample(database))
    async with database.transaction() as tx:
        assert await tx.review.draft(task.task_id, "rev") is None
        await tx.review.save_draft(task.task_id, "rev", {"note": "one"})
        await tx.review.save_draft(task.task_id, "other", {"note": "mine"})
        saved = await tx.review.save_draft(task.task_id, "rev", {"note": "two", "box": [0.1, 1e-9]})
    async with database.transaction() as tx:
        assert await tx.review.draft(task.task_id, "rev") == saved
    assert saved.body == {"note": "two", "box": [0.1, 1e-9]}


async def test_task_lists_follow_filters_and_cursor(database: PostgresDatabase) -> None:
    here, there = await a_sample(database), await a_sample(database, "s9", project="elsewhere")
    tasks = [await open_task(database, here, queue="q" if n % 2 else "p") for n in range(5)]
    other = await open_task(database, there, queue="q")
    await take(database, tasks[4], "rev")

    async def listed(**filters: object) -> list[object]:
        values: dict[str, object] = {"projects": None, "queue": None, "state": None, "after": None, "limit": 50}
        async with database.transaction() as tx:
            found = await tx.review.list_tasks(**(values | filters))  # type: ignore[arg-type]
        return [task.task_id for task in found]

    ids = [task.task_id for task in tasks]
    assert await listed() == [*ids, other.task_id]
    assert await listed(projects=(PROJECT,)) == ids
    assert await listed(projects=()) == []
    assert await listed(queue="q") == [ids[1], ids[3], other.task_id]
    assert await listed(state=TaskState.CLAIMED) == [ids[4]]
    assert await listed(state=TaskState.OPEN, projects=(PROJECT,)) == ids[:4]
    assert await listed(state=TaskState.COMPLETED) == []
    assert await listed(after=(tasks[1].created_at, ids[1]), limit=2) == [ids[2], ids[3]]


async def test_queues_count_open_held_and_overdue(database: PostgresDatabase, database_url: str) -> None:
    ref = await a_sample(database)
    past = datetime.now(UTC) - timedelta(days=1)
    oldest = await open_task(database, ref, due_at=past)
    held = await take(database, await open_task(database, ref), "rev")
    lapsed = await take(database, await open_task(database, ref, due_at=past), "rev")
    await end_lease(database_url, lapsed)
    done = await take(database, await open_task(database, ref, queue="done", due_at=past), "rev")
    await decide(database, done, "rev")
    async with database.transaction() as tx:
        queues = await tx.review.queues(None)
        assert await tx.review.queues(("elsewhere",)) == ()
        assert await tx.review.queues((PROJECT,)) == queues
    assert [(queue.queue, queue.open, queue.claimed, queue.overdue) for queue in queues] == [
        ("done", 0, 0, 0),
        ("spatial", 2, 1, 2),
    ]
    assert queues[1].oldest_created_at == oldest.created_at
    assert queues[0].oldest_created_at is None
    assert held.held_by == "rev"


async def test_task_of_an_unknown_revision_does_not_commit(database: PostgresDatabase) -> None:
    await a_sample(database)
    with pytest.raises(IntegrityError, match="fk_review_tasks_sample_revisions"):
        async with database.transaction() as tx:
            await tx.review.open_task(a_task(RevisionRef(project=PROJECT, sample_id="nobody", revision=1)))
