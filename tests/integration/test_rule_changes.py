"""A rule set is tried on stored samples; activated, it does to them what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import uuid4

import httpx
import pytest

from api.app import create_app
from api.services import ApiServices
from infra.client import ApiProblem, ConcordClient
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.findings import LabelPatch, RuleReference
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import Stage
from services.contracts.review import Activity, FindingResolution, TaskKind, Verdict
from services.contracts.rule_changes import ActivationRequest, DryRunRequest
from services.errors import InvalidInputError, NotFoundError
from services.intake.inbox import Inbox
from services.rule_changes.activation import activate
from services.rules.rule_set import RoutingRule
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, RULES, label
from tests.integration.revision_world import updated
from tests.integration.rules_world import BEN, NEW, OLD, ROOT, RulesWorld, by_sample, open_samples, rules_of
from tests.review_world import ApiWorld


@pytest.fixture
async def world(database: PostgresDatabase) -> RulesWorld:
    world = RulesWorld(database)
    await world.open_project(OLD)
    return world


@pytest.mark.parametrize("rule_id", [RULES.id, "other"], ids=["next-version", "another-rule-set"])
async def test_a_dry_run_predicts_exactly_what_activation_then_does(world: RulesWorld, rule_id: str) -> None:
    refs = await open_samples(world)
    before = {name: {item.finding.finding_id for item in await world.findings(ref)} for name, ref in refs.items()}
    rules = NEW.model_copy(update={"id": rule_id})
    made = await world.try_out(rules)
    assert made.counts.samples == made.counts.rechecked == 4
    assert {name: await world.planned(ref) for name, ref in refs.items()} == {
        name: trial.tasks_before for name, trial in by_sample(made).items()
    }, "nothing is changed by trying"

    await world.publish(rules)
    given = ActivationRequest(rule_set=rules.reference, dry_run_id=made.dry_run_id)
    done = await activate(world.database, ROOT, PROJECT, given)
    assert (set(done.rechecked), done.left, done.before) == (set(refs.values()), 0, OLD.reference)
    assert set(await world.signalled()) == set(refs.values())

    appear = disappear = blocking = 0
    tasks: Counter[tuple[str, str]] = Counter()
    for name, ref in refs.items():
        trial = by_sample(made)[name]
        async with world.database.transaction() as tx:
            runs = await tx.samples.check_runs(ref)
        assert (len(runs), runs[-1].rule) == (2, rules.reference)
        # Ids are made of the rule set's id; what a finding is about is not.
        was, now = ({(one.kind, one.annotations): one for one in run.report.findings} for run in runs)
        appear += len(now.keys() - was.keys())
        disappear += len(was.keys() - now.keys())
        blocking += sum(rules.blocks(one) for one in now.values())
        assert len(trial.changes) == sum(
            key not in was or was[key].severity != one.severity for key, one in now.items()
        )
        stored = await world.planned(ref)
        assert stored == trial.tasks_after, name
        assert (await world.stage(ref) is Stage.COMMITTED) == (not stored), name
        tasks.update((task.queue, task.kind.value) for task in stored)
        if rule_id == RULES.id:
            assert {item.finding.finding_id for item in await world.findings(ref)} == before[name] | {
                change.finding_id for change in trial.changes if change.before is None
            }
    assert (appear, disappear, blocking) == (
        made.counts.appear, made.counts.disappear, made.counts.blocking_after,
    ) == (2, 0, 4)  # fmt: skip
    assert made.counts.severity_changed == 4
    assert tasks == {(load.queue, load.kind.value): load.after for load in made.queues if load.after}
    assert made.counts.escalations_after == sum(n for (_, kind), n in tasks.items() if kind == "adjudicate") == 2
    async with world.database.transaction() as tx:
        (entry,) = [
            one for one in await tx.audit.list(PROJECT, after=0, limit=1_000) if one.action == "rule_set.activated"
        ]
    assert entry.body["dry_run"] == {"dry_run_id": str(made.dry_run_id), "counts": made.counts.model_dump()}


async def test_precision_and_recall_are_of_what_people_decided_on_the_labels_as_they_came(world: RulesWorld) -> None:
    await world.decided("true", "wrong", Verdict.FIX)
    for number in range(2):
        await world.decided(f"noise-{number}", "vague", Verdict.APPROVE)
    await world.decided("missed", "vague", Verdict.FIX)
    made = await world.try_out(rules_of(2, {"wrong": "major", "vague": "minor"}))
    assert made.counts.samples == 4
    assert made.counts.rechecked == 0, "what is committed stays as it is"
    wrong, vague = sorted(made.kinds, key=lambda kind: kind.kind, reverse=True)
    assert (wrong.kind, wrong.true, wrong.false) == ("wrong", 1, 0)
    assert wrong.after == wrong.before
    assert (vague.true, vague.false) == (1, 2)
    assert vague.before.precision is not None
    assert vague.before.recall is not None
    assert (vague.before.precision.hits, vague.before.precision.of, vague.before.recall.value) == (1, 3, 1.0)
    assert vague.after.precision is None, "nobody is asked about them any more"
    assert vague.after.recall is not None
    assert (vague.after.recall.hits, vague.after.recall.of) == (0, 1)
    assert (made.counts.tasks_before, made.counts.tasks_after) == (4, 1)


async def test_what_only_later_rules_found_is_missed_by_rules_that_do_not_find_it(world: RulesWorld) -> None:
    ref = await world.checked("late", label("a1", "vague"), label("a2", "odd"))
    await world.publish()
    await activate(world.database, ROOT, PROJECT, ActivationRequest(rule_set=NEW.reference))
    await world.signalled()
    await world.fix(await world.only_task(ref, TaskKind.REVIEW), BEN, "a2", "right")
    await world.follow(ref)
    assert await world.stage(ref) is Stage.COMMITTED
    made = await world.try_out(rules_of(3, {"wrong": "major", "vague": "major"}))
    (odd,) = made.kinds
    assert (odd.kind, odd.true, odd.false) == ("odd", 1, 0)
    assert odd.before.recall is not None
    assert odd.after.recall is not None
    assert (odd.before.recall.hits, odd.after.recall.hits, odd.after.recall.of) == (1, 0, 1)
    assert (made.samples[0].rule_before, made.counts.disappear) == (NEW.reference, 1)


async def test_hours_are_reckoned_from_what_such_tasks_took(world: RulesWorld) -> None:
    ref = await world.decided("done", "vague", Verdict.APPROVE)
    (task,) = await world.tasks(ref)
    async with world.database.transaction() as tx:
        await tx.operations.put_activity(Activity(task_id=task.task_id, actor_id="ben", active_s=360.0))
    made = await world.try_out()
    (load,) = made.queues
    assert (load.queue, load.before, load.after, load.median_active_s) == ("words", 1, 0, 360.0)
    assert made.counts.hours == pytest.approx(-0.1)


async def test_the_budget_goes_to_the_riskiest_and_the_next_call_to_the_rest(world: RulesWorld) -> None:
    refs = await open_samples(world)
    await world.publish()
    tried = await world.try_out(samples=1, order="riskiest")
    assert [trial.ref for trial in tried.samples] == [refs["both"]]
    given = ActivationRequest(rule_set=NEW.reference, budget=1, order="riskiest")
    first = await activate(world.database, ROOT, PROJECT, given)
    assert (first.rechecked, first.left) == ((refs["both"],), 3)
    newest = await activate(world.database, ROOT, PROJECT, given.model_copy(update={"order": "newest"}))
    assert newest.rechecked == (refs["found"],), "of what was not told yet"
    await world.signalled()
    rest = await activate(world.database, ROOT, PROJECT, given.model_copy(update={"budget": 50}))
    assert (set(rest.rechecked), rest.left) == ({refs["graver"], refs["milder"]}, 2)


@pytest.mark.parametrize("order", ["newest", "riskiest"])
async def test_the_budget_is_spent_however_many_samples_before_can_not_be_checked_again(
    world: RulesWorld, monkeypatch: pytest.MonkeyPatch, order: Literal["newest", "riskiest"]
) -> None:
    refs = await open_samples(world)
    for name in ("both", "found", "milder"):
        (task, *_) = await world.tasks(refs[name], live=True)
        await world.desk.claim(BEN, task.task_id)
    await world.publish()
    monkeypatch.setattr("services.rule_changes.activation._A_PAGE", 2)
    given = ActivationRequest(rule_set=NEW.reference, budget=4, order=order)
    done = await activate(world.database, ROOT, PROJECT, given)
    assert (done.rechecked, done.left) == ((refs["graver"],), 3)


@pytest.mark.parametrize("order", ["newest", "riskiest"])
async def test_pages_of_candidates_leave_none_out_and_give_none_twice(
    world: RulesWorld, order: Literal["newest", "riskiest"]
) -> None:
    refs = await open_samples(world)
    await world.checked("high", label("a1", "wrong"), context={"risk": "high"})
    await world.checked("medium", label("a1", "wrong"), context={"risk": "medium"})
    wanted: dict[str, Any] = {"project": PROJECT, "stages": tuple(Stage), "riskiest": order == "riskiest"}
    async with world.database.transaction() as tx:
        whole = await tx.samples.checked(**wanted, limit=100)
        pages = [None, *whole[:-1]]
        assert [await tx.samples.checked(**wanted, limit=1, after=after) for after in pages] == [
            (ref,) for ref in whole
        ]
        assert await tx.samples.checked(**wanted, limit=1, after=whole[-1]) == ()
    assert len(whole) == len(refs) + 2


async def test_what_somebody_is_at_work_on_is_left_to_them_and_checked_by_the_new_rules_then(world: RulesWorld) -> None:
    ref = await world.checked("held", label("a1", "vague"), label("a2", "odd"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    claimed = await world.desk.claim(BEN, task.task_id)
    assert [trial.rechecked for trial in (await world.try_out()).samples] == [False]
    await world.publish()
    done = await activate(world.database, ROOT, PROJECT, ActivationRequest(rule_set=NEW.reference))
    assert (done.rechecked, done.left) == ((), 1)
    assert (await world.tasks(ref, live=True))[0].fence == claimed.fence
    await world.decide(task.task_id, BEN, Verdict.APPROVE)
    await world.follow(ref)
    open_ids = {item.finding.kind for item in await world.findings(ref) if item.state == "open"}
    assert open_ids == {"odd"}


async def test_what_people_dismissed_stays_dismissed_under_the_next_version_only(world: RulesWorld) -> None:
    parted = {"routing": (RoutingRule(queue="odd", checks=("wording",)),)}
    ref = await world.checked("two", label("a1", "vague"), label("a2", "wrong"))
    (task,) = await world.tasks(ref, live=True)
    (vague,) = [item.finding.finding_id for item in await world.findings(ref) if item.finding.kind == "vague"]
    kept = FindingResolution(finding_id=vague, verdict=Verdict.APPROVE)
    patch = LabelPatch(upsert=(Intent.model_validate(label("a2", "wrongly")),))
    await world.decide(task.task_id, BEN, Verdict.FIX, patch=patch, resolutions=(kept,))
    await world.follow(ref)
    for rules, asked in (
        (rules_of(2, {"wrong": "major", "vague": "critical"}, **parted), 1),
        (rules_of(2, {"wrong": "major", "vague": "critical"}, id="other", **parted), 2),
    ):
        (trial,) = (await world.try_out(rules)).samples
        assert trial.rechecked
        assert sum(len(planned.finding_ids) for planned in trial.tasks_after) == asked
        await world.publish(rules)
        await activate(world.database, ROOT, PROJECT, ActivationRequest(rule_set=rules.reference))
        await world.signalled()
        assert await world.planned(ref) == trial.tasks_after


async def test_a_dry_run_asks_nobody_what_an_earlier_revision_has_closed(world: RulesWorld) -> None:
    both = rules_of(3, {"wrong": "major", "odd": "major"})
    await world.configure(both)
    first = await world.checked("s", label("a1", "odd"), label("a2", "wrong"))
    await world.decide((await world.only_task(first, TaskKind.REVIEW)).task_id, BEN, Verdict.APPROVE)
    await world.follow(first)
    await world.configure(OLD)
    ref = await updated(world, first, label("a1", "odd"), label("a2", "wrong again"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    made = await world.try_out(both.model_copy(update={"version": 4}))
    (trial,) = made.samples
    assert trial.rechecked
    assert [change.kind for change in trial.changes] == ["odd"]
    assert [planned.finding_ids for planned in trial.tasks_after] == [task.finding_ids]
    assert trial.tasks_after == await world.planned(ref)


async def test_rules_and_dry_runs_that_are_not_there_are_refused(world: RulesWorld) -> None:
    with pytest.raises(NotFoundError, match="rule set"):
        await activate(world.database, ROOT, PROJECT, ActivationRequest(rule_set=RuleReference(id="gone", version=1)))
    await world.publish()
    other = await world.try_out(rules_of(3, {}))
    for dry_run_id in (uuid4(), other.dry_run_id):
        given = ActivationRequest(rule_set=NEW.reference, dry_run_id=dry_run_id)
        with pytest.raises(InvalidInputError, match="no dry run of this rule set"):
            await activate(world.database, ROOT, PROJECT, given)
    assert "rule_set.activated" not in await world.actions()


@pytest.fixture
async def api(world: RulesWorld) -> AsyncIterator[ApiWorld]:
    services = ApiServices(database=world.database, inbox=Inbox(world.database, NoAssets()), runner=world.words)
    transport = httpx.ASGITransport(app=create_app(services), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://concord.test") as http:
        made = ApiWorld(world.database, http)
        await made.key("olga", Role.OPERATIONS, PROJECT)
        await made.key("ada", Role.ADMIN, PROJECT)
        yield made


async def test_over_http_operations_try_and_admins_activate(api: ApiWorld, world: RulesWorld) -> None:
    refs = await open_samples(world)
    await world.publish()

    def client_of(actor_id: str) -> ConcordClient:
        return ConcordClient("http://concord.test", api.secrets[actor_id], transport=api.http._transport)

    async with client_of("olga") as client:
        made = await client.dry_run_rules(PROJECT, DryRunRequest(rule_set=NEW.reference, order="riskiest"))
        assert (made.counts.samples, made.samples[0].ref) == (4, refs["both"])
        given = ActivationRequest(rule_set=NEW.reference, dry_run_id=made.dry_run_id)
        with pytest.raises(ApiProblem) as refused:
            await client.activate_rules(PROJECT, given)
        assert refused.value.status == 403
    async with client_of("ada") as client:
        assert len((await client.activate_rules(PROJECT, given)).rechecked) == 4
        assert (await client.project(PROJECT)).config.rule_set == NEW.reference
