"""Several people label one sample, on a real Postgres: exactly as many answers as asked for, whatever runs at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.records import LabelSet
from services.contracts.review import DecisionInput, TaskKind, TaskState, Verdict
from services.errors import ConcordError, NoTaskAvailableError, SelfReviewError
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.authorship import count_human_authors
from services.review.leases import ClaimWish
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import World, no_models, person

PEOPLE = [person(f"p{number}", Role.ANNOTATOR) for number in range(8)]


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def prepared(world: World, **overlap: Any) -> RevisionRef:
    await world.open_project(annotate="always", overlap=overlap)
    ref = await world.post("s-1")
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    return ref


def intent(word: str) -> Annotation:
    return Intent(id="i1", stream="note", label=word)


async def answer(world: World, who: Principal, word: str) -> None:
    task = await world.desk.claim_next(who, ClaimWish(kinds=(TaskKind.ANNOTATE,)))
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=(intent(word),))
    await world.desk.decide(who, task.task_id, given)


async def label_sets(world: World, ref: RevisionRef) -> tuple[LabelSet, ...]:
    async with world.database.transaction() as tx:
        return await tx.samples.label_sets(ref)


async def test_each_answer_has_a_task_of_its_own_and_the_answers_are_joined(world: World) -> None:
    ref = await prepared(world, answers=3)
    assert [task.kind for task in await world.tasks(ref, live=True)] == [TaskKind.ANNOTATE] * 3
    for who, word in zip(PEOPLE, ("thanks", "thanks", "greeting"), strict=False):
        assert (await settle_review(world.database, ref)).next_step is NextStep.ANNOTATE
        await answer(world, who, word)
    step = await settle_review(world.database, ref)
    assert (step.next_step, step.stage) == (NextStep.CHECK, Stage.ANNOTATING)
    joined = (await label_sets(world, ref))[-1]
    assert (joined.origin, joined.author.kind, [label.label for label in joined.annotations]) == (
        "consensus", "consensus", ["thanks"],
    )  # fmt: skip
    assert joined.annotations[0].confidence == pytest.approx(2 / 3)
    # Again, nothing more is made of them; the checks judge what was joined.
    await settle_review(world.database, ref)
    assert len(await label_sets(world, ref)) == 4
    await check_alignment(world.database, world.runner, ref)
    async with world.database.transaction() as tx:
        run = await tx.samples.last_check_run(ref)
    assert run is not None
    assert run.label_version == joined.version


async def test_the_checks_do_not_run_before_the_answers_are_joined(world: World) -> None:
    ref = await prepared(world, answers=2)
    for who in PEOPLE[:2]:
        await answer(world, who, "thanks")
    step = await check_alignment(world.database, world.runner, ref)
    assert (step.next_step, world.runner.runs) == (NextStep.CHECK, 0)
    assert (await label_sets(world, ref))[-1].origin == "consensus"
    await check_alignment(world.database, world.runner, ref)
    assert world.runner.runs == 1


async def test_nobody_answers_twice(world: World) -> None:
    ref = await prepared(world, answers=2)
    first, second = await world.tasks(ref, live=True)
    # Both by their ids, before either is answered.
    fences = [(await world.desk.claim(PEOPLE[0], task.task_id)).fence for task in (first, second)]
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=fences[0], annotations=(intent("thanks"),))
    await world.desk.decide(PEOPLE[0], first.task_id, given)
    again = DecisionInput(verdict=Verdict.SUBMIT, fence=fences[1], annotations=(intent("greeting"),))
    with pytest.raises(SelfReviewError, match="labelled this sample already"):
        await world.desk.decide(PEOPLE[0], second.task_id, again)
    await world.desk.release(PEOPLE[0], second.task_id, fences[1])
    with pytest.raises(SelfReviewError):
        await world.desk.claim(PEOPLE[0], second.task_id)
    with pytest.raises(NoTaskAvailableError):
        await world.desk.claim_next(PEOPLE[0], ClaimWish())


async def test_an_answer_is_given_without_sight_of_the_others(world: World) -> None:
    ref = await prepared(world, answers=2)
    await answer(world, PEOPLE[0], "thanks")
    task = await world.desk.claim_next(PEOPLE[1], ClaimWish())
    seen = await world.desk.evidence(PEOPLE[1], task.task_id)
    assert (seen.annotations, seen.decisions, seen.label_version) == ((), (), 0)
    assert task.ref == ref


async def test_exactly_as_many_answers_as_asked_for_whoever_comes_at_once(world: World) -> None:
    ref = await prepared(world, answers=3)

    async def try_to_answer(who: Principal) -> bool:
        try:
            await answer(world, who, "thanks")
        except ConcordError:
            return False
        return True

    given = await asyncio.gather(*(try_to_answer(who) for who in PEOPLE))
    assert sum(given) == 3
    await asyncio.gather(*(settle_review(world.database, ref) for _ in range(6)))
    sets = await label_sets(world, ref)
    assert [item.origin for item in sets] == ["annotator"] * 3 + ["consensus"]
    assert len({item.author.id for item in sets[:3]}) == 3


async def test_one_more_is_asked_at_a_time_while_people_agree_too_little(world: World) -> None:
    ref = await prepared(world, answers=2, max_answers=4)
    words = ("thanks", "greeting", "complaint", "thanks")
    for number, (who, word) in enumerate(zip(PEOPLE, words, strict=False), start=1):
        await answer(world, who, word)
        steps = await asyncio.gather(*(settle_review(world.database, ref) for _ in range(5)))
        wanted = NextStep.CHECK if number == 4 else NextStep.ANNOTATE
        assert {step.next_step for step in steps} == {wanted}
        tasks = await world.tasks(ref)
        assert len(tasks) == max(2, min(4, number + 1))
        assert sum(task.state is not TaskState.COMPLETED for task in tasks) == len(tasks) - number
    further = (await world.tasks(ref))[2]
    assert further.reason is not None
    assert "agree too little" in further.reason
    assert set(further.excluded_actors) == {"p0", "p1"}
    joined = (await label_sets(world, ref))[-1]
    assert [label.label for label in joined.annotations] == ["thanks"]
    assert joined.annotations[0].confidence == pytest.approx(0.5)


async def test_who_agrees_at_once_is_not_asked_again(world: World) -> None:
    ref = await prepared(world, answers=2, max_answers=5)
    for who in PEOPLE[:2]:
        await answer(world, who, "thanks")
    assert (await settle_review(world.database, ref)).next_step is NextStep.CHECK
    assert len(await world.tasks(ref)) == 2


async def test_all_who_answered_made_what_was_joined(world: World) -> None:
    ref = await prepared(world, answers=2)
    for who, word in zip(PEOPLE, ("thanks", "greeting"), strict=False):
        await answer(world, who, word)
    await settle_review(world.database, ref)
    sets = await label_sets(world, ref)
    names = [label.id for label in sets[-1].annotations]
    assert set(count_human_authors(sets, names)) == {"p0", "p1"}


async def test_a_sample_that_is_not_chosen_is_labelled_once(world: World) -> None:
    ref = await prepared(world, answers=3, share=0.0)
    await answer(world, PEOPLE[0], "thanks")
    assert (await settle_review(world.database, ref)).next_step is NextStep.CHECK
    assert [item.origin for item in await label_sets(world, ref)] == ["annotator"]
