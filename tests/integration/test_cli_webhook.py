"""``concord webhook`` against a running API."""

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
URL = "https://hooks.example/concord"


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    with ApiThread(database_url) as running:
        yield running


def run(server: ApiThread, *words: str, code: int = 0) -> str:
    """Run ``concord webhook`` and return what it prints; the server's log, in the same process, is left out."""
    environment = {"CONCORD_URL": server.url, "CONCORD_KEY": server.secrets["admin"]}
    result = CliRunner().invoke(app, ["webhook", *words], env=environment)
    assert result.exit_code == code, (words, result.output)
    return "\n".join(line for line in result.output.splitlines() if not LOG_LINE.match(line))


def test_life_of_a_webhook_from_the_shell(server: ApiThread) -> None:
    created = run(server, "create", OWN, URL, "--event", "concord.sample.committed.v1", "--description", "training")
    secret = created.strip().splitlines()[-1]
    assert secret.startswith("whsec_")
    [listed] = json.loads(run(server, "list", OWN, "--json"))["items"]
    webhook = listed["endpoint_id"]
    assert (listed["url"], listed["state"]) == (URL, "active")
    assert secret not in run(server, "show", OWN, webhook)

    run(server, "update", OWN, webhook, "--all-events", "--description", "everything")
    changed = json.loads(run(server, "show", OWN, webhook))
    assert (changed["event_types"], changed["description"], changed["url"]) == ([], "everything", URL)
    contradicting = run(server, "update", OWN, webhook, "--all-events", "--event", "x", code=2)
    assert "contradict" in contradicting

    rotated = json.loads(run(server, "rotate", OWN, webhook, "--overlap-h", "0.5", "--json"))
    assert rotated["secret"] != secret

    pinged = json.loads(run(server, "ping", OWN, webhook, "--json"))
    assert "waiting" in run(server, "deliveries", OWN, webhook)
    told = run(server, "deliveries", OWN, webhook, pinged["delivery_id"])
    assert pinged["webhook_id"] in told
    assert "waiting" in run(server, "redeliver", OWN, webhook, pinged["delivery_id"])
    run(server, "disable", OWN, webhook)
    assert json.loads(run(server, "show", OWN, webhook))["state"] == "disabled"
    assert "active" in run(server, "enable", OWN, webhook)
    begun = run(server, "redeliver", OWN, webhook, "--since", "2026-01-01T00:00:00", "--state", "cancelled")
    assert "1 begun again" in begun
    assert "say what" in run(server, "redeliver", OWN, webhook, code=2)


def test_bad_input_is_told_in_a_sentence(server: ApiThread) -> None:
    assert "not among the allowed hosts" in run(server, "create", OWN, "https://evil.example/", code=2)
    assert "choose from" in run(server, "create", OWN, URL, "--event", "nothing", code=2)
    assert "There is no project" in run(server, "create", "nowhere", URL, code=2)
