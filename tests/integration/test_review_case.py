"""What a claim and a decision read and write, in how few statements, and that what they read is the newest."""

from __future__ import annotations

import asyncio

import pytest

from infra.db.engine import PostgresDatabase
from infra.db.session import statements_sent
from services.contracts.access import Role
from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.people import ReviewerProfile
from services.contracts.records import ProjectConfig
from services.contracts.review import DecisionInput, TakenTask, TaskKind, TaskState, Verdict
from services.errors import DecisionInvalidError, NoTaskAvailableError, SelfReviewError, TaskFinishedError
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.lock_waits import until_waiting_for_locks
from tests.review_world import OTHER, OWN, add_projects, add_sample, box, open_task, principal

REVIEWER = principal("reviewer", Role.REVIEWER, projects=(OWN,))
EXPERT = principal("expert", Role.EXPERT, projects=(OWN,))


@pytest.fixture
async def ref(database: PostgresDatabase) -> RevisionRef:
    await add_projects(database)
    return await add_sample(database, "s1")


@pytest.fixture
def desk(database: PostgresDatabase) -> ReviewDesk:
    return ReviewDesk(database)


async def test_claim_takes_two_statements_and_decision_four(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    await open_task(database, ref)
    with statements_sent() as claimed:
        task = await desk.claim_next(REVIEWER, ClaimWish())
    with statements_sent() as decided:
        await desk.decide(REVIEWER, task.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=task.fence))
    assert (len(claimed), len(decided)) == (2, 4)


async def test_case_file_says_what_the_single_reads_say(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    first = await open_task(database, ref)
    claimed = await desk.claim(REVIEWER, first.task_id)
    # Numbers whose text an other kind of document would change, and a note that needs escapes.
    labels: tuple[Annotation, ...] = (box("a1", -0.0), box("a9", 1e-7))
    given = DecisionInput(
        verdict=Verdict.FIX, fence=claimed.fence, note='said "no"\n\tü\\', patch=LabelPatch(upsert=labels)
    )
    await desk.decide(REVIEWER, first.task_id, given)
    async with database.transaction() as tx:
        await tx.samples.add_label_set(ref, (box("p1"),), origin="prediction", author=Author(kind="model", id="m"))
    second = await open_task(database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert")
    other = await open_task(database, ref, finding_ids=("f-2",))
    await desk.claim(EXPERT, second.task_id)
    async with database.transaction() as tx:
        file = await tx.review.case_file(second, "expert")
        assert file.findings == await tx.review.findings(ref)
        assert file.decisions == await tx.review.decisions(ref)
        assert file.label_sets == await tx.samples.label_sets(ref)
        assert file.activity == await tx.operations.activity(second.task_id, "expert")
        assert file.activity is not None
        assert (file.rule_set, file.rules) == (DEFAULT_RULE_SET.reference, DEFAULT_RULE_SET)
        assert (await tx.review.case_file(other, "expert")).findings == ()
        assert (await tx.review.case_file(other, "expert")).activity is None
        assert await tx.review.lock_case(second.task_id, (OTHER,)) is None
        assert await tx.review.lock_case(second.task_id, (OWN,)) == (
            await tx.samples.get(ref),
            await tx.review.task(second.task_id),
        )


async def test_decision_that_waited_is_judged_by_what_was_committed_meanwhile(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    task = await open_task(database, ref)
    claimed = await desk.claim(REVIEWER, task.task_id)
    given = DecisionInput(verdict=Verdict.APPROVE, fence=claimed.fence)
    async with database.transaction() as tx:
        await tx.samples.get(ref, lock=True)
        deciding = asyncio.create_task(desk.decide(REVIEWER, task.task_id, given))
        await until_waiting_for_locks(database)
        author = Author(kind="human", id="reviewer")
        await tx.samples.add_label_set(ref, (box("a1", 9.0, author=author),), origin="external", author=author)
    with pytest.raises(SelfReviewError):
        await deciding


async def test_person_who_may_hold_one_task_and_asks_for_many_at_once_gets_one(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    async with database.transaction() as tx:
        await tx.people.put(OWN, ReviewerProfile(actor_id="reviewer", max_claims=1), set_by="olga")
    for number in range(6):
        await open_task(database, ref, finding_ids=(f"f-{number}",))
    results = await asyncio.gather(*(desk.claim_next(REVIEWER, ClaimWish()) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, TakenTask) for result in results) == 1
    refused = [result for result in results if not isinstance(result, TakenTask)]
    assert all(isinstance(result, NoTaskAvailableError) and "at most 1" in result.detail for result in refused)


async def test_decision_goes_by_the_rule_set_that_the_project_has_now(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    changed = DEFAULT_RULE_SET.model_copy(update={"id": "mine", "accept_reason_codes": ("occluded_twice",)})
    old, new = DEFAULT_RULE_SET.accept_reason_codes[0], "occluded_twice"
    tasks = [await open_task(database, ref, finding_ids=(f"f-{number}",)) for number in range(2)]
    for task, (code, other) in zip(tasks, ((old, new), (new, old)), strict=True):
        claimed = await desk.claim(REVIEWER, task.task_id)
        given = {"verdict": "accept_conflict", "fence": claimed.fence}
        with pytest.raises(DecisionInvalidError, match="reason_code"):
            await desk.decide(REVIEWER, task.task_id, DecisionInput.model_validate(given | {"reason_code": other}))
        await desk.decide(REVIEWER, task.task_id, DecisionInput.model_validate(given | {"reason_code": code}))
        async with database.transaction() as tx:
            project = await tx.projects.get(OWN)
            assert project is not None
            await tx.projects.add_rule_set(changed)
            config = ProjectConfig(rule_set=changed.reference)
            await tx.projects.update_config(project.model_copy(update={"config": config}))


async def test_rule_set_that_was_rolled_back_leaves_nothing(database: PostgresDatabase) -> None:
    dropped = DEFAULT_RULE_SET.model_copy(update={"id": "mine", "description": "dropped"})
    kept = dropped.model_copy(update={"description": "kept"})

    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.projects.add_rule_set(dropped)
            assert await tx.projects.rule_set(dropped.reference) == dropped
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with database.transaction() as tx:
        assert await tx.projects.rule_set(dropped.reference) is None
        await tx.projects.add_rule_set(kept)
        assert await tx.projects.rule_set(kept.reference) == kept


async def test_decision_completes_its_task_and_none_is_kept_for_a_cancelled_one(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    open_, cancelled = [await open_task(database, ref, finding_ids=(f"f-{n}",)) for n in range(2)]
    decision = await desk.decide(
        REVIEWER,
        open_.task_id,
        DecisionInput(verdict=Verdict.APPROVE, fence=(await desk.claim(REVIEWER, open_.task_id)).fence),
    )
    async with database.transaction() as tx:
        task = await tx.review.task(open_.task_id)
        assert task is not None
        assert (task.state, task.held_by) == (TaskState.COMPLETED, None)
        await tx.review.close_task(cancelled.task_id, TaskState.CANCELLED)
    other = decision.model_copy(update={"task_id": cancelled.task_id, "decision_id": cancelled.task_id, "fence": 0})
    with pytest.raises(TaskFinishedError):
        async with database.transaction() as tx:
            await tx.review.add_decision(other, {"verdict": "approve"})
    async with database.transaction() as tx:
        assert await tx.review.decisions(ref) == (decision,)
