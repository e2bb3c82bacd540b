"""Samples under way when their project goes over to another taxonomy: checked by it before they are committed."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.ground_truth import GroundTruthActivities
from infra.bench.taxonomy.fill import NEW, OLD, OWNER, PROJECT, manifest_of, open_project
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.lifecycle import CommitInput, NextStep, RevisionRef, Stage, workflow_id_of
from services.contracts.review import DecisionInput, ReviewTask, TaskState, Verdict
from services.contracts.taxonomies import MigrationCounts, MigrationInput, MigrationRequest, MigrationState
from services.errors import StageConflictError
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.desk import ReviewDesk
from services.taxonomy.applying import migrate_samples
from services.taxonomy.migrations import MigrationDesk
from tests.committed import ChecksHere
from tests.intake_events import NoAssets, event, structured, take_in
from tests.review_world import principal

pytestmark = pytest.mark.servers

REVIEWER = principal("rita", Role.REVIEWER)


@pytest.fixture
async def road(database: PostgresDatabase) -> PostgresDatabase:
    await open_project(database)
    return database


async def checked(database: PostgresDatabase, number: int, *more: str) -> RevisionRef:
    """A sample that the checks have looked at, with labels of more classes, which name no version."""
    document: dict[str, Any] = manifest_of(number)
    first = {name: value for name, value in document["annotations"][0].items() if name != "taxonomy_version"}
    document["annotations"] += [{**first, "id": f"b{place}", "label": name} for place, name in enumerate(more)]
    ref = (await take_in(Inbox(database, NoAssets()), structured(event(document, id=f"e-{number}")))).ref
    await prepare_sample(database, NoAssets(), lambda _: (), ref)
    await check_alignment(database, ChecksHere(), ref)
    return ref


async def preview_and_migrate(database: PostgresDatabase) -> MigrationCounts:
    desk = MigrationDesk(database)
    preview = await desk.preview(OWNER, PROJECT, NEW)
    migration = await desk.start(OWNER, PROJECT, MigrationRequest(target=NEW))
    given = MigrationInput(project=PROJECT, migration_id=migration.migration_id)
    while (await migrate_samples(database, given, workflow_run_id="run-1")).state is MigrationState.RUNNING:
        pass
    done = (await desk.get(OWNER, PROJECT, migration.migration_id)).done
    assert done == preview.counts
    return done


async def tasks_of(database: PostgresDatabase, ref: RevisionRef) -> tuple[ReviewTask, ...]:
    async with database.transaction() as tx:
        return await tx.review.tasks_of(ref)


async def told(database: PostgresDatabase) -> list[str]:
    async with database.transaction() as tx:
        return [str(one.body["workflow_id"]) for one in await tx.outbox.pending(("workflow_signal",), limit=100)]


async def labels_and_taxonomy(database: PostgresDatabase, ref: RevisionRef) -> tuple[list[str], str | None]:
    async with database.transaction() as tx:
        labels, run = await tx.samples.label_set(ref), await tx.samples.last_check_run(ref)
    assert labels is not None
    assert run is not None
    return [label.label for label in labels.annotations], run.taxonomy


async def test_a_sample_that_waits_for_an_answer_is_checked_again_by_the_new_version(road: PostgresDatabase) -> None:
    renamed, asked_only, settled = (
        await checked(road, 0, "zebra"),
        await checked(road, 6, "rider"),
        await checked(road, 7),
    )
    assert (await preview_and_migrate(road)).rechecked == 2
    assert set(await told(road)) == {workflow_id_of(renamed), workflow_id_of(asked_only)}
    for ref in (renamed, asked_only):
        (task,) = await tasks_of(road, ref)
        assert task.state is TaskState.CANCELLED
        await check_alignment(road, ChecksHere(), ref)
    # What no version knows is asked again; what only the new one knows is not.
    assert await labels_and_taxonomy(road, renamed) == (["car", "tree", "zebra"], NEW)
    assert [task.state for task in await tasks_of(road, renamed)] == [TaskState.CANCELLED, TaskState.OPEN]
    assert await labels_and_taxonomy(road, asked_only) == (["tree", "sign", "rider"], NEW)
    assert [task.state for task in await tasks_of(road, asked_only)] == [TaskState.CANCELLED]
    assert await labels_and_taxonomy(road, settled) == (["tree"], OLD)


async def test_a_task_that_somebody_has_begun_is_left_to_them_and_the_sample_checked_afterwards(
    road: PostgresDatabase,
) -> None:
    ref = await checked(road, 0, "zebra")
    (task,) = await tasks_of(road, ref)
    claimed = await ReviewDesk(road).claim(REVIEWER, task.task_id)
    done = await preview_and_migrate(road)
    assert (done.rechecked, done.elsewhere) == (0, {"in_review": 1})
    approved = DecisionInput(verdict=Verdict.APPROVE, fence=claimed.fence)
    await ReviewDesk(road).decide(REVIEWER, task.task_id, approved)
    assert (await settle_review(road, ref)).next_step is NextStep.CHECK
    await check_alignment(road, ChecksHere(), ref)
    assert await labels_and_taxonomy(road, ref) == (["car", "tree", "zebra"], NEW)


async def test_what_was_accepted_under_the_old_version_is_checked_by_the_new_one_before_it_is_committed(
    road: PostgresDatabase,
) -> None:
    ref = await checked(road, 0)
    done = await preview_and_migrate(road)
    assert done.elsewhere == {"accepted": 1}
    with pytest.raises(StageConflictError, match="was accepted under road@1, and its project goes by road@2 now"):
        await commit_ground_truth(road, ref, workflow_run_id="run-1")
    # The activity tells the workflow what to do instead.
    step = await ActivityEnvironment().run(GroundTruthActivities(road).commit_ground_truth, CommitInput(ref=ref))
    assert (step.stage, step.next_step) == (Stage.ACCEPTED, NextStep.CHECK)
    assert (await check_alignment(road, ChecksHere(), ref)).next_step is NextStep.COMMIT
    record = await commit_ground_truth(road, ref, workflow_run_id="run-1")
    assert record.lineage["taxonomy_versions"] == [NEW]
    assert [label["label"] for label in record.body["annotations"]] == ["car", "tree"]
