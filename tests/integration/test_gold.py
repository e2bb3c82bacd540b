"""Known answers mixed into reviews: at a rate, to nobody twice, changing nothing, and a pause for who misses them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.calibration import GoldPolicy, ResumePerson
from services.contracts.people import ReviewerProfile
from services.contracts.quality import GoldAnswer
from services.contracts.review import Verdict
from services.errors import (
    ForbiddenError,
    NoTaskAvailableError,
    PersonPausedError,
    StaleFenceError,
    TaskFinishedError,
)
from services.lifecycle.revisions import withdraw_revision
from services.lifecycle.steps import lock_revision
from services.quality.desk import QualityDesk
from services.quality.mixing import is_gold_turn
from services.review.desk import ReviewDesk
from services.review.people import PeopleRegistry
from tests.gold_world import OLGA, REX, add_gold, add_waiting, claim, decide, is_probe, open_project
from tests.review_world import OWN, principal

ALWAYS = GoldPolicy(rate=0.5, bar=0.9, min_answers=5)
_REAL = ("review_tasks", "decisions", "findings", "label_sets", "drafts", "task_activity", "audit_entries", "outbox",
         "stage_changes", "ground_truth", "sample_revisions")  # fmt: skip


async def counts(database: PostgresDatabase) -> dict[str, str]:
    """A fingerprint of every table that real work is kept in."""
    found: dict[str, str] = {}
    async with database._engine.connect() as connection:
        for table in _REAL:
            query = f"SELECT md5(coalesce(string_agg(entry::text, '' ORDER BY entry::text), '')) FROM {table} AS entry"  # noqa: S608
            found[table] = str(await connection.scalar(text(query)))
    return found


async def next_probe(database: PostgresDatabase, verdict: Verdict = Verdict.APPROVE) -> Any:
    """Work until a known answer comes; real tasks on the way are approved."""
    for _ in range(60):
        task = await claim(database)
        if await is_probe(database, task.task_id):
            return task
        await decide(database, task, verdict)
    raise AssertionError("no known answer came")


async def _work(database: PostgresDatabase, done: list[UUID]) -> None:
    for _ in range(40):
        task = await claim(database)
        await decide(database, task)
        done.append(task.task_id)


async def test_known_answers_come_at_the_turns_that_a_secret_draws(database: PostgresDatabase) -> None:
    await open_project(database, GoldPolicy(rate=0.3))
    await add_gold(database, 20)
    await add_waiting(database, 40)
    seen = []
    for _ in range(30):
        task = await claim(database)
        seen.append(await is_probe(database, task.task_id))
        await decide(database, task)
    async with database.transaction() as tx:
        secret = await tx.probes.secret(OWN)
        (counted,) = await tx.probes.mixed_in(OWN)
    assert seen == [is_gold_turn(secret, "rex", turn, 0.3) for turn in range(1, 31)]
    assert (counted.turns, counted.given, counted.missing) == (30, sum(seen), 0)


async def test_sixteen_claimers_get_their_own_rate_and_nobody_gets_a_known_answer_twice(
    database: PostgresDatabase,
) -> None:
    await open_project(database, GoldPolicy(rate=0.25))
    await add_gold(database, 8)
    await add_waiting(database, 120)
    people = [principal(f"p{number}", Role.REVIEWER) for number in range(16)]

    async def work(person: Any) -> list[tuple[str, str, bool]]:
        had = []
        for _ in range(6):
            task = await claim(database, person)
            had.append((person.actor_id, task.ref.sample_id, await is_probe(database, task.task_id)))
            await decide(database, task, person=person)
        return had

    had = [item for items in await asyncio.gather(*map(work, people)) for item in items]
    known = [(actor, sample) for actor, sample, probe in had if probe]
    assert len(known) == len(set(known)), "nobody twice"
    real = [sample for _, sample, probe in had if not probe]
    assert len(real) == len(set(real)), "no real task is decided twice"
    async with database.transaction() as tx:
        secret = await tx.probes.secret(OWN)
        mixed = {one.actor_id: one for one in await tx.probes.mixed_in(OWN)}
    given = Counter(actor for actor, _ in known)
    for person in people:
        one = mixed[person.actor_id]
        due = sum(is_gold_turn(secret, person.actor_id, turn, 0.25) for turn in range(1, one.turns + 1))
        assert (one.turns, one.given, one.given + one.missing) == (6, given[person.actor_id], due)


async def test_a_known_answer_changes_nothing_that_real_work_is_kept_in(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 30, Verdict.REJECT)
    await add_waiting(database, 60)
    desk = ReviewDesk(database)
    task = await next_probe(database)
    before = await counts(database)
    await desk.evidence(REX, task.task_id)
    await desk.heartbeat(REX, task.task_id, task.fence)
    await desk.save_draft(REX, task.task_id, task.fence, {"verdict": "approve"})
    decided = await decide(database, task)
    assert await decide(database, task) == decided, "the same again"
    assert await counts(database) == before
    report = await QualityDesk(database).report(OLGA, OWN, max_samples=100, max_listed=100, bar=0.8)
    wrong = [one for one in report.wrong if one.decision_id == decided.decision_id]
    assert [(one.actor_id, one.verdict, one.expected) for one in wrong] == [("rex", Verdict.APPROVE, Verdict.REJECT)]


async def test_who_gives_tasks_back_draws_no_lots(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 30)
    await add_waiting(database, 30)
    desk = ReviewDesk(database)
    for _ in range(10):
        task = await claim(database)
        for _ in range(3):
            await desk.release(REX, task.task_id, task.fence)
            again = await claim(database)
            assert again.task_id == task.task_id
            task = again
        await decide(database, task)


async def test_a_cap_counts_known_answers_like_all_tasks(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 30)
    await add_waiting(database, 30)
    await PeopleRegistry(database).put(OLGA, OWN, ReviewerProfile(actor_id="rex", max_claims=1))
    await next_probe(database)
    with pytest.raises(NoTaskAvailableError, match="You hold 1 of at most 1 tasks"):
        await claim(database)


async def test_who_misses_known_answers_is_paused_until_they_are_resumed(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 30, Verdict.REJECT)
    await add_waiting(database, 90)
    desk, people = ReviewDesk(database), PeopleRegistry(database)
    held = await claim(database)
    while await is_probe(database, held.task_id):
        await decide(database, held)
        held = await claim(database)
    done: list[UUID] = []
    with pytest.raises(PersonPausedError) as refused:
        await _work(database, done)
    assert not await is_probe(database, done[-1]), "right after a known answer, it would tell which it was"
    assert refused.value.detail == (
        "You are given no review tasks of queue 'spatial' for now; ask whoever runs the project."
    )
    with pytest.raises(StaleFenceError):
        await desk.heartbeat(REX, held.task_id, held.fence)
    with pytest.raises(PersonPausedError):
        await desk.claim(REX, held.task_id)
    (pause,) = (await people.get(OLGA, OWN, "rex")).paused
    assert (pause.queue, pause.figures.right, pause.figures.judged >= 5, pause.figures.high < 0.9) == (
        "spatial", 0, True, True,
    )  # fmt: skip
    report = await QualityDesk(database).report(OLGA, OWN, max_samples=100, max_listed=0, bar=0.8)
    assert pause in report.paused
    async with database._engine.connect() as connection:
        told = (
            await connection.execute(text("SELECT body::text FROM outbox WHERE body::text LIKE '%rex%paused_at%'"))
        ).all()
        audit = await connection.scalar(
            text("SELECT count(*) FROM audit_entries WHERE action = 'reviewer.paused' AND subject = 'reviewers/rex'")
        )
    assert (len(told), audit) == (1, 1)
    assert "known-" not in told[0][0]

    resumed = await people.resume(OLGA, OWN, "rex", ResumePerson(queue="spatial"))
    assert resumed.paused == ()
    task = await next_probe(database)
    await decide(database, task)
    assert (await people.get(OLGA, OWN, "rex")).paused == (), "what was missed before counts no more"


async def test_another_known_answer_scores_those_given_before_again(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 30, Verdict.REJECT)
    await add_waiting(database, 30)
    task = await next_probe(database)
    await decide(database, task)
    desk = QualityDesk(database)
    await desk.put_gold(OLGA, OWN, GoldAnswer(sample_id=task.ref.sample_id, verdict=Verdict.APPROVE))
    async with database._engine.connect() as connection:
        query = text('SELECT "right" FROM scored_answers WHERE task_id = :task_id')
        assert (await connection.execute(query, {"task_id": task.task_id})).scalars().all() == [True]


async def test_a_withdrawn_sample_is_taken_out_of_peoples_hands(database: PostgresDatabase) -> None:
    await open_project(database, ALWAYS)
    await add_gold(database, 20)
    await add_waiting(database, 30)
    task = await next_probe(database)
    async with database.transaction() as tx:
        revision = await lock_revision(tx, task.ref)
        await withdraw_revision(tx, revision, "source:upstream", "The driver asked for it.")
    with pytest.raises(TaskFinishedError, match="This task is cancelled"):
        await ReviewDesk(database).heartbeat(REX, task.task_id, task.fence)
    with pytest.raises(ForbiddenError, match="cancelled"):
        await ReviewDesk(database).evidence(REX, task.task_id)
