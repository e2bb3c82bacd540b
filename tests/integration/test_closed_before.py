"""What people closed in one revision of a sample stays closed in the next, until what it was about changes."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.erasure import Retention
from services.contracts.findings import CheckReport, Measured
from services.contracts.incidents import FixRequest
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import Decision, FindingState, StoredFinding, TaskKind, Verdict
from services.erasure.retention import RetentionKeeper
from services.feedback.reader import FeedbackReader
from services.ground_truth.commit import commit_ground_truth
from services.ground_truth.history import HistoryReader
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.report.reader import stored_sample
from tests.databases import unguarded
from tests.expired import set_retention
from tests.intake_events import NoAssets
from tests.integration.incident_world import OPS, SHARED_RULES, IncidentWorld, off_clock
from tests.integration.lifecycle_world import PROJECT, WordingRunner, World, label, no_models, person
from tests.integration.revision_world import ADMIN, advanced, migrated, publish, updated

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


class MeasuringRunner(WordingRunner):
    """Says by how much a label is wrong."""

    async def run(self, *given: Any, **more: Any) -> CheckReport:
        report = await super().run(*given, **more)
        measured = Measured(value=2.0, unit="letters", threshold=1.0)
        findings = tuple(finding.model_copy(update={"measured": measured}) for finding in report.findings)
        return report.model_copy(update={"findings": findings})


async def test_reports_count_the_decision_that_a_closing_rests_on(world: World) -> None:
    world.runner = MeasuringRunner()
    await world.open_project()
    decision = await reviewed(world, verdict=Verdict.APPROVE)
    reader = FeedbackReader(world.database)
    before = await reader.thresholds(ADMIN, PROJECT, target_precision=0.9, max_samples=10)
    assert before.advice != ()
    ref = await updated(world, decision.ref, *WRONG)
    after = await reader.thresholds(ADMIN, PROJECT, target_precision=0.9, max_samples=10)
    assert after.advice == before.advice
    async with world.database.transaction() as tx:
        told = await stored_sample(tx, await HistoryReader(PROJECT).read(tx, ref))
    assert told is not None
    assert told.evidence is not None
    assert told.evidence.decisions == (decision,)


async def erased(world: World, database_url: str, ref: RevisionRef) -> None:
    """Erase a revision as too old, and no other."""
    async with unguarded(database_url) as connection:
        await connection.execute(
            "UPDATE sample_revisions SET updated_at = now() - interval '40 days' "
            "WHERE sample_id = $1 AND revision = $2",
            ref.sample_id,
            ref.revision,
        )
    await set_retention(world.database, Retention(keep_days=30, when_expired="erase"))
    while await RetentionKeeper(world.database).step():
        pass
    async with world.database.transaction() as tx:
        assert await tx.erasures.tombstone(ref) is not None


async def test_what_rests_on_a_revision_verifies_when_that_was_erased(world: World, database_url: str) -> None:
    await world.open_project()
    decision = await reviewed(world)
    ref = await updated(world, decision.ref, *WRONG)
    await commit_ground_truth(world.database, ref, workflow_run_id="run-2")
    await erased(world, database_url, decision.ref)
    assert (await verify_project(world.database, PROJECT)).faults == ()
    # The revision after it still knows what was judged.
    third = await updated(world, ref, *WRONG)
    assert {(item.state, item.decision_revision) for item in await world.findings(third)} == {
        (FindingState.ACCEPTED, 1)
    }


async def test_what_was_judged_and_is_erased_can_not_be_told_and_is_asked_about_anew(
    world: World, database_url: str
) -> None:
    await world.open_project()
    decision = await reviewed(world)
    await erased(world, database_url, decision.ref)
    ref = await updated(world, decision.ref, *WRONG)
    assert {item.state for item in await world.findings(ref)} == {FindingState.OPEN}


async def test_a_class_that_a_migration_renames_keeps_closed_and_one_that_it_merges_does_not(world: World) -> None:
    await publish(world)
    await world.open_project(taxonomy="words@1")
    labels = label("a1", "wrong"), label("a2", "wrong_time"), label("a3", "open")
    ref = await world.checked("s-1", *labels)
    task = await world.only_task(ref, TaskKind.REVIEW)
    decision = await world.decide(task.task_id, RITA, Verdict.APPROVE)
    await advanced(world, ref)
    await commit_ground_truth(world.database, ref, workflow_run_id="run-1")
    await migrated(world)
    # The split leaves a label to people, so the sample goes its way again.
    ref = ref.model_copy(update={"revision": 2})
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    await check_alignment(world.database, world.runner, ref)
    async with world.database.transaction() as tx:
        labels_now = await tx.samples.label_set(ref)
    assert labels_now is not None
    assert [item.label for item in labels_now.annotations] == ["wrong_word", "wrong_date", "open"]
    found = await findings(world, ref)
    assert (found["a1"].state, found["a1"].decision_id, found["a1"].decision_revision) == (
        FindingState.DISMISSED, decision.decision_id, 1,
    )  # fmt: skip
    assert found["a2"].state is FindingState.OPEN


async def test_a_sample_that_upstream_opens_after_a_migration_rests_on_what_was_decided_before_it(
    world: World,
) -> None:
    await publish(world)
    await world.open_project(taxonomy="words@1")
    decision = await reviewed(world)
    await migrated(world)
    second = decision.ref.model_copy(update={"revision": 2})
    assert await world.stage(second) is Stage.COMMITTED
    assert await world.findings(second) == (), "nobody was asked, and nothing was checked"
    new = [{**one, "label": "wrong_word", "taxonomy_version": "words@2"} for one in WRONG]
    old = [{**one, "taxonomy_version": "words@1"} for one in WRONG]
    for labels in (new, old):
        ref = await updated(world, second, *labels)
        assert {(item.state, item.decision_id, item.decision_revision) for item in await world.findings(ref)} == {
            (FindingState.ACCEPTED, decision.decision_id, 1)
        }
        second = ref


async def test_a_class_that_is_renamed_while_the_sample_is_in_review_keeps_closed(world: World) -> None:
    await publish(world)
    await world.open_project(taxonomy="words@1")
    labels = [{**one, "taxonomy_version": "words@1"} for one in WRONG]
    ref = await world.checked("s-1", *labels)
    decision = await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, RITA, Verdict.APPROVE)
    await settle_review(world.database, ref)
    await world.configure(taxonomy="words@2")
    await check_alignment(world.database, world.runner, ref)
    assert (await world.revision(ref)).label_version == 2
    assert await world.stage(ref) is Stage.ACCEPTED, "nobody is asked"
    assert {(item.state, item.decision_id, item.decision_revision) for item in await world.findings(ref)} == {
        (FindingState.DISMISSED, decision.decision_id, None)
    }


async def test_a_fix_of_the_manifest_for_many_samples_asks_nobody_what_was_decided(database: PostgresDatabase) -> None:
    world = IncidentWorld(database)
    await world.open_project(SHARED_RULES)
    refs = [await world.arrive(f"s-{n}", label("a1", "wrong"), streams=off_clock(3.0 + 0.01 * n)) for n in range(4)]
    for task in await world.open_tasks():
        if task.queue != "speech":
            await world.decide(task.task_id, RITA, Verdict.APPROVE)
    await world.pump()
    (incident,) = await world.all_incidents()
    preview = await world.incidents.preview(OPS, PROJECT, incident.incident_id, FixRequest(), world.shared)
    await world.incidents.fix(OPS, PROJECT, incident.incident_id, FixRequest(correction=preview.correction))
    await world.pump()
    for ref in refs:
        following = ref.model_copy(update={"revision": 2})
        assert await world.stage(following) is Stage.COMMITTED
        (item,) = await world.findings(following)
        assert (item.state, item.decision_revision) == (FindingState.DISMISSED, 1)
    assert (await verify_project(world.database, PROJECT)).faults == ()
