"""What people complain about in other tools, each by its name: the case, and what happens here instead.

Here is what concerns people and their tasks; labels, files and events are in ``test_complaints_data``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import ApiKeyInfo, Role
from services.contracts.events import EventType
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import DecisionInput, ReviewTask, TaskKind, TaskState, Verdict
from services.errors import (
    ConcordError,
    NoTaskAvailableError,
    StageConflictError,
    StaleFenceError,
    TaskFinishedError,
    TaskHeldError,
)
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.leases import ClaimWish
from tests.intake_events import NoAssets, created, event, structured, take_in
from tests.integration.lifecycle_world import PROJECT, World, label, no_models, person
from tests.integration.read_costs import blocks_read
from tests.review_world import lapse

BEN, EVA, ANN, OLGA = person("ben"), person("eva"), person("ann", Role.ANNOTATOR), person("olga", Role.OPERATIONS)


@pytest.fixture
async def world(database: PostgresDatabase) -> World:
    made = World(database)
    await made.open_project()
    return made


async def waiting(world: World, sample_id: str = "s-1", author: str | None = None) -> tuple[RevisionRef, ReviewTask]:
    ref = await world.checked(sample_id, label("a1", "wrong", author))
    return ref, await world.only_task(ref, TaskKind.REVIEW)


async def test_two_people_on_one_task(world: World) -> None:
    """Many ask at once; one gets it, the others are told."""
    _, task = await waiting(world)
    people = [person(f"p{number}") for number in range(12)]
    answers = await asyncio.gather(*(world.desk.claim(who, task.task_id) for who in people), return_exceptions=True)
    holders = [answer for answer in answers if isinstance(answer, ReviewTask)]
    refused = [answer for answer in answers if isinstance(answer, TaskHeldError)]
    assert (len(holders), len(refused)) == (1, 11)


async def test_no_more_tasks_because_someone_who_left_holds_the_lock(world: World) -> None:
    """A lease that is over gives the task to the next who asks, and the late answer of who left is kept as a draft."""
    _, task = await waiting(world)
    gone = await world.desk.claim(BEN, task.task_id)
    with pytest.raises(NoTaskAvailableError):
        await world.desk.claim_next(EVA, ClaimWish())
    await lapse(world.database, task.task_id)
    taken = await world.desk.claim_next(EVA, ClaimWish())
    assert (taken.task_id, taken.held_by) == (task.task_id, "eva")
    assert taken.fence > gone.fence
    late = DecisionInput(verdict=Verdict.REJECT, fence=gone.fence, note="No greeting.")
    with pytest.raises(StaleFenceError):
        await world.desk.decide(BEN, task.task_id, late)
    async with world.database.transaction() as tx:
        draft = await tx.review.draft(task.task_id, "ben")
    assert draft is not None
    assert draft.body == {"verdict": "reject", "note": "No greeting."}


async def test_overlap_exceeded(world: World) -> None:
    """Three answers are asked for: of people and tools that come at once, and one who comes late, three are taken."""
    await world.configure(annotate="always", overlap={"answers": 3})
    ref = await world.post("s-1")
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    late_one = person("late", Role.ANNOTATOR)
    left = await world.desk.claim_next(late_one, ClaimWish())
    await lapse(world.database, left.task_id)
    answer = (Intent.model_validate(label("a1", "thanks")),)

    async def by_hand(name: str) -> None:
        who = person(name, Role.ANNOTATOR)
        task = await world.desk.claim_next(who, ClaimWish())
        given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=answer)
        await world.desk.decide(who, task.task_id, given)

    async def by_tool(name: str) -> None:
        labels = {"project": PROJECT, "sample_id": ref.sample_id, "annotations": [label("a1", "thanks")]}
        data = {**labels, "author": {"kind": "human", "id": name}}
        handed_in = structured(event(data, EventType.LABELS_SUBMITTED, id=f"{ref.sample_id}-{name}"))
        await world.inbox.receive(handed_in, via="http", projects=None)

    at_once = [*(by_hand(f"p{number}") for number in range(8)), *(by_tool(f"t{number}") for number in range(4))]
    results = await asyncio.gather(*at_once, return_exceptions=True)
    assert all(result is None or isinstance(result, ConcordError) for result in results), results
    # Who found all tasks in other hands may have given up one too many: those who come now get what is left.
    for number in range(3 - results.count(None)):
        await by_hand(f"q{number}")
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=left.fence, annotations=answer)
    with pytest.raises(TaskFinishedError):
        await world.desk.decide(late_one, left.task_id, given)
    for refused in (by_hand("z"), by_tool("z")):
        with pytest.raises((NoTaskAvailableError, StageConflictError)):
            await refused
    async with world.database.transaction() as tx:
        sets = await tx.samples.label_sets(ref)
        decisions = await tx.review.decisions(ref)
    assert (len(sets), len({one.author.id for one in sets}), len(decisions)) == (3, 3, 3)
    assert {task.state for task in await world.tasks(ref)} == {TaskState.COMPLETED}


async def test_rejected_work_that_does_not_come_back_to_its_author(world: World) -> None:
    """Rework names its author, carries the reason, and nobody else is given it."""
    async with world.database.transaction() as tx:
        now = await tx.now()
        key = ApiKeyInfo(key_id="k1", actor_id="ann", role=Role.ANNOTATOR, projects=None, skills=(), created_at=now)
        await tx.access.add_key(key, "1" * 64)
    ref, task = await waiting(world, author="ann")
    await world.decide(task.task_id, BEN, Verdict.REJECT, note="The word is not a greeting.")
    await settle_review(world.database, ref)
    rework = await world.only_task(ref, TaskKind.REWORK)
    assert (rework.assignee, rework.reason) == ("ann", "The word is not a greeting.")
    with pytest.raises(NoTaskAvailableError):
        await world.desk.claim_next(person("zoe", Role.ANNOTATOR), ClaimWish())
    assert (await world.desk.claim_next(ANN, ClaimWish())).task_id == rework.task_id


async def test_duplicate_tasks_on_re_sync(world: World) -> None:
    """The same events again are the same samples, and the same tasks."""
    ref, task = await waiting(world)
    manifest: dict[str, Any] = {"project": PROJECT, "annotations": [label("a1", "wrong")]}
    for _ in range(3):
        again = await take_in(world.inbox, created(f"s-1-{world.mark}", **manifest))
        assert (again.outcome, again.ref) == ("duplicate", ref)
        await settle_review(world.database, ref)
    assert await world.tasks(ref) == (task,)


async def test_lists_that_crawl_past_50_000_tasks(world: World) -> None:
    """A page deep in a long list reads as little of the store as the first one, through an index."""
    ref, task = await waiting(world)
    async with world.database._engine.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, risk, priority, state,
                                          finding_ids, excluded_actors, fence, created_at)
                SELECT gen_random_uuid(), project, sample_id, revision, kind, queue, risk, priority, state,
                       finding_ids, excluded_actors, fence, created_at + number * interval '1 s'
                FROM review_tasks, generate_series(1, 60000) AS number WHERE task_id = :task_id
            """),
            {"task_id": task.task_id},
        )
        await connection.execute(text("ANALYZE review_tasks"))
    assert task.ref == ref
    first, cursor = await world.desk.list_tasks(OLGA, limit=100)
    assert (len(first), cursor is not None) == (100, True)
    deep = (task.created_at + timedelta(seconds=55_000), task.task_id)
    page, _ = await world.desk.list_tasks(OLGA, after=deep, limit=100)
    assert len(page) == 100
    assert page[0].created_at >= deep[0]
    first_read, deep_read = [
        await blocks_read(
            world.database, "ORDER BY created_at", partial(world.desk.list_tasks, OLGA, after=after, limit=100)
        )
        for after in (None, deep)
    ]
    assert deep_read <= 2 * first_read + 10


async def test_locks_on_edit_with_no_history(world: World) -> None:
    """Every version of the labels stays, with who made it and the decision that it came from."""
    ref, task = await waiting(world)
    decision = await world.fix(task, BEN, "a1", "greeting")
    async with world.database.transaction() as tx:
        versions = await tx.samples.label_sets(ref)
    assert [one.annotations[0].label for one in versions] == ["wrong", "greeting"]
    assert (versions[-1].author.id, versions[-1].decision_id) == ("ben", decision.decision_id)
    assert "task.fix" in await world.actions()


async def test_lead_times_that_count_idle_hours(world: World) -> None:
    """A day between two signs of life is a minute of work, and time on a hidden screen is none."""
    _, task = await waiting(world)
    claimed = await world.desk.claim(BEN, task.task_id)
    async with world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE task_activity SET active_at = active_at - interval '1 day'"))
    await world.desk.heartbeat(BEN, task.task_id, claimed.fence)
    await world.desk.heartbeat(BEN, task.task_id, claimed.fence, visible=False)
    async with world.database.transaction() as tx:
        activity = await tx.operations.activity(task.task_id, "ben")
    assert activity is not None
    assert 60 <= activity.active_s < 61
    assert activity.active_at is None
    assert (await world.tasks(task.ref))[0].state is TaskState.CLAIMED
