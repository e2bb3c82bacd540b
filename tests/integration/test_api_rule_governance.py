"""Over HTTP: who owns rule sets, what a project goes by and from when on, and definitions that change rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from api.app import create_app
from api.services import ApiServices
from infra.client import ApiProblem, ConcordClient
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.definition import ProjectDefinition
from services.contracts.records import ProjectSettings
from services.contracts.rule_changes import ActivationRequest, ActivationState, Recheck, ScheduleRequest
from services.intake.inbox import Inbox
from services.rules.rule_set import RuleSet
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT
from tests.integration.rules_world import NEW, OLD, RulesWorld, open_samples, rules_of
from tests.review_world import ApiWorld


@pytest.fixture
async def world(database: PostgresDatabase) -> RulesWorld:
    world = RulesWorld(database)
    await world.open_project(OLD)
    await world.publish()
    return world


@pytest.fixture
async def api(world: RulesWorld) -> AsyncIterator[ApiWorld]:
    services = ApiServices(database=world.database, inbox=Inbox(world.database, NoAssets()), runner=world.words)
    transport = httpx.ASGITransport(app=create_app(services), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://concord.test") as http:
        made = ApiWorld(world.database, http)
        await made.key("anna", Role.ADMIN)
        await made.key("bert", Role.ADMIN)
        await made.key("carl", Role.ADMIN, PROJECT)
        await made.key("olga", Role.OPERATIONS)
        yield made


def client_of(api: ApiWorld, actor_id: str) -> ConcordClient:
    return ConcordClient("http://concord.test", api.secrets[actor_id], transport=api.http._transport)


def definition(rules: RuleSet) -> ProjectDefinition:
    return ProjectDefinition(id=PROJECT, name="Calls", rules=rules, settings=ProjectSettings())


async def audited(api: ApiWorld, project: str, action: str) -> list[dict[str, object]]:
    response = await api.call("anna", "GET", f"/v1/projects/{project}/audit?limit=500")
    assert response.status_code == 200, response.text
    return [entry for entry in response.json()["items"] if entry["action"] == action]


async def test_only_owners_publish_activate_and_name_others(api: ApiWorld) -> None:
    async with client_of(api, "anna") as anna, client_of(api, "bert") as bert, client_of(api, "carl") as carl:
        assert (await bert.rule_set_owners(OLD.id)).owners == ()
        with pytest.raises(ApiProblem, match="concerns every project"):
            await carl.set_rule_set_owners(OLD.id, ("carl",))
        named = await anna.set_rule_set_owners(OLD.id, ("anna", "anna"))
        assert (named.owners, named.changed_by) == (("anna",), "anna")
        assert {item.version: item.owners for item in await bert.rule_sets() if item.id == OLD.id} == {
            1: ("anna",), 2: ("anna",)
        }  # fmt: skip
        wanted = ActivationRequest(rule_set=NEW.reference)
        later = ScheduleRequest(rule_set=NEW.reference, effective_at="2999-01-01T00:00:00Z")
        scheduled = await anna.schedule_rules(PROJECT, later)
        for refused in (
            bert.push_rule_set(rules_of(3, {})),
            bert.activate_rules(PROJECT, wanted),
            bert.schedule_rules(PROJECT, later),
            bert.cancel_activation(PROJECT, scheduled.activation_id),
            bert.set_rule_set_owners(OLD.id, ("bert",)),
        ):
            with pytest.raises(ApiProblem, match="is owned by anna") as problem:
                await refused
            assert problem.value.status == 403
        # What is published already may be named again, as an answer that was lost makes people do.
        await bert.push_rule_set(NEW)
        await anna.set_rule_set_owners(OLD.id, ("anna", "bert"))
        assert (await bert.activate_rules(PROJECT, wanted)).rule_set == NEW.reference
        with pytest.raises(ApiProblem, match="built in"):
            await anna.set_rule_set_owners("default", ("anna",))
        with pytest.raises(ApiProblem, match="no rule set 'gone'"):
            await anna.set_rule_set_owners("gone", ("anna",))
    changes = await audited(api, "concord", "rule_set.owners_changed")
    assert [entry["body"] for entry in changes] == [
        {"before": [], "owners": ["anna"]}, {"before": ["anna"], "owners": ["anna", "bert"]}
    ]  # fmt: skip


async def test_what_a_definition_would_make_of_an_owned_rule_set_is_refused_whole(api: ApiWorld) -> None:
    async with client_of(api, "anna") as anna, client_of(api, "carl") as carl:
        await carl.apply_definition(definition(NEW))
        await anna.set_rule_set_owners(PROJECT, ("anna",))
        before = await carl.project(PROJECT)
        changed = definition(rules_of(1, {"odd": "minor"})).model_copy(update={"purpose": "Else."})
        with pytest.raises(ApiProblem, match="is owned by anna"):
            await carl.apply_definition(changed)
        assert await carl.project(PROJECT) == before
        assert (await anna.apply_definition(changed)).activation is not None


async def test_activations_are_scheduled_listed_and_cancelled(api: ApiWorld) -> None:
    later = ScheduleRequest(rule_set=NEW.reference, effective_at="2999-01-01T00:00:00Z", budget=7)
    async with client_of(api, "carl") as carl, client_of(api, "olga") as olga:
        with pytest.raises(ApiProblem) as refused:
            await olga.schedule_rules(PROJECT, later)
        assert refused.value.status == 403
        made = await carl.schedule_rules(PROJECT, later)
        assert (made.state, made.recheck.budget, made.requested_by) == (ActivationState.SCHEDULED, 7, "carl")
        with pytest.raises(ApiProblem, match="has passed"):
            await carl.schedule_rules(PROJECT, later.model_copy(update={"effective_at": made.requested_at}))
        await carl.activate_rules(PROJECT, ActivationRequest(rule_set=NEW.reference))
        first = await olga.rule_activations(PROJECT, limit=1)
        second = await olga.rule_activations(PROJECT, limit=1, cursor=first.next_cursor)
        assert (first.items, second.items[0].state) == ((made,), ActivationState.ACTIVATED)
        assert second.next_cursor is None
        cancelled = await carl.cancel_activation(PROJECT, made.activation_id)
        assert (cancelled.state, cancelled.cancelled_by) == (ActivationState.CANCELLED, "carl")
        with pytest.raises(ApiProblem) as unknown:
            await carl.rule_activations("gone")
        assert unknown.value.status == 404


async def test_an_apply_with_other_rules_does_what_the_plan_said_and_a_revert_too(
    api: ApiWorld, world: RulesWorld
) -> None:
    refs = await open_samples(world)
    async with client_of(api, "carl") as carl:
        wanted = definition(NEW)
        plan = await carl.plan_definition(wanted)
        assert plan.rules is not None
        tried = plan.rules.dry_run
        assert tried is not None
        assert (plan.rules.before, plan.rules.after) == (OLD.reference, tried.rule_set)
        assert (tried.counts.samples, tried.counts.rechecked) == (4, 4)
        assert await world.signalled() == [], "a plan changes nothing"
        recheck = Recheck(budget=4, order="riskiest", dry_run_id=tried.dry_run_id)
        applied = await carl.apply_definition(wanted, state_sha256=plan.state_sha256, recheck=recheck)
        done = applied.activation
        assert done is not None
        assert (done.rule_set, set(done.rechecked), done.left) == (plan.rules.after, set(refs.values()), 0)
        assert set(await world.signalled()) == set(refs.values())
        for trial in tried.samples:
            assert await world.planned(trial.ref) == trial.tasks_after
            async with world.database.transaction() as tx:
                assert (await tx.samples.check_runs(trial.ref))[-1].rule == done.rule_set
        (entry,) = await audited(api, PROJECT, "project.definition_applied")
        assert entry["body"]["activation_id"] == str(done.activation_id)  # type: ignore[index]

        again = await carl.apply_definition(wanted)
        assert (again.version, again.activation) == (None, None)
        assert len(await audited(api, PROJECT, "rule_set.activated")) == 1

        with pytest.raises(ApiProblem, match="no dry run of this rule set"):
            await carl.revert_definition(PROJECT, 1, recheck=recheck)
        live = [ref for ref in refs.values() if await world.tasks(ref, live=True)]
        back = await carl.revert_definition(PROJECT, 1, recheck=Recheck(budget=50))
        assert back.activation is not None
        assert set(back.activation.rechecked) == set(live)
        listed = await carl.rule_activations(PROJECT)
        assert [(one.before, one.rule_set) for one in listed.items] == [
            (done.rule_set, back.activation.rule_set), (OLD.reference, done.rule_set)
        ]  # fmt: skip


async def test_a_plan_tells_why_rules_were_not_tried_and_tries_none_where_they_stay(
    api: ApiWorld, world: RulesWorld
) -> None:
    await open_samples(world)
    async with client_of(api, "carl") as carl:
        plan = await carl.plan_definition(definition(NEW), samples=0)
        assert plan.rules is not None
        assert (plan.rules.dry_run, plan.rules.not_tried) == (None, "It was not asked for.")
        assert (await carl.plan_definition(definition(OLD))).rules is None
    services = ApiServices(database=world.database, inbox=Inbox(world.database, NoAssets()))
    transport = httpx.ASGITransport(app=create_app(services), raise_app_exceptions=True)
    async with ConcordClient("http://concord.test", api.secrets["carl"], transport=transport) as client:
        plan = await client.plan_definition(definition(NEW))
        assert plan.rules is not None
        assert "runs no checks" in plan.rules.not_tried


async def test_other_rules_by_way_of_the_project_are_refused_with_what_to_do(api: ApiWorld) -> None:
    async with client_of(api, "carl") as carl:
        project = await carl.project(PROJECT)
        config = project.config.model_copy(update={"rule_set": NEW.reference, "lease_s": 77})
        with pytest.raises(ApiProblem, match="concord rules activate") as refused:
            await carl.update_project(project.model_copy(update={"config": config}))
        assert refused.value.status == 422
        assert await carl.project(PROJECT) == project
        same = config.model_copy(update={"rule_set": OLD.reference})
        assert (await carl.update_project(project.model_copy(update={"config": same}))).config.lease_s == 77
