"""A version that was exported in each format is imported again: the same labels, or exactly the listed loss."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from infra.datasets.writers import FORMATS
from infra.db.engine import PostgresDatabase
from services.contracts.annotations import Annotations
from services.datasets.documents import DOCUMENT_FORMATS
from services.formats.result import Dropped
from tests.integration.test_dataset_export import export, fill, service
from tests.unit.datasets.test_documents import HELD, held, is_said, read_again

pytestmark = pytest.mark.servers

CONTAINERS = ("jsonl", "parquet", "webdataset")
_LABELS: TypeAdapter[Annotations] = TypeAdapter(Annotations)
Labels = dict[str, list[dict[str, Any]]]


async def test_every_format_is_imported_with_the_same_labels_or_exactly_the_listed_loss(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    await fill(database)
    async with service(database) as calls:
        truth = {item.member.sample_id: item.record.body["annotations"] async for item in calls.all_records("d", 1)}
        for form in FORMATS:
            exported = await export(calls, tmp_path / form, form)
            told = losses_of(tmp_path / form)
            assert sum(loss.times for loss in exported.losses.values()) == sum(map(len, told.values()))
    assert set(FORMATS) == {*CONTAINERS, *DOCUMENT_FORMATS}
    for form in CONTAINERS:
        assert not losses_of(tmp_path / form)
        assert labels_in(tmp_path / form, form) == truth, form
    for form in DOCUMENT_FORMATS:
        assert await kept_of(tmp_path / form, form, truth) == HELD[form], form


async def kept_of(folder: Path, form: str, truth: Labels) -> int:
    """Import the samples of an export one by one; return how many labels the format holds."""
    lost, kept = losses_of(folder), 0
    places = {place.name: place for part in (folder / "data").iterdir() for place in part.iterdir()}
    # What a format holds nothing of at all has no folder, and is in the list.
    assert all(lost.get(name) for name in truth.keys() - places.keys() if truth[name]), form
    for name, place in places.items():
        wanted = held(form, _LABELS.validate_python(truth[name]), lost.get(name, ()))
        read = {label.id: label for label in await read_again(place)}.values()
        for one in wanted:
            assert any(is_said(one, label) for label in read), (form, name, one)
        assert len(read) == len(wanted), (form, name)
        kept += len(wanted)
    return kept


def losses_of(folder: Path) -> dict[str, list[Dropped]]:
    """What an export says that it lost, by sample."""
    lost: dict[str, list[Dropped]] = {}
    for path in sorted(folder.glob("losses/*.jsonl")):
        for line in path.read_text().splitlines():
            one = json.loads(line)
            lost.setdefault(one["sample_id"], []).append(Dropped(one["place"], one["what"], one["why"]))
    return lost


def labels_in(folder: Path, form: str) -> Labels:
    """The labels of every sample of a container, as somebody else's program reads them."""
    if form != "parquet":
        return {line["sample_id"]: line["body"]["annotations"] for line in _lines(folder / "data", form)}
    from pyarrow import parquet

    tables = sorted((folder / "data").iterdir())
    samples = [path for path in tables if path.name.endswith(".samples.parquet")]
    found: Labels = {row["sample_id"]: [] for path in samples for row in parquet.read_table(path).to_pylist()}
    for path in tables:
        if path not in samples:
            for row in parquet.read_table(path).to_pylist():
                found[row["sample_id"]].append(json.loads(row["annotation"]))
    return found


def _lines(folder: Path, form: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()):
        if form == "jsonl":
            yield from map(json.loads, path.read_text().splitlines())
            continue
        with tarfile.open(path) as shard:
            for entry in shard:
                content = shard.extractfile(entry)
                assert content is not None
                yield json.load(content)
