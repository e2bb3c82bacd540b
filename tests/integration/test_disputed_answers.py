"""What answers do not settle goes to one more person, then to an expert; what they agree on stays accepted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.label_base import Author
from services.contracts.labels_language import EntitySpan
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.quality import GoldAnswer, StoredGoldAnswer
from services.contracts.queues import ReviewQueue
from services.contracts.review import DecisionInput, FindingState, ReviewTask, TaskKind, Verdict
from services.errors import ConcordError, NoTaskAvailableError, SelfReviewError
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.quality.learner import learn_annotators
from services.review.leases import ClaimWish
from services.rules.asking import AskingRules
from services.rules.consensus import ConsensusRules
from services.rules.rule_set import RuleSet
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, RULES, AnswersRunner, World, no_models, person

PEOPLE = [person(f"p{number}", Role.ANNOTATOR) for number in range(40)]
EXPERT = person("expert", Role.EXPERT)
ANNOTATE = ClaimWish(kinds=(TaskKind.ANNOTATE,))


RUNNER = AnswersRunner()


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def prepared(world: World, name: str = "s-1", **changes: Any) -> RevisionRef:
    ref = await world.post(name, **changes)
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    return ref


async def open_project(world: World, rules: RuleSet = RULES, **overlap: Any) -> None:
    await world.open_project(rules, annotate="always", overlap=overlap)


def span(word: str, start: int = 0, name: str = "e1") -> EntitySpan:
    return EntitySpan(id=name, stream="note", label=word, start_char=start, end_char=start + 10)


async def give(world: World, who: Principal, task: ReviewTask, *labels: Annotation) -> None:
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=labels)
    await world.desk.decide(who, task.task_id, given)


async def answer(world: World, who: Principal, *labels: Annotation) -> RevisionRef:
    task = await world.desk.claim_next(who, ANNOTATE)
    await give(world, who, task, *labels)
    await settle_review(world.database, task.ref)
    return task.ref


async def check(world: World, ref: RevisionRef) -> tuple[Stage, NextStep]:
    step = await check_alignment(world.database, RUNNER, ref)
    return step.stage, step.next_step


async def labels(world: World, ref: RevisionRef) -> dict[str, Annotation]:
    async with world.database.transaction() as tx:
        newest = await tx.samples.label_set(ref)
    assert newest is not None
    return {label.id: label for label in newest.annotations}


async def disputed(world: World, **changes: Any) -> tuple[RevisionRef, ReviewTask]:
    """A sample of which one label is agreed on and one is not, with the task of the expert."""
    await open_project(world, answers=2)
    ref = await prepared(world, **changes)
    await answer(world, PEOPLE[0], span("name"), span("place", 50, "e2"))
    await answer(world, PEOPLE[1], span("name"), span("firm", 50, "e2"))
    assert await check(world, ref) == (Stage.ADJUDICATING, NextStep.WAIT)
    return ref, await world.only_task(ref, TaskKind.ADJUDICATE)


async def test_a_label_in_dispute_is_a_finding_that_an_expert_is_asked_about(world: World) -> None:
    ref, task = await disputed(world)
    (finding,) = await world.findings(ref)
    assert (finding.state, finding.blocking) == (FindingState.OPEN, True)
    assert (finding.finding.check, finding.finding.kind) == ("answer_agreement", "disputed_class")
    assert finding.finding.annotations == ("e2",)
    assert task.finding_ids == (finding.finding.finding_id,)


async def test_who_answered_does_not_judge_the_answers(world: World) -> None:
    _, task = await disputed(world)
    assert set(task.excluded_actors) == {"p0", "p1"}
    for who in ("p0", "p1"):
        # Whatever else they may do in the project.
        with pytest.raises(SelfReviewError):
            await world.desk.claim(person(who, Role.EXPERT), task.task_id)


async def test_the_expert_sees_every_answer_and_nobodys_name(world: World) -> None:
    _, task = await disputed(world)
    await world.desk.claim(EXPERT, task.task_id)
    seen = await world.desk.evidence(EXPERT, task.task_id)
    assert [(one.annotation_id, one.label.label if one.label else None) for one in seen.answers] == [
        ("e2", "firm"), ("e2", "place"),
    ]  # fmt: skip
    told = [*seen.answers, *seen.findings]
    assert not any(name in one.model_dump_json() for one in told for name in ("p0", "p1"))


async def test_a_label_that_the_expert_corrects_closes_its_finding_and_the_rest_is_accepted(world: World) -> None:
    ref, task = await disputed(world)
    before = await labels(world, ref)
    await world.decide(task.task_id, EXPERT, Verdict.FIX, patch=LabelPatch(upsert=(span("firm", 50, "e2"),)))
    await settle_review(world.database, ref)
    assert await check(world, ref) == (Stage.ACCEPTED, NextStep.COMMIT)
    (finding,) = await world.findings(ref)
    assert finding.state is FindingState.RESOLVED
    assert finding.fixed_by_label_version is not None
    assert (await labels(world, ref))["e1"] == before["e1"]


async def test_a_label_that_the_expert_approves_stays_decided(world: World) -> None:
    ref, task = await disputed(world)
    await world.decide(task.task_id, EXPERT, Verdict.APPROVE)
    await settle_review(world.database, ref)
    assert await check(world, ref) == (Stage.ACCEPTED, NextStep.COMMIT)
    assert [item.state for item in await world.findings(ref)] == [FindingState.DISMISSED]


@pytest.mark.parametrize("first", [Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT])
async def test_on_a_high_risk_a_second_expert_decides_and_does_not_learn_what_the_first_one_said(
    world: World, first: Verdict
) -> None:
    ref, task = await disputed(world, context={"risk": "high"})
    assert task.caused_by is not None
    assert (task.caused_by.rule, task.caused_by.four_eyes) == ("disputed_answers", False)
    given: dict[Verdict, dict[str, Any]] = {
        Verdict.FIX: {"patch": LabelPatch(upsert=(span("date", 50, "e2"),))},
        Verdict.ACCEPT_CONFLICT: {"reason_code": "ambiguous_scene"},
    }
    decision = await world.decide(task.task_id, EXPERT, first, note="It is heard like this.", **given.get(first, {}))
    assert decision.escalated_by is not None
    assert decision.escalated_by.rule == "four_eyes"
    await settle_review(world.database, ref)
    second = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (second.queue, second.finding_ids) == (task.queue, task.finding_ids)
    with pytest.raises(SelfReviewError):
        await world.desk.claim(EXPERT, second.task_id)
    other = person("second", Role.EXPERT)
    held = await world.desk.claim(other, second.task_id)
    seen = await world.desk.evidence(other, second.task_id)
    assert seen.decisions == ()
    assert [item.state for item in seen.findings] == [FindingState.OPEN]
    told = (held.model_dump_json(exclude_none=True), seen.model_dump_json(exclude_none=True))
    assert not any(word in text for text in told for word in ("heard like this", "ambiguous_scene", '"expert"'))
    await world.desk.decide(other, second.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=held.fence))
    await settle_review(world.database, ref)
    assert await check(world, ref) == (Stage.ACCEPTED, NextStep.COMMIT)
    assert len(await world.tasks(ref)) == 4, "nobody is asked a third time"


async def test_on_a_low_risk_the_expert_has_the_last_word(world: World) -> None:
    ref, task = await disputed(world)
    assert (await world.decide(task.task_id, EXPERT, Verdict.APPROVE)).escalated_by is None
    await settle_review(world.database, ref)
    assert await world.tasks(ref, live=True) == ()


async def test_only_what_is_disputed_goes_on_and_what_was_agreed_stays_as_it_is(world: World) -> None:
    await open_project(world, answers=2, max_answers=4)
    ref = await prepared(world)
    await answer(world, PEOPLE[0], span("name"), span("place", 50, "e2"))
    await answer(world, PEOPLE[1], span("name"), span("firm", 50, "e2"))
    # Both see nothing of the first label: of all four, half would have it, and it would be disputed.
    await answer(world, PEOPLE[2], span("firm", 50, "e2"), span("date", 80, "e3"))
    await answer(world, PEOPLE[3], span("firm", 50, "e2"))
    assert await check(world, ref) == (Stage.ADJUDICATING, NextStep.WAIT)
    now = await labels(world, ref)
    assert {name: label.label for name, label in now.items()} == {"e1": "name", "e2": "firm", "e3": "date"}
    assert now["e1"].confidence == 1.0
    # The second was settled by the third answer; the third label only one of four has.
    assert [item.finding.annotations for item in await world.findings(ref)] == [("e3",)]


async def test_no_further_answer_is_asked_that_is_not_worth_its_price(world: World) -> None:
    dear = RULES.model_copy(update={"asking": AskingRules(price=0.9)})
    await open_project(world, dear, answers=2, max_answers=5)
    ref = await prepared(world)
    await answer(world, PEOPLE[0], span("place"))
    await answer(world, PEOPLE[1], span("firm"))
    assert len(await world.tasks(ref)) == 2
    assert await check(world, ref) == (Stage.ADJUDICATING, NextStep.WAIT)


async def test_the_sample_whose_next_answer_is_worth_more_comes_first(world: World) -> None:
    await open_project(world, answers=3)
    first, second, third = [await prepared(world, f"s-{number}") for number in range(3)]
    # Nothing is known of any: the oldest comes first. Then what was labelled already is worth less, whatever its age.
    assert await answer(world, PEOPLE[0], span("name")) == first
    assert await answer(world, PEOPLE[1], span("name")) == second
    assert await answer(world, PEOPLE[2], span("name")) == third
    assert await answer(world, PEOPLE[3], span("name")) == first
    assert await answer(world, PEOPLE[4], span("place")) == second
    # One more is worth most where two differ, and least where two agree.
    order = [(await world.desk.claim_next(who, ANNOTATE)).ref for who in PEOPLE[5:9]]
    assert order == [second, third, third, first]


async def test_a_graver_risk_comes_first(world: World) -> None:
    await open_project(world, answers=2)
    await prepared(world, "s-low")
    high = await prepared(world, "s-high", context={"risk": "high"})
    assert (await world.desk.claim_next(PEOPLE[0], ANNOTATE)).ref == high


async def test_the_order_by_worth_stays_when_a_queue_begins_to_age(world: World) -> None:
    await open_project(world, answers=2)
    await prepared(world, "s-low")
    high = await prepared(world, "s-high", context={"risk": "high"})
    async with world.database.transaction() as tx:
        await tx.queues.put(PROJECT, ReviewQueue(name="annotate", ageing_per_hour=1.0))
    assert (await world.desk.claim_next(PEOPLE[0], ANNOTATE)).ref == high


async def test_samples_of_a_project_without_overlap_come_in_their_turn(world: World) -> None:
    await world.open_project(annotate="always")
    first = await prepared(world, "s-low")
    await prepared(world, "s-high", context={"risk": "high"})
    assert (await world.desk.claim_next(PEOPLE[0], ANNOTATE)).ref == first


async def joined(world: World, name: str, *words: str) -> RevisionRef:
    """A sample that p0, p1, … called so, which was checked."""
    ref = await prepared(world, name)
    for who, word in zip(PEOPLE, words, strict=False):
        await answer(world, who, span(word))
    await check(world, ref)
    return ref


async def test_how_good_people_are_is_learned_as_answers_are_joined(world: World) -> None:
    await open_project(world, answers=3)
    for number in range(6):
        await joined(world, f"s-{number}", "name", "name", "place")
    async with world.database.transaction() as tx:
        quality = await tx.answers.quality(PROJECT)
    assert quality is not None
    assert (quality.samples, quality.joined, quality.units, quality.known) == (6, 6, 6, 0)
    shares = {(skill.actor_id, skill.label): skill.share for skill in quality.skills}
    assert shares["p2", None] < 0.6 < shares["p0", None]
    again = await learn_annotators(world.database, PROJECT)
    assert again.skills == quality.skills


async def test_known_answers_and_experts_teach_more_than_what_most_said(world: World) -> None:
    await open_project(world, answers=2)
    known = await joined(world, "s-1", "name", "place")
    gold = GoldAnswer(sample_id=known.sample_id, verdict=Verdict.FIX, labels=(span("place", 0, "g"),))
    async with world.database.transaction() as tx:
        given_at = await tx.now()
        await tx.quality.put_gold(StoredGoldAnswer(project=PROJECT, answer=gold, given_by="boss", given_at=given_at))
    quality = await learn_annotators(world.database, PROJECT)
    right = {skill.actor_id: skill.right for skill in quality.skills if skill.label == "place"}
    assert (quality.known, right["p0"], right["p1"]) == (1, 0.0, 1.0)


async def test_the_word_of_who_is_right_more_often_weighs_more_where_the_rules_say_so(world: World) -> None:
    rules = RULES.model_copy(update={"consensus": ConsensusRules(votes="by_skill", min_support=0.3)})
    await open_project(world, rules, answers=3)
    for number in range(30):
        await joined(world, f"s-{number}", "name", "name", "place")
    ref = await joined(world, "s-last", "name", "place", "place")
    async with world.database.transaction() as tx:
        last = await tx.answers.last_joined(ref)
    assert last is not None
    assert last.weights["p0"] > last.weights["p2"]
    (item,) = last.consensus.labels
    assert item.votes["name"] == pytest.approx(last.weights["p0"])


async def test_dozens_at_once_give_exactly_as_many_answers_as_were_asked_for(world: World) -> None:
    await open_project(world, answers=3, max_answers=5)
    refs = [await prepared(world, f"s-{number}") for number in range(4)]
    words = ("name", "place", "firm", "date")

    async def work(number: int, who: Principal) -> bool:
        """Answer until there is nothing to answer; True if there was."""
        answered = False
        while True:
            try:
                task = await world.desk.claim_next(who, ANNOTATE)
                await give(world, who, task, span(words[number % len(words)]))
            except NoTaskAvailableError:
                return answered
            except ConcordError:
                continue
            answered = True
            await asyncio.gather(*(settle_review(world.database, task.ref) for _ in range(2)))

    # Whoever finds nothing leaves, and may be the one whom the answer after that asks.
    while any(await asyncio.gather(*(work(number, who) for number, who in enumerate(PEOPLE)))):
        pass
    for ref in refs:
        await settle_review(world.database, ref)
        async with world.database.transaction() as tx:
            sets = await tx.samples.label_sets(ref)
            last = await tx.answers.last_joined(ref)
        given = [item.author.id for item in sets if item.origin == "annotator"]
        assert last is not None
        assert len(given) == len(set(given)) == last.answers == len(await world.tasks(ref))
        assert 3 <= len(given) <= 5
        # Fewer than the most only where people had settled.
        assert len(given) == 5 or all(item.state != "disputed" for item in last.consensus.labels)
        assert [item.origin for item in sets].count("consensus") == 1


async def test_labels_that_came_without_answers_are_not_judged_by_this(world: World) -> None:
    await world.open_project(annotate="never")
    ref = await prepared(world)
    async with world.database.transaction() as tx:
        await tx.samples.add_label_set(ref, (span("name"),), origin="external", author=Author(kind="human", id="p0"))
    assert (await check_alignment(world.database, RUNNER, ref)).next_step is NextStep.COMMIT
