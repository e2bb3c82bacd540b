"""A record that taxonomy migrations made still tells who decided, and is found from all it rests on."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from alembic import command
from sqlalchemy.pool import NullPool

from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase
from infra.db.migrate import alembic_config, migrate
from services.audit.verify import verify_project
from services.contracts.canonical import content_sha256
from services.contracts.datasets import FindingCondition, NewDataset, NewVersion, Selection
from services.contracts.lifecycle import Stage
from services.contracts.lineage import Origin, OriginKind
from services.contracts.review import FindingState
from services.datasets.prov import RecordsProv
from services.datasets.shelf import DatasetShelf
from services.feedback.reader import FeedbackReader
from services.report.agreement_reader import AgreementReader
from services.report.reader import ReportReader
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.databases import unguarded
from tests.migrated_world import ASSET_SHA256, CALIBRATION, CLASSES, OWNER, PROJECT, migrate_to, open_yard

pytestmark = pytest.mark.servers

ORIGINS = {
    OriginKind.PERSON: "rita",
    OriginKind.MODEL: "detector@1",
    OriginKind.CALIBRATION: content_sha256(CALIBRATION),
    OriginKind.RULE_SET: f"{DEFAULT_RULE_SET.id}@{DEFAULT_RULE_SET.version}",
    OriginKind.ASSET: ASSET_SHA256,
    OriginKind.WORKFLOW: "run-s1",
}


@pytest.fixture(params=[1, 2, 3])
async def migrated(request: pytest.FixtureRequest, database: PostgresDatabase) -> tuple[PostgresDatabase, int]:
    """The yard, never migrated, once and twice, and which revision its records are of."""
    await open_yard(database)
    for number in range(2, request.param + 1):
        await migrate_to(database, number)
    return database, request.param


async def found_under(database: PostgresDatabase, kind: OriginKind, key: str) -> list[tuple[str, int]]:
    async with database.transaction() as tx:
        found = await tx.ground_truth.dependents(PROJECT, Origin(kind=kind, key=key), after=None, limit=100)
    return [(one.ref.sample_id, one.ref.revision) for one in found]


async def test_a_migrated_record_is_recalled_by_all_that_the_first_one_rests_on(
    migrated: tuple[PostgresDatabase, int],
) -> None:
    database, newest = migrated
    for kind, key in ORIGINS.items():
        assert ("s1", newest) in await found_under(database, kind, key), kind
    # The labels name one version only.
    assert await found_under(database, OriginKind.TAXONOMY, f"yard@{newest}") == [("s1", newest), ("s2", newest)]
    async with database.transaction() as tx:
        counts = await tx.ground_truth.count_dependents(PROJECT, Origin(kind=OriginKind.PERSON, key="rita"))
    assert (counts.records, counts.records - counts.superseded) == (2 * newest, 2)
    assert (await verify_project(database, PROJECT)).faults == ()


async def test_a_data_card_and_a_selection_count_who_decided_about_what_was_migrated(
    migrated: tuple[PostgresDatabase, int],
) -> None:
    database, newest = migrated
    shelf = DatasetShelf(database)
    judged = Selection(
        findings=(FindingCondition(check="lidar_camera", state=FindingState.FIXED),),
        passed_stages=(Stage.IN_REVIEW,),
        avoided_stages=(Stage.REOPENED,),
    )
    await shelf.create(OWNER, PROJECT, NewDataset(name="all"))
    view = await shelf.make_version(OWNER, PROJECT, "all", NewVersion())
    card, classes = view.content.card, {item.label: item.labels for item in view.content.classes}
    assert classes == dict(zip(CLASSES[newest], (2, 1), strict=True))
    assert (card.review.annotators, card.review.reviewers, card.review.reviewed_samples) == (4, 1, 2)
    assert card.review.decisions == {"review:approve": 1, "review:fix": 1}
    assert card.conflicts.findings == {"dismissed": 1, "fixed": 1}
    assert card.rule_sets == {ORIGINS[OriginKind.RULE_SET]: 2}
    assert card.taxonomies == {f"yard@{newest}": 2}
    assert card.agreement is not None
    assert card.agreement.samples == 2
    assert card.report is not None
    assert card.report.samples == 2
    await shelf.create(OWNER, PROJECT, NewDataset(name="judged", selection=judged))
    chosen = await shelf.make_version(OWNER, PROJECT, "judged", NewVersion())
    assert chosen.content.samples == 1

    (record, _) = await shelf.records(OWNER, PROJECT, "all", 1, split=None, after=None, limit=10)
    told = RecordsProv(view)
    told.add(record)
    derived = {item["prov:usedEntity"] for item in told.document()["wasDerivedFrom"].values()}
    assert (f"concord:record/yard/s1/{newest - 1}" in derived) == (newest > 1)


async def test_agreement_and_report_of_a_project_are_the_same_after_a_migration(
    migrated: tuple[PostgresDatabase, int],
) -> None:
    database, _ = migrated
    agreement = await AgreementReader(database).agreement(OWNER, PROJECT, max_samples=100, max_listed=0, window_days=30)
    assert agreement.samples == 2
    report = await ReportReader(database).report(OWNER, PROJECT, max_samples=100, max_listed=0)
    assert (report.samples, report.left_out) == (2, 0)


async def test_feedback_counts_each_decision_once_in_the_words_of_today(
    migrated: tuple[PostgresDatabase, int],
) -> None:
    database, newest = migrated
    car, bus = CLASSES[newest]
    reader = FeedbackReader(database)
    quality = await reader.models(OWNER, PROJECT, max_records=100)
    assert (quality.records, quality.unpredicted, quality.unjudged) == (2, 0, 0)
    rows = {one.label: one for one in quality.models if one.scope == "class"}
    assert (rows[car].predictions, rows[car].confirmed, rows[car].corrected_class) == (2, 1, 1)
    assert (rows[bus].truth, rows[bus].taken_for_another) == (1, 1)

    advice = await reader.thresholds(OWNER, PROJECT, target_precision=0.5, max_samples=100)
    assert [(one.judged, one.right) for one in advice.advice] == [(2, 1)]

    lines, _ = await reader.corrections(OWNER, PROJECT, after=None, limit=100)
    (line,) = [one for one in lines if one.ref.sample_id == "s1"]
    assert line.ref.revision == newest
    assert [label.label for label in line.annotations] == [bus]
    (said,) = line.predictions
    assert [label.label for label in said.annotations] == ["car"], "a prediction stays as it was said"
    (change,) = said.corrections
    assert change.change == "class"
    by_finding, by_labels = change.reasons
    assert by_finding.finding_id == "f-1"
    assert (by_labels.origin, by_labels.decision_id) == ("reviewer", by_finding.decision_id)
    assert by_labels.revision == (1 if newest > 1 else None)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM ground_truth_origins WHERE revision = 3 AND key = 'rita'", {"origin-missing"}),
        ("INSERT INTO ground_truth_origins VALUES ('yard', 'person', 'eve', 's1', 3)", {"origin-stray"}),
        # Held against the record before, which is held against its own.
        ("DELETE FROM ground_truth_origins WHERE key = 'rita'", {"origin-missing"}),
    ],
)
async def test_verify_finds_what_a_migrated_record_is_not_found_by(
    database: PostgresDatabase, database_url: str, statement: str, expected: set[str]
) -> None:
    await open_yard(database)
    for number in (2, 3):
        await migrate_to(database, number)
    async with unguarded(database_url) as connection:
        await connection.execute(statement)
    report = await verify_project(database, PROJECT)
    assert {item.kind for item in report.faults} == expected


async def test_records_that_were_migrated_before_are_found_after_the_upgrade(
    database: PostgresDatabase, database_url: str
) -> None:
    await open_yard(database)
    for number in (2, 3):
        await migrate_to(database, number)
    query = "SELECT project, kind, key, sample_id, revision FROM ground_truth_origins ORDER BY 1, 2, 3, 4, 5"
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    try:
        before = await connection.fetch(query)
        engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
        async with engine.begin() as migrating:
            await migrating.run_sync(lambda sync: command.downgrade(alembic_config(sync), "20261207_1010"))
        await engine.dispose()
        async with unguarded(database_url) as tampering:
            # As they were written then: what stands in the record alone.
            await tampering.execute("DELETE FROM ground_truth_origins WHERE revision > 1 AND kind <> 'taxonomy'")
        await migrate(database_url)
        inherited = [row for row in before if row["key"] in ORIGINS.values()]
        after = [row for row in await connection.fetch(query) if row["key"] in ORIGINS.values()]
        assert after == inherited
    finally:
        await connection.close()
