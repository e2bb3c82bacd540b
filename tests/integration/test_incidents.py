"""One cause in many samples is one incident: on a real Postgres, with the workflow's steps but without Temporal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Role
from services.contracts.incidents import (
    DismissRequest,
    FixPreview,
    FixRequest,
    IncidentState,
    MemberState,
    TimeCorrection,
)
from services.contracts.labels_language import TranscriptSegment
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import DecisionInput, FindingState, TaskKind, TaskState, Verdict
from services.errors import (
    BlockingFindingError,
    IncidentConflictError,
    InvalidInputError,
    NotFoundError,
    StaleFenceError,
    TaskFinishedError,
)
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from tests.intake_events import NoAssets, event, structured, take_in
from tests.integration.incident_world import (
    OPS,
    SHARED_RULES,
    TRUE_START_S,
    IncidentWorld,
    add_checked,
    keep_checked,
    off_clock,
    segment,
)
from tests.integration.lifecycle_world import PROJECT, label, person

BEN, EVA = person("ben"), person("eva")


@pytest.fixture
async def world(database: PostgresDatabase) -> IncidentWorld:
    world = IncidentWorld(database)
    await world.open_project(SHARED_RULES)
    return world


async def late(world: IncidentWorld, count: int, *, first: int = 0, by_s: float = 1.5) -> list[RevisionRef]:
    """Samples whose transcripts are late by about the same time."""
    return [
        await world.arrive(f"s-{number:03d}", segment("a1", by_s + 0.01 * (number % 5), "ann"))
        for number in range(first, first + count)
    ]


async def previewed(world: IncidentWorld, **given: Any) -> FixPreview:
    (incident,) = await world.all_incidents()
    return await world.incidents.preview(OPS, PROJECT, incident.incident_id, FixRequest(**given), world.shared)


async def ordered(world: IncidentWorld, **given: Any) -> FixPreview:
    preview = await previewed(world, **given)
    request = FixRequest(correction=preview.correction, **given)
    await world.incidents.fix(OPS, PROJECT, preview.incident_id, request)
    return preview


@pytest.mark.timeout(900)
async def test_500_findings_with_one_cause_are_one_incident_with_spot_checks(world: IncidentWorld) -> None:
    rng = np.random.default_rng(7)
    offsets = {f"s-{number:03d}": float(rng.normal(1.5, 0.02)) for number in range(500)}
    for batch in range(0, 500, 50):
        async with world.database.transaction() as tx:
            for sample_id in list(offsets)[batch : batch + 50]:
                await add_checked(tx, sample_id, offsets[sample_id], SHARED_RULES)
    found = await world.only_incident()
    members = await world.members(found.incident)
    refs = [member.ref for member in members]
    for member in members:
        if member.spot_check:
            await world.follow(member.ref)
    await world.pump()
    assert (found.samples, found.progress.waiting, found.spot_checks) == (500, 500, 2)
    offset = found.incident.estimate.value("offset_s")
    assert offset is not None
    assert offset.mean == pytest.approx(1.5, abs=0.005)
    assert found.incident.suggestion == TimeCorrection(offset_s=round(-offset.mean, 4))
    tasks = await world.open_tasks()
    order = sorted(offsets, key=offsets.__getitem__)
    assert {task.ref.sample_id for task in tasks} == {order[0], order[-1]}, "both extremes, and nobody else"
    assert len(tasks) == 2
    assert all("spot check" in (task.reason or "") for task in tasks)
    assert {await world.stage(ref) for ref in refs[::50]} == {Stage.IN_REVIEW}
    with pytest.raises(BlockingFindingError):
        await _commit_though_waiting(world, refs[250])


async def _commit_though_waiting(world: IncidentWorld, ref: RevisionRef) -> None:
    from services.lifecycle.journal import move
    from services.lifecycle.steps import lock_revision

    async with world.database.transaction() as tx:
        revision = await lock_revision(tx, ref)
        await move(tx, revision, Stage.CHECKING, Stage.ACCEPTED, actor="concord")
    await commit_ground_truth(world.database, ref, workflow_run_id="run")


async def test_too_few_samples_are_reviewed_one_by_one_and_their_tasks_end_when_enough_have_come(
    world: IncidentWorld,
) -> None:
    refs = await late(world, 2)
    assert await world.all_incidents() == ()
    assert len(await world.open_tasks()) == 2
    refs += await late(world, 4, first=2)
    found = await world.only_incident()
    assert (found.samples, found.spot_checks) == (6, 2)
    tasks = await world.open_tasks()
    spot_checks = {member.ref for member in await world.members(found.incident) if member.spot_check}
    assert {task.ref for task in tasks} == spot_checks
    cancelled = [task for ref in refs[:2] for task in await world.tasks(ref) if task.state is TaskState.CANCELLED]
    assert len(cancelled) == len([ref for ref in refs[:2] if ref not in spot_checks])
    assert "incident.opened" in await world.actions()


async def test_another_offset_another_sensor_and_other_findings_stay_outside(world: IncidentWorld) -> None:
    await late(world, 3)
    apart = await late(world, 1, first=10, by_s=9.0)
    streams = [{"id": "note", "modality": "text", "inline": "x", "sensor": "other"}]
    other = await world.arrive("s-020", segment("a1", 1.5), streams=streams)
    mixed = await world.arrive("s-030", segment("a1", 1.5), label("a2", "wrong"))
    found = await world.only_incident()
    assert found.samples == 4
    for ref in (apart[0], other):
        (task,) = await world.tasks(ref, live=True)
        assert task.kind is TaskKind.REVIEW
    members = {member.ref: member for member in await world.members(found.incident)}
    asked = {name for task in await world.tasks(mixed, live=True) for name in task.finding_ids}
    assert (members[mixed].finding_id in asked) is members[mixed].spot_check
    assert len(asked - {members[mixed].finding_id}) == 1, "the sample's own fault is asked about by itself"


async def test_samples_that_are_checked_at_once_join_one_incident(world: IncidentWorld) -> None:
    await asyncio.gather(
        *(keep_checked(world, f"s-{number}", 1.5 + 0.001 * number, SHARED_RULES) for number in range(12))
    )
    await world.pump()
    found = await world.only_incident()
    assert found.progress.waiting == 12
    assert len(await world.open_tasks()) == 2


async def test_two_samples_that_would_both_be_the_third_open_one_incident(world: IncidentWorld) -> None:
    for number in range(2):
        await keep_checked(world, f"s-{number}", 1.5, SHARED_RULES)
    await asyncio.gather(*(keep_checked(world, f"t-{number}", 1.5, SHARED_RULES) for number in range(4)))
    assert (await world.only_incident()).progress.waiting == 6


async def test_a_fix_is_previewed_applied_everywhere_and_closes_what_it_explains(world: IncidentWorld) -> None:
    refs = await late(world, 9)
    runs = world.shared.runs
    preview = await previewed(world)
    assert world.shared.runs == runs + 2, "only the spot checks are run"
    assert (preview.explained, preview.members, preview.reckoned, preview.sufficient) == (2, 9, 9, True)
    assert [(spot.findings_before, spot.findings_after) for spot in preview.spot_checks] == [(1, 0), (1, 0)]
    assert all(spot.measured_before == pytest.approx(1.52, abs=0.03) for spot in preview.spot_checks)
    found = await world.incidents.fix(
        OPS, PROJECT, preview.incident_id, FixRequest(correction=preview.correction, note="Wrong start of file.")
    )
    assert (found.incident.state, found.progress.ordered) == (IncidentState.FIXING, 9)
    await world.pump(at_most=4)
    half = await world.only_incident()
    assert half.incident.state is IncidentState.FIXING
    assert 0 < half.progress.checked_again < 9
    assert half.share_checked == pytest.approx(half.progress.checked_again / 9)
    # Whoever goes on after everything was killed has nothing but the database.
    again = IncidentWorld(world.database)
    await again.incidents.fix(OPS, PROJECT, preview.incident_id, FixRequest(correction=preview.correction))
    await again.pump()
    done = await again.only_incident()
    assert (done.incident.state, done.progress.explained, done.share_checked) == (IncidentState.CLOSED, 9, 1.0)
    assert {await world.stage(ref) for ref in refs} == {Stage.COMMITTED}
    assert await world.open_tasks() == ()
    for ref in refs:
        (finding,) = await world.findings(ref)
        assert (finding.state, finding.fixed_by_label_version) == (FindingState.RESOLVED, 2)
        async with world.database.transaction() as tx:
            labels = await tx.samples.label_set(ref)
            record = await tx.ground_truth.get(ref)
        assert labels is not None
        assert (labels.origin, labels.incident_id, labels.author.id) == ("incident", preview.incident_id, "ops")
        (moved,) = labels.annotations
        assert isinstance(moved, TranscriptSegment)
        assert moved.start_s == pytest.approx(TRUE_START_S, abs=0.05)
        assert moved.author is not None
        assert moved.author.id == "ann", "whoever made a label is still its author"
        assert record is not None
        assert record.lineage["label_sets"][-1]["incident_id"] == str(preview.incident_id)
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_a_fix_of_the_manifest_makes_a_new_revision_with_the_labels_of_the_old(world: IncidentWorld) -> None:
    refs = [await world.arrive(f"s-{n}", label("a1", "greeting"), streams=off_clock(3.0 + 0.01 * n)) for n in range(4)]
    preview = await ordered(world)
    assert preview.correction.kind == "clock"
    await world.pump()
    found = await world.only_incident()
    assert (found.incident.state, found.progress.explained) == (IncidentState.CLOSED, 4)
    for ref in refs:
        following = ref.model_copy(update={"revision": 2})
        assert await world.stage(ref) is Stage.WITHDRAWN
        assert await world.stage(following) is Stage.COMMITTED
        async with world.database.transaction() as tx:
            old, new = await tx.samples.label_set(ref), await tx.samples.label_set(following)
            (told,) = await tx.inbox.events_of(following)
        assert old is not None
        assert new is not None
        assert (new.origin, new.annotations) == ("incident", old.annotations)
        assert told.event.source == f"concord:incidents:{preview.incident_id}"
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_what_a_fix_does_not_explain_is_left_to_people_or_to_the_next_incident(world: IncidentWorld) -> None:
    refs = await late(world, 6)
    preview = await previewed(world, correction=TimeCorrection(offset_s=-1.0))
    assert (preview.explained, preview.reckoned, preview.sufficient) == (0, 0, False)
    assert all(spot.measured_after == pytest.approx(0.52, abs=0.05) for spot in preview.spot_checks)
    with pytest.raises(IncidentConflictError, match="explains 0 of 2"):
        await world.incidents.fix(OPS, PROJECT, preview.incident_id, FixRequest(correction=preview.correction))
    await world.incidents.fix(
        OPS, PROJECT, preview.incident_id, FixRequest(correction=preview.correction, override=True)
    )
    await world.pump()
    first, second = await world.all_incidents()
    assert first.state is IncidentState.CLOSED
    assert (await world.incidents.get(OPS, PROJECT, first.incident_id)).progress.left == 6
    # Half a second is left in all of them: again one cause, and not six questions.
    left = await world.incidents.get(OPS, PROJECT, second.incident_id)
    assert (second.state, left.progress.waiting, left.spot_checks) == (IncidentState.OPEN, 6, 2)
    assert len(await world.open_tasks()) == 2
    assert {await world.stage(ref) for ref in refs} == {Stage.IN_REVIEW}


async def test_one_sample_that_the_fix_does_not_explain_gets_its_own_task(world: IncidentWorld) -> None:
    refs = await late(world, 5)
    odd = await world.arrive("odd", segment("a1", 1.6), segment("a2", 0.0))
    assert (await world.only_incident()).samples == 6
    await ordered(world)
    await world.pump()
    done = await world.only_incident()
    assert done.incident.state is IncidentState.CLOSED
    assert (done.progress.explained, done.progress.left) == (5, 1)
    (left,) = await world.members(done.incident, MemberState.LEFT)
    assert left.ref == odd
    (task,) = await world.tasks(odd, live=True)
    assert left.finding_id in task.finding_ids
    assert {await world.stage(ref) for ref in refs} == {Stage.COMMITTED}


async def test_a_correction_must_be_previewed_and_there_must_be_one(world: IncidentWorld) -> None:
    await late(world, 3)
    (incident,) = await world.all_incidents()
    with pytest.raises(IncidentConflictError, match="not previewed"):
        await world.incidents.fix(OPS, PROJECT, incident.incident_id, FixRequest())
    async with world.database.transaction() as tx:
        await tx.incidents.put(incident.model_copy(update={"suggestion": None}))
    with pytest.raises(InvalidInputError, match="suggests none"):
        await previewed(world)
    outsider = OPS.model_copy(update={"projects": ("elsewhere",)})
    with pytest.raises(NotFoundError):
        await world.incidents.get(outsider, PROJECT, incident.incident_id)


async def test_what_somebody_holds_is_left_to_them_until_they_are_done(world: IncidentWorld) -> None:
    await late(world, 4)
    task = (await world.open_tasks())[0]
    claimed = await world.desk.claim(BEN, task.task_id)
    await ordered(world)
    await world.pump()
    found = await world.only_incident()
    assert (found.incident.state, found.progress.ordered, found.progress.explained) == (IncidentState.FIXING, 1, 3)
    step = await world.follow(task.ref)
    assert step.due_in is not None
    assert step.due_in <= timedelta(seconds=900), "looked at again when the lease is over"
    await world.desk.decide(BEN, task.task_id, DecisionInput(verdict=Verdict.APPROVE, fence=claimed.fence))
    await world.pump()
    done = await world.only_incident()
    assert (done.incident.state, done.progress.decided) == (IncidentState.CLOSED, 1)
    assert await world.stage(task.ref) is Stage.COMMITTED


async def test_a_task_that_is_given_back_makes_way_for_the_fix(world: IncidentWorld) -> None:
    await late(world, 4)
    task = (await world.open_tasks())[0]
    claimed = await world.desk.claim(BEN, task.task_id)
    await ordered(world)
    await world.pump()
    await world.desk.release(BEN, task.task_id, claimed.fence)
    await world.follow(task.ref)
    assert (await world.only_incident()).incident.state is IncidentState.CLOSED
    assert await world.stage(task.ref) is Stage.COMMITTED


async def test_a_decided_spot_check_counts_and_later_samples_join(world: IncidentWorld) -> None:
    await late(world, 6)
    for task in await world.open_tasks():
        await world.decide(task.task_id, EVA, Verdict.APPROVE)
    await world.pump()
    found = await world.only_incident()
    assert (found.progress.decided, found.progress.waiting, found.spot_checks) == (2, 4, 2)
    await late(world, 12, first=6)
    found = await world.only_incident()
    assert (found.progress.waiting, found.spot_checks) == (16, 2)
    assert await world.open_tasks() == (), "two spot checks were asked for, and were decided"


async def test_samples_that_come_while_the_fix_is_applied_are_fixed_too(world: IncidentWorld) -> None:
    await late(world, 4)
    await ordered(world)
    await world.pump(at_most=1)
    ref = await world.post("s-late", segment("a1", 1.5))
    await world.follow(ref, starts=True)
    assert (await world.only_incident()).progress.members == 5
    await world.pump()
    done = await world.only_incident()
    assert (done.incident.state, done.progress.explained) == (IncidentState.CLOSED, 5)
    assert await world.stage(ref) is Stage.COMMITTED


async def test_a_dismissed_incident_gives_every_finding_back_to_people_for_good(world: IncidentWorld) -> None:
    refs = await late(world, 6)
    (incident,) = await world.all_incidents()
    given = DismissRequest(reason_code="different_causes", note="Three studios.")
    for _ in range(2):
        found = await world.incidents.dismiss(OPS, PROJECT, incident.incident_id, given)
        assert (found.incident.state, found.progress.released) == (IncidentState.DISMISSED, 6)
    await world.pump()
    assert {task.ref for task in await world.open_tasks()} == set(refs)
    for ref in refs:
        await world.follow(ref)
    assert len(await world.all_incidents()) == 1
    with pytest.raises(IncidentConflictError):
        await world.incidents.fix(OPS, PROJECT, incident.incident_id, FixRequest())
    actions = await world.actions()
    assert actions.count("incident.dismissed") == 1


async def test_a_withdrawn_sample_leaves_and_the_last_one_closes_the_incident(world: IncidentWorld) -> None:
    refs = await late(world, 3)
    inbox = Inbox(world.database, NoAssets())
    for number, ref in enumerate(refs):
        data = {"project": PROJECT, "sample_id": ref.sample_id, "reason": "consent withdrawn"}
        message = structured(event(data, "concord.sample.withdrawn.v1", id=f"w-{number}"))
        await inbox.receive(message, via="http", projects=None)
        assert (await world.only_incident()).progress.gone == number + 1
    found = await world.only_incident()
    assert found.incident.state is IncidentState.CLOSED


async def test_a_sample_that_upstream_replaces_joins_again_if_it_is_still_wrong(world: IncidentWorld) -> None:
    refs = await late(world, 4)
    inbox = Inbox(world.database, NoAssets())
    manifest = (await world.revision(refs[0])).manifest
    data = manifest.model_dump(mode="json", exclude_none=True)
    message = structured(event(data, "concord.sample.updated.v1", id="again"))
    receipt = await take_in(inbox, message)
    assert (await world.only_incident()).progress.gone == 1
    await world.pump()
    found = await world.only_incident()
    assert (found.progress.gone, found.progress.waiting) == (0, 4)
    assert receipt.ref in {member.ref for member in await world.members(found.incident)}


async def test_incidents_can_be_turned_off(world: IncidentWorld) -> None:
    rules = SHARED_RULES.shared_causes.model_copy(update={"enabled": False})
    await world.configure(SHARED_RULES.model_copy(update={"id": "alone", "incidents": rules}))
    await late(world, 5)
    assert await world.all_incidents() == ()
    assert len(await world.open_tasks()) == 5


async def test_nobody_below_operations_may_fix(world: IncidentWorld) -> None:
    from services.access.policy import Permission, may

    allowed = {role for role in Role if may(role, Permission.INCIDENTS_MANAGE)}
    assert allowed == {Role.ADMIN, Role.OPERATIONS}
    readers = {role for role in Role if may(role, Permission.INCIDENTS_READ)}
    assert readers == {Role.ADMIN, Role.OPERATIONS, Role.VIEWER}


async def test_checks_withdrawals_claims_and_a_fix_at_the_same_time_leave_nobody_behind(world: IncidentWorld) -> None:
    refs = await late(world, 6)
    preview = await previewed(world)
    inbox = Inbox(world.database, NoAssets())

    async def withdraw(ref: RevisionRef) -> None:
        data = {"project": PROJECT, "sample_id": ref.sample_id, "reason": "consent withdrawn"}
        message = structured(event(data, "concord.sample.withdrawn.v1", id=f"w-{ref.sample_id}"))
        await inbox.receive(message, via="http", projects=None)

    async def claim() -> None:
        for task in await world.open_tasks():
            try:
                claimed = await world.desk.claim(BEN, task.task_id)
                await world.desk.release(BEN, task.task_id, claimed.fence)
            except (TaskFinishedError, StaleFenceError):
                continue

    async def fix() -> None:
        request = FixRequest(correction=preview.correction)
        await world.incidents.fix(OPS, PROJECT, preview.incident_id, request)

    await asyncio.gather(
        fix(),
        claim(),
        withdraw(refs[0]),
        withdraw(refs[3]),
        *(world.follow(ref) for ref in refs[1:3]),
        *(keep_checked(world, f"t-{number}", 1.5, SHARED_RULES) for number in range(5)),
    )
    await world.pump()
    for ref in refs:
        await world.follow(ref)
    for number in range(5):
        await world.follow(RevisionRef(project=PROJECT, sample_id=f"t-{number}", revision=1))
    incidents = [await world.incidents.get(OPS, PROJECT, one.incident_id) for one in await world.all_incidents()]
    assert {one.incident.state for one in incidents} == {IncidentState.CLOSED}
    assert sum(one.progress.gone for one in incidents) == 2
    assert await world.open_tasks() == ()
    assert {await world.stage(ref) for ref in refs} == {Stage.COMMITTED, Stage.WITHDRAWN}
    assert (await verify_project(world.database, PROJECT)).audit_verified
