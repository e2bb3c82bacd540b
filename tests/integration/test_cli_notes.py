"""``concord note`` and ``concord search`` against a running API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.api_thread import ApiThread
from tests.review_world import OWN

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    with ApiThread(database_url) as running:
        yield running


def run(server: ApiThread, *words: str, who: str = "admin", code: int = 0) -> str:
    """Run ``concord`` and return what it prints; the server's log, in the same process, is left out."""
    environment = {"CONCORD_URL": server.url, "CONCORD_KEY": server.secrets[who]}
    result = CliRunner().invoke(app, [*words], env=environment)
    assert result.exit_code == code, (words, result.output)
    return "\n".join(line for line in result.output.splitlines() if not LOG_LINE.match(line))


def test_notes_and_search_from_the_shell(server: ApiThread) -> None:
    place = ("--stream", "cam", "--frame", "3")
    note = json.loads(run(server, "note", "write", OWN, "s1", "@reviewer: giraffe?", *place, "--json"))
    assert note["pin"] == {"kind": "frame", "stream": "cam", "frame": 3}
    assert note["mentions"] == ["reviewer"]
    assert "giraffe" in run(server, "note", "mentions", who="reviewer")
    answer = run(server, "note", "write", OWN, "s1", "A zebra.", "--thread", note["note_id"], who="reviewer")
    assert "wrote note" in answer
    assert "frame cam 3" in run(server, "note", "list", OWN, "s1")
    run(server, "note", "edit", OWN, "s1", note["note_id"], "@reviewer: okapi?")
    history = json.loads(run(server, "note", "history", OWN, "s1", note["note_id"], "--json"))["items"]
    assert [item["version"] for item in history] == [1, 2]

    hits = json.loads(run(server, "search", "okap", "--kind", "note", "--kind", "sample", "--json"))["items"]
    assert [(hit["kind"], hit["subject"]) for hit in hits] == [("note", note["note_id"])]
    assert "zebra" not in run(server, "search", "zebra", who="reviewer"), "whoever judges searches no notes"
    assert "s1" in run(server, "search", "--project", OWN, "--kind", "sample", "--limit", "1")
    assert "holds no word" in run(server, "search", "...", code=2)

    run(server, "note", "delete", OWN, "s1", note["note_id"])
    assert "(deleted)" in run(server, "note", "list", OWN, "s1")
    assert "no stream of the sample" in run(server, "note", "write", OWN, "s1", "x", "--stream", "radar", code=2)
    assert "--stream too" in run(server, "note", "write", OWN, "s1", "x", "--frame", "1", code=2)
