"""Every way of tampering with a store of record, by somebody who may switch its guards off, against verification."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.chain import recomputed
from services.audit.verify import verify_project
from services.contracts.canonical import canonical_json, content_sha256
from services.contracts.records import AuditEntry
from services.contracts.verification import Anchor, VerificationReport
from tests.committed import accepted_sample, committed_sample
from tests.databases import unguarded
from tests.intake_events import PROJECT, add_project

pytestmark = pytest.mark.servers

Tamper = Callable[["asyncpg.Connection[Any]"], Awaitable[object]]


@pytest.fixture
async def committed(database: PostgresDatabase) -> PostgresDatabase:
    await add_project(database)
    for sample_id in ("s-1", "s-2"):
        await committed_sample(database, sample_id)
    return database


def kinds(report: VerificationReport) -> set[str]:
    return {item.kind for item in report.faults}


async def rechain(connection: asyncpg.Connection[Any], first: int, edit: Callable[[AuditEntry], AuditEntry]) -> None:
    """Rewrite the chain from ``first`` on with correct hashes and a correct head: the best a forger can do in it."""
    rows = await connection.fetch("SELECT * FROM audit_entries WHERE project = $1 ORDER BY sequence", PROJECT)
    previous: str | None = None
    for row in rows:
        entry = AuditEntry(**{**dict(row), "body": json.loads(row["body"])})
        if entry.sequence >= first:
            changed = edit(entry) if entry.sequence == first else entry
            entry = recomputed(changed.model_copy(update={"previous_sha256": previous or entry.previous_sha256}))
            await connection.execute(
                "UPDATE audit_entries SET actor = $3, action = $4, subject = $5, body = $6, previous_sha256 = $7,"
                " sha256 = $8 WHERE project = $1 AND sequence = $2",
                *(entry.project, entry.sequence, entry.actor, entry.action, entry.subject),
                *(canonical_json(entry.body).decode(), entry.previous_sha256, entry.sha256),
            )
        previous = entry.sha256
    await connection.execute("UPDATE audit_heads SET sha256 = $2 WHERE project = $1", PROJECT, previous)


async def sequence_of(connection: asyncpg.Connection[Any], action: str) -> int:
    found = await connection.fetchval(
        "SELECT min(sequence) FROM audit_entries WHERE project = $1 AND action = $2", PROJECT, action
    )
    assert isinstance(found, int)
    return found


async def test_a_true_store_verifies(committed: PostgresDatabase) -> None:
    report = await verify_project(committed, PROJECT)
    assert report.faults == ()
    assert (report.audit_verified, report.lineage_verified, report.records) == (True, True, 2)
    assert report.head is not None
    assert report.entries == report.head.sequence
    assert (await verify_project(committed, PROJECT, anchors=[report.head])).faults == ()


async def test_a_project_without_history_verifies(database: PostgresDatabase) -> None:
    report = await verify_project(database, "nothing")
    assert (report.audit_verified, report.lineage_verified, report.entries) == (True, True, 0)


async def test_the_guards_refuse_tampering_that_does_not_switch_them_off(
    committed: PostgresDatabase, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (
            "UPDATE audit_entries SET actor = 'eve'",
            "DELETE FROM ground_truth",
            "TRUNCATE decisions CASCADE",
            "UPDATE audit_heads SET sequence = 1",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
    finally:
        await connection.close()
    assert (await verify_project(committed, PROJECT)).faults == ()


EDITS: dict[str, tuple[str, set[str]]] = {
    "entry edited": ("UPDATE audit_entries SET actor = 'eve' WHERE sequence = 3", {"entry-edited"}),
    "entry body edited": ("UPDATE audit_entries SET body = '{}' WHERE sequence = 3", {"entry-edited"}),
    "entry deleted": ("DELETE FROM audit_entries WHERE sequence = 3", {"sequence-gap", "chain-broken"}),
    "entry inserted": (
        (
            "INSERT INTO audit_entries SELECT project, 999, at, actor, action, subject, body, previous_sha256, sha256"
            " FROM audit_entries WHERE sequence = 2"
        ),
        {"sequence-gap", "head-mismatch"},
    ),
    "entries reordered": (
        (
            "UPDATE audit_entries SET sequence = CASE sequence WHEN 3 THEN 1004 ELSE 3 END WHERE sequence IN (3, 4);"
            " UPDATE audit_entries SET sequence = 4 WHERE sequence = 1004"
        ),
        {"entry-edited", "chain-broken"},
    ),
    "chain truncated": ("DELETE FROM audit_entries WHERE sequence > 5", {"chain-truncated"}),
    "chain removed": ("DELETE FROM audit_entries", {"chain-truncated"}),
    "head removed": ("DELETE FROM audit_heads", {"head-mismatch"}),
    "entry unreadable": ("UPDATE audit_entries SET sha256 = 'x' WHERE sequence = 3", {"entry-unreadable"}),
    "stage moved": ("UPDATE sample_revisions SET stage = 'rejected'", {"stage-contradiction", "record-without-commit"}),
    "change deleted": ("DELETE FROM stage_changes WHERE sequence = 2", {"timeline-gap", "entry-without-change"}),
    "change by another": (
        "UPDATE stage_changes SET actor = 'eve' WHERE stage = 'committed'",
        {"entry-contradicts-change"},
    ),
    "record deleted": ("DELETE FROM ground_truth WHERE sample_id = 's-1'", {"record-missing"}),
    "record edited": (
        """UPDATE ground_truth SET body = replace(body::text, '"greeting"', '"insult"')::json""",
        {"content-hash", "body-mismatch"},
    ),
    "lineage edited": (
        "UPDATE ground_truth SET lineage = replace(lineage::text, '\"rex\"', '\"eve\"')::json",
        {"lineage-hash", "lineage-mismatch"},
    ),
    "record unreadable": ("UPDATE ground_truth SET body = '[]'", {"record-unreadable"}),
    "labels edited": (
        "UPDATE label_sets SET annotations = replace(annotations::text, '\"greeting\"', '\"insult\"')::json",
        {"labels-hash", "body-mismatch"},
    ),
    "labels deleted": ("DELETE FROM label_sets WHERE sample_id = 's-2'", {"lineage-mismatch", "body-mismatch"}),
    "labels unreadable": ("UPDATE label_sets SET annotations = '{}'", {"source-unreadable"}),
    "decision by another": (
        "UPDATE decisions SET actor_id = 'eve'",
        {"entry-contradicts-decision", "lineage-mismatch"},
    ),
    "decision deleted": ("DELETE FROM decisions", {"entry-without-decision", "lineage-mismatch"}),
    "decision body edited": ('UPDATE decisions SET body = \'{"verdict": "approve"}\'', {"decision-hash"}),
    "note rewritten": ("UPDATE decisions SET note = 'never said'", {"decision-contradicts-body"}),
    "reason code rewritten": ("UPDATE decisions SET reason_code = 'occlusion'", {"decision-contradicts-body"}),
    "decision dated back": (
        "UPDATE decisions SET decided_at = decided_at - interval '1 day'",
        {"entry-contradicts-decision"},
    ),
    "change dated back": ("UPDATE stage_changes SET at = at - interval '1 day'", {"entry-contradicts-change"}),
    "record dated back": (
        "UPDATE ground_truth SET committed_at = committed_at - interval '1 day'",
        {"commit-contradicts-entry"},
    ),
    "finding changed": ("UPDATE findings SET state = 'dismissed'", {"lineage-mismatch"}),
    "finding rewritten": (
        "UPDATE findings SET finding = jsonb_set(finding::jsonb, '{message}', '\"nothing to see\"')::json",
        {"finding-contradicts-run"},
    ),
    "finding deleted": ("DELETE FROM findings", {"lineage-mismatch"}),
    "check run deleted": ("DELETE FROM check_runs", {"lineage-mismatch"}),
    "check report edited": (
        "UPDATE check_runs SET report = replace(report::text, 'critical', 'info')::json",
        {"lineage-mismatch"},
    ),
    "event edited": (
        "UPDATE inbox SET event = replace(event::text, 'good morning', 'good night')::json",
        {"event-hash"},
    ),
    "event deleted": ("DELETE FROM inbox", {"lineage-mismatch"}),
    "manifest edited": (
        "UPDATE sample_revisions SET manifest = replace(manifest::text, 'good morning', 'good night')::json",
        {"manifest-hash", "body-mismatch"},
    ),
    "rules edited": (
        "UPDATE rule_sets SET document = replace(document::text, '\"major\"', '\"critical\"')::json",
        {"rule-set-hash"},
    ),
    "sample deleted": (
        "DELETE FROM sample_revisions WHERE sample_id = 's-1'; DELETE FROM stage_changes WHERE sample_id = 's-1'",
        {"entry-without-revision", "revision-missing"},
    ),
}


@pytest.mark.parametrize("name", EDITS)
async def test_tampering_with_any_row_is_found(committed: PostgresDatabase, database_url: str, name: str) -> None:
    statement, expected = EDITS[name]
    async with unguarded(database_url) as connection:
        await connection.execute(statement)
    report = await verify_project(committed, PROJECT)
    assert not (report.audit_verified and report.lineage_verified)
    assert expected <= kinds(report)


async def test_what_was_decided_about_a_sample_without_ground_truth_is_proved_too(
    database: PostgresDatabase, database_url: str
) -> None:
    await add_project(database)
    await accepted_sample(database, "s-1")
    assert (await verify_project(database, PROJECT)).faults == ()
    async with unguarded(database_url) as connection:
        await connection.execute("UPDATE decisions SET note = 'never said', body = '{\"verdict\": \"approve\"}'")
    assert kinds(await verify_project(database, PROJECT)) == {"decision-hash", "decision-contradicts-body"}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("sample.received", "entry-contradicts-change"),
        ("sample.committed", "entry-contradicts-change"),
        ("task.accept_conflict", "entry-contradicts-decision"),
    ],
)
async def test_a_rewritten_chain_with_true_hashes_contradicts_the_rows_it_tells_of(
    committed: PostgresDatabase, database_url: str, action: str, expected: str
) -> None:
    async with unguarded(database_url) as connection:
        first = await sequence_of(connection, action)
        await rechain(connection, first, lambda entry: entry.model_copy(update={"actor": "eve"}))
    assert kinds(await verify_project(committed, PROJECT)) == {expected}


async def test_a_rewritten_commit_entry_contradicts_its_record(committed: PostgresDatabase, database_url: str) -> None:
    async with unguarded(database_url) as connection:
        first = await sequence_of(connection, "ground_truth.committed")
        other = {"content_sha256": "0" * 64, "lineage_sha256": "0" * 64}
        await rechain(connection, first, lambda entry: entry.model_copy(update={"body": other}))
    assert kinds(await verify_project(committed, PROJECT)) == {"commit-contradicts-entry"}


async def test_a_cut_chain_with_its_head_mended_lacks_what_the_rows_say(
    committed: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        await connection.execute("DELETE FROM audit_entries WHERE sequence > 5")
        await connection.execute(
            "UPDATE audit_heads SET sequence = 5, sha256 = e.sha256 FROM audit_entries e"
            " WHERE e.project = audit_heads.project AND e.sequence = 5"
        )
    assert kinds(await verify_project(committed, PROJECT)) >= {
        "change-without-entry",
        "decision-without-entry",
        "commit-not-told-once",
    }


async def test_a_forged_record_with_true_hashes_contradicts_its_sources(
    committed: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        body = json.loads(await connection.fetchval("SELECT body FROM ground_truth WHERE sample_id = 's-1'"))
        body["annotations"][0]["label"] = "insult"
        await connection.execute(
            "UPDATE ground_truth SET body = $1, content_sha256 = $2 WHERE sample_id = 's-1'",
            canonical_json(body).decode(),
            content_sha256(body),
        )
    assert kinds(await verify_project(committed, PROJECT)) == {"body-mismatch", "commit-contradicts-entry"}


async def test_what_has_no_other_row_is_rewritten_unseen_without_an_anchor_and_found_with_one(
    committed: PostgresDatabase, database_url: str
) -> None:
    before = (await verify_project(committed, PROJECT)).head
    assert before is not None
    async with unguarded(database_url) as connection:
        first = await sequence_of(connection, "task.opened")
        await rechain(connection, first, lambda entry: entry.model_copy(update={"actor": "eve"}))
    assert (await verify_project(committed, PROJECT)).faults == ()
    report = await verify_project(committed, PROJECT, anchors=[before])
    assert kinds(report) == {"anchor-mismatch"}
    assert not report.audit_verified


async def test_an_anchor_beyond_the_chain_is_reported(committed: PostgresDatabase) -> None:
    report = await verify_project(committed, PROJECT, anchors=[Anchor(sequence=9_999, sha256="a" * 64)])
    assert kinds(report) == {"anchor-missing"}


async def test_faults_are_found_whatever_the_size_of_a_page(
    committed: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.audit.verify.ENTRIES_A_PAGE", 3)
    monkeypatch.setattr("services.audit.verify.SAMPLES_A_PAGE", 1)
    monkeypatch.setattr("services.ground_truth.proof.RECORDS_A_PAGE", 1)
    async with unguarded(database_url) as connection:
        await connection.execute("UPDATE audit_entries SET actor = 'eve'")
    report = await verify_project(committed, PROJECT)
    assert {"entry-edited", "entry-contradicts-change", "entry-contradicts-decision"} <= kinds(report)
    assert report.entries > 10


async def test_a_project_at_work_is_never_reported(database: PostgresDatabase) -> None:
    await add_project(database)
    working = asyncio.create_task(_commit_many(database, 8))
    reports = []
    while not working.done():
        reports.append(await verify_project(database, PROJECT))
    await working
    reports.append(await verify_project(database, PROJECT))
    assert [report.faults for report in reports] == [()] * len(reports)
    assert reports[-1].records == 8


async def _commit_many(database: PostgresDatabase, count: int) -> None:
    for number in range(count):
        await committed_sample(database, f"s-{number}")


async def test_an_entry_about_a_revision_that_never_was_is_found(
    committed: PostgresDatabase, database_url: str
) -> None:
    async with unguarded(database_url) as connection:
        first = await sequence_of(connection, "task.opened")
        invented = {"action": "sample.rejected", "subject": "samples/s-9/revisions/1", "body": {"sequence": 1}}
        await rechain(connection, first, lambda entry: entry.model_copy(update=invented))
    assert kinds(await verify_project(committed, PROJECT)) == {"entry-without-revision"}
