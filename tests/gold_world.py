"""A small world of reviews with known answers: finished samples, waiting ones, people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.calibration import EarnedSkill, GoldPolicy, SecondOpinions
from services.contracts.quality import GoldAnswer
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import Decision, DecisionInput, ReviewTask, TakenTask, Verdict
from services.quality.desk import QualityDesk
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_world import OWN, add_sample, open_task, principal

OLGA = principal("olga", Role.OPERATIONS)
FIRST = principal("first", Role.REVIEWER)
REX = principal("rex", Role.REVIEWER)


async def open_project(
    database: PostgresDatabase,
    gold: GoldPolicy | None = None,
    *,
    second_opinions: SecondOpinions | None = None,
    earned_skills: tuple[EarnedSkill, ...] = (),
) -> None:
    """Keep the project; with a policy its people see their own tasks only."""
    hidden = gold is not None or second_opinions is not None
    config = ProjectConfig(
        people_see="own_tasks" if hidden else None,
        gold=gold,
        second_opinions=second_opinions,
        earned_skills=earned_skills,
    )
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.projects.add(Project(id=OWN, name=OWN, config=config))


async def finish(
    database: PostgresDatabase, sample_id: str, *, by: Principal = FIRST, verdict: Verdict = Verdict.APPROVE
) -> ReviewTask:
    """A sample whose review somebody has decided."""
    task = await open_task(database, await add_sample(database, sample_id))
    async with database.transaction() as tx:
        held = await tx.review.claim(task.task_id, by.actor_id, timedelta(minutes=5))
    assert held is not None
    await ReviewDesk(database).decide(by, task.task_id, decision(verdict, held.fence))
    return held


async def add_gold(database: PostgresDatabase, count: int, verdict: Verdict = Verdict.APPROVE) -> None:
    """So many finished samples with known answers."""
    for number in range(count):
        await finish(database, f"known-{number}")
        answer = GoldAnswer.model_validate({"sample_id": f"known-{number}", "verdict": verdict})
        await QualityDesk(database).put_gold(OLGA, OWN, answer)


async def add_waiting(database: PostgresDatabase, count: int, **changes: Any) -> None:
    """So many samples whose review waits."""
    for number in range(count):
        await open_task(database, await add_sample(database, f"waiting-{number}"), **changes)


def decision(verdict: Verdict, fence: int) -> DecisionInput:
    """A decision without more than it needs."""
    given: dict[str, Any] = {"verdict": verdict, "fence": fence}
    if verdict in (Verdict.REJECT, Verdict.ESCALATE, Verdict.DISCARD):
        given["note"] = "Look at the left edge."
    if verdict is Verdict.ACCEPT_CONFLICT:
        given["reason_code"] = DEFAULT_RULE_SET.accept_reason_codes[0]
    return DecisionInput.model_validate(given)


async def claim(database: PostgresDatabase, person: Principal = REX, **wish: Any) -> TakenTask:
    """The next task of a person."""
    return await ReviewDesk(database).claim_next(person, ClaimWish(**wish))


async def decide(
    database: PostgresDatabase, task: TakenTask, verdict: Verdict = Verdict.APPROVE, person: Principal = REX
) -> Decision:
    """What the person says of it."""
    return await ReviewDesk(database).decide(person, task.task_id, decision(verdict, task.fence))


async def is_probe(database: PostgresDatabase, task_id: UUID) -> bool:
    """Whether a task is a finished one given again."""
    async with database.transaction() as tx:
        return await tx.probes.get(task_id) is not None
