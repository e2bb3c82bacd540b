from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.canonical import content_sha256
from services.contracts.findings import CheckReport, RuleReference
from services.contracts.label_base import Author
from services.contracts.lifecycle import Stage
from services.contracts.records import AssetRecord, CheckRun, StageChange
from services.errors import AlreadyExistsError, IntegrityError, NotFoundError, StageConflictError
from services.lifecycle.journal import record_stage
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.integration.db_samples import (
    ANNOTATOR,
    PROJECT,
    SHA256,
    a_box,
    a_manifest,
    a_ref,
    a_sample,
    an_event,
    put_project,
    put_revision,
)


async def test_new_revision_is_read_back_whole(database: PostgresDatabase) -> None:
    await put_project(database)
    ref, event = a_ref(), an_event(data={"x": [1, -0.5]})
    manifest = a_manifest(ref, risk="high")
    async with database.transaction() as tx:
        assert await tx.samples.lock_sample(PROJECT, "s1") == 0
        await tx.inbox.add(event, ref, via="http")
        await tx.samples.add_revision(
            ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=event
        )
    async with database.transaction() as tx:
        stored = await tx.samples.get(ref)
        assert await tx.samples.lock_sample(PROJECT, "s1") == 1
        assert await tx.samples.newest(PROJECT, "s1") == ref
        assert await tx.samples.newest(PROJECT, "s2") is None
        assert await tx.samples.get(a_ref("s2")) is None
    assert stored is not None
    assert (stored.manifest, stored.stage, stored.risk, stored.label_version) == (manifest, Stage.RECEIVED, "high", 0)
    assert (stored.event_source, stored.event_id) == (event.source, event.id)
    assert content_sha256(stored.manifest) == stored.manifest_sha256


async def test_revision_that_is_not_the_next_is_refused(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    async with database.transaction() as tx:
        with pytest.raises(AlreadyExistsError):
            await tx.samples.add_revision(
                ref, a_manifest(ref), manifest_sha256=SHA256, risk=a_manifest(ref).context.risk, event=None
            )


async def test_sample_of_an_unknown_project_is_not_found(database: PostgresDatabase) -> None:
    with pytest.raises(NotFoundError):
        async with database.transaction() as tx:
            await tx.samples.lock_sample("nowhere", "s1")


async def test_revision_whose_event_is_not_in_the_inbox_does_not_commit(database: PostgresDatabase) -> None:
    await put_project(database)
    ref = a_ref()
    with pytest.raises(IntegrityError, match="fk_sample_revisions_inbox"):
        async with database.transaction() as tx:
            await tx.samples.add_revision(
                ref, a_manifest(ref), manifest_sha256=SHA256, risk=a_manifest(ref).context.risk, event=an_event()
            )
    async with database.transaction() as tx:
        assert await tx.samples.get(ref) is None


async def test_lists_and_counts_follow_the_cursor(database: PostgresDatabase) -> None:
    refs = [await a_sample(database, f"s{n}") for n in range(7)]
    await a_sample(database, "other", project="elsewhere")
    async with database.transaction() as tx:
        await record_stage(tx, refs[2], Stage.RECEIVED, Stage.PRE_LABELING, actor="concord")
    seen, after = [], None
    async with database.transaction() as tx:
        while page := await tx.samples.list(PROJECT, stage=None, after=after, limit=3):
            seen += [item.ref for item in page]
            after = (page[-1].created_at, page[-1].ref.sample_id, page[-1].ref.revision)
        moved = await tx.samples.list(PROJECT, stage=Stage.PRE_LABELING, after=None, limit=10)
        counts = await tx.samples.count_by_stage(PROJECT)
    assert seen == refs[::-1]
    assert [item.ref for item in moved] == [refs[2]]
    assert counts == {Stage.RECEIVED: 6, Stage.PRE_LABELING: 1}


async def test_stage_changes_make_a_timeline_without_gaps_over_revisions(database: PostgresDatabase) -> None:
    first = await a_sample(database)
    second = a_ref(revision=2)
    async with database.transaction() as tx:
        await record_stage(tx, first, Stage.RECEIVED, Stage.WITHDRAWN, actor="up", reason="replaced")
        await put_revision(tx, second)
    async with database.transaction() as tx:
        timeline = await tx.samples.timeline(PROJECT, "s1")
    assert [(change.sequence, change.ref, change.stage) for change in timeline] == [
        (1, first, Stage.RECEIVED),
        (2, first, Stage.WITHDRAWN),
        (3, second, Stage.RECEIVED),
    ]
    assert timeline[1].reason == "replaced"


async def test_sequence_has_no_gap_after_a_rollback_and_under_concurrency(database: PostgresDatabase) -> None:
    await a_sample(database)

    async def take(fail: bool) -> int:
        async with database.transaction() as tx:
            sequence = await tx.samples.next_sequence(PROJECT, "s1")
            if fail:
                raise RuntimeError("changed its mind")
        return sequence

    results = await asyncio.gather(*(take(n % 3 == 0) for n in range(30)), return_exceptions=True)
    assert sorted(result for result in results if isinstance(result, int)) == list(range(2, 22))
    async with database.transaction() as tx:
        with pytest.raises(NotFoundError):
            await tx.samples.next_sequence(PROJECT, "unknown")


async def test_stage_change_from_a_stage_it_has_left_is_refused(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    async with database.transaction() as tx:
        change = StageChange(
            ref=ref,
            sequence=2,
            stage=Stage.CHECKING,
            previous_stage=Stage.PRE_LABELING,
            actor="concord",
            at=await tx.now(),
        )
        with pytest.raises(StageConflictError):
            await tx.samples.set_stage(change)


async def test_label_sets_count_up_and_predictions_count_for_themselves(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    model = Author(kind="model", id="detector", version="3")
    async with database.transaction() as tx:
        first = await tx.samples.add_label_set(ref, (a_box(),), origin="manifest", author=ANNOTATOR)
        guess = await tx.samples.add_label_set(ref, (a_box("p1"),), origin="prediction", author=model)
        second = await tx.samples.add_label_set(ref, (a_box(x_min=0.1 + 0.2),), origin="reviewer", author=ANNOTATOR)
    async with database.transaction() as tx:
        stored = await tx.samples.get(ref)
        assert await tx.samples.label_set(ref) == second
        assert await tx.samples.label_set(ref, 1) == first
        assert await tx.samples.label_set(ref, 3) is None
        assert await tx.samples.label_sets(ref) == (first, guess, second)
    assert stored is not None
    assert stored.label_version == 2
    assert (first.version, guess.version, second.version) == (1, 1, 2)
    labels = [label.model_dump(mode="json", exclude_none=True) for label in second.annotations]
    assert content_sha256(labels) == second.sha256


async def test_label_set_of_an_unknown_decision_does_not_commit(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    with pytest.raises(IntegrityError, match="fk_label_sets_decisions"):
        async with database.transaction() as tx:
            await tx.samples.add_label_set(ref, (), origin="reviewer", author=ANNOTATOR, decision_id=uuid4())


async def test_assets_are_kept_by_stream_role_and_address(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    image = AssetRecord(stream="cam", uri="a.png", sha256=SHA256, size_bytes=10)
    labels = AssetRecord(stream="cam", uri="a.txt", sha256=SHA256, size_bytes=3, role="label_file")
    guesses = labels.model_copy(update={"uri": "b.txt"})
    async with database.transaction() as tx:
        await tx.samples.put_assets(ref, (labels, image, guesses))
    changed = image.model_copy(update={"sha256": "cd" * 32, "size_bytes": 11})
    async with database.transaction() as tx:
        await tx.samples.put_assets(ref, (labels, image))
        assert await tx.samples.assets(ref) == (image, labels, guesses)
        await tx.samples.put_assets(ref, (changed,))
        assert await tx.samples.assets(ref) == (changed, labels, guesses)


async def test_check_runs_come_back_and_the_newest_is_the_last(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    reference = RuleReference(id="default", version=1)
    start = datetime.now(UTC)
    runs = [
        CheckRun(
            run_id=uuid4(),
            ref=ref,
            label_version=n,
            rule=reference,
            rule_sha256=SHA256,
            report=CheckReport(rule=reference),
            seconds=0.25,
            created_at=start + timedelta(seconds=n),
        )
        for n in range(3)
    ]
    async with database.transaction() as tx:
        assert await tx.samples.last_check_run(ref) is None
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        for run in reversed(runs):
            await tx.samples.add_check_run(run)
    async with database.transaction() as tx:
        assert await tx.samples.last_check_run(ref) == runs[2]
        assert await tx.samples.check_runs(ref) == tuple(runs)


async def test_check_run_of_an_unknown_rule_set_does_not_commit(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    reference = RuleReference(id="nobody-knows", version=1)
    run = CheckRun(
        run_id=uuid4(),
        ref=ref,
        label_version=0,
        rule=reference,
        rule_sha256=SHA256,
        report=CheckReport(rule=reference),
        seconds=0.25,
        created_at=datetime.now(UTC),
    )
    with pytest.raises(IntegrityError, match="fk_check_runs_rule_sets"):
        async with database.transaction() as tx:
            await tx.samples.add_check_run(run)


async def test_locked_revision_makes_the_next_reader_wait(database: PostgresDatabase) -> None:
    ref = await a_sample(database)
    order: list[str] = []
    locked = asyncio.Event()

    async def first() -> None:
        async with database.transaction() as tx:
            await tx.samples.get(ref, lock=True)
            locked.set()
            await record_stage(tx, ref, Stage.RECEIVED, Stage.PRE_LABELING, actor="concord")
            order.append("first")

    async def second() -> None:
        await locked.wait()
        async with database.transaction() as tx:
            stored = await tx.samples.get(ref, lock=True)
            order.append("second")
        assert stored is not None
        assert stored.stage == Stage.PRE_LABELING

    await asyncio.gather(first(), second())
    assert order == ["first", "second"]
