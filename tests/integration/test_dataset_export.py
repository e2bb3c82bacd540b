"""Exports: the same bytes each time, taken up after a kill, and read again as the same labels."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.datasets.export import CHECKSUMS, Exported, ExportOptions, export_version
from infra.datasets.log import LOG_NAME
from infra.datasets.writers import FORMATS
from infra.db.engine import PostgresDatabase, open_database
from infra.storage.assets import FileAssetReader
from services.access.keys import new_secret, sha256_of_secret
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.datasets import NewDataset, NewVersion
from services.contracts.erasure import ErasureRequest, OfSamples
from services.datasets.manifest import version_faults
from services.datasets.shelf import DatasetShelf
from services.erasure.desk import ErasureDesk
from services.errors import InvalidInputError
from tests.api_server import served
from tests.dataset_bodies import (
    MICROPHONE,
    NOTE,
    PICTURE,
    SENSORS,
    call_labels,
    drive_labels,
    picture_labels,
)
from tests.dataset_world import PROJECT, add_project, commit
from tests.review_world import open_client

OPS = Principal(actor_id="ops", key_id="key-ops", role=Role.OPERATIONS, projects=None)
PART = 2


async def fill(database: PostgresDatabase) -> None:
    """Seven samples of three kinds, with names that are no file names everywhere, and one without labels."""
    await add_project(database)
    for index in range(2):
        await commit(database, f"drive.{index}", drive_labels(index), streams=SENSORS, context={"region": "DE"})
        await commit(database, f"picture:{index}", picture_labels(index), streams=[PICTURE, NOTE])
        await commit(database, f"call@{index}", call_labels(index), streams=[MICROPHONE])
    await commit(database, "empty", [])
    shelf = DatasetShelf(database)
    await shelf.create(OPS, PROJECT, NewDataset(name="d", description="Seven samples."))
    await shelf.make_version(OPS, PROJECT, "d", NewVersion())


async def a_key(database: PostgresDatabase) -> str:
    """The secret of a new key that may make datasets."""
    secret = new_secret()
    async with database.transaction() as tx:
        now = await tx.now()
        info = ApiKeyInfo(
            key_id=f"key-{uuid4()}", actor_id="ops", role=Role.OPERATIONS, projects=None, skills=(), created_at=now
        )
        await tx.access.add_key(info, sha256_of_secret(secret))
    return secret


@asynccontextmanager
async def service(database: PostgresDatabase) -> AsyncIterator[DatasetCalls]:
    """The API on a database, as an operator calls it."""
    secret = await a_key(database)
    transport = open_client(database)._transport
    async with ConcordClient("http://concord.test", secret, transport=transport) as client:
        yield DatasetCalls(client, PROJECT)


async def export(calls: DatasetCalls, folder: Path, form: str, **options: Any) -> Exported:
    dataset, version = await calls.get("d"), await calls.version("d", 1)
    return await export_version(calls, dataset, version, folder, ExportOptions(form, PART, **options))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
async def filled(database: PostgresDatabase) -> PostgresDatabase:
    await fill(database)
    return database


async def test_exported_twice_and_after_a_restart_the_bytes_are_the_same(database_url: str, tmp_path: Path) -> None:
    async with open_database(database_url, pool_size=5) as database:
        await fill(database)
        async with service(database) as calls:
            for form in FORMATS:
                assert (await export(calls, tmp_path / "first" / form, form)).samples == 7
                await export(calls, tmp_path / "second" / form, form)
    async with open_database(database_url, pool_size=5) as database:
        # What happens to samples afterwards changes no version.
        await commit(database, "drive.0", drive_labels(5), streams=SENSORS)
        async with service(database) as calls:
            for form in FORMATS:
                await export(calls, tmp_path / "third" / form, form)
    assert tree(tmp_path / "second") == tree(tmp_path / "first")
    assert tree(tmp_path / "third") == tree(tmp_path / "first")
    for form in FORMATS:
        check_sums(tree(tmp_path / "first" / form))


def check_sums(first: dict[str, bytes]) -> None:
    lines = [line.split("  ", 1) for line in first[CHECKSUMS].decode().splitlines()]
    sums = {path: sha256 for sha256, path in lines}
    assert sums.keys() == first.keys() - {CHECKSUMS, LOG_NAME}
    assert all(hashlib.sha256(first[path]).hexdigest() == sha256 for path, sha256 in sums.items())
    assert not [path for path in first if path.endswith(".partial")]
    manifest = json.loads(first["manifest.json"])
    assert sum(part["samples"] for part in manifest["parts"]) == 7


async def test_containers_hold_every_record_whole(filled: PostgresDatabase, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    async with service(filled) as calls:
        for form in ("jsonl", "webdataset", "parquet"):
            await export(calls, tmp_path / form, form)
        truth = {item.member.sample_id: item async for item in calls.all_records("d", 1)}
    lines = [
        json.loads(line)
        for path in sorted((tmp_path / "jsonl/data").iterdir())
        for line in path.read_text().splitlines()
    ]
    shards = []
    for path in sorted((tmp_path / "webdataset/data").iterdir()):
        with tarfile.open(path) as shard:
            for entry in shard:
                assert (entry.mtime, entry.uid, entry.gid, entry.uname) == (0, 0, 0, "")
                # A reader takes what stands before the first dot for the key, and the rest for the field.
                assert entry.name.count(".") == 1
                content = shard.extractfile(entry)
                assert content is not None
                shards.append(json.load(content))
    assert shards == lines
    assert {line["sample_id"] for line in lines} == set(truth)
    for line in lines:
        record = truth[line["sample_id"]].record
        assert (line["body"], line["lineage"]) == (record.body, record.lineage)
    rows = [
        row
        for path in sorted((tmp_path / "parquet/data").glob("*.labels.parquet"))
        for row in parquet.read_table(path).to_pylist()
    ]
    told: dict[str, list[Any]] = {name: [] for name in truth}
    for row in rows:
        told[row["sample_id"]].append(json.loads(row["annotation"]))
    assert told == {name: item.record.body["annotations"] for name, item in truth.items()}
    [box] = [row for row in rows if (row["sample_id"], row["annotation_id"]) == ("drive.0", "b2")]
    assert (box["x_min_px"], box["y_max_px"], box["label"], box["start_s"]) == (20.5, 140.0, "Pedestrian", None)


async def test_recordings_go_into_shards_and_what_is_not_there_is_listed(
    filled: PostgresDatabase, tmp_path: Path
) -> None:
    (tmp_path / "recorded/pictures").mkdir(parents=True)
    (tmp_path / "recorded/pictures/7.png").write_bytes(b"a picture")
    reader = FileAssetReader((tmp_path / "recorded",), 100, 30.0)
    async with service(filled) as calls:
        exported = await export(calls, tmp_path / "out", "webdataset", recordings=reader)
        with pytest.raises(InvalidInputError, match="not into jsonl"):
            await export(calls, tmp_path / "no", "jsonl", recordings=reader)
    names = {}
    for path in (tmp_path / "out/data").iterdir():
        with tarfile.open(path) as shard:
            for entry in shard:
                content = shard.extractfile(entry)
                assert content is not None
                names[entry.name] = content.read()
    assert names["picture%3A0.pic.png"] == b"a picture"
    assert len(names) == 7 + 2
    assert sum(loss.times for loss in exported.losses.values() if loss.what == "recording") == 7


@pytest.mark.parametrize(("form", "samples"), [("jsonl", 1), ("parquet", 6), ("webdataset", 4), ("coco", 6)])
async def test_killed_in_the_middle_it_goes_on_and_gives_the_same_bytes(
    filled: PostgresDatabase, tmp_path: Path, form: str, samples: int
) -> None:
    secret = await a_key(filled)
    async with served(filled) as port:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.dataset_export_child", f"http://127.0.0.1:{port}", secret, form,
            str(tmp_path / "killed"), str(samples),
        )  # fmt: skip
        assert await child.wait() == -9
    assert not (tmp_path / "killed/manifest.json").exists()
    async with service(filled) as calls:
        resumed = await export(calls, tmp_path / "killed", form)
        await export(calls, tmp_path / "whole", form)
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
    assert (resumed.taken_up > 0) == (samples > PART)


async def test_a_damaged_part_is_made_again_and_another_export_is_refused(
    filled: PostgresDatabase, tmp_path: Path
) -> None:
    async with service(filled) as calls:
        first = await export(calls, tmp_path / "out", "jsonl")
        before = tree(tmp_path / "out")
        again = await export(calls, tmp_path / "out", "jsonl")
        assert (again.taken_up, again.samples) == (first.parts, 7)
        last = json.loads(before["manifest.json"])["parts"][-1]["name"]
        part = tmp_path / f"out/data/{last}.jsonl"
        part.write_bytes(part.read_bytes()[:-1])
        mended = await export(calls, tmp_path / "out", "jsonl")
        assert mended.taken_up == first.parts - 1
        assert tree(tmp_path / "out") == before
        with pytest.raises(InvalidInputError, match="holds another export"):
            await export(calls, tmp_path / "out", "coco")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/mine.txt").write_text("mine")
        with pytest.raises(InvalidInputError, match="nothing is overwritten"):
            await export(calls, tmp_path / "full", "jsonl")


async def test_documents_beside_tell_of_the_version(filled: PostgresDatabase, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    async with service(filled) as calls:
        await export(calls, tmp_path, "parquet")
        version = await calls.version("d", 1)
    croissant = json.loads((tmp_path / "croissant.json").read_text())
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert croissant["citeAs"] == f"own: d@1, {version.created_at.year}; Merkle root {version.content.merkle_root}"
    by_type = Counter(item["@type"] for item in croissant["distribution"])
    assert by_type == {"cr:FileObject": len(list((tmp_path / "data").iterdir())), "cr:FileSet": 2}
    for item in croissant["distribution"]:
        if item["@type"] == "cr:FileObject":
            assert hashlib.sha256((tmp_path / item["contentUrl"]).read_bytes()).hexdigest() == item["sha256"]
    sets = {item["@id"] for item in croissant["distribution"]}
    for record_set in croissant["recordSet"]:
        assert {field["source"]["fileSet"]["@id"] for field in record_set["field"]} <= sets
    prov = json.loads((tmp_path / "prov.json").read_text())
    [dataset] = [one for one in prov["entity"].values() if one.get("prov:type") == "prov:Collection"]
    assert dataset["concord:merkle_root"] == version.content.merkle_root
    members = 0
    for path in (tmp_path / "prov").iterdir():
        told = json.loads(path.read_text())
        members += len(told["hadMember"])
        known = {name for kind in ("entity", "activity", "agent") for name in told.get(kind, {})}
        ends = {
            end
            for kind, relations in told.items()
            if kind not in ("prefix", "entity", "activity", "agent")
            for relation in relations.values()
            for end in relation.values()
        }
        assert ends <= known, "every relation leads to something that is told of"
    assert members == 7
    card = (tmp_path / "datacard.md").read_text()
    assert "| Pedestrian | box | 2 | 2 |" in card
    assert version.content.merkle_root in card


async def test_an_erased_member_keeps_its_place_and_is_left_out_of_everything_else(
    filled: PostgresDatabase, tmp_path: Path
) -> None:
    admin = OPS.model_copy(update={"role": Role.ADMIN})
    desk = ErasureDesk(filled)
    subject = OfSamples(sample_ids=("drive.0",))
    ordered = await desk.order(admin, PROJECT, ErasureRequest(subject=subject, reason="asked for on 3 March"))
    assert (await desk.apply(admin, PROJECT, ordered.erasure_id)).counts.erased == 1

    async with service(filled) as calls:
        version = await calls.version("d", 1)
        assert [fault async for fault in version_faults(version, calls.all_records("d", 1))] == []
        for form in ("jsonl", "parquet", "coco"):
            folder = tmp_path / form
            exported = await export(calls, folder, form)
            lost = [loss for loss in exported.losses.values() if loss.why == "the content of its record was erased"]
            assert [(loss.what, loss.times) for loss in lost] == [("sample", 1)]
            assert all(b"drive.0" not in data for name, data in tree(folder).items() if name.endswith(".jsonl.gz"))
    shelf = DatasetShelf(filled)
    newer = await shelf.make_version(OPS, PROJECT, "d", NewVersion())
    assert newer.content.samples == version.content.samples - 1
    (change,), _ = await shelf.diff(OPS, PROJECT, "d", (1, 2), after=None, limit=10)
    assert (change.change, change.sample_id, change.labels) == ("removed", "drive.0", ())
