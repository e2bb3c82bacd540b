"""Tampering with migrated records, with what they were made of, and with the taxonomies between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from infra.bench.taxonomy.fill import NEW, OWNER, PROJECT, commit_samples, open_project
from infra.db.engine import PostgresDatabase
from services.access.keys import SYSTEM_PROJECT
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.canonical import canonical_json, content_sha256
from services.contracts.erasure import ErasureRequest, OfSamples
from services.contracts.taxonomies import MigrationInput, MigrationRequest, MigrationState
from services.contracts.verification import VerificationReport
from services.erasure.desk import ErasureDesk
from services.taxonomy.applying import migrate_samples
from services.taxonomy.migrations import MigrationDesk
from tests.databases import unguarded

pytestmark = pytest.mark.servers

SAMPLES = 20
MIGRATED = "drive-000000"
"""Its labels are carried over by themselves; revision 2 is made of revision 1."""
ADMIN = Principal(actor_id="root", key_id="key-root", role=Role.ADMIN, projects=None)


@pytest.fixture
async def road(database: PostgresDatabase) -> PostgresDatabase:
    await open_project(database)
    await commit_samples(database, SAMPLES, undecided_every=10)
    migration = await MigrationDesk(database).start(OWNER, PROJECT, MigrationRequest(target=NEW))
    given = MigrationInput(project=PROJECT, migration_id=migration.migration_id)
    state = MigrationState.RUNNING
    while state is MigrationState.RUNNING:
        state = (await migrate_samples(database, given, workflow_run_id="run-1")).state
    return database


def kinds(report: VerificationReport) -> set[str]:
    return {item.kind for item in report.faults}


def of_subject(report: VerificationReport, revision: int) -> set[str]:
    subject = f"samples/{MIGRATED}/revisions/{revision}"
    return {item.kind for item in report.faults if item.subject == subject}


async def change(
    connection: asyncpg.Connection[Any], revision: int, edit: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Change a record, with right hashes, as far as its own row goes."""
    row = await connection.fetchrow(
        "SELECT body, lineage FROM ground_truth WHERE sample_id = $1 AND revision = $2", MIGRATED, revision
    )
    assert row is not None
    body, lineage = json.loads(row["body"]), json.loads(row["lineage"])
    edit(body, lineage)
    await connection.execute(
        "UPDATE ground_truth SET body = $3, lineage = $4, content_sha256 = $5, lineage_sha256 = $6"
        " WHERE sample_id = $1 AND revision = $2",
        MIGRATED,
        revision,
        *(canonical_json(part).decode() for part in (body, lineage)),
        *(content_sha256(part) for part in (body, lineage)),
    )


def relabel(label: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def edit(body: dict[str, Any], _: dict[str, Any]) -> None:
        body["annotations"][0]["label"] = label

    return edit


async def test_true_migrations_and_taxonomies_verify(road: PostgresDatabase) -> None:
    report = await verify_project(road, PROJECT)
    assert report.faults == ()
    assert report.records > SAMPLES
    assert (await verify_project(road, SYSTEM_PROJECT)).faults == ()


async def test_a_changed_migrated_record_is_not_what_it_was_made_of_carried_over(
    road: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        await change(connection, 2, relabel("bus"))
    report = await verify_project(road, PROJECT)
    assert of_subject(report, 2) >= {"body-mismatch", "commit-contradicts-entry", "made-of-contradiction"}
    assert not of_subject(report, 1)


async def test_a_migrated_record_changed_with_its_label_set_is_still_not_what_it_was_made_of(
    road: PostgresDatabase, database_url: str
) -> None:
    """Record and label set agree, hashes and all: the older record and the steps say otherwise."""
    async with unguarded(database_url) as connection:
        await change(connection, 2, relabel("bus"))
        row = await connection.fetchrow(
            "SELECT annotations FROM label_sets WHERE sample_id = $1 AND revision = 2", MIGRATED
        )
        assert row is not None
        labels = json.loads(row["annotations"])
        labels[0]["label"] = "bus"
        digest = content_sha256(labels)
        await connection.execute(
            "UPDATE label_sets SET annotations = $2, sha256 = $3 WHERE sample_id = $1 AND revision = 2",
            MIGRATED,
            canonical_json(labels).decode(),
            digest,
        )

        def name_them(body: dict[str, Any], lineage: dict[str, Any]) -> None:
            lineage["label_sets"][0]["sha256"] = digest

        await change(connection, 2, name_them)
    report = await verify_project(road, PROJECT)
    found = of_subject(report, 2)
    assert "made-of-contradiction" in found
    assert "body-mismatch" not in found


async def test_a_changed_older_record_is_not_what_the_migrated_one_was_made_of(
    road: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        await change(connection, 1, relabel("tree"))
    report = await verify_project(road, PROJECT)
    assert of_subject(report, 2) == {"made-of-mismatch", "made-of-contradiction"}
    assert of_subject(report, 1) >= {"body-mismatch", "commit-contradicts-entry"}


async def test_an_older_record_that_is_deleted_is_missed(road: PostgresDatabase, database_url: str) -> None:
    async with unguarded(database_url) as connection:
        await connection.execute("DELETE FROM ground_truth WHERE sample_id = $1 AND revision = 1", MIGRATED)
    report = await verify_project(road, PROJECT)
    assert of_subject(report, 2) == {"made-of-missing"}
    assert "record-missing" in of_subject(report, 1)


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("content_sha256", "0" * 64, {"lineage-mismatch", "made-of-mismatch"}),
        ("revision_before", 2, {"lineage-mismatch", "made-of-mismatch"}),
        ("crosswalk_sha256", "0" * 64, {"lineage-mismatch", "crosswalk-mismatch"}),
        ("outcome", "reopened", {"lineage-mismatch"}),
    ],
)
async def test_a_changed_note_of_what_a_record_was_made_of_is_found(
    road: PostgresDatabase, database_url: str, member: str, value: str | int, expected: set[str]
) -> None:
    async with unguarded(database_url) as connection:
        await connection.execute(
            "UPDATE taxonomy_migration_samples SET carried = jsonb_set(carried::jsonb, $2, $3)::json"
            " WHERE sample_id = $1",
            MIGRATED,
            [member],
            json.dumps(value),
        )
    assert of_subject(await verify_project(road, PROJECT), 2) >= expected


async def test_a_changed_taxonomy_is_not_the_one_that_was_published_and_carried_over_to(
    road: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        await connection.execute(
            "UPDATE taxonomies SET document = replace(document::text, '\"truck\"', '\"lorries\"')::json"
            " WHERE version = 2"
        )
    report = await verify_project(road, PROJECT)
    assert {"taxonomy-hash", "crosswalk-mismatch"} <= kinds(report)
    assert {item.subject for item in report.faults if item.kind == "taxonomy-hash"} == {"taxonomies/road/2"}
    assert kinds(await verify_project(road, SYSTEM_PROJECT)) == {"taxonomy-hash"}


async def test_taxonomies_and_rule_sets_that_are_gone_or_invented_contradict_the_common_chain(
    road: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        await connection.execute("DELETE FROM taxonomies WHERE version = 1; DELETE FROM rule_sets WHERE id = 'road'")
        await connection.execute(
            "INSERT INTO rule_sets SELECT 'mine', 1, sha256, replace(document::text, '\"default\"', '\"mine\"')::json"
            " FROM rule_sets WHERE id = 'default'"
        )
        await connection.execute(
            "INSERT INTO taxonomies SELECT id, 3, sha256, replace(document::text, '\"version\":2', '\"version\":3')"
            "::json, classes, published_by, published_at FROM taxonomies WHERE version = 2"
        )
    report = await verify_project(road, SYSTEM_PROJECT)
    assert {(item.kind, item.subject) for item in report.faults} >= {
        ("taxonomy-missing", "taxonomies/road/1"),
        ("rule-set-missing", "rule-sets/road/1"),
        ("taxonomy-hash", "taxonomies/road/3"),
    }
    assert {"taxonomy-missing", "rule-set-missing"} <= kinds(await verify_project(road, PROJECT))


async def test_an_erased_older_record_leaves_the_hashes_that_the_migrated_one_names(
    road: PostgresDatabase, database_url: str
) -> None:
    desk = ErasureDesk(road)
    request = ErasureRequest(subject=OfSamples(kind="samples", sample_ids=(MIGRATED,)), reason="asked for")
    erasure = await desk.order(ADMIN, PROJECT, request)
    while erasure.finished_at is None:
        erasure = await desk.apply(ADMIN, PROJECT, erasure.erasure_id)
    report = await verify_project(road, PROJECT)
    assert (report.faults, report.erased) == ((), 2)
    async with unguarded(database_url) as connection:
        await connection.execute(
            "UPDATE ground_truth SET content_sha256 = repeat('0', 64) WHERE sample_id = $1 AND revision = 1", MIGRATED
        )
    report = await verify_project(road, PROJECT)
    assert of_subject(report, 2) == {"made-of-mismatch"}
    assert of_subject(report, 1) >= {"tombstone-contradiction", "commit-contradicts-entry"}
