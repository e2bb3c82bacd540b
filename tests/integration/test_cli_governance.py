"""``concord lineage``, ``recall``, ``audit``, ``verify --anchors``, ``erase`` and ``hold`` against a running API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from infra.db.engine import open_database
from tests.api_thread import ApiThread
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project
from tests.integration.test_cli_notes import run


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    async def fill() -> None:
        async with open_database(database_url, pool_size=2) as database:
            await add_project(database)
            for name in ("s-1", "s-2"):
                await committed_sample(database, name)

    with ApiThread(database_url) as running:
        asyncio.run(fill())
        yield running


def test_lineage_shows_what_recall_takes(server: ApiThread) -> None:
    shown = run(server, "lineage", PROJECT, "s-1")
    for part in ("decisions", "people", "id rex", "rule set", "workflow", "run-s-1"):
        assert part in shown
    origins = json.loads(run(server, "lineage", PROJECT, "s-1", "--json"))["origins"]
    assert {"kind": "person", "key": "rex"} in origins
    for origin in origins:
        option = f"--{origin['kind'].replace('_', '-')}"
        told = json.loads(run(server, "recall", PROJECT, option, origin["key"], "--json"))
        assert "s-1" in [item["ref"]["sample_id"] for item in told["items"]]
    listed = run(server, "recall", PROJECT, "--person", "rex", "--limit", "1")
    assert "records" in listed
    assert "the first 1" in listed
    assert "s-2" not in listed
    assert "exactly one of" in run(server, "recall", PROJECT, code=2)
    assert "exactly one of" in run(server, "recall", PROJECT, "--person", "rex", "--asset", "x", code=2)


def test_anchors_are_noted_once_and_every_line_is_checked(server: ApiThread, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    run(server, "audit", "anchor", PROJECT, "--output", str(file))
    assert "0 new anchors" in run(server, "audit", "anchor", PROJECT, "--output", str(file))
    [line] = file.read_text().splitlines()
    assert line.startswith(f"{PROJECT} ")
    assert run(server, "audit", "anchor", PROJECT).split()[:2] == line.split()[:2]
    assert "verified" in run(server, "verify", PROJECT, "--anchors", str(file))
    run(server, "project", "show", PROJECT)
    assert "task.accept_conflict" in run(server, "audit", "list", PROJECT, "--actor", "rex")
    assert "(none)" in run(server, "audit", "list", PROJECT, "--action", "nothing.done")

    async def rewrite() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("SET session_replication_role = replica")
        sequence = int(line.split()[1].partition(":")[0])
        await connection.execute(
            "UPDATE audit_entries SET sha256 = repeat('0', 64) WHERE project = $1 AND sequence = $2", PROJECT, sequence
        )
        await connection.close()

    asyncio.run(rewrite())
    assert "anchor-mismatch" in run(server, "verify", PROJECT, "--anchors", str(file), code=1)
    file.write_text("calls 1:abc")
    assert "line 1" in run(server, "verify", PROJECT, "--anchors", str(file), code=2)
    assert "can not be read" in run(server, "verify", "--anchors", str(tmp_path / "none"), code=2)


def test_a_sample_is_erased_from_the_shell_once_no_hold_forbids_it(server: ApiThread) -> None:
    sample = ("--sample", "s-1")
    assert "erasable" in run(server, "erase", PROJECT, *sample)
    assert "--reason" in run(server, "erase", PROJECT, *sample, "--apply", code=2)
    assert "one of --sample" in run(server, "erase", PROJECT, code=2)
    assert "FIELD=VALUE" in run(server, "erase", PROJECT, "--context", "patient", code=2)
    assert "nothing" in run(server, "erase", PROJECT, "--context", "patient=4711")
    hold = json.loads(run(server, "hold", "place", PROJECT, "--reason", "case 12", "--sample", "s-1", "--json"))
    refused = run(server, "erase", PROJECT, *sample, "--apply", "--reason", "asked for", "--json", code=1)
    erasure = json.loads(refused[refused.index("{") :])
    assert erasure["counts"]["held"] == 1
    assert "case 12" in run(server, "hold", "list", PROJECT)
    run(server, "hold", "release", PROJECT, hold["items"][0]["hold_id"])
    assert "erased" in run(server, "erase", PROJECT, "--resume", erasure["erasure_id"])
    verified = json.loads(run(server, "verify", PROJECT, "--json"))
    assert (verified["faults"], verified["erased"]) == ([], 1)
