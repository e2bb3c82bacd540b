"""``concord dataset`` against a running API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.db.engine import open_database
from services.contracts.datasets import VersionContent
from services.datasets.manifest import manifest_sha256
from tests.api_thread import ApiThread
from tests.databases import unguarded
from tests.dataset_world import PROJECT, a_box, commit
from tests.integration.test_cli_notes import run


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    with ApiThread(database_url) as running:
        yield running


async def commit_all(database_url: str, *samples: tuple[str, str, int]) -> None:
    async with open_database(database_url, pool_size=2) as database:
        for name, label, sequence in samples:
            await commit(database, name, [a_box(label=label)], context={"attributes": {"seq": sequence}})


async def change_note(database_url: str) -> None:
    """Write another note into the first version, with a right hash."""
    async with unguarded(database_url) as connection:
        row = await connection.fetchrow("SELECT content FROM dataset_versions")
        assert row is not None
        content = VersionContent.model_validate_json(row["content"]).model_copy(update={"note": "better"})
        await connection.execute(
            "UPDATE dataset_versions SET content = $1, manifest_sha256 = $2",
            content.model_dump_json(exclude_none=True),
            manifest_sha256(content),
        )


def test_datasets_from_the_shell(server: ApiThread, database_url: str, tmp_path: Path) -> None:
    asyncio.run(commit_all(database_url, *((f"c{index}", "car", index // 2) for index in range(4))))
    by_sequence = ("--group-by", "context.attributes.seq", "--split", "train=1", "--split", "test=1")
    assert "dataset cars" in run(server, "dataset", "create", PROJECT, "cars", *by_sequence)
    assert "is NAME=WEIGHT" in run(server, "dataset", "create", PROJECT, "x", "--split", "train", code=2)
    assert "group_by" in run(server, "dataset", "create", PROJECT, "x", "--group-by", "nothing", code=2)
    made = json.loads(run(server, "dataset", "version", PROJECT, "cars", "--json"))
    assert made["content"]["samples"] == 4
    assert "cars" in run(server, "dataset", "list", PROJECT)
    assert made["content"]["merkle_root"][:12] in run(server, "dataset", "list", PROJECT, "cars")
    assert "newest word" in run(server, "dataset", "show", PROJECT, "cars@1")
    assert "such as signs@3" in run(server, "dataset", "show", PROJECT, "cars", code=2)
    assert "verified" in run(server, "dataset", "verify", PROJECT, "cars@1")
    assert json.loads(run(server, "dataset", "prove", PROJECT, "cars@1", "c2"))["size"] == 4
    asyncio.run(change_note(database_url))
    broken = json.loads(run(server, "dataset", "verify", PROJECT, "cars@1", "--json", code=1))
    assert any("audit trail says" in fault for fault in broken["faults"])
    report = run(server, "verify", PROJECT, code=1)
    assert "BROKEN" in report
    assert "dataset-contradicts-entry" in report

    asyncio.run(commit_all(database_url, ("c1", "bus", 0)))
    assert "1 superseded" in run(server, "dataset", "show", PROJECT, "cars@1")
    members = run(server, "dataset", "members", PROJECT, "cars@1", "--standing", "superseded", "--json")
    assert [json.loads(line)["sample_id"] for line in members.splitlines()] == ["c1"]
    selection = tmp_path / "selection.json"
    selection.write_text('{"sample_ids": ["c1", "c2", "c3"]}')
    run(server, "dataset", "version", PROJECT, "cars", "--selection", str(selection))
    told = run(server, "dataset", "diff", PROJECT, "cars", "1", "2")
    assert "- c0" in told
    assert "~ box a1 bus: label car → bus" in told
    summary = run(server, "dataset", "diff", PROJECT, "cars", "1", "2", "--summary", "--json")
    assert json.loads(summary)["samples_changed"] == 1

    out = tmp_path / "out"
    words = ("dataset", "export", PROJECT, "cars@2", "--format", "coco", "-o", str(out))
    assert "3 samples with 3 labels as coco" in run(server, *words)
    assert json.loads(run(server, *words, "--json"))["taken_up"] > 0
    assert (out / "SHA256SUMS").exists()
    assert "formats are" in run(server, *words[:5], "paper", "-o", str(out), code=2)
