"""Skills that accuracy earns and takes back, and adjudications that a second expert decides."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.calibration import EarnedSkill, SecondOpinions
from services.contracts.people import ReviewerProfile
from services.contracts.quality import GoldAnswer
from services.contracts.queues import RequiredSkill
from services.contracts.review import ReviewTask, TaskKind, Verdict
from services.errors import NoTaskAvailableError
from services.quality.desk import QualityDesk
from services.review.desk import ReviewDesk
from services.review.people import PeopleRegistry
from tests.gold_world import FIRST, OLGA, claim, decide, decision, finish, is_probe, open_project
from tests.review_world import OWN, add_sample, open_task, principal

EVA, IDA = principal("eva", Role.EXPERT), principal("ida", Role.EXPERT)
RULE = EarnedSkill(
    skill="overlap", level=3, checks=("lidar_camera",), min_answers=5, grant_above=0.5, revoke_below=0.45
)


async def answer(database: PostgresDatabase, number: int, verdict: Verdict) -> None:
    """A sample with a known answer, decided by ``first``."""
    sample_id = f"s-{number}"
    await QualityDesk(database).put_gold(OLGA, OWN, GoldAnswer(sample_id=sample_id, verdict=Verdict.APPROVE))
    await finish(database, sample_id, verdict=verdict)


async def actions(database: PostgresDatabase) -> list[Any]:
    async with database._engine.connect() as connection:
        query = text(
            "SELECT action, body::text FROM audit_entries WHERE action LIKE 'reviewer.skill%' ORDER BY sequence"
        )
        return [tuple(row) for row in await connection.execute(query)]


async def test_a_skill_is_earned_by_right_answers_and_lost_by_wrong_ones(database: PostgresDatabase) -> None:
    await open_project(database, earned_skills=(RULE,))
    people = PeopleRegistry(database)
    for number in range(4):
        await answer(database, number, Verdict.APPROVE)
    assert await people.list(OLGA, OWN) == ()
    await answer(database, 4, Verdict.APPROVE)
    assert await people.list(OLGA, OWN) == (), "right after a known answer, it would tell which it was"
    await finish(database, "another-1")
    (first,) = await people.list(OLGA, OWN)
    (grant,) = first.skills
    assert (grant.name, grant.level, grant.source, grant.set_by) == ("overlap", 3, "measured", "concord")
    assert grant.figures is not None
    assert (grant.figures.judged, grant.figures.right, grant.figures.low >= 0.5) == (5, 5, True)

    profile = ReviewerProfile(actor_id="first", skills=(RequiredSkill(name="overlap", level=1),))
    known = await people.put(OLGA, OWN, profile)
    assert {one.source for one in known.skills} == {"granted", "measured"}
    for number in range(5, 25):
        await answer(database, number, Verdict.REJECT)
    await finish(database, "another-2")
    (first,) = await people.list(OLGA, OWN)
    assert [(one.source, one.level) for one in first.skills] == [("granted", 1)], "what was given by hand stays"
    told = await actions(database)
    assert [action for action, _ in told] == ["reviewer.skill_earned", "reviewer.skill_lost"]
    assert '"judged"' in told[1][1]


async def test_a_verdict_on_a_sample_that_was_opened_again_counts_against_who_judged_it_before(
    database: PostgresDatabase,
) -> None:
    await open_project(database, earned_skills=(RULE,))
    for number in range(6):
        ref = await add_sample(database, f"s-{number}")
        look = await open_task(database, ref)
        await _decided(database, look, FIRST, Verdict.APPROVE)
        expert = await open_task(database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert")
        await _decided(database, expert, EVA, Verdict.APPROVE)
    quality = QualityDesk(database)
    report = await quality.report(OLGA, OWN, max_samples=10, max_listed=10, bar=0.8)
    assert {(one.actor_id, one.judged, one.right) for one in report.people} == {("first", 6, 6)}
    people = {one.profile.actor_id: one.levels for one in await PeopleRegistry(database).list(OLGA, OWN)}
    assert people["first"] == {"overlap": 3}

    for number in range(6):
        again = await open_task(database, await add_sample(database, f"s-{number}", revision=2))
        await _decided(database, again, principal("ben", Role.REVIEWER), Verdict.REJECT)
    report = await quality.report(OLGA, OWN, max_samples=20, max_listed=20, bar=0.8)
    assert {(one.actor_id, one.judged, one.right) for one in report.people} == {("first", 6, 0), ("eva", 6, 0)}
    assert {(one.ref.revision, one.expected) for one in report.wrong} == {(1, Verdict.REJECT)}
    people = {one.profile.actor_id: one.levels for one in await PeopleRegistry(database).list(OLGA, OWN)}
    assert people["first"] == {}, "the skill that they earned is lost"


async def _decided(database: PostgresDatabase, task: ReviewTask, who: Principal, verdict: Verdict) -> None:
    held = await ReviewDesk(database).claim(who, task.task_id)
    await ReviewDesk(database).decide(who, task.task_id, decision(verdict, held.fence))


async def test_a_skill_is_earned_only_by_answers_that_its_rule_is_about(database: PostgresDatabase) -> None:
    other = RULE.model_copy(update={"labels": ("bus",)})
    await open_project(database, earned_skills=(other,))
    for number in range(6):
        await answer(database, number, Verdict.APPROVE)
    await finish(database, "another")
    assert await PeopleRegistry(database).list(OLGA, OWN) == ()


async def test_a_verdict_that_an_expert_overturns_later_counts_against_the_reviewer(
    database: PostgresDatabase,
) -> None:
    await open_project(database, earned_skills=(RULE,))
    task = await finish(database, "s-1")
    later = await open_task(database, task.ref, kind=TaskKind.ADJUDICATE)
    held = await ReviewDesk(database).claim(EVA, later.task_id)
    await ReviewDesk(database).decide(EVA, later.task_id, decision(Verdict.REJECT, held.fence))
    async with database._engine.connect() as connection:
        query = text('SELECT actor_id, reference, "right" FROM scored_answers')
        assert [tuple(row) for row in await connection.execute(query)] == [("first", "later_verdict", False)]
    (first,) = (await QualityDesk(database).report(OLGA, OWN, max_samples=9, max_listed=9, bar=0.8)).people
    assert (first.actor_id, first.judged, first.right) == ("first", 1, 0)


async def adjudicate(database: PostgresDatabase, number: int, verdict: Verdict, person: Any = EVA) -> None:
    """A sample whose finding an expert has decided after it was escalated."""
    ref = await add_sample(database, f"s-{number}")
    review = await open_task(database, ref)
    held = await ReviewDesk(database).claim_next(FIRST, _wish("spatial"))
    assert held.task_id == review.task_id
    told = await decide(database, held, Verdict.ESCALATE, FIRST)
    task = await open_task(
        database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert", origin_decision_id=told.decision_id,
        excluded_actors=("author", "first"),
    )  # fmt: skip
    taken = await claim(database, person)
    while await is_probe(database, taken.task_id):
        await decide(database, taken, Verdict.APPROVE, person)
        taken = await claim(database, person)
    assert taken.task_id == task.task_id
    await decide(database, taken, verdict, person)


def _wish(queue: str) -> Any:
    from services.review.leases import ClaimWish

    return ClaimWish(queue=queue)


async def test_a_second_expert_decides_without_knowing_the_first(database: PostgresDatabase) -> None:
    await open_project(database, second_opinions=SecondOpinions(share=1.0))
    await adjudicate(database, 0, Verdict.APPROVE)
    await adjudicate(database, 1, Verdict.ACCEPT_CONFLICT)
    waiting = await open_task(
        database, await add_sample(database, "s-9"), kind=TaskKind.ADJUDICATE, queue="spatial.expert"
    )
    desk = ReviewDesk(database)
    own = await claim(database, EVA)
    assert own.task_id == waiting.task_id, "nobody is asked about their own verdict"
    await desk.release(EVA, own.task_id, own.fence)
    async with database.transaction() as tx:
        before = await tx.review.decisions(waiting.ref.model_copy(update={"sample_id": "s-0"}))
    for sample_id, verdict in (("s-0", Verdict.APPROVE), ("s-1", Verdict.APPROVE)):
        task = await claim(database, IDA)
        assert (task.ref.sample_id, await is_probe(database, task.task_id)) == (sample_id, True)
        seen = await desk.evidence(IDA, task.task_id)
        assert [one.actor_id for one in seen.decisions] == ["first"], "the escalation, and nothing of the first expert"
        assert {item.state for item in seen.findings} == {"open"}
        assert (seen.stage, seen.task.queue) == ("adjudicating", "spatial.expert")
        await decide(database, task, verdict, IDA)
    assert (await claim(database, IDA)).task_id == waiting.task_id, "one second opinion each"
    report = await QualityDesk(database).report(OLGA, OWN, max_samples=9, max_listed=9, bar=0.8)
    assert report.experts is not None
    assert (report.experts.compared, report.experts.agreed) == (2, 1)
    (other,) = report.disagreements
    assert (other.sample_id, other.first_actor, other.first_verdict, other.second_actor, other.second_verdict) == (
        "s-1", "eva", Verdict.ACCEPT_CONFLICT, "ida", Verdict.APPROVE,
    )  # fmt: skip
    async with database.transaction() as tx:
        after = await tx.review.decisions(waiting.ref.model_copy(update={"sample_id": "s-0"}))
    assert after == before, "what was committed stays"


async def test_without_an_adjudication_that_waits_nothing_is_asked_again(database: PostgresDatabase) -> None:
    await open_project(database, second_opinions=SecondOpinions(share=1.0))
    await adjudicate(database, 0, Verdict.APPROVE)
    with pytest.raises(NoTaskAvailableError):
        await claim(database, IDA)
