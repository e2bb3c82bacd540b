"""Committed samples follow a taxonomy: the preview says what happens, each sample once, and the old stays readable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from infra.bench.taxonomy.fill import (
    NEW,
    OLD,
    OWNER,
    PROJECT,
    commit_samples,
    manifest_of,
    open_project,
)
from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.findings import LabelPatch
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.lineage import Origin, OriginKind
from services.contracts.records import GroundTruth
from services.contracts.review import DecisionInput, Verdict
from services.contracts.taxonomies import (
    MigrationInput,
    MigrationRequest,
    MigrationState,
    TaxonomyMigration,
)
from services.errors import InvalidInputError, MigrationConflictError, NotFoundError
from services.ground_truth.as_of import as_of
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.desk import ReviewDesk
from services.taxonomy.applying import migrate_samples
from services.taxonomy.migrations import MigrationDesk
from tests.committed import REVIEWER, ChecksHere
from tests.intake_events import NoAssets, event, structured, take_in

SAMPLES = 40


async def records(database: PostgresDatabase) -> dict[RevisionRef, GroundTruth]:
    async with database.transaction() as tx:
        found = await tx.ground_truth.list(PROJECT, after=None, limit=1_000)
    return {record.ref: record for record in found}


async def started(database: PostgresDatabase) -> TaxonomyMigration:
    return await MigrationDesk(database).start(OWNER, PROJECT, MigrationRequest(target=NEW))


def given(migration: TaxonomyMigration) -> MigrationInput:
    return MigrationInput(project=PROJECT, migration_id=migration.migration_id)


async def finished(database: PostgresDatabase, migration: TaxonomyMigration) -> TaxonomyMigration:
    while True:
        step = await migrate_samples(database, given(migration), workflow_run_id="run-1", samples_a_batch=7)
        if step.state is not MigrationState.RUNNING:
            return await MigrationDesk(database).get(OWNER, PROJECT, migration.migration_id)


@pytest.fixture
async def road(database: PostgresDatabase) -> PostgresDatabase:
    await open_project(database)
    await commit_samples(database, SAMPLES, undecided_every=10)
    return database


async def test_preview_says_what_happens_and_the_old_records_stay_as_they_were(road: PostgresDatabase) -> None:
    before = await records(road)
    preview = await MigrationDesk(road).preview(OWNER, PROJECT, NEW)
    assert await records(road) == before, "a preview changes nothing"
    outcomes = {(item.label, item.outcome, item.target): item.labels for item in preview.counts.classes}
    assert outcomes == {
        ("auto", "renamed", "car"): 10,
        ("lorry", "merged", "truck"): 5,
        ("truck", "merged", "truck"): 5,
        ("person", "split_decided", "rider"): 5,
        ("person", "split_decided", "pedestrian"): 10,
        ("person", "split_open", None): 4,
        ("sign", "untouched", "sign"): 10,
        ("tree", "untouched", "tree"): 15,
    }
    migration = await finished(road, await started(road))
    assert migration.state is MigrationState.COMPLETED
    assert migration.done == preview.counts
    assert (migration.done.migrated, migration.done.reopened, migration.done.untouched) == (27, 4, 9)

    after = await records(road)
    assert {ref: after[ref] for ref in before} == before
    new = {ref: record for ref, record in after.items() if ref not in before}
    assert len(new) == 27
    for ref, record in new.items():
        made_of = record.lineage["migration"]["made_of"]
        old = before[ref.model_copy(update={"revision": made_of["revision"]})]
        assert (made_of["content_sha256"], made_of["lineage_sha256"]) == (old.content_sha256, old.lineage_sha256)
        assert record.lineage["migration"]["crosswalk_sha256"] == migration.crosswalk_sha256
        assert record.lineage["taxonomy_versions"] == [NEW]
        assert record.body["streams"] == old.body["streams"]
    verdict = await verify_project(road, PROJECT)
    assert (verdict.faults, verdict.records) == ((), len(after))


async def test_only_what_a_split_leaves_open_is_opened_again_with_the_rest_carried_over(road: PostgresDatabase) -> None:
    await finished(road, await started(road))
    ref = RevisionRef(project=PROJECT, sample_id="drive-000019", revision=2)
    async with road.transaction() as tx:
        revision, labels = await tx.samples.get(ref), await tx.samples.label_set(ref)
        starts = await tx.outbox.pending(("workflow_start",), limit=100)
    assert revision is not None
    assert revision.stage is Stage.RECEIVED
    assert labels is not None
    assert (labels.origin, labels.author.id) == ("migration", "source:bench"), "labels keep their author"
    assert [(item.label, item.taxonomy_version) for item in labels.annotations] == [
        ("rider", NEW),
        ("person", OLD),
    ]
    assert sorted(str(message.sample_id) for message in starts) == [f"drive-0000{n}9" for n in range(4)]


async def test_batches_that_run_at_once_or_again_do_nothing_twice(road: PostgresDatabase) -> None:
    preview = await MigrationDesk(road).preview(OWNER, PROJECT, NEW)
    migration = await started(road)
    await asyncio.gather(
        *(migrate_samples(road, given(migration), workflow_run_id=f"run-{n}", samples_a_batch=3) for n in range(4))
    )
    done = await finished(road, migration)
    assert done.done == preview.counts
    async with road.transaction() as tx:
        counts = await tx.samples.count_by_stage(PROJECT)
    assert counts == {Stage.REOPENED: 31, Stage.COMMITTED: 36, Stage.RECEIVED: 4}
    again = await migrate_samples(road, given(migration), workflow_run_id="late")
    assert again.state is MigrationState.COMPLETED
    second = await finished(road, await started(road))
    assert (second.done.migrated, second.done.reopened) == (0, 0)


async def test_paused_migration_stands_still_and_goes_on_where_it_stopped(road: PostgresDatabase) -> None:
    desk = MigrationDesk(road)
    migration = await started(road)
    with pytest.raises(MigrationConflictError, match="not over"):
        await started(road)
    step = await migrate_samples(road, given(migration), workflow_run_id="r", samples_a_batch=10, batches=1)
    assert (step.seen, step.total) == (10, SAMPLES)
    await desk.pause(OWNER, PROJECT, migration.migration_id)
    assert (await migrate_samples(road, given(migration), workflow_run_id="r")).state is MigrationState.PAUSED
    paused = await desk.get(OWNER, PROJECT, migration.migration_id)
    assert (paused.done.samples, paused.cursor) == (10, "drive-000009")
    await desk.resume(OWNER, PROJECT, migration.migration_id)
    assert (await finished(road, migration)).done.samples == SAMPLES
    with pytest.raises(MigrationConflictError, match="completed"):
        await desk.cancel(OWNER, PROJECT, migration.migration_id)


async def test_cancelled_migration_leaves_the_rest_for_another_one(road: PostgresDatabase) -> None:
    desk = MigrationDesk(road)
    first = await started(road)
    await migrate_samples(road, given(first), workflow_run_id="r", samples_a_batch=10, batches=2)
    await desk.cancel(OWNER, PROJECT, first.migration_id)
    assert (await migrate_samples(road, given(first), workflow_run_id="r")).state is MigrationState.CANCELLED
    second = await finished(road, await started(road))
    assert second.done.migrated + (await desk.get(OWNER, PROJECT, first.migration_id)).done.migrated == 27
    assert (await verify_project(road, PROJECT)).faults == ()


async def test_sample_under_way_is_left_alone_and_carried_over_when_it_is_checked(road: PostgresDatabase) -> None:
    message = structured(event(manifest_of(1_000), id="late"))
    ref = (await take_in(Inbox(road, NoAssets()), message)).ref
    await prepare_sample(road, NoAssets(), lambda _: (), ref)
    done = (await finished(road, await started(road))).done
    assert done.elsewhere == {"checking": 1}
    await check_alignment(road, ChecksHere(), ref)
    async with road.transaction() as tx:
        labels, run = await tx.samples.label_set(ref), await tx.samples.last_check_run(ref)
    assert labels is not None
    assert run is not None
    assert [item.label for item in labels.annotations] == ["car", "tree"]
    assert {item.taxonomy_version for item in labels.annotations} == {NEW}
    assert (run.taxonomy, run.label_version) == (NEW, labels.version)


async def test_migration_goes_forward_to_a_published_version_only(road: PostgresDatabase) -> None:
    desk = MigrationDesk(road)
    with pytest.raises(NotFoundError, match="road@9"):
        await desk.preview(OWNER, PROJECT, "road@9")
    with pytest.raises(NotFoundError):
        await desk.get(OWNER, PROJECT, uuid4())
    await finished(road, await started(road))
    with pytest.raises(InvalidInputError, match="older than road@2"):
        await desk.start(OWNER, PROJECT, MigrationRequest(target=OLD))


async def test_reopened_sample_asks_about_the_open_label_only_and_is_committed_when_somebody_has_chosen(
    road: PostgresDatabase,
) -> None:
    await finished(road, await started(road))
    ref = RevisionRef(project=PROJECT, sample_id="drive-000019", revision=2)
    await prepare_sample(road, NoAssets(), lambda _: (), ref)
    await check_alignment(road, ChecksHere(), ref)
    async with road.transaction() as tx:
        findings = {item.finding.finding_id: item.finding for item in await tx.review.findings(ref)}
        (task,) = await tx.review.tasks_of(ref)
        labels = await tx.samples.label_set(ref)
    (asked,) = [findings[finding_id] for finding_id in task.finding_ids]
    assert (asked.kind, asked.annotations) == ("crosswalk_ambiguous", ("a1",))
    assert labels is not None

    desk = ReviewDesk(road)
    claimed = await desk.claim(REVIEWER, task.task_id)
    chosen = labels.annotations[1].model_copy(update={"label": "rider", "taxonomy_version": NEW})
    fix = DecisionInput(verdict=Verdict.FIX, fence=claimed.fence, patch=LabelPatch(upsert=(chosen,)))
    await desk.decide(REVIEWER, task.task_id, fix)
    await settle_review(road, ref)
    await check_alignment(road, ChecksHere(), ref)
    record = await commit_ground_truth(road, ref, workflow_run_id="run-2")
    assert [item["label"] for item in record.body["annotations"]] == ["rider", "rider"]
    assert record.lineage["migration"]["made_of"]["revision"] == 1
    assert record.lineage["workflow"]["id"] == "sample/road/2/drive-000019"
    async with road.transaction() as tx:
        first = await tx.ground_truth.get(ref.model_copy(update={"revision": 1}))
        assert first is not None
        event = Origin(kind=OriginKind.EVENT, key=first.lineage["events"][0]["content_sha256"])
        found = await tx.ground_truth.dependents(PROJECT, event, after=None, limit=10)
    assert [item.ref.revision for item in found] == [1, 2], "what people decided about rests on the same event"
    assert (await verify_project(road, PROJECT)).faults == ()


async def test_export_of_a_version_holds_each_sample_as_it_stood_then(road: PostgresDatabase) -> None:
    before = await records(road)
    await finished(road, await started(road))

    async def all_records() -> AsyncIterator[GroundTruth]:
        for record in (await records(road)).values():
            yield record

    assert [record async for record in as_of(all_records(), OLD)] == list(before.values())
    new = {record.ref.sample_id: record.ref.revision async for record in as_of(all_records(), NEW)}
    assert len(new) == SAMPLES
    assert sum(revision == 2 for revision in new.values()) == 27
