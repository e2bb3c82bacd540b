from __future__ import annotations

import asyncio

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import GroundTruth
from services.contracts.review import FindingState
from services.errors import BlockingFindingError, NotFoundError, StageConflictError
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.journal import record_stage, subject_of
from tests.committed import accepted_sample, committed_sample
from tests.intake_events import add_project

pytestmark = pytest.mark.servers


async def _stage(database: PostgresDatabase, ref: RevisionRef) -> Stage:
    async with database.transaction() as tx:
        revision = await tx.samples.get(ref)
    assert revision is not None
    return revision.stage


async def test_ten_commits_at_once_make_one_record(database: PostgresDatabase) -> None:
    await add_project(database)
    ref = await accepted_sample(database, "s-1")
    records = await asyncio.gather(
        *(commit_ground_truth(database, ref, workflow_run_id=f"run-{number}") for number in range(10))
    )
    assert all(record == records[0] for record in records)
    async with database.transaction() as tx:
        stored = await tx.ground_truth.list(ref.project, after=None, limit=10)
        timeline = await tx.samples.timeline(ref.project, ref.sample_id)
        entries = await tx.audit.of_subjects(ref.project, (subject_of(ref),))
        events = [m for m in await tx.outbox.pending(("event",), limit=100) if m.body.get("stage") == "committed"]
    assert stored == (records[0],)
    assert [change.stage for change in timeline].count(Stage.COMMITTED) == 1
    assert [entry.action for entry in entries].count("ground_truth.committed") == 1
    assert [message.body["content_sha256"] for message in events] == [records[0].content_sha256]


async def test_the_record_is_read_as_it_was_written(database: PostgresDatabase) -> None:
    await add_project(database)
    record = await committed_sample(database, "s-1")
    async with database.transaction() as tx:
        stored = await tx.ground_truth.get(record.ref)
    assert stored == record
    assert isinstance(stored, GroundTruth)
    assert stored.lineage["decisions"][0]["reason_code"] == "tolerated_by_policy"
    assert stored.lineage["people"] == [{"id": "rex", "did": ["review:accept_conflict"]}]
    assert stored.lineage["workflow"]["run_id"] == "run-s-1"
    assert stored.lineage["findings"][0]["state"] == "accepted"
    assert await _stage(database, record.ref) is Stage.COMMITTED


async def test_a_sample_that_is_not_accepted_is_not_committed(database: PostgresDatabase) -> None:
    await add_project(database)
    ref = await accepted_sample(database, "s-1")
    async with database.transaction() as tx:
        await tx.samples.get(ref, lock=True)
        await record_stage(tx, ref, Stage.ACCEPTED, Stage.REJECTED, actor="test")
    with pytest.raises(StageConflictError):
        await commit_ground_truth(database, ref, workflow_run_id="run")
    async with database.transaction() as tx:
        assert await tx.ground_truth.get(ref) is None


async def test_an_open_blocking_finding_stops_the_commit(database: PostgresDatabase) -> None:
    await add_project(database)
    ref = await accepted_sample(database, "s-1")
    async with database.transaction() as tx:
        (finding,) = await tx.review.findings(ref)
        await tx.review.put_finding(
            finding.model_copy(update={"state": FindingState.OPEN, "decision_id": None, "blocking": True})
        )
    with pytest.raises(BlockingFindingError, match=finding.finding.finding_id):
        await commit_ground_truth(database, ref, workflow_run_id="run")
    assert await _stage(database, ref) is Stage.ACCEPTED


async def test_a_revision_that_is_not_there_is_not_committed(database: PostgresDatabase) -> None:
    await add_project(database)
    ref = RevisionRef(project="calls", sample_id="nobody", revision=1)
    with pytest.raises(NotFoundError):
        await commit_ground_truth(database, ref, workflow_run_id="run")
