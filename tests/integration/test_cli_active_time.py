"""``concord tasks active-time`` and ``concord reviewer active-time`` against a running API."""

from __future__ import annotations

import asyncio
import json
import re

import asyncpg
import httpx
from typer.testing import CliRunner

from infra.cli.main import app
from tests.api_thread import ApiThread
from tests.review_world import OWN

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")


def run(server: ApiThread, *words: str) -> str:
    environment = {"CONCORD_URL": server.url, "CONCORD_KEY": server.secrets["admin"], "COLUMNS": "200"}
    result = CliRunner().invoke(app, [*words], env=environment)
    assert result.exit_code == 0, (words, result.output)
    return "\n".join(line for line in result.output.splitlines() if not LOG_LINE.match(line))


def test_active_time_from_the_shell(database_url: str) -> None:
    with ApiThread(database_url) as server:
        claimed = httpx.post(
            f"{server.url}/v1/tasks/claim",
            json={"kinds": ["review"]},
            headers={"Authorization": f"Bearer {server.secrets['reviewer']}"},
        )
        assert claimed.status_code == 200, claimed.text
        asyncio.run(_worked(database_url, 90.0))
        people = run(server, "reviewer", "active-time", OWN, "--hours", "2")
        tasks = run(server, "tasks", "active-time", OWN, "--queue", "spatial", "--kind", "review")
        (told,) = json.loads(run(server, "tasks", "active-time", OWN, "--person", "reviewer", "--json"))["items"]
    assert ["reviewer", "1", "1.5", "min", "1.5", "min"] in [line.split() for line in people.splitlines()]
    task_id = claimed.json()["task"]["task_id"]
    row = next(line for line in tasks.splitlines() if task_id in line)
    assert row.split()[1:] == ["s1", "spatial", "review", "claimed", "1", "1.5", "min"]
    assert (told["task_id"], told["active_s"]["value"]) == (task_id, 90.0)


async def _worked(database_url: str, active_s: float) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE task_activity SET active_s = $1", active_s)
    await connection.close()
