"""Tampering with datasets by somebody who may switch every guard off, against verification."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.canonical import canonical_json
from services.contracts.datasets import DatasetVersion, NewDataset, NewVersion, Selection, SplitPolicy, VersionContent
from services.contracts.progress import Progress
from services.contracts.verification import VerificationReport
from services.datasets.manifest import manifest_sha256, version_faults
from services.datasets.shelf import DatasetShelf
from tests.databases import unguarded
from tests.dataset_world import PROJECT, a_box, add_project, commit, open_revision
from tests.integration.test_datasets import records_of

pytestmark = pytest.mark.servers

OPS = Principal(actor_id="ops", key_id="key-ops", role=Role.OPERATIONS, projects=None)
SAMPLES = 6
SPLIT = SplitPolicy.model_validate(
    {
        "group_by": ["context.attributes.drive"],
        "shares": [{"name": "train", "weight": 1}, {"name": "test", "weight": 1}],
    }
)


@pytest.fixture
async def store(database: PostgresDatabase) -> PostgresDatabase:
    """Two datasets; ``cars`` with two versions, of which the second leaves a sample out."""
    await add_project(database)
    for number in range(SAMPLES):
        await commit(database, f"s{number}", [a_box()], context={"attributes": {"drive": f"d{number // 2}"}})
    shelf = DatasetShelf(database)
    for name in ("cars", "rest"):
        await shelf.create(OPS, PROJECT, NewDataset(name=name, split=SPLIT))
    await shelf.make_version(OPS, PROJECT, "cars", NewVersion(card_samples=0))
    less = Selection(sample_ids=tuple(f"s{number}" for number in range(SAMPLES - 1)))
    await shelf.make_version(OPS, PROJECT, "cars", NewVersion(selection=less, card_samples=0))
    await shelf.make_version(OPS, PROJECT, "rest", NewVersion(card_samples=0))
    return database


def kinds(report: VerificationReport) -> set[str]:
    return {item.kind for item in report.faults}


async def test_true_datasets_verify_with_progress_to_the_end(store: PostgresDatabase) -> None:
    # What became of samples since changes no version.
    await open_revision(store, "s0", [a_box()])
    heard: list[Progress] = []
    report = await verify_project(store, PROJECT, tell=heard.append)
    assert report.faults == ()
    assert (report.datasets_verified, report.verified, report.dataset_versions) == (True, True, 3)
    assert [one.phase for one in heard] == sorted(
        (one.phase for one in heard), key=["audit", "samples", "records", "datasets"].index
    )
    last = {one.phase: one for one in heard}
    assert {phase: (one.done, one.total) for phase, one in last.items()} == {
        "audit": (report.entries, report.entries),
        "samples": (SAMPLES + 1, SAMPLES + 1),
        "records": (SAMPLES, SAMPLES),
        "datasets": (3 * SAMPLES - 1, 3 * SAMPLES - 1),
    }
    assert all(one.done <= one.total for one in heard)


_WORDS = {
    "$CARS_1": "dataset = 'cars' AND version = 1",
    "$COLUMNS": "project, dataset, version, position, $COPIED",
    "$COPIED": "sample_id, revision, content_sha256, split, group_key, labels",
    "$OTHER": "CASE split WHEN 'train' THEN 'test' ELSE 'train' END",
    **{
        f"$AS_{dataset.upper()}_{number}": (
            f"jsonb_set(jsonb_set(content::jsonb, '{{version}}', '{number}'), '{{dataset}}', '\"{dataset}\"')::json"
        )
        for dataset, number in (("cars", 1), ("cars", 2), ("cars", 3), ("rest", 2))
    },
}
EDITS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "version edited": (
        (
            """UPDATE dataset_versions SET content = jsonb_set(content::jsonb, '{note}', '"better"')::json
            WHERE $CARS_1""",
        ),
        {"version-contradiction"},
    ),
    "version hash edited": (
        ("UPDATE dataset_versions SET manifest_sha256 = repeat('0', 64) WHERE $CARS_1",),
        {"dataset-contradicts-entry", "version-contradiction"},
    ),
    "version by another": (
        ("UPDATE dataset_versions SET created_by = 'eve' WHERE $CARS_1",),
        {"dataset-contradicts-entry"},
    ),
    "version unreadable": (("UPDATE dataset_versions SET content = '[]' WHERE $CARS_1",), {"version-unreadable"}),
    "version deleted": (
        (
            "DELETE FROM dataset_versions WHERE $CARS_1",
            "DELETE FROM dataset_members WHERE $CARS_1",
        ),
        {"entry-without-dataset", "version-gap"},
    ),
    "version deleted, its members left": (
        ("DELETE FROM dataset_versions WHERE $CARS_1",),
        {"entry-without-dataset", "member-dangling"},
    ),
    "newest version deleted": (
        (
            "DELETE FROM dataset_versions WHERE dataset = 'cars' AND version = 2",
            "DELETE FROM dataset_members WHERE dataset = 'cars' AND version = 2",
        ),
        {"entry-without-dataset"},
    ),
    "version inserted": (
        (
            """INSERT INTO dataset_versions SELECT project, dataset, 3, $AS_CARS_3, manifest_sha256,
            created_by, created_at FROM dataset_versions WHERE version = 2""",
            """INSERT INTO dataset_members ($COLUMNS) SELECT project, dataset, 3, position, $COPIED FROM
            dataset_members WHERE version = 2""",
        ),
        {"dataset-not-told-once", "version-contradiction"},
    ),
    "versions swapped": (
        (
            "UPDATE dataset_versions SET version = version + 10 WHERE dataset = 'cars'",
            "UPDATE dataset_versions SET version = 13 - version WHERE dataset = 'cars'",
            "UPDATE dataset_versions SET content = $AS_CARS_1 WHERE $CARS_1",
            "UPDATE dataset_versions SET content = $AS_CARS_2 WHERE dataset = 'cars' AND version = 2",
            "UPDATE dataset_members SET version = version + 10 WHERE dataset = 'cars'",
            "UPDATE dataset_members SET version = 13 - version WHERE dataset = 'cars'",
        ),
        {"dataset-contradicts-entry", "version-contradiction"},
    ),
    "versions swapped by their numbers alone": (
        (
            "UPDATE dataset_versions SET version = version + 10 WHERE dataset = 'cars'",
            "UPDATE dataset_versions SET version = 13 - version WHERE dataset = 'cars'",
        ),
        {"version-unreadable"},
    ),
    "version moved to another dataset": (
        (
            "UPDATE dataset_versions SET dataset = 'rest', version = 2, content = $AS_REST_2 WHERE $CARS_1",
            "UPDATE dataset_members SET dataset = 'rest', version = 2 WHERE $CARS_1",
        ),
        {"dataset-not-told-once", "entry-without-dataset", "version-contradiction", "version-gap"},
    ),
    "member deleted": (("DELETE FROM dataset_members WHERE $CARS_1 AND position = 5",), {"version-contradiction"}),
    "member in the middle deleted": (
        ("DELETE FROM dataset_members WHERE $CARS_1 AND position = 2",),
        {"version-contradiction"},
    ),
    "member inserted": (
        (
            """INSERT INTO dataset_members ($COLUMNS) SELECT project, dataset, 2, 5, $COPIED FROM
            dataset_members WHERE $CARS_1 AND position = 5""",
        ),
        {"version-contradiction"},
    ),
    "members reordered": (
        (
            "UPDATE dataset_members SET position = position + 100 WHERE $CARS_1 AND position < 2",
            "UPDATE dataset_members SET position = 101 - position WHERE $CARS_1 AND position >= 100",
        ),
        {"version-contradiction"},
    ),
    "member of another split": (
        ("UPDATE dataset_members SET split = $OTHER WHERE $CARS_1 AND position = 0",),
        {"member-dangling", "version-contradiction"},
    ),
    "member of another group": (
        ("""UPDATE dataset_members SET group_key = '["d9"]' WHERE $CARS_1 AND position = 0""",),
        {"member-dangling", "version-contradiction"},
    ),
    "member with another hash": (
        ("UPDATE dataset_members SET content_sha256 = repeat('0', 64) WHERE $CARS_1 AND position = 0",),
        {"version-contradiction"},
    ),
    "member with another count of labels": (
        ("UPDATE dataset_members SET labels = labels + 1 - 2 * (position % 2) WHERE $CARS_1 AND position < 2",),
        {"version-contradiction"},
    ),
    "groups in other splits": (("UPDATE dataset_groups SET split = $OTHER",), {"group-split", "member-dangling"}),
    "groups deleted": (("DELETE FROM dataset_groups",), {"member-dangling"}),
    "dataset edited": (
        ("""UPDATE datasets SET selection = '{"reopened":"include"}' WHERE name = 'cars'""",),
        {"dataset-contradicts-entry"},
    ),
    "dataset split otherwise": (
        ("""UPDATE datasets SET split = jsonb_set(split::jsonb, '{salt}', '"x"')::json WHERE name = 'cars'""",),
        {"dataset-contradicts-entry", "version-contradiction"},
    ),
    "dataset by another": (("UPDATE datasets SET created_by = 'eve'",), {"dataset-contradicts-entry"}),
    "dataset unreadable": (("UPDATE datasets SET split = '[]'",), {"dataset-unreadable"}),
    "dataset deleted": (
        (
            "DELETE FROM datasets WHERE name = 'cars'",
            "DELETE FROM dataset_versions WHERE dataset = 'cars'",
            "DELETE FROM dataset_members WHERE dataset = 'cars'",
            "DELETE FROM dataset_groups WHERE dataset = 'cars'",
        ),
        {"entry-without-dataset"},
    ),
    "dataset invented": (
        (
            """INSERT INTO datasets SELECT project, 'mine', description, selection, split, created_by,
            created_at FROM datasets WHERE name = 'rest'""",
        ),
        {"dataset-not-told-once"},
    ),
    "record of a member edited": (
        ("""UPDATE ground_truth SET body = replace(body::text, '"car"', '"bus"')::json WHERE sample_id = 's1'""",),
        {"version-contradiction"},
    ),
    "record of a member deleted": (
        ("DELETE FROM ground_truth WHERE sample_id = 's1'",),
        {"member-dangling", "version-contradiction"},
    ),
}


def sql(statement: str) -> str:
    """Return a statement with its words written out."""
    for word, text in _WORDS.items():
        statement = statement.replace(word, text)
    return statement


@pytest.mark.parametrize("name", EDITS)
async def test_tampering_with_datasets_is_found(store: PostgresDatabase, database_url: str, name: str) -> None:
    statements, expected = EDITS[name]
    async with unguarded(database_url) as connection:
        for statement in statements:
            await connection.execute(sql(statement))
    report = await verify_project(store, PROJECT)
    assert not report.datasets_verified
    assert expected <= kinds(report)
    assert report.audit_verified or name == "record of a member deleted"


async def test_a_version_replaced_by_another_consistent_one_differs_from_what_the_audit_trail_tells(
    store: PostgresDatabase, database_url: str
) -> None:
    """Members, root and hash agree with each other: only the trail knows that it is another version."""
    shelf = DatasetShelf(store)
    async with unguarded(database_url) as connection:
        forged = await _replaced(connection)
    told = await shelf.version(OPS, PROJECT, "cars", 1)
    assert told.manifest_sha256 == forged.manifest_sha256
    assert [fault async for fault in version_faults(told, records_of(shelf, told))] == []
    report = await verify_project(store, PROJECT)
    assert (report.audit_verified, report.lineage_verified, report.datasets_verified) == (True, True, False)
    assert kinds(report) == {"dataset-contradicts-entry"}
    said = {item.detail.split(" ")[1] for item in report.faults}
    assert said == {"manifest_sha256", "merkle_root", "samples"}
    assert {item.subject for item in report.faults} == {"datasets/cars/1"}


async def _replaced(connection: asyncpg.Connection[Any]) -> DatasetVersion:
    """Put the content of cars@2 in the place of cars@1, with a right hash and its members."""
    row = await connection.fetchrow("SELECT * FROM dataset_versions WHERE dataset = 'cars' AND version = 2")
    assert row is not None
    content = VersionContent.model_validate(json.loads(row["content"]), strict=False)
    moved = content.model_copy(update={"version": 1})
    forged = DatasetVersion(
        content=moved, manifest_sha256=manifest_sha256(moved), created_by="ops", created_at=row["created_at"]
    )
    await connection.execute(
        "UPDATE dataset_versions SET content = $1, manifest_sha256 = $2 WHERE dataset = 'cars' AND version = 1",
        canonical_json(moved).decode(),
        forged.manifest_sha256,
    )
    await connection.execute("DELETE FROM dataset_members WHERE dataset = 'cars' AND version = 1 AND position = 5")
    return forged


async def test_what_is_wrong_is_found_whatever_the_size_of_a_page(
    store: PostgresDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATASETS_A_PAGE", "RECORDS_A_PAGE", "KEYS_A_PAGE"):
        monkeypatch.setattr(f"services.datasets.proof.{name}", 1)
    assert (await verify_project(store, PROJECT)).faults == ()
    async with unguarded(database_url) as connection:
        await connection.execute("UPDATE dataset_members SET content_sha256 = repeat('0', 64) WHERE sample_id = 's4'")
        await connection.execute(sql("UPDATE dataset_groups SET split = $OTHER WHERE group_key = '[\"d1\"]'"))
    report = await verify_project(store, PROJECT)
    assert {(item.kind, item.subject) for item in report.faults} >= {
        ("version-contradiction", "datasets/cars/1"),
        ("version-contradiction", "datasets/cars/2"),
        ("version-contradiction", "datasets/rest/1"),
        ("group-split", "datasets/cars"),
        ("group-split", "datasets/rest"),
    }
