"""One of several annotators hands the sample to an expert: what the others said goes there, nobody else is asked."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.review import DecisionInput, ReviewTask, TaskKind, TaskState, Verdict
from services.errors import NoTaskAvailableError, SelfReviewError
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.leases import ClaimWish
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, AnswersRunner, World, no_models, person

PEOPLE = [person(f"p{number}", Role.ANNOTATOR) for number in range(6)]
EXA = person("exa", Role.EXPERT)

pytestmark = pytest.mark.servers


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def prepared(world: World, **overlap: Any) -> RevisionRef:
    await world.open_project(annotate="always", overlap=overlap)
    ref = await world.post("s-1")
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    return ref


def intents(*words: str) -> tuple[Annotation, ...]:
    return tuple(Intent(id=f"i{number}", stream="note", label=word) for number, word in enumerate(words))


async def take(world: World, who: Principal) -> ReviewTask:
    """Claim an answer for a person."""
    seen = await world.desk.claim_next(who, ClaimWish(kinds=(TaskKind.ANNOTATE,)))
    async with world.database.transaction() as tx:
        task = await tx.review.task(seen.task_id)
    assert task is not None
    return task


async def say(world: World, who: Principal, task: ReviewTask, *words: str) -> None:
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=intents(*words))
    await world.desk.decide(who, task.task_id, given)


async def answer(world: World, who: Principal, *words: str) -> None:
    await say(world, who, await take(world, who), *words)


async def escalate(world: World, who: Principal) -> None:
    task = await take(world, who)
    given = DecisionInput(verdict=Verdict.ESCALATE, fence=task.fence, note="This needs somebody who knows the law.")
    await world.desk.decide(who, task.task_id, given)


async def origins(world: World, ref: RevisionRef) -> list[str]:
    async with world.database.transaction() as tx:
        return [labels.origin for labels in await tx.samples.label_sets(ref)]


async def states(world: World, ref: RevisionRef) -> list[TaskState]:
    return sorted(task.state for task in await world.tasks(ref) if task.kind is TaskKind.ANNOTATE)


async def test_the_answers_given_are_joined_for_the_expert_and_nobody_else_is_asked(world: World) -> None:
    ref = await prepared(world, answers=4, max_answers=6)
    await answer(world, PEOPLE[0], "thanks")
    await answer(world, PEOPLE[1], "greeting")
    await escalate(world, PEOPLE[2])
    step = await settle_review(world.database, ref)
    assert (step.stage, step.next_step, step.open_tasks) == (Stage.ADJUDICATING, NextStep.WAIT, 1)
    assert await states(world, ref) == [TaskState.CANCELLED, *[TaskState.COMPLETED] * 3]
    with pytest.raises(NoTaskAvailableError):
        await take(world, PEOPLE[3])
    assert await origins(world, ref) == ["annotator", "annotator", "consensus"]
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert set(task.excluded_actors) == {"p0", "p1", "p2"}
    await world.desk.claim(EXA, task.task_id)
    seen = await world.desk.evidence(EXA, task.task_id)
    said = sorted(one.label.label for one in seen.answers if one.label is not None)
    assert said == ["greeting", "thanks"]
    assert not any(name in one.model_dump_json() for one in seen.answers for name in ("p0", "p1"))
    assert any(decision.note and "the law" in decision.note for decision in seen.decisions)
    # Again, it is neither joined nor asked a second time.
    await settle_review(world.database, ref)
    assert len(await origins(world, ref)) == 3
    assert (await world.only_task(ref, TaskKind.ADJUDICATE)).task_id == task.task_id


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.FIX])
async def test_what_the_expert_says_of_the_whole_settles_what_people_did_not_agree_on(
    world: World, verdict: Verdict
) -> None:
    ref = await prepared(world, answers=3)
    await answer(world, PEOPLE[0], "thanks", "yes")
    await answer(world, PEOPLE[1], "greeting", "no")
    await escalate(world, PEOPLE[2])
    await settle_review(world.database, ref)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    patch = {"patch": LabelPatch(upsert=intents("complaint"))} if verdict is Verdict.FIX else {}
    await world.decide(task.task_id, EXA, verdict, **patch)
    await settle_review(world.database, ref)
    step = await check_alignment(world.database, AnswersRunner(), ref)
    assert (step.stage, step.next_step) == (Stage.ACCEPTED, NextStep.COMMIT)
    await commit_ground_truth(world.database, ref, workflow_run_id="run-1")
    async with world.database.transaction() as tx:
        decisions = await tx.review.decisions(ref)
    assert [decision.actor_id for decision in decisions] == ["p0", "p1", "p2", "exa"]
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_who_works_on_an_answer_finishes_it_before_the_expert_is_asked(world: World) -> None:
    ref = await prepared(world, answers=4)
    await answer(world, PEOPLE[0], "thanks")
    held = await take(world, PEOPLE[1])
    await escalate(world, PEOPLE[2])
    step = await settle_review(world.database, ref)
    assert (step.stage, step.next_step, step.open_tasks) == (Stage.ANNOTATING, NextStep.ANNOTATE, 1)
    assert held.lease_expires_at is not None
    assert step.due_in is not None
    assert step.due_in <= held.lease_expires_at - held.created_at, "it is looked at when the lease is over"
    await say(world, PEOPLE[1], held, "thanks")
    assert (await settle_review(world.database, ref)).stage is Stage.ADJUDICATING
    assert await origins(world, ref) == ["annotator", "annotator", "consensus"]
    await world.only_task(ref, TaskKind.ADJUDICATE)


async def test_an_answer_that_its_holder_left_keeps_the_expert_waiting_no_longer_than_the_lease(world: World) -> None:
    ref = await prepared(world, answers=3)
    await answer(world, PEOPLE[0], "thanks")
    held = await take(world, PEOPLE[1])
    await escalate(world, PEOPLE[2])
    assert (await settle_review(world.database, ref)).next_step is NextStep.ANNOTATE
    async with world.database._engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE review_tasks SET lease_expires_at = clock_timestamp() WHERE task_id = $1", (held.task_id,)
        )
    # The workflow's timer fires, and asks for what is overdue.
    step = await escalate_overdue(world.database, ref, 1)
    assert (step.stage, step.next_step) == (Stage.ADJUDICATING, NextStep.WAIT)
    assert await states(world, ref) == [TaskState.CANCELLED, TaskState.COMPLETED, TaskState.COMPLETED]
    assert await origins(world, ref) == ["annotator"], "one answer is nothing to join; it is the expert's to begin with"


async def test_two_who_ask_for_an_expert_get_one(world: World) -> None:
    ref = await prepared(world, answers=3)
    tasks = [await take(world, who) for who in PEOPLE[:3]]
    for who, task in zip(PEOPLE[:2], tasks[:2], strict=True):
        given = DecisionInput(verdict=Verdict.ESCALATE, fence=task.fence, note="Not mine.")
        await world.desk.decide(who, task.task_id, given)
        await settle_review(world.database, ref)
    await say(world, PEOPLE[2], tasks[2], "thanks")
    assert (await settle_review(world.database, ref)).open_tasks == 1
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    for name in ("p0", "p1", "p2"):
        with pytest.raises(SelfReviewError):
            await world.desk.claim(person(name, Role.EXPERT), task.task_id)
