from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase, open_database
from services.contracts.access import Principal, Role
from services.contracts.dataset_diff import SampleChange
from services.contracts.datasets import DatasetVersionView, MemberRecord, NewDataset, NewVersion, Selection, SplitPolicy
from services.contracts.lifecycle import Stage
from services.datasets.diff import apply_change
from services.datasets.manifest import leaf_bytes, version_faults
from services.datasets.merkle import proves
from services.datasets.shelf import DatasetShelf
from services.errors import AlreadyExistsError, IntegrityError, InvalidInputError, NotFoundError
from services.ports.database import Transaction
from tests.dataset_world import PROJECT, a_box, add_project, commit, open_revision, withdraw

OPS = Principal(actor_id="ops", key_id="key-ops", role=Role.OPERATIONS, projects=None)
BY_SEQUENCE = SplitPolicy.model_validate(
    {
        "group_by": ["context.attributes.sequence"],
        "shares": [{"name": "train", "weight": 2}, {"name": "test", "weight": 1}],
    }
)


@pytest.fixture
async def shelf(database: PostgresDatabase) -> DatasetShelf:
    await add_project(database)
    return DatasetShelf(database)


async def commit_sequences(database: PostgresDatabase, samples: int, sequences: int) -> None:
    for index in range(samples):
        context = {"attributes": {"sequence": f"seq {index % sequences}"}}
        await commit(database, f"s{index:02}", [a_box(x_min=float(index))], context=context)


async def records_of(shelf: DatasetShelf, version: DatasetVersionView, page: int = 3) -> AsyncIterator[MemberRecord]:
    content = version.content
    after: int | None = None
    while found := await shelf.records(
        OPS, PROJECT, content.dataset, content.version, split=None, after=after, limit=page
    ):
        for item in found:
            yield item
        after = found[-1].member.position


async def faults_of(shelf: DatasetShelf, version: DatasetVersionView) -> list[str]:
    return [fault async for fault in version_faults(version, records_of(shelf, version))]


async def diff_of(shelf: DatasetShelf, name: str, versions: tuple[int, int], limit: int) -> list[SampleChange]:
    found: list[SampleChange] = []
    place: tuple[int, int] | None = (-1, -1)
    while place is not None:
        page, place = await shelf.diff(OPS, PROJECT, name, versions, after=place, limit=limit)
        found += page
    return found


async def test_version_holds_what_is_committed_split_by_group_and_verifies(
    database: PostgresDatabase, shelf: DatasetShelf
) -> None:
    await commit_sequences(database, 14, 5)
    await open_revision(database, "under-way", [a_box()])
    await shelf.create(OPS, PROJECT, NewDataset(name="cars", split=BY_SEQUENCE))
    version = await shelf.make_version(OPS, PROJECT, "cars", NewVersion())
    content = version.content
    assert (content.samples, content.labels, content.version) == (14, 14, 1)
    assert sum(split.groups for split in content.splits) == 5
    assert sum(split.samples for split in content.splits) == 14
    members = await shelf.members(OPS, PROJECT, "cars", 1, split=None, standing=None, after=None, limit=100)
    assert [member.sample_id for member in members] == [f"s{index:02}" for index in range(14)]
    by_group: dict[str, set[str]] = {}
    for member in members:
        by_group.setdefault(member.group, set()).add(member.split)
    assert all(len(splits) == 1 for splits in by_group.values())
    assert await faults_of(shelf, version) == []
    for member in members:
        proof = await shelf.proof(OPS, PROJECT, "cars", 1, member.sample_id)
        assert proves(leaf_bytes(proof.member), proof.member.position, proof.size, proof.path, content.merkle_root)
    async with database.transaction() as tx:
        entries = await tx.audit.of_subjects(PROJECT, ("datasets/cars/1",))
    assert [entry.body["merkle_root"] for entry in entries] == [content.merkle_root]
    card = content.card
    assert card.coverage.kinds == {"box": 14}
    assert card.review.annotators == 1
    assert (card.samples_read, card.agreement is not None, card.report is not None) == (14, True, True)


async def test_same_commits_give_the_same_version_after_a_restart(database_url: str) -> None:
    async with open_database(database_url, pool_size=5) as database:
        await add_project(database)
        await commit_sequences(database, 6, 6)
        shelf = DatasetShelf(database)
        await shelf.create(OPS, PROJECT, NewDataset(name="a"))
        first = await shelf.make_version(OPS, PROJECT, "a", NewVersion())
    async with open_database(database_url, pool_size=5) as database:
        shelf = DatasetShelf(database)
        second = await shelf.make_version(OPS, PROJECT, "a", NewVersion())
        assert second.content.version == 2
        assert second.content.model_copy(update={"version": 1}) == first.content
        assert await shelf.version(OPS, PROJECT, "a", 1) == first
        assert await diff_of(shelf, "a", (1, 2), 10) == []


async def test_committed_meanwhile_is_in_the_next_version(database: PostgresDatabase, shelf: DatasetShelf) -> None:
    await commit_sequences(database, 60, 60)
    async with database.transaction() as tx:
        pages = tx.datasets.candidates(PROJECT, Selection(), page=7)
        found = [one.sample_id for one in await anext(pages)]
        await commit(database, "s00-b", [a_box()])
        sizes = [len(found)]
        async for page in pages:
            found += [one.sample_id for one in page]
            sizes.append(len(page))
    assert sizes == [7] * 8 + [4], "no more is in memory than a page"
    assert found == [f"s{index:02}" for index in range(60)]
    async with database.transaction() as tx:
        later = [one.sample_id async for page in tx.datasets.candidates(PROJECT, Selection(), page=7) for one in page]
    assert later == sorted([*found, "s00-b"])


async def test_reopened_samples_mark_versions_that_hold_them_and_change_none(
    database: PostgresDatabase, shelf: DatasetShelf
) -> None:
    for name in ("kept", "newer", "opened", "gone"):
        await commit(database, name, [a_box()])
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    before = await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    assert before.standing.model_dump() == {"reopened": 0, "superseded": 0, "withdrawn": 0}
    await commit(database, "newer", [a_box(x_min=11.0)])
    await open_revision(database, "opened", [a_box()])
    await withdraw(database, await open_revision(database, "gone", [a_box()]))

    after = await shelf.version(OPS, PROJECT, "d", 1)
    assert after.standing.model_dump() == {"reopened": 1, "superseded": 1, "withdrawn": 1}
    assert after.model_dump(exclude={"standing"}) == before.model_dump(exclude={"standing"})
    assert await faults_of(shelf, after) == []
    listed = await shelf.members(OPS, PROJECT, "d", 1, split=None, standing="superseded", after=None, limit=10)
    assert [(one.sample_id, one.revision, one.standing) for one in listed] == [("newer", 1, "superseded")]
    [dependent] = await shelf.dependents(OPS, PROJECT, "opened")
    assert (dependent.dataset, dependent.version, dependent.standing) == ("d", 1, "reopened")

    left_out = await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    assert left_out.content.samples == 2
    included = await shelf.make_version(OPS, PROJECT, "d", NewVersion(selection=Selection(reopened="include")))
    assert included.content.samples == 3
    found = await shelf.members(OPS, PROJECT, "d", 3, split=None, standing=None, after=None, limit=10)
    assert [(one.sample_id, one.revision) for one in found] == [("kept", 1), ("newer", 2), ("opened", 1)]


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_diff_tells_labels_and_applied_to_the_earlier_gives_the_later(
    database: PostgresDatabase, shelf: DatasetShelf, limit: int
) -> None:
    await commit(database, "same", [a_box()])
    await commit(database, "moved", [a_box("a1", x_min=10.0), a_box("a2", "bus"), a_box("a3", attributes={"x": 1})])
    await commit(database, "leaves", [a_box()])
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    await commit(database, "moved", [a_box("a1", x_min=12.5), a_box("a3", "van", attributes={"y": 2}), a_box("a4")])
    await withdraw(database, await open_revision(database, "leaves", [a_box()]))
    await commit(database, "joins", [a_box()])
    await shelf.make_version(OPS, PROJECT, "d", NewVersion())

    changes = await diff_of(shelf, "d", (1, 2), limit)
    assert [(one.sample_id, one.change) for one in changes] == [
        ("joins", "added"),
        ("leaves", "removed"),
        ("moved", "changed"),
    ]
    told = {
        (one.annotation_id, one.change): [(field.field, field.aspect) for field in one.fields]
        for one in changes[2].labels
    }
    assert told == {
        ("a1", "changed"): [("box", "geometry")],
        ("a2", "removed"): [],
        ("a3", "changed"): [("attributes.x", "attributes"), ("attributes.y", "attributes"), ("label", "class")],
        ("a4", "added"): [],
    }

    async def labels(version: int) -> dict[str, Any]:
        view = await shelf.version(OPS, PROJECT, "d", version)
        return {item.member.sample_id: item.record.body["annotations"] async for item in records_of(shelf, view)}

    made = await labels(1)
    for change in changes:
        result = apply_change(made.pop(change.sample_id, []), change.labels)
        if change.change != "removed":
            made[change.sample_id] = result
    assert made == await labels(2)

    summary = await shelf.summary(OPS, PROJECT, "d", (1, 2), page=limit)
    assert (summary.samples_added, summary.samples_removed, summary.samples_changed) == (1, 1, 1)
    assert (summary.labels_added, summary.labels_removed, summary.labels_changed) == (2, 2, 2)
    van = next(one for one in summary.by_class if one.label == "van")
    assert (van.changed, van.classes, van.attributes, van.geometry) == (1, 1, 1, 0)


async def test_selection_asks_for_context_labels_findings_times_and_stages(
    database: PostgresDatabase, shelf: DatasetShelf
) -> None:
    await commit(database, "rain", [a_box()], context={"risk": "high", "attributes": {"weather": "rain"}})
    await commit(
        database, "sun", [a_box("a1", "bus"), a_box("a2", "bus")], context={"attributes": {"weather": "sun"}},
        captured_at="2024-05-01T12:00:00Z",
    )  # fmt: skip
    await commit(database, "plain", [], via=(Stage.IN_REVIEW, Stage.CHECKING))
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))

    async def chosen(**conditions: Any) -> list[str]:
        selection = Selection.model_validate_json(json.dumps(conditions))
        version = await shelf.make_version(OPS, PROJECT, "d", NewVersion(selection=selection, card_samples=0))
        return [item.member.sample_id async for item in records_of(shelf, version)]

    assert await chosen() == ["plain", "rain", "sun"]
    assert await chosen(context=[{"field": "attributes.weather", "any_of": ["rain", "snow"]}]) == ["rain"]
    assert await chosen(risks=["high", "medium"]) == ["rain"]
    assert await chosen(labels=[{"label": "bus", "type": "box", "at_least": 2}]) == ["sun"]
    assert await chosen(labels=[{"at_least": 0, "at_most": 0}]) == ["plain"]
    assert await chosen(passed_stages=["in_review"]) == ["plain"]
    assert await chosen(avoided_stages=["in_review"]) == ["rain", "sun"]
    assert await chosen(captured_from="2024-05-01T12:00:00Z") == ["sun"]
    assert await chosen(captured_before="2024-05-01T12:00:00Z") == []
    assert await chosen(committed_before="2001-01-01T00:00:00Z") == []
    assert await chosen(sample_ids=["rain", "nobody"]) == ["rain"]
    assert await chosen(modalities=["image", "lidar"]) == []
    assert await chosen(findings=[{"severity": "critical", "present": False}]) == ["plain", "rain", "sun"]


async def test_a_sample_without_its_group_refuses_the_version_and_leaves_nothing(
    database: PostgresDatabase, shelf: DatasetShelf
) -> None:
    await commit_sequences(database, 3, 3)
    await commit(database, "lone", [a_box()])
    await shelf.create(OPS, PROJECT, NewDataset(name="d", split=BY_SEQUENCE))
    with pytest.raises(InvalidInputError, match=r"'lone' has no context\.attributes\.sequence"):
        await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    assert await shelf.versions(OPS, PROJECT, "d", before=None, limit=10) == []
    with pytest.raises(AlreadyExistsError):
        await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    with pytest.raises(NotFoundError):
        await shelf.version(OPS, PROJECT, "d", 1)


async def test_versions_made_at_once_come_one_after_the_other(database: PostgresDatabase, shelf: DatasetShelf) -> None:
    await commit_sequences(database, 4, 4)
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    made = await asyncio.gather(*(shelf.make_version(OPS, PROJECT, "d", NewVersion()) for _ in range(4)))
    assert sorted(version.content.version for version in made) == [1, 2, 3, 4]
    assert len({version.content.merkle_root for version in made}) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dataset_members SET split = 'test'",
        "DELETE FROM dataset_members",
        "UPDATE dataset_versions SET manifest_sha256 = ''",
        "UPDATE dataset_groups SET split = 'test'",
        "DELETE FROM datasets",
        # Also an addition: the version is made.
        """INSERT INTO dataset_members SELECT project, dataset, version, 99, 's03', revision, content_sha256, split,
        group_key, labels FROM dataset_members WHERE position = 0""",
    ],
)
async def test_a_version_can_not_be_changed(
    database: PostgresDatabase, database_url: str, shelf: DatasetShelf, statement: str
) -> None:
    await commit_sequences(database, 4, 4)
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    only = NewVersion(selection=Selection(sample_ids=("s00", "s01")))
    await shelf.make_version(OPS, PROJECT, "d", only)
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.PostgresError, match=r"never changed|version that is made"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_store_refuses_a_group_in_two_splits(database: PostgresDatabase, shelf: DatasetShelf) -> None:
    await commit_sequences(database, 2, 1)
    await shelf.create(OPS, PROJECT, NewDataset(name="d", split=BY_SEQUENCE))
    await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    [first, *_] = await shelf.members(OPS, PROJECT, "d", 1, split=None, standing=None, after=None, limit=10)
    other = "test" if first.split == "train" else "train"

    async def leak(tx: Transaction) -> None:
        await tx.datasets.add_members(PROJECT, "d", 2, [first.model_copy(update={"split": other})])

    with pytest.raises(IntegrityError, match="two splits"):
        async with database.transaction() as tx:
            await leak(tx)


async def test_what_was_tampered_with_is_told(
    database: PostgresDatabase, database_url: str, shelf: DatasetShelf
) -> None:
    await commit_sequences(database, 5, 5)
    await shelf.create(OPS, PROJECT, NewDataset(name="d"))
    version = await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("ALTER TABLE dataset_members DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM dataset_members WHERE sample_id = 's02'")
    finally:
        await connection.close()
    faults = await faults_of(shelf, version)
    assert any("5 samples, and has 4" in fault for fault in faults)
    assert any("Merkle root" in fault for fault in faults)
