"""Deadlines on a real Postgres, without Temporal: each moment of a task is acted on once, and never early."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import ApiKeyInfo, Role
from services.contracts.deadlines import DeadlinePolicy, DeadlineRule, WorkingCalendar, WorkingHours
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.operations import TaskSelection
from services.contracts.queues import QueueFilter, ReviewQueue
from services.contracts.review import ReviewTask, TaskKind, Verdict
from services.contracts.task_operations import Hold, OperationRequest, Release, TaskFilter, TaskOperation
from services.errors import ConcordError
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.leases import ClaimWish
from services.review.operations import TaskOperations
from services.review.queueing import place_of_task
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, RULES, World, label, no_models, person

BEN, EXA = person("ben"), person("exa", Role.EXPERT)
ANN, ZOE = person("ann", Role.ANNOTATOR), person("zoe", Role.ANNOTATOR)


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


def limits(*rules: dict[str, Any], **policy: Any) -> DeadlinePolicy:
    return DeadlinePolicy(rules=tuple(DeadlineRule.model_validate(rule) for rule in rules), **policy)


async def wait_until(world: World, ref: RevisionRef, seconds: float) -> None:
    """Wait until the database's clock says that the newest task is so many seconds old."""
    while True:
        async with world.database.transaction() as tx:
            task = (await tx.review.tasks_of(ref))[-1]
            if await tx.now() >= task.created_at + timedelta(seconds=seconds):
                return


async def told(world: World) -> list[dict[str, Any]]:
    """Return what the outside is told about deadlines, in order."""
    async with world.database.transaction() as tx:
        waiting = await tx.outbox.pending(("event",), limit=100)
    return [message.body for message in waiting if "moment" in message.body]


async def start_now(world: World, ref: RevisionRef) -> None:
    """Wait until the database's clock says that somebody should have begun with the first task."""
    while True:
        async with world.database.transaction() as tx:
            task = (await tx.review.tasks_of(ref))[0]
            if task.start_by_at is not None and await tx.now() >= task.start_by_at:
                return


async def due_now(world: World, ref: RevisionRef) -> None:
    """Wait until the database's clock says that the first task is due."""
    while True:
        async with world.database.transaction() as tx:
            task = (await tx.review.tasks_of(ref))[0]
            if task.due_at is not None and await tx.now() >= task.due_at:
                return


async def test_overdue_review_goes_to_the_experts_once_for_its_deadline(world: World) -> None:
    await world.open_project(review_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong"))
    await due_now(world, ref)
    # From here on one deadline after another is an hour apart.
    await world.configure(review_within_s=3_600)
    first = await escalate_overdue(world.database, ref, 1)
    assert (first.stage, first.next_step) == (Stage.ADJUDICATING, NextStep.WAIT)
    assert first.due_in is not None
    assert timedelta(minutes=59) < first.due_in <= timedelta(hours=1)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (task.queue, task.due_at is not None) == ("words.expert", True)
    await escalate_overdue(world.database, ref, 1)
    await escalate_overdue(world.database, ref, 2)
    assert await world.only_task(ref, TaskKind.ADJUDICATE) == task
    assert (await world.actions()).count("task.overdue") == 1


async def test_deadline_that_has_not_passed_changes_nothing(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    before = await world.only_task(ref, TaskKind.REVIEW)
    step = await escalate_overdue(world.database, ref, 1)
    assert step.due_in is not None
    assert step.due_in > timedelta(days=1)
    assert await world.only_task(ref, TaskKind.REVIEW) == before
    assert "task.overdue" not in await world.actions()


async def test_missed_deadline_is_due_at_once_until_it_was_acted_on(world: World) -> None:
    await world.open_project(review_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong"))
    await due_now(world, ref)
    await world.configure(review_within_s=3_600)
    assert (await settle_review(world.database, ref)).due_in == timedelta(0)
    await escalate_overdue(world.database, ref, 1)
    due_in = (await settle_review(world.database, ref)).due_in
    assert due_in is not None
    assert due_in > timedelta(minutes=50)


async def test_overdue_review_in_somebodys_hands_stays_with_them(world: World) -> None:
    await world.open_project(review_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong"))
    await due_now(world, ref)
    await world.configure(review_within_s=3_600, lease_s=600)
    task = await world.desk.claim(BEN, (await world.only_task(ref, TaskKind.REVIEW)).task_id)
    step = await escalate_overdue(world.database, ref, 1)
    # Looked at again when the lease ends, not a whole window later.
    assert step.due_in is not None
    assert timedelta(minutes=9) < step.due_in <= timedelta(minutes=10)
    assert (await world.only_task(ref, TaskKind.REVIEW)).held_by == "ben"
    await world.desk.release(BEN, task.task_id, task.fence)
    await escalate_overdue(world.database, ref, 1)
    await world.only_task(ref, TaskKind.ADJUDICATE)


async def test_overdue_labelling_rises_in_priority(world: World) -> None:
    await world.open_project(annotate_within_s=1)
    ref = await world.post()
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    await due_now(world, ref)
    await world.configure(annotate_within_s=3_600)
    before = (await world.only_task(ref, TaskKind.ANNOTATE)).priority
    for _ in range(3):
        assert (await escalate_overdue(world.database, ref, 1)).next_step is NextStep.ANNOTATE
    assert (await world.only_task(ref, TaskKind.ANNOTATE)).priority == before + 50


async def test_a_deadline_after_the_limits_were_lengthened_is_acted_on_too(world: World) -> None:
    await world.open_project(annotate_within_s=1)
    ref = await world.post()
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    for seconds in (1, 2, 3):
        await wait_until(world, ref, seconds)
        await escalate_overdue(world.database, ref, seconds)
    # By the longer limit the next deadline is the second one, whose number was used a second after the first.
    await world.configure(annotate_within_s=5)
    before = (await world.only_task(ref, TaskKind.ANNOTATE)).priority
    await wait_until(world, ref, 6.1)
    await escalate_overdue(world.database, ref, 4)
    last = (await told(world))[-1]
    assert (last["number"], (await world.only_task(ref, TaskKind.ANNOTATE)).priority) == (2, before + 50)


async def sent_back(world: World) -> tuple[RevisionRef, ReviewTask]:
    """A sample whose labels were sent back to ann, who has seconds for them."""
    async with world.database.transaction() as tx:
        now = await tx.now()
        key = ApiKeyInfo(key_id="k1", actor_id="ann", role=Role.ANNOTATOR, projects=None, skills=(), created_at=now)
        await tx.access.add_key(key, "1" * 64)
    await world.open_project(annotate_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong", "ann"))
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.REJECT, note="Again.")
    await settle_review(world.database, ref)
    return ref, await world.only_task(ref, TaskKind.REWORK)


async def test_rework_that_its_author_leaves_overdue_is_asked_of_anybody_and_that_is_told(world: World) -> None:
    ref, task = await sent_back(world)
    with pytest.raises(ConcordError):
        await world.desk.claim(ZOE, task.task_id)
    await wait_until(world, ref, 1)
    await world.configure(annotate_within_s=3_600)
    for _ in range(2):
        await escalate_overdue(world.database, ref, 1)
    free = await world.only_task(ref, TaskKind.REWORK)
    assert (free.assignee, free.reason, free.priority) == (None, "Again.", task.priority + 50)
    (event,) = await told(world)
    assert (event["moment"], event["person"], event["freed"]) == ("finish", "ann", True)
    async with world.database.transaction() as tx:
        (entry,) = [one for one in await tx.audit.list(PROJECT, after=0, limit=100) if one.action == "task.overdue"]
    assert entry.body["no_longer_only_for"] == "ann"
    assert (await world.desk.claim_next(ZOE, ClaimWish())).task_id == task.task_id
    # To the next deadline there is nobody to free it from.
    await escalate_overdue(world.database, ref, 2)
    assert len(await told(world)) == 1


async def test_rework_in_its_authors_hands_stays_with_them(world: World) -> None:
    ref, task = await sent_back(world)
    await world.desk.claim(ANN, task.task_id)
    await wait_until(world, ref, 1)
    await escalate_overdue(world.database, ref, 1)
    kept = await world.only_task(ref, TaskKind.REWORK)
    assert (kept.assignee, kept.held_by) == ("ann", "ann")


async def test_a_review_assigned_to_one_person_is_for_every_expert_when_it_is_overdue(world: World) -> None:
    await world.open_project(review_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong"))
    async with world.database._engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE review_tasks SET assignee = 'ben'")
    await due_now(world, ref)
    await world.configure(review_within_s=3_600)
    await escalate_overdue(world.database, ref, 1)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert task.assignee is None
    assert (await world.desk.claim(EXA, task.task_id)).held_by == "exa"


async def test_review_that_nobody_started_goes_to_the_experts_once(world: World) -> None:
    rules = ({"kinds": ["review"], "start_within_s": 1, "finish_within_s": 3_600}, {"finish_within_s": 7_200})
    await world.open_project(deadlines=limits(*rules))
    ref = await world.checked("s-1", label("a1", "wrong"))
    await wait_until(world, ref, 1)
    for _ in range(2):
        step = await escalate_overdue(world.database, ref, 1)
        assert step.due_in is not None
        assert timedelta(minutes=119) < step.due_in < timedelta(hours=2)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert task.reason is not None
    assert "Nobody started this review before" in task.reason
    (event,) = await told(world)
    assert (event["moment"], event["moved_to"]) == ("start", "words.expert")


async def test_work_that_was_started_has_no_start_deadline(world: World) -> None:
    await world.open_project(deadlines=limits({"start_within_s": 1, "finish_within_s": 7_200}))
    ref = await world.checked("s-1", label("a1", "wrong"))
    claimed = await world.desk.claim(BEN, (await world.only_task(ref, TaskKind.REVIEW)).task_id)
    await world.desk.release(BEN, claimed.task_id, claimed.fence)
    await wait_until(world, ref, 1)
    await escalate_overdue(world.database, ref, 1)
    await world.only_task(ref, TaskKind.REVIEW)
    assert await told(world) == []


async def test_reminder_is_sent_once_to_whoever_holds_the_task(world: World) -> None:
    rule = {"finish_within_s": 3_600, "remind_before_s": [3_599, 60]}
    await world.open_project(deadlines=limits(rule), lease_s=600)
    ref = await world.checked("s-1", label("a1", "wrong"))
    step = await settle_review(world.database, ref)
    assert step.due_in is not None
    assert step.due_in <= timedelta(seconds=1)
    await world.desk.claim(BEN, (await world.only_task(ref, TaskKind.REVIEW)).task_id)
    before = await world.only_task(ref, TaskKind.REVIEW)
    await wait_until(world, ref, 1)
    for _ in range(2):
        # The next moment is the second reminder, a minute before the deadline.
        due_in = (await escalate_overdue(world.database, ref, 1)).due_in
        assert due_in is not None
        assert timedelta(minutes=58) < due_in < timedelta(minutes=59)
    assert await world.only_task(ref, TaskKind.REVIEW) == before
    (event,) = await told(world)
    assert (event["moment"], event["person"]) == ("reminder", "ben")
    assert before.due_at is not None
    assert event["deadline_at"] == before.due_at.isoformat().replace("+00:00", "Z")
    assert (await world.actions()).count("task.reminded") == 1


async def test_what_the_experts_leave_overdue_goes_to_the_tiers_above_them(world: World) -> None:
    rule = {"start_within_s": 1, "finish_within_s": 2}
    await world.open_project(deadlines=limits(rule, tiers_above_experts=("lead", "owner")))
    ref = await world.checked("s-1", label("a1", "wrong"))
    queues = []
    for _ in range(3):
        await start_now(world, ref)
        for _ in range(2):
            await escalate_overdue(world.database, ref, 1)
        queues.append((await world.only_task(ref, TaskKind.ADJUDICATE)).queue)
    await start_now(world, ref)
    await escalate_overdue(world.database, ref, 1)
    at_the_top = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert [*queues, at_the_top.queue] == ["words.expert", "words.lead", "words.owner", "words.owner"]


async def test_a_higher_tier_has_its_own_limits_from_the_moment_it_gets_a_task(world: World) -> None:
    rules = (
        {"queues": ["words"], "finish_within_s": 1},
        {"queues": ["words.expert"], "start_within_s": 60, "finish_within_s": 600, "remind_before_s": [599]},
    )
    await world.open_project(deadlines=limits(*rules))
    ref = await world.checked("s-1", label("a1", "wrong"))
    # Somebody had it, which is no start in the tier above.
    claimed = await world.desk.claim(BEN, (await world.only_task(ref, TaskKind.REVIEW)).task_id)
    await world.desk.release(BEN, claimed.task_id, claimed.fence)
    await due_now(world, ref)
    step = await escalate_overdue(world.database, ref, 1)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert claimed.due_at is not None
    assert task.due_at is not None
    assert task.start_by_at is not None
    assert task.due_at > claimed.due_at + timedelta(seconds=600 - 1)
    assert task.due_at - task.start_by_at == timedelta(seconds=540)
    assert task.fence == task.tier_fence == 1
    # Its reminder is still to come, a second after the move; and it is not late.
    assert step.due_in is not None
    assert step.due_in <= timedelta(seconds=1)
    async with world.database.transaction() as tx:
        summary = [one for one in await tx.review.queues((PROJECT,)) if one.queue == "words.expert"]
        late = await tx.operations.count_tasks(PROJECT, TaskSelection(late_at=await tx.now()))
    assert ([one.overdue for one in summary], late) == ([0], {(): 0})
    # That the first limit was missed stays on record.
    assert [(one["moment"], one["moved_to"]) for one in await told(world)] == [("finish", "words.expert")]
    taken = await world.desk.claim(EXA, task.task_id)
    assert taken.fence > taken.tier_fence


async def test_each_tiers_breach_is_its_own_whatever_the_limits_of_the_one_before(world: World) -> None:
    rules = (
        {"queues": ["words.lead"], "finish_within_s": 3},
        {"finish_within_s": 1},
    )
    await world.open_project(deadlines=limits(*rules, tiers_above_experts=("lead",)))
    ref = await world.checked("s-1", label("a1", "wrong"))
    for _ in range(3):
        await due_now(world, ref)
        await escalate_overdue(world.database, ref, 1)
    breaches = await told(world)
    assert [one.get("moved_to") for one in breaches] == ["words.expert", "words.lead", None]
    assert len({one["moment_key"] for one in breaches}) == 3


async def test_what_is_overdue_goes_where_the_projects_own_queues_take_it_in(world: World) -> None:
    rule = {"start_within_s": 1, "finish_within_s": 2}
    await world.open_project(deadlines=limits(rule, tiers_above_experts=("lead",)))
    board = ReviewQueue(name="board", filter=QueueFilter(stages=("adjudicating",), checks=("wording",)))
    async with world.database.transaction() as tx:
        await tx.queues.put(PROJECT, board)
    ref = await world.checked("s-1", label("a1", "wrong"))
    assert (await world.only_task(ref, TaskKind.REVIEW)).queue == "words"
    queues = []
    for _ in range(2):
        await start_now(world, ref)
        await escalate_overdue(world.database, ref, 1)
        task = await world.only_task(ref, TaskKind.ADJUDICATE)
        # What is re-routed stays where the deadline has sent it.
        queues += [task.queue, place_of_task(task, RULES, (board,)).queue]
    assert queues == ["board", "board", "board.lead", "board.lead"]
    assert [event["moved_to"] for event in await told(world) if "moved_to" in event] == ["board", "board.lead"]


async def change_all(world: World, change: Hold | Release) -> TaskOperation:
    request = OperationRequest(filter=TaskFilter(queues=("words",)), change=change)
    return await TaskOperations(world.database).run(person("olga", Role.OPERATIONS), PROJECT, request)


async def held_while_due(world: World) -> tuple[RevisionRef, ReviewTask]:
    """A review whose time was over while it was on hold, and the task as it was before."""
    await world.open_project(review_within_s=1)
    ref = await world.checked("s-1", label("a1", "wrong"))
    before = await world.only_task(ref, TaskKind.REVIEW)
    await change_all(world, Hold(action="hold", reason="The calibration is being redone."))
    await due_now(world, ref)
    return ref, before


async def late_numbers(world: World) -> tuple[int, int]:
    """Late tasks as the operations view counts them, and as the backlog does."""
    async with world.database.transaction() as tx:
        late = await tx.operations.count_tasks(PROJECT, TaskSelection(open_at=await tx.now(), late_at=await tx.now()))
        (summary,) = [one for one in await tx.review.queues((PROJECT,)) if one.queue == "words"]
    return late[()], summary.overdue


async def test_what_is_on_hold_misses_no_deadline(world: World) -> None:
    ref, before = await held_while_due(world)
    step = await escalate_overdue(world.database, ref, 1)
    kept = await world.only_task(ref, TaskKind.REVIEW)
    assert (kept.queue, kept.due_at, kept.priority) == (before.queue, before.due_at, before.priority)
    assert kept.on_hold_since is not None
    assert await told(world) == []
    assert await late_numbers(world) == (0, 0)
    # It is looked at again when it could be due if it were released now, and not in a loop.
    assert step.due_in == timedelta(hours=1)


@pytest.mark.parametrize("how", ["release", "undo"])
async def test_what_is_released_has_the_time_that_it_had_left_and_an_hour_at_least(world: World, how: str) -> None:
    await world.open_project(review_within_s=7_200)
    ref = await world.checked("s-1", label("a1", "wrong"))
    operation = await change_all(world, Hold(action="hold", reason="why"))
    since = (await world.only_task(ref, TaskKind.REVIEW)).on_hold_since
    # A day on hold, and due in the middle of it; the second one had no time left when it was held.
    for before, left in ((timedelta(hours=2), timedelta(hours=2)), (timedelta(hours=-3), timedelta(hours=1))):
        if before < timedelta(0):
            operation = await change_all(world, Hold(action="hold", reason="why"))
            since = (await world.only_task(ref, TaskKind.REVIEW)).on_hold_since
        assert since is not None
        held_at = since - timedelta(days=1)
        async with world.database._engine.begin() as connection:
            await connection.execute(
                text("UPDATE review_tasks SET on_hold_since = :since, due_at = :due"),
                {"since": held_at, "due": held_at + before},
            )
        if how == "undo":
            await TaskOperations(world.database).undo(person("olga", Role.OPERATIONS), PROJECT, operation.operation_id)
        else:
            operation = await change_all(world, Release(action="release"))
        async with world.database.transaction() as tx:
            now = await tx.now()
        task = await world.only_task(ref, TaskKind.REVIEW)
        assert task.due_at is not None
        assert (task.on_hold, task.on_hold_since, task.start_by_at) == (False, None, None)
        assert now + left - timedelta(minutes=1) < task.due_at <= now + left
        await escalate_overdue(world.database, ref, 1)
        assert await told(world) == []


async def test_what_is_released_can_be_late_again(world: World) -> None:
    ref, _ = await held_while_due(world)
    await change_all(world, Release(action="release"))
    async with world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE review_tasks SET due_at = clock_timestamp()"))
    await due_now(world, ref)
    await escalate_overdue(world.database, ref, 1)
    await world.only_task(ref, TaskKind.ADJUDICATE)


async def test_deadlines_of_a_closed_office_are_in_its_next_hours(world: World) -> None:
    async with world.database.transaction() as tx:
        today = await tx.now()
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(today + timedelta(days=3)).weekday()]
    hours = WorkingHours.model_validate({"day": day, "opens": "09:00", "closes": "17:00"})
    await world.open_project(deadlines=limits({"finish_within_s": 3_600}, calendar=WorkingCalendar(hours=(hours,))))
    ref = await world.checked("s-1", label("a1", "wrong"))
    task: ReviewTask = await world.only_task(ref, TaskKind.REVIEW)
    due = (today + timedelta(days=3)).replace(hour=10, minute=0, second=0, microsecond=0)
    assert task.due_at == due


async def test_limits_follow_queue_and_risk(world: World) -> None:
    await world.open_project(
        deadlines=limits({"risks": ["high"], "finish_within_s": 60}, {"queues": ["words"], "finish_within_s": 600})
    )
    took = []
    for sample, risk in (("s-1", "high"), ("s-2", "low")):
        ref = await world.checked(sample, label("a1", "wrong"), context={"risk": risk})
        task = await world.only_task(ref, TaskKind.REVIEW)
        assert task.due_at is not None
        took.append(task.due_at - task.created_at)
    # The deadline counts from a moment before the row is written.
    assert timedelta(seconds=40) < took[0] <= timedelta(seconds=60)
    assert timedelta(seconds=580) < took[1] <= timedelta(seconds=600)
