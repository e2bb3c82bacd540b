"""``concord incident`` against canned answers of the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from infra.cli import connection
from infra.cli.main import app
from infra.client import ConcordClient

INCIDENT = "11111111-1111-4111-8111-111111111111"
SHA256 = "ab" * 32
AT = "2026-03-01T12:00:00Z"
CORRECTION = {"kind": "time_shift", "offset_s": -1.5}
SUMMARY: dict[str, Any] = {
    "incident": {
        "incident_id": INCIDENT,
        "project": "p",
        "check": "audio_transcript",
        "kind": "offset",
        "sources": ["sensor:mic-1"],
        "state": "open",
        "severity": "major",
        "message": "offset of sensor:mic-1 in 40 findings: offset_s +1.5 ± 0.01.",
        "estimate": {"samples": 40},
        "suggestion": CORRECTION,
        "rule": {"id": "default", "version": 1},
        "cause_key": SHA256,
        "opened_at": AT,
        "updated_at": AT,
    },
    "samples": 40,
    "spot_checks": 5,
    "progress": {"waiting": 40},
}
REF = {"project": "p", "sample_id": "s-1", "revision": 1}
MEMBER = {
    "incident_id": INCIDENT,
    "ref": REF,
    "finding_id": "f-1",
    "state": "waiting",
    "spot_check": True,
    "values": [{"name": "offset_s", "value": 1.5}],
    "joined_at": AT,
    "updated_at": AT,
}


def preview(*, explained: bool) -> dict[str, Any]:
    spot = {"ref": REF, "finding_id": "f-1", "explained": explained, "measured_before": 1.5, "unit": "s"}
    return {
        "incident_id": INCIDENT,
        "correction": CORRECTION,
        "correction_sha256": SHA256,
        "spot_checks": [spot],
        "explained": int(explained),
        "reckoned": 40,
        "members": 40,
        "sufficient": explained,
        "made_at": AT,
    }


Run = Callable[..., Result]


@pytest.fixture
def sent() -> list[tuple[str, str, Any]]:
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, sent: list[tuple[str, str, Any]]) -> Run:
    def start(*arguments: str, explained: bool = True) -> Result:
        def answer(request: httpx.Request) -> httpx.Response:
            body = json.loads(request.content) if request.content else None
            sent.append((request.method, request.url.path, body))
            path = request.url.path
            if path.endswith("/incidents"):
                return httpx.Response(200, json={"items": [SUMMARY], "next_cursor": None})
            if path.endswith("/samples"):
                return httpx.Response(200, json={"items": [MEMBER], "next_cursor": None})
            if path.endswith("/fix") and body is not None and body.get("dry_run"):
                return httpx.Response(200, json=preview(explained=explained))
            return httpx.Response(200, json=SUMMARY)

        def client(url: str, key: str) -> ConcordClient:
            return ConcordClient(url, key, transport=httpx.MockTransport(answer))

        monkeypatch.setattr(connection, "ConcordClient", client)
        place = ["--url", "http://concord.test", "--key", "ck_" + "x" * 43]
        return CliRunner().invoke(app, ["incident", *arguments, *place])

    return start


def test_list_and_show_tell_the_cause_and_the_spot_checks(run: Run) -> None:
    listed = run("list", "p")
    assert listed.exit_code == 0
    assert "offset of sensor:mic-1" in listed.stdout
    shown = run("show", "p", INCIDENT)
    assert shown.exit_code == 0
    assert "40 waiting" in shown.stdout
    assert "offset_s +1.5" in shown.stdout
    document = json.loads(run("show", "p", INCIDENT, "--json").stdout)
    assert document["samples"][0]["finding_id"] == "f-1"


def test_fix_previews_and_changes_nothing_until_it_is_told_to(run: Run, sent: list[tuple[str, str, Any]]) -> None:
    told = run("fix", "p", INCIDENT)
    assert told.exit_code == 0
    assert "Nothing was changed" in told.stdout
    assert [body for method, _, body in sent if method == "POST"] == [{"dry_run": True, "override": False}]


def test_fix_applies_exactly_what_was_previewed(run: Run, sent: list[tuple[str, str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "correction.json"
    path.write_text(json.dumps(CORRECTION))
    told = run("fix", "p", INCIDENT, "--correction", str(path), "--apply", "--note", "New start of file.")
    assert told.exit_code == 0
    first, second = [body for method, _, body in sent if method == "POST"]
    assert first["dry_run"] is True
    assert second["dry_run"] is False
    assert (first["correction"]["offset_s"], second["note"]) == (-1.5, "New start of file.")
    assert first["correction"] == second["correction"] | {"drift": 0.0}


def test_a_fix_that_explains_too_little_is_not_applied_unless_overridden(
    run: Run, sent: list[tuple[str, str, Any]]
) -> None:
    refused = run("fix", "p", INCIDENT, "--apply", explained=False)
    assert refused.exit_code == 1
    assert len([method for method, _, _ in sent if method == "POST"]) == 1
    applied = run("fix", "p", INCIDENT, "--apply", "--override", explained=False)
    assert applied.exit_code == 0
    assert sent[-1][2]["override"] is True


def test_a_correction_that_is_none_is_named_with_its_place(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "correction.json"
    path.write_text(json.dumps({"kind": "tilt"}))
    result = run("fix", "p", INCIDENT, "--correction", str(path))
    assert result.exit_code != 0
    assert "/correction" in result.stderr


def test_dismiss_needs_a_reason(run: Run, sent: list[tuple[str, str, Any]]) -> None:
    assert run("dismiss", "p", INCIDENT).exit_code == 2
    assert run("dismiss", "p", INCIDENT, "--reason-code", "not_a_fault").exit_code == 0
    assert sent[-1][1:] == (f"/v1/projects/p/incidents/{INCIDENT}/dismiss", {"reason_code": "not_a_fault"})
