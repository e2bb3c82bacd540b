"""Escalation rules at work on a real Postgres: who is asked, what is kept with task and decision, what stays hidden."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Role
from services.contracts.escalation import EscalationTarget
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.records import AuditEntry
from services.contracts.review import (
    DecisionInput,
    FindingResolution,
    FindingState,
    ReviewTask,
    TaskKind,
    TaskState,
    Verdict,
)
from services.errors import ConcordError, DecisionInvalidError
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.settle import settle_review
from services.rules.escalation import JUDGING, EscalationRule
from services.rules.rule_set import RuleSet
from tests.databases import unguarded
from tests.integration.lifecycle_world import PROJECT, RULES, World, label, person, wording_finding

BEN, EVA = person("ben"), person("eva")
EXA, LIA = person("exa", Role.EXPERT), person("lia", Role.EXPERT)
OPS = person("ops", Role.OPERATIONS)
LEAD = EscalationTarget(tier="lead")
ACCEPTED = EscalationRule(id="accepted", checks=("wording",), verdicts=("accept_conflict",), risks=("low",), to=LEAD)
BLIND = EscalationRule(id="blind", checks=("wording",), verdicts=JUDGING, four_eyes=True)
WHY = {"reason_code": "occlusion"}

pytestmark = pytest.mark.servers


def rules(*escalations: EscalationRule, version: int = 1) -> RuleSet:
    update = {"version": version, "plug_ins": {"wording": {}}, "escalations": escalations}
    return RULES.model_copy(update=update)


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def wrong(world: World, *labels: dict[str, Any], risk: str = "low") -> RevisionRef:
    return await world.checked("s-1", *(labels or (label("a1", "wrong"),)), context={"risk": risk})


async def entries(world: World, action: str) -> list[AuditEntry]:
    async with world.database.transaction() as tx:
        return [one for one in await tx.audit.list(PROJECT, after=0, limit=1_000) if one.action == action]


async def followed_up(world: World, ref: RevisionRef, verdict: Verdict, **given: Any) -> ReviewTask:
    """Let a reviewer decide the only task; return the task that follows."""
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, verdict, **given)
    await settle_review(world.database, ref)
    return await world.only_task(ref, TaskKind.ADJUDICATE)


async def finish(world: World, ref: RevisionRef) -> None:
    """Let the sample be settled, checked and committed."""
    await settle_review(world.database, ref)
    step = await check_alignment(world.database, world.runner, ref)
    assert step.next_step is NextStep.COMMIT
    await commit_ground_truth(world.database, ref, workflow_run_id="run-1")


async def test_a_finding_that_a_rule_fits_goes_past_the_reviewers(world: World) -> None:
    await world.open_project(rules(EscalationRule(id="unsure", below_confidence=0.5, to=LEAD)))
    sure, unsure = ({**label(name, "wrong"), "confidence": value} for name, value in (("a1", 0.8), ("a2", 0.3)))
    ref = await wrong(world, sure, unsure)
    tasks = {task.kind: task for task in await world.tasks(ref, live=True)}
    assert {(kind, task.queue) for kind, task in tasks.items()} == {
        (TaskKind.REVIEW, "words"), (TaskKind.ADJUDICATE, "words.lead"),
    }  # fmt: skip
    assert tasks[TaskKind.REVIEW].caused_by is None
    cause = tasks[TaskKind.ADJUDICATE].caused_by
    assert cause is not None
    assert (cause.rule, cause.rule_set, cause.to) == ("unsure", rules().reference, LEAD)
    facts = cause.facts
    assert (facts.finding_id, facts.check) == (wording_finding("a2").finding_id, "wording")
    assert (facts.finding_kind, facts.severity, facts.confidence) == ("wrong_word", "major", 0.3)
    assert (facts.modalities, facts.domain, facts.risk) == (("text",), "general", "low")
    bodies = [entry.body.get("caused_by") for entry in await entries(world, "task.opened")]
    assert [body["rule"] for body in bodies if body] == ["unsure"]


async def test_the_cause_goes_from_the_verdict_to_the_task_to_its_decision_and_into_the_lineage(
    world: World, database_url: str
) -> None:
    await world.open_project(rules(ACCEPTED))
    ref = await wrong(world)
    task = await followed_up(world, ref, Verdict.ACCEPT_CONFLICT, **WHY)
    assert await world.stage(ref) is Stage.ADJUDICATING
    assert task.caused_by is not None
    assert (task.queue, task.caused_by.rule) == ("words.lead", "accepted")
    assert (task.caused_by.facts.verdict, task.caused_by.facts.severity) == ("accept_conflict", "major")
    # An open second decision shows what was said, and why it is asked for.
    shown = await world.desk.evidence(LIA, task.task_id)
    assert [item.escalated_by for item in shown.decisions] == [task.caused_by]
    assert shown.task.caused_by == task.caused_by
    answer = await world.decide(task.task_id, LIA, Verdict.ACCEPT_CONFLICT, **WHY)
    assert (answer.caused_by, answer.escalated_by) == (task.caused_by, None)
    await finish(world, ref)

    async with world.database.transaction() as tx:
        record = await tx.ground_truth.get(ref)
    assert record is not None
    first, second = record.lineage["decisions"]
    cause = task.caused_by.model_dump(mode="json", exclude_none=True)
    assert ("caused_by" in first, first["escalated_by"]) == (False, cause)
    assert (second["caused_by"], "escalated_by" in second) == (cause, False)
    told = [entry.body for entry in await entries(world, "task.accept_conflict")]
    assert [(body.get("caused_by"), body.get("escalated_by")) for body in told] == [(None, cause), (cause, None)]
    assert (await verify_project(world.database, PROJECT)).faults == ()

    # Neither what caused a decision nor that nothing did can be changed without being found.
    for change in (
        "UPDATE decisions SET caused_by = NULL WHERE caused_by IS NOT NULL",
        "UPDATE decisions SET caused_by = escalated_by WHERE escalated_by IS NOT NULL",
    ):
        async with unguarded(database_url) as connection:
            await connection.execute(change)
        found = {item.kind for item in (await verify_project(world.database, PROJECT)).faults}
        assert {"entry-contradicts-decision", "lineage-mismatch"} <= found


async def test_four_eyes_by_a_rule_hide_the_first_verdict_in_the_cause_too(world: World) -> None:
    await world.open_project(rules(BLIND))
    ref = await wrong(world)
    task = await followed_up(world, ref, Verdict.ACCEPT_CONFLICT, note="The word is heard like this.", **WHY)
    assert task.caused_by is not None
    assert (task.caused_by.rule, task.caused_by.facts.verdict) == ("blind", "accept_conflict")

    (listed,), _ = await world.desk.list_tasks(EXA, state=TaskState.OPEN)
    held = await world.desk.claim(EXA, task.task_id)
    evidence = await world.desk.evidence(EXA, task.task_id)
    answer = await world.desk.decide(EXA, task.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=held.fence))
    again = await world.desk.decide(EXA, task.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=held.fence))
    after = await world.desk.evidence(EXA, task.task_id)
    for seen in (listed, held, evidence, answer, again, after):
        text = seen.model_dump_json(exclude_none=True)
        assert "caused_by" not in text
        assert "accept_conflict" not in text
        assert "ben" not in text
    assert evidence.decisions == after.decisions == ()
    # Who may read the history sees all of it.
    known = await world.desk.evidence(OPS, task.task_id)
    assert known.task.caused_by == task.caused_by
    assert [item.caused_by for item in known.decisions] == [None, task.caused_by]


async def test_high_risk_has_its_four_eyes_by_the_built_in_rule(world: World) -> None:
    await world.open_project()
    ref = await wrong(world, risk="high")
    task = await followed_up(world, ref, Verdict.APPROVE)
    assert task.caused_by is not None
    assert (task.queue, task.caused_by.rule, task.caused_by.four_eyes) == ("words.expert", "four_eyes", True)
    assert (await world.desk.claim(EXA, task.task_id)).caused_by is None


async def test_a_rule_that_goes_past_the_reviewers_leaves_nobody_alone_with_high_risk(world: World) -> None:
    await world.open_project(rules(EscalationRule(id="grave", min_severity="major", to=LEAD)))
    ref = await wrong(world, risk="high")
    first = await world.only_task(ref, TaskKind.ADJUDICATE)
    await world.decide(first.task_id, LIA, Verdict.ACCEPT_CONFLICT, **WHY)
    await settle_review(world.database, ref)
    second = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert second.caused_by is not None
    assert (second.queue, second.caused_by.rule) == ("words.lead", "four_eyes")
    assert "lia" in second.excluded_actors
    assert (await world.desk.claim(EXA, second.task_id)).caused_by is None
    assert (await world.desk.evidence(EXA, second.task_id)).decisions == ()
    await world.decide(second.task_id, EXA, Verdict.ACCEPT_CONFLICT, **WHY)
    await finish(world, ref)
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_reviewers_who_disagree_are_followed_by_an_expert_who_sees_both(world: World) -> None:
    rule = EscalationRule(id="torn", verdicts=JUDGING, risks=("low",), disagrees=True)
    await world.open_project(rules(rule))
    ref = await wrong(world)
    first = await world.only_task(ref, TaskKind.REVIEW)
    await world.fix(first, BEN, "a1", "wrong-too")  # mends nothing, so that somebody else is asked
    await settle_review(world.database, ref)
    await check_alignment(world.database, world.runner, ref)
    second = await world.only_task(ref, TaskKind.REVIEW)
    decision = await world.decide(second.task_id, EVA, Verdict.APPROVE)
    assert decision.escalated_by is not None
    assert (decision.escalated_by.rule, decision.escalated_by.facts.disagrees) == ("torn", True)
    await settle_review(world.database, ref)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    evidence = await world.desk.evidence(EXA, task.task_id)
    assert [item.verdict for item in evidence.decisions] == [Verdict.FIX, Verdict.APPROVE]


async def test_a_rule_is_asked_once_and_under_the_rule_set_of_its_moment(world: World) -> None:
    await world.open_project(rules())
    ref = await wrong(world, label("a1", "wrong"), label("a2", "wrong-2"))
    await world.configure(rules(BLIND, version=2))
    task = await followed_up(world, ref, Verdict.APPROVE)
    assert task.caused_by is not None
    assert task.caused_by.rule_set == rules(version=2).reference
    # The rule is gone: what it has set off stays, and nothing is set off a second time.
    await world.configure(rules(version=3))
    for _ in range(2):
        await settle_review(world.database, ref)
    assert await world.only_task(ref, TaskKind.ADJUDICATE) == task
    await world.decide(task.task_id, EXA, Verdict.APPROVE)
    await world.configure(rules(EscalationRule(id="late", verdicts=("approve",), risks=("low",)), version=4))
    step = await settle_review(world.database, ref)
    assert (step.next_step, step.open_tasks) == (NextStep.CHECK, 0)


async def test_nothing_is_closed_beside_what_is_handed_on_where_it_would_be_judged_again(world: World) -> None:
    await world.open_project(rules(ACCEPTED))
    ref = await wrong(world, label("a1", "wrong"), label("a2", "wrong-2"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    held = await world.desk.claim(BEN, task.task_id)
    resolution = FindingResolution(
        finding_id=task.finding_ids[0], verdict=Verdict.ACCEPT_CONFLICT, reason_code="occlusion"
    )
    given = DecisionInput(verdict=Verdict.REJECT, fence=held.fence, note="Again.", resolutions=(resolution,))
    with pytest.raises(DecisionInvalidError, match="judged again"):
        await world.desk.decide(BEN, task.task_id, given)


async def test_what_the_deadline_moved_is_caused_by_it_and_a_second_look_keeps_its_own_cause(world: World) -> None:
    await world.open_project(rules(BLIND), review_within_s=1, deadlines={"tiers_above_experts": ["lead"]})
    ref = await wrong(world)
    await overdue(world, ref)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert task.caused_by is not None
    assert (task.caused_by.rule, task.caused_by.facts.check) == ("overdue", "wording")
    assert (await world.desk.claim(EXA, task.task_id)).caused_by == task.caused_by

    other = await world.checked("s-2", label("a1", "wrong"))
    look = await followed_up(world, other, Verdict.FIX, patch={"remove": ["a1"]})
    await overdue(world, other)
    moved = await world.only_task(other, TaskKind.ADJUDICATE)
    assert (look.queue, moved.queue) == ("words.expert", "words.lead")
    assert look.caused_by is not None
    assert moved.caused_by == look.caused_by.model_copy(update={"to": LEAD})
    assert (await world.desk.claim(LIA, moved.task_id)).caused_by is None


async def test_what_is_overdue_at_high_risk_still_needs_two_who_do_not_know_of_each_other(world: World) -> None:
    await world.open_project(review_within_s=3_600)
    ref = await wrong(world, risk="high")
    await overdue(world, ref)
    first = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert first.caused_by is not None
    assert (first.queue, first.caused_by.rule) == ("words.expert", "overdue")
    await world.decide(first.task_id, EXA, Verdict.ACCEPT_CONFLICT, **WHY)
    step = await settle_review(world.database, ref)
    assert (step.stage, step.next_step, step.open_tasks) == (Stage.ADJUDICATING, NextStep.WAIT, 1)
    second = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert second.caused_by is not None
    assert (second.queue, second.caused_by.rule, second.caused_by.four_eyes) == ("words.expert", "four_eyes", True)
    with pytest.raises(ConcordError):
        await world.desk.claim(EXA, second.task_id)
    assert (await world.desk.claim(LIA, second.task_id)).caused_by is None
    evidence = await world.desk.evidence(LIA, second.task_id)
    assert evidence.decisions == ()
    assert [item.state for item in evidence.findings] == [FindingState.OPEN]
    await world.decide(second.task_id, LIA, Verdict.ACCEPT_CONFLICT, **WHY)
    await finish(world, ref)
    async with world.database.transaction() as tx:
        people = [decision.actor_id for decision in await tx.review.decisions(ref)]
    assert people == ["exa", "lia"]
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_what_is_overdue_twice_at_high_risk_is_judged_twice_in_the_tier_it_came_to(world: World) -> None:
    await world.open_project(review_within_s=3_600, deadlines={"tiers_above_experts": ["lead"]})
    ref = await wrong(world, risk="high")
    await overdue(world, ref)
    await overdue(world, ref, hours=1)
    first = await world.only_task(ref, TaskKind.ADJUDICATE)
    await world.decide(first.task_id, EXA, Verdict.ACCEPT_CONFLICT, **WHY)
    await settle_review(world.database, ref)
    second = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (first.queue, second.queue) == ("words.lead", "words.lead")
    assert "exa" in second.excluded_actors


async def overdue(world: World, ref: RevisionRef, *, hours: int = 0) -> None:
    """Let the only open task be due since so many hours and a second, and have that seen."""
    async with world.database.transaction() as tx:
        (task,) = [item for item in await tx.review.tasks_of(ref) if item.completed_at is None]
    async with world.database._engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE review_tasks SET due_at = clock_timestamp() - make_interval(hours => $2, secs => 1)"
            " WHERE task_id = $1",
            (task.task_id, hours),
        )
    await escalate_overdue(world.database, ref, 1)


async def test_decisions_from_before_causes_are_read_and_followed_as_they_were(world: World, database_url: str) -> None:
    await world.open_project()
    ref = await wrong(world, risk="high")
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.APPROVE)
    async with unguarded(database_url) as connection:
        await connection.execute("UPDATE decisions SET escalated_by = NULL")
        await connection.execute("UPDATE review_tasks SET caused_by = NULL")
    await settle_review(world.database, ref)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert task.caused_by is not None
    assert (task.caused_by.rule, task.caused_by.four_eyes) == ("four_eyes", True)
    async with unguarded(database_url) as connection:
        await connection.execute("UPDATE review_tasks SET caused_by = NULL")
    evidence = await world.desk.evidence(EXA, task.task_id)
    assert evidence.decisions == ()
