"""The file of anchors that the ingester keeps: a line where a chain has grown, and no harm where it can not write."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from infra.anchors import AnchorKeeper
from infra.db.engine import PostgresDatabase
from services.access.keys import SYSTEM_PROJECT
from services.audit.anchors import parse_anchors
from services.audit.verify import verify_project
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project

pytestmark = pytest.mark.servers


async def until_lines(file: Path, count: int) -> dict[str, int]:
    """Wait for the file to have so many lines; how many of each project."""

    def wait() -> list[str]:
        deadline = time.monotonic() + 30
        while True:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) >= count:
                return lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.02)

    return {name: len(anchors) for name, anchors in parse_anchors(await asyncio.to_thread(wait)).items()}


async def test_a_line_is_added_for_each_chain_that_has_grown(database: PostgresDatabase, tmp_path: Path) -> None:
    await add_project(database)
    await add_project(database, "silent")
    await committed_sample(database, "s-1")
    file, stop = tmp_path / "anchors.txt", asyncio.Event()
    keeping = asyncio.create_task(AnchorKeeper(database, file, 0.05).run(stop))
    assert await until_lines(file, 1) == {PROJECT: 1}
    async with database.transaction() as tx:
        tx.audit.append(SYSTEM_PROJECT, actor="ann", action="test.done", subject="one", body={})
    assert await until_lines(file, 2) == {PROJECT: 1, SYSTEM_PROJECT: 1}
    await committed_sample(database, "s-2")
    await until_lines(file, 3)
    stop.set()
    await keeping
    anchors = parse_anchors(file.read_text().splitlines())
    for name in (PROJECT, SYSTEM_PROJECT):
        assert (await verify_project(database, name, anchors=anchors[name])).faults == ()


async def test_a_file_that_can_not_be_written_stops_nothing(database: PostgresDatabase, tmp_path: Path) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    folder = tmp_path / "later"
    stop = asyncio.Event()
    keeping = asyncio.create_task(AnchorKeeper(database, folder / "anchors.txt", 0.02).run(stop))
    folder.mkdir()
    assert await until_lines(folder / "anchors.txt", 1) == {PROJECT: 1}
    stop.set()
    await keeping
