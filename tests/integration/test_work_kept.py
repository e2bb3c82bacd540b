"""Who holds a task finishes it, and work that is refused is kept: on a real database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.calibration import EarnedSkill
from services.contracts.people import ReviewerProfile
from services.contracts.queues import RequiredSkill
from services.contracts.review import DecisionInput, ReviewTask, TakenTask, TaskKind, TaskState, Verdict
from services.errors import ForbiddenError, SelfReviewError
from services.quality.standing import figures_of
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.review.people import PeopleRegistry
from tests.gold_world import OLGA, open_project
from tests.review_world import OWN, add_sample, lapse, open_task, principal, task_now

RITA = Principal(actor_id="rita", key_id="key-rita", role=Role.REVIEWER, projects=(OWN,))
EVA = principal("eva", Role.EXPERT)
SKILL = "night"
APPROVE, REJECT = Verdict.APPROVE, Verdict.REJECT


def decision(verdict: Verdict, fence: int) -> DecisionInput:
    return DecisionInput(verdict=verdict, fence=fence, note="Look again.")


@pytest.fixture
def desk(database: PostgresDatabase) -> ReviewDesk:
    return ReviewDesk(database)


async def grant(database: PostgresDatabase, *names: str) -> None:
    """Give the person these skills by hand, and no other."""
    skills = tuple(RequiredSkill(name=name, level=1) for name in names)
    await PeopleRegistry(database).put(OLGA, OWN, ReviewerProfile(actor_id="rita", skills=skills))


async def skilled_task(database: PostgresDatabase, sample_id: str = "s-1") -> ReviewTask:
    return await open_task(database, await add_sample(database, sample_id), skill=SKILL)


async def held_without_the_skill(database: PostgresDatabase, desk: ReviewDesk) -> TakenTask:
    """A task that the person took by a skill that was taken from them since."""
    await open_project(database)
    await grant(database, SKILL)
    await skilled_task(database)
    held = await desk.claim_next(RITA, ClaimWish())
    await grant(database)
    return held


async def draft_of(database: PostgresDatabase, task_id: UUID, actor_id: str = "rita") -> dict[str, Any] | None:
    async with database.transaction() as tx:
        draft = await tx.review.draft(task_id, actor_id)
    return None if draft is None else draft.body


async def test_a_skill_lost_by_an_overturned_verdict_does_not_stop_the_task_in_hand(
    database: PostgresDatabase, desk: ReviewDesk
) -> None:
    rule = EarnedSkill(skill=SKILL, level=1, min_answers=5, grant_above=0.9, revoke_below=0.8)
    await open_project(database, earned_skills=(rule,))
    first = await open_task(database, await add_sample(database, "s-0"))
    held = await desk.claim(RITA, first.task_id)
    await desk.decide(RITA, first.task_id, decision(APPROVE, held.fence))
    async with database.transaction() as tx:
        await tx.people.ensure(OWN, "rita")
        await tx.people.measure_skill(OWN, "rita", SKILL, 1, figures_of(9, 9), set_by="concord")
    held = await desk.claim(RITA, (await skilled_task(database)).task_id)
    later = await open_task(database, first.ref, kind=TaskKind.ADJUDICATE)
    taken = await desk.claim(EVA, later.task_id)
    await desk.decide(EVA, later.task_id, decision(REJECT, taken.fence))
    assert [person.skills for person in await PeopleRegistry(database).list(OLGA, OWN)] == [()], "it was taken"
    await desk.decide(RITA, held.task_id, decision(APPROVE, held.fence))
    assert (await task_now(database, held.task_id)).state is TaskState.COMPLETED


async def test_who_holds_a_task_goes_on_and_decides_after_the_skill_was_taken(
    database: PostgresDatabase, desk: ReviewDesk
) -> None:
    held = await held_without_the_skill(database, desk)
    await desk.save_draft(RITA, held.task_id, held.fence, {"note": "half"})
    assert (await desk.evidence(RITA, held.task_id)).draft is not None
    assert (await desk.claim(RITA, held.task_id)).fence == held.fence, "one's own again renews the lease"
    listed, _ = await desk.list_tasks(RITA)
    assert [task.task_id for task in listed] == [held.task_id]
    await desk.decide(RITA, held.task_id, decision(APPROVE, held.fence))
    assert (await task_now(database, held.task_id)).state is TaskState.COMPLETED


async def test_who_gives_a_task_back_does_not_get_it_again_without_the_skill(
    database: PostgresDatabase, desk: ReviewDesk
) -> None:
    held = await held_without_the_skill(database, desk)
    await desk.release(RITA, held.task_id, held.fence)
    with pytest.raises(ForbiddenError):
        await desk.claim(RITA, held.task_id)
    assert (await desk.list_tasks(RITA))[0] == ()


@pytest.mark.parametrize("what", ["decide", "draft"])
async def test_what_comes_after_lease_and_skill_are_over_is_kept(
    database: PostgresDatabase, desk: ReviewDesk, what: str
) -> None:
    held = await held_without_the_skill(database, desk)
    await lapse(database, held.task_id)
    with pytest.raises(ForbiddenError, match="kept as your draft") as refused:
        await send(desk, what, held)
    assert refused.value.facts["draft_kept"] is True
    assert await draft_of(database, held.task_id) == {"verdict": "approve", "note": "Look again."}


@pytest.mark.parametrize("what", ["decide", "draft"])
async def test_what_is_refused_because_the_person_was_excluded_meanwhile_is_kept(
    database: PostgresDatabase, desk: ReviewDesk, what: str
) -> None:
    await open_project(database)
    await open_task(database, await add_sample(database, "s-1"))
    held = await desk.claim_next(RITA, ClaimWish())
    async with database.transaction() as tx:
        await tx.review.exclude_actor(held.task_id, "rita")
    with pytest.raises(SelfReviewError, match="kept as your draft"):
        await send(desk, what, held)
    assert await draft_of(database, held.task_id) == {"verdict": "approve", "note": "Look again."}


@pytest.mark.parametrize("what", ["decide", "draft"])
async def test_nothing_is_kept_of_who_never_had_the_task(
    database: PostgresDatabase, desk: ReviewDesk, what: str
) -> None:
    await open_project(database)
    task = await skilled_task(database)
    held = await desk.claim(EVA.model_copy(update={"skills": (SKILL,), "role": Role.REVIEWER}), task.task_id)
    with pytest.raises(ForbiddenError) as refused:
        await send(desk, what, held)
    assert "draft_kept" not in refused.value.facts
    assert await draft_of(database, held.task_id) is None


async def send(desk: ReviewDesk, what: str, held: TakenTask) -> None:
    if what == "decide":
        await desk.decide(RITA, held.task_id, decision(APPROVE, held.fence))
    else:
        await desk.save_draft(RITA, held.task_id, held.fence, {"verdict": "approve", "note": "Look again."})
