from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.canonical import content_sha256
from services.contracts.findings import CheckReport
from services.contracts.records import CheckRun, GroundTruth
from services.contracts.taxonomies import CarriedOver, MigrationState, TaxonomyMigration
from services.errors import AlreadyExistsError, IntegrityError
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.integration.db_samples import (
    ANNOTATOR,
    PROJECT,
    SHA256,
    a_box,
    a_decision,
    a_ref,
    a_sample,
    an_event,
    open_task,
)

NEVER_CHANGED = (
    "check_runs",
    "decisions",
    "ground_truth",
    "inbox",
    "label_sets",
    "rule_sets",
    "stage_changes",
    "taxonomies",
    "taxonomy_migration_samples",
)


def a_record(sample_id: str = "s1", revision: int = 1) -> GroundTruth:
    body: dict[str, Any] = {"labels": [{"x": 0.1}]}
    lineage: dict[str, Any] = {"decisions": []}
    return GroundTruth(
        ref=a_ref(sample_id, revision),
        content_sha256=content_sha256(body),
        lineage_sha256=content_sha256(lineage),
        body=body,
        lineage=lineage,
        committed_at=datetime.now(UTC),
    )


@pytest.fixture
async def history(database: PostgresDatabase) -> None:
    """One row in every table that is never changed."""
    ref = await a_sample(database)
    task = await open_task(database, ref)
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.inbox.add(an_event(), ref, via="http")
        await tx.samples.add_label_set(ref, (a_box(),), origin="manifest", author=ANNOTATOR)
        await tx.review.add_decision(a_decision(task, "rev"), {})
        await tx.ground_truth.add(a_record())
        run = CheckRun(
            run_id=uuid4(),
            ref=ref,
            label_version=1,
            rule=DEFAULT_RULE_SET.reference,
            rule_sha256=DEFAULT_RULE_SET.sha256,
            report=CheckReport(rule=DEFAULT_RULE_SET.reference),
            seconds=0.1,
            created_at=datetime.now(UTC),
        )
        await tx.samples.add_check_run(run)
        taxonomy = Taxonomy(id="av", version=1, classes=(TaxonomyClass(id="car"),))
        await tx.taxonomies.add(taxonomy, sha256=content_sha256(taxonomy), published_by="root")
        migration = TaxonomyMigration(
            migration_id=uuid4(),
            project=PROJECT,
            target="av@1",
            crosswalk_sha256=SHA256,
            state=MigrationState.RUNNING,
            total=1,
            started_by="root",
            started_at=datetime.now(UTC),
        )
        await tx.taxonomy_migrations.add(migration)
        carried = CarriedOver(
            migration_id=migration.migration_id,
            outcome="migrated",
            target="av@1",
            crosswalk_sha256=SHA256,
            revision_before=1,
            content_sha256=SHA256,
            lineage_sha256=SHA256,
        )
        await tx.taxonomy_migrations.add_carried(ref, carried)


@pytest.mark.usefixtures("history")
async def test_history_can_not_be_updated_deleted_or_truncated(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for table in NEVER_CHANGED:
            column = await connection.fetchval(
                "SELECT column_name FROM information_schema.columns WHERE table_name = $1 LIMIT 1", table
            )
            for statement in (
                f"UPDATE {table} SET {column} = {column}",  # noqa: S608 - names from this test
                f"DELETE FROM {table}",  # noqa: S608
                f"TRUNCATE {table} CASCADE",
            ):
                with pytest.raises(asyncpg.RestrictViolationError):
                    await connection.execute(statement)
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 1  # noqa: S608
    finally:
        await connection.close()


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sample_revisions SET manifest = '{}'",
        "UPDATE sample_revisions SET manifest_sha256 = ''",
        "UPDATE sample_revisions SET event_key = NULL",
        "DELETE FROM sample_revisions",
        "TRUNCATE sample_revisions CASCADE",
    ],
)
async def test_what_a_revision_began_with_can_not_be_changed(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_ground_truth_comes_back_whole_and_only_once(database: PostgresDatabase) -> None:
    await a_sample(database)
    record = a_record()
    async with database.transaction() as tx:
        assert await tx.ground_truth.get(record.ref) is None
        await tx.ground_truth.add(record)
        with pytest.raises(AlreadyExistsError):
            await tx.ground_truth.add(record.model_copy(update={"content_sha256": SHA256}))
    async with database.transaction() as tx:
        stored = await tx.ground_truth.get(record.ref)
    assert stored == record
    assert stored is not None
    assert content_sha256(stored.body) == stored.content_sha256


async def test_ground_truth_is_listed_by_sample_and_revision(database: PostgresDatabase) -> None:
    for name in ("b", "a", "B", "c"):
        await a_sample(database, name)
        async with database.transaction() as tx:
            await tx.ground_truth.add(a_record(name))
    async with database.transaction() as tx:
        names = [record.ref.sample_id for record in await tx.ground_truth.list(PROJECT, after=None, limit=10)]
        assert names == ["B", "a", "b", "c"]
        page = await tx.ground_truth.list(PROJECT, after=("a", 1), limit=1)
        assert [record.ref.sample_id for record in page] == ["b"]
        assert await tx.ground_truth.list("elsewhere", after=None, limit=10) == ()


async def test_ground_truth_of_an_unknown_revision_does_not_commit(database: PostgresDatabase) -> None:
    with pytest.raises(IntegrityError, match="fk_ground_truth_sample_revisions"):
        async with database.transaction() as tx:
            await tx.ground_truth.add(a_record())


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'claimed ', held_by = NULL, lease_expires_at = NULL", "ck_review_tasks_state"),
        ("kind = 'guess'", "ck_review_tasks_kind"),
        ("state = 'claimed'", "ck_review_tasks_held"),
        ("fence = 0", "ck_review_tasks_fence_rises"),
        ("held_by = 'other'", "ck_review_tasks_fence_rises"),
        ("held_by = 'bad', fence = 9", "ck_review_tasks_not_excluded"),
        ("excluded_actors = '{}'", "ck_review_tasks_exclusions_stay"),
        ("completed_at = now()", "ck_review_tasks_finished"),
    ],
)
async def test_database_refuses_tasks_that_contradict_themselves(
    database: PostgresDatabase, database_url: str, change: str, constraint: str
) -> None:
    task = await open_task(database, await a_sample(database), excluded_actors=("bad",))
    connection = await asyncpg.connect(database_url)
    try:
        if change != "state = 'claimed'":
            await connection.execute(
                "UPDATE review_tasks SET state = 'claimed', held_by = 'rev', fence = 1, "
                "lease_expires_at = now() + interval '1 h'"
            )
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.execute(
                f"UPDATE review_tasks SET {change} WHERE task_id = $1",  # noqa: S608 - from the list above
                task.task_id,
            )
        assert refused.value.constraint_name == constraint
    finally:
        await connection.close()


async def test_database_refuses_unknown_stages_and_negative_counts(
    database: PostgresDatabase, database_url: str
) -> None:
    await a_sample(database)
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (
            "UPDATE sample_revisions SET stage = 'lost'",
            "UPDATE sample_revisions SET label_version = -1",
            "UPDATE samples SET current_revision = -1",
            "UPDATE outbox SET attempts = -1",
            "UPDATE outbox SET topic = 'rumour'",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(statement)
    finally:
        await connection.close()
