"""What people closed in one revision of a sample stays closed in the next, until what it was about changes."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import Decision, FindingState, StoredFinding, TaskKind, Verdict
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from tests.databases import unguarded
from tests.intake_events import NoAssets, event, manifest, structured, take_in
from tests.integration.lifecycle_world import PROJECT, World, label, no_models, person

RITA, BEN = person("rita"), person("ben")
EXPERT = person("exa", Role.EXPERT)
WRONG = label("a1", "wrong"), label("a2", "wrong")


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def reviewed(world: World, who: Principal = RITA, verdict: Verdict = Verdict.ACCEPT_CONFLICT) -> Decision:
    """A committed sample with two findings that one decision has closed."""
    ref = await world.checked("s-1", *WRONG)
    task = await world.only_task(ref, TaskKind.REVIEW)
    code = {"reason_code": "sensor_artefact"} if verdict is Verdict.ACCEPT_CONFLICT else {}
    decision = await world.decide(task.task_id, who, verdict, **code)
    await advanced(world, ref)
    assert await world.stage(ref) is Stage.ACCEPTED
    await commit_ground_truth(world.database, ref, workflow_run_id="run-1")
    return decision


async def advanced(world: World, ref: RevisionRef) -> None:
    await settle_review(world.database, ref)
    await check_alignment(world.database, world.runner, ref)


async def updated(world: World, ref: RevisionRef, *labels: dict[str, Any], **changes: Any) -> RevisionRef:
    """The next revision of a sample, as upstream sends it, checked."""
    document = manifest(ref.sample_id, project=PROJECT, annotations=list(labels), **changes)
    told = event(document, "concord.sample.updated.v1", id=f"{ref.sample_id}-{ref.revision + 1}")
    following = (await take_in(world.inbox, structured(told))).ref
    assert following.revision == ref.revision + 1
    await prepare_sample(world.database, NoAssets(), no_models, following)
    await check_alignment(world.database, world.runner, following)
    return following


async def findings(world: World, ref: RevisionRef) -> dict[str, StoredFinding]:
    return {item.finding.annotations[0]: item for item in await world.findings(ref)}


@pytest.mark.parametrize(
    ("verdict", "state"),
    [(Verdict.ACCEPT_CONFLICT, FindingState.ACCEPTED), (Verdict.APPROVE, FindingState.DISMISSED)],
)
async def test_what_was_closed_stays_closed_when_the_sample_is_opened_again(
    world: World, verdict: Verdict, state: FindingState
) -> None:
    await world.open_project()
    decision = await reviewed(world, verdict=verdict)
    ref = await updated(world, decision.ref, *WRONG)
    assert await world.stage(ref) is Stage.ACCEPTED, "nobody is asked"
    assert await world.tasks(ref) == ()
    for item in (await findings(world, ref)).values():
        assert (item.state, item.decision_id, item.decision_revision) == (state, decision.decision_id, 1)
    await check_alignment(world.database, world.runner, ref)
    third = await updated(world, ref, *WRONG)
    assert {item.decision_revision for item in await world.findings(third)} == {1}, "it rests on the same decision"


async def test_a_label_that_changed_is_asked_about_anew_and_the_other_is_not(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, label("a1", "wrong again"), label("a2", "wrong"))
    found = await findings(world, ref)
    assert (found["a1"].state, found["a1"].decision_id, found["a1"].decision_revision) == (
        FindingState.OPEN, None, None,
    )  # fmt: skip
    assert found["a2"].state is FindingState.ACCEPTED
    task = await world.only_task(ref, TaskKind.REVIEW)
    assert task.finding_ids == (found["a1"].finding.finding_id,)


async def test_another_recording_is_asked_about_anew(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    other = [{"id": "note", "modality": "text", "inline": "good evening"}]
    ref = await updated(world, decision.ref, *WRONG, streams=other)
    assert {item.state for item in await world.findings(ref)} == {FindingState.OPEN}


async def test_what_was_asked_anew_and_decided_rests_on_the_newer_decision(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    changed = label("a1", "wrong again"), label("a2", "wrong")
    ref = await updated(world, decision.ref, *changed)
    task = await world.only_task(ref, TaskKind.REVIEW)
    newer = await world.decide(task.task_id, BEN, Verdict.APPROVE)
    await advanced(world, ref)
    third = await findings(world, await updated(world, ref, *changed))
    assert (third["a1"].state, third["a1"].decision_id, third["a1"].decision_revision) == (
        FindingState.DISMISSED, newer.decision_id, 2,
    )  # fmt: skip
    assert (third["a2"].decision_id, third["a2"].decision_revision) == (decision.decision_id, 1)


async def test_a_label_that_changes_after_it_was_kept_closed_opens_the_finding(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, *WRONG, label("a3", "wrong"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    patch = {"upsert": [label("a1", "wrong again"), label("a3", "right")]}
    await world.decide(task.task_id, BEN, Verdict.FIX, patch=patch)
    await advanced(world, ref)
    found = await findings(world, ref)
    assert (found["a1"].state, found["a1"].decision_revision) == (FindingState.OPEN, None)
    assert (found["a2"].state, found["a2"].decision_revision) == (FindingState.ACCEPTED, 1)


async def test_one_verdict_of_two_that_are_asked_for_closes_nothing_in_the_next_revision(world: World) -> None:
    await world.open_project()
    risk = {"context": {"risk": "high"}}
    first = await world.checked("s-1", *WRONG, **risk)
    await world.decide((await world.only_task(first, TaskKind.REVIEW)).task_id, RITA, Verdict.APPROVE)
    await settle_review(world.database, first)
    # Upstream replaces the revision before the second person has seen it.
    ref = await updated(world, first, *WRONG, **risk)
    assert {item.state for item in await world.findings(ref)} == {FindingState.OPEN}
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.APPROVE)
    await settle_review(world.database, ref)
    second = await world.decide((await world.only_task(ref, TaskKind.ADJUDICATE)).task_id, EXPERT, Verdict.APPROVE)
    await advanced(world, ref)
    assert await world.stage(ref) is Stage.ACCEPTED
    third = await updated(world, ref, *WRONG, **risk)
    assert {(item.state, item.decision_id) for item in await world.findings(third)} == {
        (FindingState.DISMISSED, second.decision_id)
    }


async def test_a_higher_risk_asks_anew_what_one_person_has_closed(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, *WRONG, context={"risk": "high"})
    assert {item.state for item in await world.findings(ref)} == {FindingState.OPEN}


async def test_the_record_and_the_audit_trail_name_the_decision_and_its_revision(world: World) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, *WRONG)
    record = await commit_ground_truth(world.database, ref, workflow_run_id="run-2")
    assert {(item["decision_id"], item["decision_revision"]) for item in record.lineage["findings"]} == {
        (str(decision.decision_id), 1)
    }
    assert record.lineage["decisions"] == []
    (told,) = record.lineage["earlier_decisions"]
    assert (told["id"], told["revision"], told["reason_code"]) == (str(decision.decision_id), 1, "sensor_artefact")
    assert {"id": "rita", "did": ["review:accept_conflict"]} in record.lineage["people"]
    async with world.database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=1_000)
        origins = await tx.ground_truth.origins_between(PROJECT, after=None, until=None, limit=1_000)
    (entry,) = [entry for entry in entries if entry.action == "findings.kept_closed"]
    assert entry.subject == f"samples/{ref.sample_id}/revisions/2"
    assert entry.body == {
        "decision_id": str(decision.decision_id),
        "revision": 1,
        "finding_ids": sorted(item.finding.finding_id for item in await world.findings(ref)),
    }
    keys = {(origin.kind.value, origin.key) for of, origin in origins if of == ref}
    assert {("decision", str(decision.decision_id)), ("person", "rita")} <= keys
    assert (await verify_project(world.database, PROJECT)).faults == ()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE findings SET decision_revision = NULL WHERE revision = 2",
        "UPDATE findings SET decision_id = NULL, decision_revision = NULL WHERE revision = 2",
        "UPDATE decisions SET verdict = 'approve' WHERE revision = 1",
    ],
)
async def test_what_a_closing_rests_on_can_not_be_changed_unseen(world: World, database_url: str, change: str) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, *WRONG)
    await commit_ground_truth(world.database, ref, workflow_run_id="run-2")
    async with unguarded(database_url) as connection:
        await connection.execute(change)
    found = {fault.kind for fault in (await verify_project(world.database, PROJECT)).faults}
    assert "lineage-mismatch" in found
