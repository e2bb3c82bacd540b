"""Known labels mixed into the labelling: given unannounced, scored, and told by nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.annotations import Annotation
from services.contracts.calibration import GoldPolicy
from services.contracts.events import LabelsSubmitted
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.quality import GoldAnswer
from services.contracts.records import ProjectConfig
from services.contracts.review import DecisionInput, Evidence, TakenTask, TaskKind, Verdict
from services.errors import PersonPausedError
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.revisions import submit_labels
from services.lifecycle.settle import settle_review
from services.quality.desk import QualityDesk
from services.review.leases import ClaimWish
from services.review.people import PeopleRegistry
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, World, no_models, person

FIRST, ANN, OLGA = person("first", Role.ANNOTATOR), person("ann", Role.ANNOTATOR), person("olga", Role.OPERATIONS)
POLICY = GoldPolicy(rate=0.5, bar=0.9, min_answers=5)
_OWN = re.compile(r'("(?:\w+_)?at":"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[kw]-\d+-\w+)')


def intent(word: str) -> Annotation:
    return Intent(id="i1", stream="note", label=word)


@pytest.fixture
async def world(database: PostgresDatabase) -> World:
    """Samples that ``first`` has labelled, of which the intent is known, and many that wait."""
    made = World(database)
    await made.open_project(annotate="always")
    known = [await waiting(made, f"k-{number}") for number in range(12)]
    for _ in known:
        await submit(made, await made.desk.claim_next(FIRST, ClaimWish()), "refund", FIRST)
    await made.configure(annotate="always", people_see="own_tasks", gold=POLICY)
    for ref in known:
        await settle_review(database, ref)
        answer = GoldAnswer(sample_id=ref.sample_id, labels=(intent("refund"),), complete=True)
        await QualityDesk(database).put_gold(OLGA, PROJECT, answer)
    for number in range(40):
        await waiting(made, f"w-{number}")
    return made


async def waiting(world: World, sample_id: str) -> RevisionRef:
    """A sample that waits to be labelled, about which a model has said something."""
    ref = await world.post(sample_id)
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    async with world.database.transaction() as tx:
        author = Author(kind="model", id="guesser")
        await tx.samples.add_label_set(ref, (intent("guessed"),), origin="prediction", author=author)
    return ref


async def submit(world: World, task: TakenTask, word: str, who: Any = ANN) -> None:
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=(intent(word),))
    await world.desk.decide(who, task.task_id, given)


async def is_probe(world: World, task: TakenTask) -> bool:
    async with world.database.transaction() as tx:
        return await tx.probes.get(task.task_id) is not None


async def next_task(world: World, *, probe: bool) -> TakenTask:
    """Claim until there is a task of the wanted sort; others are labelled rightly."""
    for _ in range(30):
        task = await world.desk.claim_next(ANN, ClaimWish())
        if await is_probe(world, task) is probe:
            return task
        await submit(world, task, "refund")
    raise AssertionError("none came")


async def test_a_known_sample_looks_like_one_that_waits_and_stays_as_it_is(world: World) -> None:
    seen: list[Evidence] = []
    for probe in (False, True):
        task = await next_task(world, probe=probe)
        seen.append(await world.desk.evidence(ANN, task.task_id))
        if probe:
            before = await kept(world, task.ref)
            await submit(world, task, "thanks")
            assert await kept(world, task.ref) == before
        else:
            await submit(world, task, "refund")
    real, known = seen
    assert known.task.ref.sample_id.startswith("k-")
    assert (known.stage, known.annotations, known.decisions) == (Stage.ANNOTATING, (), ())
    assert [one.label for one in known.predictions] == ["guessed"]
    assert _OWN.sub("#", known.model_dump_json()) == _OWN.sub("#", real.model_dump_json())


async def kept(world: World, ref: RevisionRef) -> tuple[Any, ...]:
    async with world.database.transaction() as tx:
        trail = len(await tx.audit.list(PROJECT, after=0, limit=10_000))
        return trail, await tx.samples.label_sets(ref), await tx.review.decisions(ref), await tx.review.tasks_of(ref)


async def test_labels_are_scored_by_person_kind_and_class(world: World) -> None:
    probe = await next_task(world, probe=True)
    await submit(world, probe, "thanks")
    await submit(world, await next_task(world, probe=True), "refund")
    report = await QualityDesk(world.database).report(OLGA, PROJECT, max_samples=100, max_listed=10, bar=0.8)
    people = {one.actor_id: (one.judged, one.right) for one in report.people}
    assert people == {"first": (12, 12), "ann": (2, 1)}
    assert {(one.actor_id, one.check, one.judged) for one in report.by_check} == {
        ("first", "labels/intent", 12), ("ann", "labels/intent", 2),
    }  # fmt: skip
    assert {(one.actor_id, one.label, one.right) for one in report.by_label} == {
        ("first", "refund", 12), ("ann", "refund", 1),
    }  # fmt: skip
    (wrong,) = report.wrong_labels
    assert (wrong.actor_id, wrong.ref, wrong.fault, wrong.known, wrong.said) == (
        "ann", probe.ref, "class", "refund", "thanks",
    )  # fmt: skip
    (mixed,) = [one for one in report.mixed_in if one.actor_id == "ann"]
    assert mixed.given == 2
    # Another known answer scores what was said before again.
    answer = GoldAnswer(sample_id=probe.ref.sample_id, labels=(intent("thanks"),))
    await QualityDesk(world.database).put_gold(OLGA, PROJECT, answer)
    async with world.database._engine.connect() as connection:
        query = text('SELECT "right", "check", finding_kind FROM scored_answers WHERE task_id = :task_id')
        rows = (await connection.execute(query, {"task_id": probe.task_id})).all()
    assert [tuple(row) for row in rows] == [(True, "labels", "intent")]


async def test_labels_that_a_person_made_in_another_tool_are_scored_at_once(world: World) -> None:
    ref = await waiting(world, "t-1")
    answer = GoldAnswer(sample_id=ref.sample_id, labels=(intent("refund"),))
    await QualityDesk(world.database).put_gold(OLGA, PROJECT, answer)
    data = LabelsSubmitted(
        project=PROJECT,
        sample_id=ref.sample_id,
        author=Author(kind="human", id="tess"),
        annotations=(intent("thanks"),),
    )
    async with world.database.transaction() as tx:
        await submit_labels(tx, data, config=ProjectConfig())
    async with world.database._engine.connect() as connection:
        query = text("SELECT \"right\", labels FROM scored_answers WHERE actor_id = 'tess'")
        assert [tuple(row) for row in await connection.execute(query)] == [(False, ["refund"])]


async def test_who_labels_known_samples_wrongly_is_given_no_more_until_they_are_resumed(world: World) -> None:
    given: list[bool] = []
    with pytest.raises(PersonPausedError, match="annotate tasks of queue 'annotate'"):
        await label_wrongly(world, given)
    assert given[-1] is False, "right after a known answer, it would tell which it was"
    (pause,) = (await PeopleRegistry(world.database).get(OLGA, PROJECT, "ann")).paused
    assert (pause.kind, pause.queue, pause.figures.right) == (TaskKind.ANNOTATE, "annotate", 0)
    assert pause.figures.judged == sum(given) >= 5


async def label_wrongly(world: World, given: list[bool]) -> None:
    """Label what comes until nothing does; note which samples were known."""
    for _ in range(40):
        task = await world.desk.claim_next(ANN, ClaimWish())
        given.append(await is_probe(world, task))
        await submit(world, task, "thanks")


async def test_a_sample_of_which_only_a_verdict_is_known_is_not_given_to_label(world: World) -> None:
    desk = QualityDesk(world.database)
    for stored in await desk.list_gold(OLGA, PROJECT, after=None, limit=100):
        answer = GoldAnswer(sample_id=stored.answer.sample_id, verdict=Verdict.APPROVE)
        await desk.put_gold(OLGA, PROJECT, answer)
    for _ in range(10):
        task = await world.desk.claim_next(ANN, ClaimWish())
        assert not await is_probe(world, task)
        await submit(world, task, "refund")
