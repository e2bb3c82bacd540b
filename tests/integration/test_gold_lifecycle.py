"""A committed sample given again: seen as it was before, whatever became of it, which stays as it is."""

from __future__ import annotations

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.calibration import GoldPolicy
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.quality import GoldAnswer
from services.contracts.review import DecisionInput, Evidence, FindingState, TaskKind, Verdict
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.settle import settle_review
from services.quality.desk import QualityDesk
from services.review.leases import ClaimWish
from tests.integration.lifecycle_world import PROJECT, World, label, person

REX, BEN, OLGA = person("rex"), person("ben"), person("olga", Role.OPERATIONS)


async def committed(world: World, sample_id: str) -> RevisionRef:
    """A sample whose wrong label ben has put right, committed."""
    ref = await world.checked(sample_id, label("a1", "wrong"), label("a2", "greeting"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    await world.fix(task, BEN, "a1", "farewell")
    await settle_review(world.database, ref)
    await check_alignment(world.database, world.runner, ref)
    await commit_ground_truth(world.database, ref, workflow_run_id="run")
    assert await world.stage(ref) is Stage.COMMITTED
    return ref


async def next_evidence(world: World, *, probe: bool) -> Evidence:
    """Claim until there is a task of the wanted sort; others are approved."""
    for _ in range(20):
        task = await world.desk.claim_next(REX, ClaimWish())
        async with world.database.transaction() as tx:
            found = await tx.probes.get(task.task_id) is not None
        if found is probe:
            return await world.desk.evidence(REX, task.task_id)
        await world.desk.decide(REX, task.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=task.fence))
    raise AssertionError("none came")


async def test_a_committed_sample_is_given_as_it_was_and_stays_as_it_is(database: PostgresDatabase) -> None:
    world = World(database)
    await world.open_project()
    known = [await committed(world, f"k-{number}") for number in range(6)]
    await world.configure(people_see="own_tasks", gold=GoldPolicy(rate=0.5))
    for ref in known:
        right = label("a1", "farewell")
        answer = GoldAnswer.model_validate({"sample_id": ref.sample_id, "verdict": "fix", "labels": [right]})
        await QualityDesk(database).put_gold(OLGA, PROJECT, answer)
    for number in range(12):
        await world.checked(f"w-{number}", label("a1", "wrong"), label("a2", "greeting"))

    real = await next_evidence(world, probe=False)
    seen = await next_evidence(world, probe=True)
    assert seen.task.ref in known
    assert (seen.stage, seen.label_version) == (Stage.IN_REVIEW, 1) == (real.stage, real.label_version)
    assert [one.label for one in seen.annotations] == ["wrong", "greeting"] == [one.label for one in real.annotations]
    assert [one.state for one in seen.findings] == [FindingState.OPEN]
    assert [one.finding.message for one in seen.findings] == [one.finding.message for one in real.findings]
    assert (seen.decisions, real.decisions) == ((), ())
    assert (seen.task.queue, seen.task.priority, seen.task.reason) == ("words", 150, real.task.reason)

    ref = seen.task.ref
    async with database.transaction() as tx:
        before = (await tx.ground_truth.get(ref), await tx.samples.label_sets(ref), await tx.review.findings(ref))
        trail = await tx.audit.list(PROJECT, after=0, limit=10_000)
    patch = {"upsert": [label("a1", "farewell")]}
    fixed = DecisionInput.model_validate(
        {"verdict": "fix", "fence": seen.task.fence, "label_version": 1, "patch": patch}
    )
    decided = await world.desk.decide(REX, seen.task.task_id, fixed)
    assert (decided.label_version_before, decided.label_version_after) == (1, 2)
    async with database.transaction() as tx:
        after = (await tx.ground_truth.get(ref), await tx.samples.label_sets(ref), await tx.review.findings(ref))
        assert await tx.audit.list(PROJECT, after=0, limit=10_000) == trail
    assert after == before
    report = await QualityDesk(database).report(OLGA, PROJECT, max_samples=100, max_listed=100, bar=0.8)
    (rex,) = [one for one in report.people if one.actor_id == "rex"]
    assert rex.right == 1, "the labels as the answer left them are those of the known answer"
    assert decided.decision_id not in {one.decision_id for one in report.wrong}
