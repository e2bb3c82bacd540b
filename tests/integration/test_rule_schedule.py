"""Rules that take effect at a moment that lies ahead: once, whoever notices it, and never when they were cancelled."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.alignment import AlignmentActivities
from infra import rule_timer
from infra.db.engine import PostgresDatabase
from infra.rule_timer import RuleTimer
from services.contracts.access import SYSTEM_ACTOR
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport, RuleReference
from services.contracts.lifecycle import CheckInput, NextStep
from services.contracts.manifest import SampleManifest
from services.contracts.records import AuditEntry
from services.contracts.review import TaskKind, TaskState
from services.contracts.rule_changes import ActivationState, RuleActivation, ScheduleRequest
from services.errors import ActivationConflictError, InvalidInputError, NotFoundError
from services.lifecycle.prepare import prepare_sample
from services.rule_changes.schedule import activate_due, activations, cancel, schedule
from services.rules.rule_set import RuleSet
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, label, no_models
from tests.integration.rules_world import NEW, OLD, ROOT, RulesWorld, open_samples, rules_of
from tests.lock_waits import until_waiting_for_locks

AHEAD = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world(database: PostgresDatabase) -> RulesWorld:
    world = RulesWorld(database)
    await world.open_project(OLD)
    await world.publish()
    return world


async def scheduled(world: RulesWorld, rules: RuleSet = NEW, at: datetime = AHEAD, **given: Any) -> RuleActivation:
    request = ScheduleRequest(rule_set=rules.reference, effective_at=at, **given)
    return await schedule(world.database, ROOT, PROJECT, request)


async def let_come(world: RulesWorld, activation: RuleActivation, ago: timedelta = timedelta(seconds=1)) -> None:
    """Let the moment of an activation have come, as if the time until then had passed."""
    at = datetime.now(UTC) - ago
    moved = activation.model_copy(update={"effective_at": at})
    async with world.database._engine.begin() as connection:
        await connection.execute(
            text("UPDATE rule_activations SET effective_at = :at, activation = :document WHERE activation_id = :id"),
            {"at": at, "document": moved.model_dump_json(), "id": activation.activation_id},
        )


async def rules_now(world: RulesWorld) -> RuleReference:
    async with world.database.transaction() as tx:
        project = await tx.projects.get(PROJECT)
    assert project is not None
    return project.config.rule_set


async def kept(world: RulesWorld, activation: RuleActivation) -> RuleActivation:
    async with world.database.transaction() as tx:
        found = await tx.rule_changes.get(PROJECT, activation.activation_id)
    assert found is not None
    return found


async def entries(world: RulesWorld, action: str) -> list[AuditEntry]:
    async with world.database.transaction() as tx:
        return [one for one in await tx.audit.list(PROJECT, after=0, limit=10_000) if one.action == action]


async def test_many_that_notice_the_moment_at_once_activate_the_rules_once(world: RulesWorld) -> None:
    refs = await open_samples(world)
    activation = await scheduled(world, budget=3, order="riskiest")
    assert await activate_due(world.database, PROJECT) == ()
    assert await rules_now(world) == OLD.reference
    await let_come(world, activation)

    done = await asyncio.gather(*(activate_due(world.database, PROJECT) for _ in range(4)))
    (made,) = [one for each in done for one in each]
    assert (made.state, made.before, made.rechecked, made.left) == (ActivationState.ACTIVATED, OLD.reference, 3, 1)
    assert await kept(world, activation) == made
    assert await rules_now(world) == NEW.reference
    told = await world.signalled()
    assert len(told) == 3
    assert refs["both"] in told, "the riskiest first"
    (entry,) = await entries(world, "rule_set.activated")
    assert (entry.actor, entry.body["scheduled_by"], entry.body["rechecked"]) == (SYSTEM_ACTOR, ROOT.actor_id, 3)
    assert await activate_due(world.database, PROJECT) == ()


async def test_an_activation_that_was_interrupted_is_done_whole_the_next_time(world: RulesWorld) -> None:
    ref = await world.checked("one", label("a1", "vague"), label("a2", "odd"))
    activation = await scheduled(world)
    await let_come(world, activation)
    async with world.database.transaction() as tx:
        # The activation has changed the project already when it comes to the sample, and waits for it.
        await tx.samples.lock_sample(PROJECT, ref.sample_id)
        interrupted = asyncio.create_task(activate_due(world.database, PROJECT))
        await until_waiting_for_locks(world.database)
        interrupted.cancel()
        await asyncio.wait({interrupted})
    assert interrupted.cancelled()
    assert await rules_now(world) == OLD.reference
    assert (await kept(world, activation)).state is ActivationState.SCHEDULED
    assert (await world.only_task(ref, TaskKind.REVIEW)).state is TaskState.OPEN, "its task was not taken back"

    (made,) = await activate_due(world.database, PROJECT)
    assert (made.rechecked, await world.signalled()) == (1, [ref])
    assert len(await entries(world, "rule_set.activated")) == 1


async def test_a_timer_does_what_came_due_while_none_ran(world: RulesWorld) -> None:
    first, second = rules_of(3, {"wrong": "minor"}), rules_of(4, {"odd": "major"})
    for rules in (first, second):
        await world.publish(rules)
    later = await scheduled(world, second, AHEAD + timedelta(days=1))
    sooner = await scheduled(world, first)
    await let_come(world, later, timedelta(hours=1))
    await let_come(world, sooner, timedelta(hours=2))
    stop = asyncio.Event()
    timers = [asyncio.create_task(RuleTimer(world.database, look_every_s=0.01).run(stop)) for _ in range(2)]
    async with asyncio.timeout(60):
        while (await kept(world, later)).state is not ActivationState.ACTIVATED:
            continue  # each look waits for the database
    stop.set()
    await asyncio.gather(*timers)
    assert await rules_now(world) == second.reference
    assert [(await kept(world, one)).before for one in (sooner, later)] == [OLD.reference, first.reference]
    assert [entry.body["rule_set"]["version"] for entry in await entries(world, "rule_set.activated")] == [3, 4]


async def test_an_activation_that_fails_stops_no_check_and_is_tried_again(
    world: RulesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await world.post("one", label("a1", "wrong"))
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    rules = rules_of(3, {"odd": "major"})
    await world.publish(rules)
    activation, later = await scheduled(world), await scheduled(world, rules, AHEAD + timedelta(days=1))
    await let_come(world, activation, timedelta(hours=2))
    await let_come(world, later, timedelta(hours=1))

    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a stored document that nobody can read")

    monkeypatch.setattr("services.rule_changes.schedule.switch_rules", fails)
    activities = AlignmentActivities(world.database, world.words)
    step = await ActivityEnvironment().run(activities.check_alignment, CheckInput(ref=ref))
    assert step.next_step is NextStep.WAIT, "checked by the rules that the project goes by"
    failed = await kept(world, activation)
    assert (failed.state, failed.failures, failed.fault) == (ActivationState.SCHEDULED, 1, "defect")
    assert failed.try_again_at is not None
    await RuleTimer(world.database).look()
    assert (await kept(world, activation)).failures == 1, "not before its pause is over"
    monkeypatch.undo()
    await RuleTimer(world.database).look()
    assert await rules_now(world) == OLD.reference, "those after it wait, too"

    await let_come(world, failed.model_copy(update={"try_again_at": None}), timedelta(hours=2))
    await RuleTimer(world.database).look()
    made = await kept(world, activation)
    assert (made.state, made.failures, made.fault) == (ActivationState.ACTIVATED, 1, None)
    assert await rules_now(world) == rules.reference


async def test_a_fault_in_one_project_does_not_end_the_timer(
    world: RulesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation = await scheduled(world)
    await let_come(world, activation)

    async def fails(*_: object) -> None:
        raise RuntimeError("a stored document that nobody can read")

    monkeypatch.setattr(rule_timer, "activate_due", fails)
    await RuleTimer(world.database).look()
    assert (await kept(world, activation)).state is ActivationState.SCHEDULED
    monkeypatch.undo()
    await RuleTimer(world.database).look()
    assert (await kept(world, activation)).state is ActivationState.ACTIVATED


async def test_a_check_goes_by_the_rules_of_its_moment_though_no_timer_runs(world: RulesWorld) -> None:
    activation = await scheduled(world)
    before = await world.checked("before", label("a1", "vague"))
    ref = await world.post("after", label("a1", "odd"))
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    await let_come(world, activation)
    check = AlignmentActivities(world.database, world.words).check_alignment
    await ActivityEnvironment().run(check, CheckInput(ref=ref))
    async with world.database.transaction() as tx:
        assert [run.rule for run in await tx.samples.check_runs(before)] == [OLD.reference]
        assert [run.rule for run in await tx.samples.check_runs(ref)] == [NEW.reference]
    assert (await kept(world, activation)).state is ActivationState.ACTIVATED


async def test_a_check_during_which_the_moment_comes_is_made_again_by_the_new_rules(world: RulesWorld) -> None:
    activation = await scheduled(world)
    ref = await world.post("during", label("a1", "odd"))
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    words = world.words

    class LateRunner:
        """The moment comes while its first run is under way."""

        runs = 0

        async def run(
            self, manifest: SampleManifest, annotations: Any, rules: RuleSet, consensus: Consensus | None = None
        ) -> CheckReport:
            self.runs += 1
            if self.runs == 1:
                await let_come(world, activation)
            return await words.run(manifest, annotations, rules, consensus)

    runner = LateRunner()
    check = AlignmentActivities(world.database, runner).check_alignment
    step = await ActivityEnvironment().run(check, CheckInput(ref=ref))
    assert step.next_step is NextStep.CHECK, "what was found by rules of the past is not kept"
    await ActivityEnvironment().run(check, CheckInput(ref=ref))
    async with world.database.transaction() as tx:
        assert [run.rule for run in await tx.samples.check_runs(ref)] == [NEW.reference]
    assert runner.runs == 2


async def test_what_is_cancelled_does_not_happen(world: RulesWorld) -> None:
    activation = await scheduled(world)
    done = await cancel(world.database, ROOT, PROJECT, activation.activation_id)
    assert (done.state, done.cancelled_by) == (ActivationState.CANCELLED, ROOT.actor_id)
    assert await cancel(world.database, ROOT, PROJECT, activation.activation_id) == done
    await let_come(world, done)
    assert await activate_due(world.database, PROJECT) == ()
    assert await rules_now(world) == OLD.reference
    again = await scheduled(world, at=AHEAD)
    await let_come(world, again)
    await activate_due(world.database, PROJECT)
    with pytest.raises(ActivationConflictError, match="It was done"):
        await cancel(world.database, ROOT, PROJECT, again.activation_id)
    with pytest.raises(NotFoundError):
        await cancel(world.database, ROOT, PROJECT, uuid4())
    actions = await world.actions()
    assert [action for action in actions if action.startswith("rule_set.activ")] == [
        "rule_set.activation_scheduled", "rule_set.activation_cancelled", "rule_set.activation_scheduled",
        "rule_set.activated",
    ]  # fmt: skip


async def test_a_moment_that_has_passed_and_one_that_is_taken_are_refused(world: RulesWorld) -> None:
    with pytest.raises(InvalidInputError, match="has passed") as refused:
        await scheduled(world, at=datetime(2020, 1, 1, tzinfo=UTC))
    assert [place for place, _ in refused.value.places] == ["/effective_at"]
    with pytest.raises(NotFoundError):
        await scheduled(world, rules_of(9, {}))
    await scheduled(world)
    with pytest.raises(ActivationConflictError, match="that very moment"):
        await scheduled(world, OLD)
    listed = await activations(world.database, ROOT, PROJECT, after=None, limit=10)
    assert [(one.rule_set, one.state) for one in listed] == [(NEW.reference, ActivationState.SCHEDULED)]
    assert await rules_now(world) == OLD.reference
