"""Pauses and earned skills move on with their windows, without a decision of the person."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import SYSTEM_ACTOR
from services.contracts.calibration import (
    EarnedSkill,
    Figures,
    GoldPolicy,
    PersonPause,
    PersonPaused,
    ResumePerson,
    ScoredAnswer,
    paused_event_id,
)
from services.contracts.project_events import PersonResumed
from services.contracts.records import AuditEntry
from services.contracts.review import TaskKind
from services.lifecycle.outgoing import outgoing
from services.quality.rejudging import StandingKeeper
from services.quality.standing import figures_of
from services.review.people import PeopleRegistry
from tests.gold_world import OLGA, open_project
from tests.review_world import OWN

pytestmark = pytest.mark.servers

POLICY = GoldPolicy(rate=0.1, bar=0.9, min_answers=5, window_days=30)
RULE = EarnedSkill(skill="overlap", level=3, min_answers=5, grant_above=0.5, revoke_below=0.5, window_days=90)


async def answered(
    database: PostgresDatabase, number: int, *, right: bool, days_ago: float, actor_id: str = "rex"
) -> list[ScoredAnswer]:
    """So many answers to reviews with a known answer."""
    async with database.transaction() as tx:
        at = await tx.now() - timedelta(days=days_ago)
        scores = [
            ScoredAnswer(
                project=OWN, decision_id=uuid4(), finding_id=f"f-{index}", task_id=uuid4(), actor_id=actor_id,
                queue="spatial", kind=TaskKind.REVIEW, check="lidar_camera", finding_kind="shifted", labels=("car",),
                reference="gold", right=right, decided_at=at,
            )
            for index in range(number)
        ]  # fmt: skip
        await tx.calibration.put_scores([score.decision_id for score in scores], scores)
    return scores


async def paused(database: PostgresDatabase, actor_id: str = "rex") -> None:
    async with database.transaction() as tx:
        await tx.people.ensure(OWN, actor_id)
        pause = PersonPause(
            project=OWN,
            actor_id=actor_id,
            queue="spatial",
            kind=TaskKind.REVIEW,
            figures=figures_of(6, 0),
            bar=POLICY.bar,
            paused_at=await tx.now(),
        )
        await tx.calibration.put_pause(pause)
        told = PersonPaused(**pause.model_dump())
        await tx.outbox.add_about(
            OWN,
            f"reviewers/{actor_id}",
            told.model_dump(mode="json"),
            event_type="concord.reviewer.paused.v1",
            event_id=paused_event_id(told),
        )


async def judge(database: PostgresDatabase) -> None:
    """Have everybody judged, by two at once."""
    keepers = [StandingKeeper(database) for _ in range(2)]
    assert await asyncio.gather(*(keeper.step() for keeper in keepers)) == [False, False]


async def entries(database: PostgresDatabase) -> list[AuditEntry]:
    async with database.transaction() as tx:
        found = await tx.audit.list(OWN, after=0, limit=1_000)
    return [entry for entry in found if entry.action.startswith("reviewer.")]


async def told(database: PostgresDatabase) -> list[str]:
    async with database.transaction() as tx:
        messages = [item for item in await tx.outbox.pending(("event",), limit=1_000) if item.subject]
    assert {message.subject for message in messages} <= {"reviewers/rex"}
    return [outgoing(message).type for message in messages]


async def is_paused(database: PostgresDatabase) -> bool:
    return bool((await PeopleRegistry(database).get(OLGA, OWN, "rex")).paused)


async def test_a_pause_ends_when_its_answers_have_grown_old_and_not_before(database: PostgresDatabase) -> None:
    await open_project(database, POLICY)
    await answered(database, 5, right=False, days_ago=31)
    last = await answered(database, 1, right=False, days_ago=29)
    await paused(database)
    await judge(database)
    assert await is_paused(database), "one of its answers is left"
    async with database.transaction() as tx:
        old = [one.model_copy(update={"decided_at": await tx.now() - timedelta(days=30, hours=1)}) for one in last]
        await tx.calibration.put_scores([one.decision_id for one in old], old)
    await judge(database)
    assert not await is_paused(database)
    [entry] = await entries(database)
    assert (entry.action, entry.actor, entry.body["figures"]["judged"]) == ("reviewer.resumed", SYSTEM_ACTOR, 0)
    assert await told(database) == ["concord.reviewer.paused.v1", PersonResumed.TYPE]
    await judge(database)
    assert len(await entries(database)) == 1


async def test_a_pause_lasts_while_its_answers_say_so_and_ends_when_enough_of_them_do_not(
    database: PostgresDatabase,
) -> None:
    await open_project(database, POLICY)
    scores = await answered(database, 6, right=False, days_ago=3)
    await paused(database)
    await judge(database)
    assert await is_paused(database)
    async with database.transaction() as tx:
        corrected = [score.model_copy(update={"right": True}) for score in scores]
        await tx.calibration.put_scores([score.decision_id for score in corrected], corrected)
    await judge(database)
    assert not await is_paused(database)


async def test_whoever_ends_a_pause_it_is_told(database: PostgresDatabase) -> None:
    await open_project(database, POLICY)
    await paused(database)
    await PeopleRegistry(database).resume(OLGA, OWN, "rex", ResumePerson(queue="spatial"))
    await judge(database)
    assert [(entry.actor, entry.body) for entry in await entries(database)] == [
        ("olga", {"queue": "spatial", "kind": "review"})
    ]
    assert await told(database) == ["concord.reviewer.paused.v1", PersonResumed.TYPE]


async def measured(database: PostgresDatabase, actor_id: str) -> list[tuple[int, Figures | None]]:
    async with database.transaction() as tx:
        known = await tx.people.get(OWN, actor_id)
    return [(grant.level, grant.figures) for grant in (known.skills if known else ()) if grant.source == "measured"]


async def test_skills_are_earned_and_lost_as_answers_grow_old(database: PostgresDatabase) -> None:
    await open_project(database, earned_skills=(RULE,))
    # Rex was wrong, long ago; Ines was right, long ago; Jo is at work.
    for actor_id, first, then in (("rex", False, True), ("ines", True, False), ("jo", False, True)):
        await answered(database, 30, right=first, days_ago=80, actor_id=actor_id)
        await answered(database, 10, right=then, days_ago=0.5 if actor_id == "jo" else 2, actor_id=actor_id)
    await judge(database)
    assert [bool(await measured(database, actor_id)) for actor_id in ("rex", "ines", "jo")] == [False, True, False]
    await a_fortnight_later(database)
    await answered(database, 1, right=True, days_ago=0.5, actor_id="jo")
    await judge(database)
    [(level, figures)] = await measured(database, "rex")
    assert (level, figures is not None and (figures.judged, figures.right)) == (3, (10, 10))
    assert await measured(database, "ines") == []
    assert await measured(database, "jo") == [], "right after an answer, it would tell which was known"
    assert [(entry.action, entry.subject) for entry in await entries(database)] == [
        ("reviewer.skill_earned", "reviewers/ines"),
        ("reviewer.skill_lost", "reviewers/ines"),
        ("reviewer.skill_earned", "reviewers/rex"),
    ]
    await judge(database)
    assert len(await entries(database)) == 3


async def a_fortnight_later(database: PostgresDatabase) -> None:
    async with database._engine.begin() as connection:
        await connection.execute(text("UPDATE scored_answers SET decided_at = decided_at - interval '14 days'"))
