"""From a template to rules with owners and moments, with the command line against a running API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.templates import write_template
from tests.api_thread import ApiThread
from tests.integration.test_cli_notes import run


@pytest.fixture
def server(database_url: str) -> Iterator[ApiThread]:
    with ApiThread(database_url) as running:
        yield running


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_template_is_applied_changed_and_brought_back(server: ApiThread, tmp_path: Path) -> None:
    write_template("support", tmp_path, "calls")
    project, taxonomy = tmp_path / "project.yaml", tmp_path / "taxonomy.yaml"
    edited(project, "settings:\n", "settings:\n  taxonomy: support@1\n")
    assert "there is no taxonomy 'support@1'" in run(server, "project", "plan", str(project), code=2)
    assert "published: support@1" in run(server, "taxonomy", "publish", str(taxonomy))
    run(server, "project", "plan", str(project), code=1)
    assert "calls@1" in run(server, "project", "apply", str(project))

    edited(project, "  extends: support\n", "  extends: support\n  blocking_severity: critical\n")
    assert "not tried on stored samples: It was not asked for." in run(
        server, "project", "plan", str(project), "--samples", "0", code=1
    )
    plan = json.loads(run(server, "project", "plan", str(project), "--json", code=1))
    assert plan["rules"]["after"] == {"id": "calls", "version": 2}
    tried = plan["rules"]["dry_run"]["dry_run_id"]
    applied = run(
        server, "project", "apply", str(project), "--planned", plan["state_sha256"], "--dry-run", tried, "--budget", "9"
    )
    assert "calls goes by calls@2 (before: calls@1); checked again: 0 in review at once" in applied
    back = run(server, "project", "revert", "calls", "1", "--plan", code=1)
    assert "calls@3 against calls@2" in back
    assert "no version 9" in run(server, "project", "revert", "calls", "9", "--plan", code=2)
    assert "calls goes by calls@3 (before: calls@2)" in run(server, "project", "revert", "calls", "1")
    listed = json.loads(run(server, "rules", "activations", "calls", "--json"))["items"]
    assert [(item["rule_set"]["version"], item["recheck"]["budget"]) for item in listed] == [(3, 50), (2, 9)]

    assert "published when `concord project apply` does" in run(server, "rules", "push", str(project), code=2)
    assert "calls@1" in run(server, "rules", "validate", str(project))
    assert "0 of 0 samples differ" in run(server, "rules", "dry-run", "calls", str(project))


def test_rules_are_scheduled_cancelled_and_owned(server: ApiThread, tmp_path: Path) -> None:
    write_template("retail", tmp_path, "shelf")
    run(server, "project", "apply", str(tmp_path / "project.yaml"))
    later = ("rules", "activate", "shelf", "shelf@1", "--at")
    assert "has passed" in run(server, *later, "2020-01-01T00:00:00Z", code=2)
    for moment in ("2999-01-01T00:00:00", "tomorrow"):
        assert "a moment is written 2030-01-01T06:00:00Z" in run(server, *later, moment, code=2)
    made = json.loads(run(server, *later, "2999-01-01T02:00:00+02:00", "--json"))
    assert (made["state"], made["effective_at"]) == ("scheduled", "2999-01-01T00:00:00Z")
    assert "is scheduled" in run(server, *later, "2999-01-02T00:00:00Z")
    assert "is cancelled" in run(server, "rules", "cancel", "shelf", made["activation_id"])
    shown = run(server, "rules", "activations", "shelf")
    assert "2999-01-02 00:00:00" in shown
    assert "cancelled" in shown

    assert "owned by nobody" in run(server, "rules", "owners", "shelf")
    assert "owned by anna, ben since" in run(server, "rules", "owners", "shelf", "--set", "anna", "--set", "ben")
    assert "anna, ben" in run(server, "rules", "list")
    assert "is owned by anna, ben" in run(server, "rules", "activate", "shelf", "shelf@1", code=2)
    assert "one of the two" in run(server, "rules", "owners", "shelf", "--set", "anna", "--nobody", code=2)
