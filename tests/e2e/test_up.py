"""``concord up`` and the commands that talk to it, as a newcomer uses them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from infra.stack.directory import read_stack_state

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

CONCORD = (sys.executable, "-m", "infra.cli.main")


@dataclass(frozen=True)
class Up:
    """A Concord that runs in a folder, and the shell beside it."""

    folder: Path
    process: subprocess.Popen[str]
    address: dict[str, Any]

    def run(self, *args: str, key: str | None = None) -> Result:
        environment = {"CONCORD_DATA_DIR": str(self.folder / ".concord"), "CONCORD_KEY": key}
        return CliRunner().invoke(app, args, env=environment)

    def json(self, *args: str, key: str | None = None, exit_code: int = 0) -> Any:
        result = self.run(*args, "--json", key=key)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    with (folder / "messages.txt").open("w") as messages:
        process = subprocess.Popen(
            [*CONCORD, "up", "--json", "--assets", str(folder)],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "messages.txt").read_text()
        yield Up(folder, process, json.loads(line))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
        process.stdout.close()


def eventually(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline, "it did not become true within 120 s"
        time.sleep(0.2)


def manifest(sample_id: str, *, project: str = "calls", status: str = "approved") -> dict[str, Any]:
    return {
        "format": "concord.sample/1",
        "sample_id": sample_id,
        "project": project,
        "context": {"policy": {"id": "privacy", "version": "1", "status": status}},
        "streams": [{"id": "note", "modality": "text", "uri": "note.txt"}],
        "annotations": [{"id": "a1", "type": "intent", "stream": "note", "label": "greeting"}],
    }


def write_samples(folder: Path, *documents: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "note.txt").write_text("good morning", encoding="utf-8")
    for document in documents:
        (folder / f"{document['sample_id']}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def stages(up: Up, project: str) -> dict[str, str]:
    return {item["ref"]["sample_id"]: item["stage"] for item in up.json("samples", project)["items"]}


def test_the_main_job_runs_from_the_shell(up: Up) -> None:
    up.json("project", "create", "calls")
    folder = write_samples(up.folder / "in", manifest("s-1"), manifest("s-2"), manifest("s-3", status="draft"))
    assert up.json("ingest", str(folder))["summary"] == {"accepted": 3}
    assert up.json("ingest", str(folder))["summary"] == {"duplicate": 3}
    eventually(lambda: stages(up, "calls") == {"s-1": "committed", "s-2": "committed", "s-3": "in_review"})

    (row,) = [row for row in up.json("queue")["items"] if row["open"]]
    assert (row["project"], row["queue"], row["open"], row["claimed"]) == ("calls", "context", 1, 0)
    reviewer = up.json("key", "create", "rex", "--role", "reviewer", "--project", "calls")["secret"]
    claimed = up.json("claim", key=reviewer)
    assert claimed["evidence"]["findings"][0]["finding"]["kind"] == "policy_not_approved"
    assert up.json("claim", key=reviewer, exit_code=1) == {"task": None}
    task = claimed["task"]["task_id"]
    wrong = up.run("decide", task, "--verdict", "accept_conflict", "--reason-code", "nonsense", key=reviewer)
    assert wrong.exit_code == 2
    assert "tolerated_by_policy" in wrong.stderr
    verdict = ("--verdict", "accept_conflict", "--reason-code", "tolerated_by_policy")
    up.json("decide", task, *verdict, key=reviewer)
    eventually(lambda: stages(up, "calls")["s-3"] == "committed")

    report = up.json("verify", "calls")
    assert (report["audit_verified"], report["lineage_verified"], report["records"]) == (True, True, 3)
    anchor = f"{report['head']['sequence']}:{report['head']['sha256']}"
    assert up.json("verify", "calls", "--anchor", anchor)["audit_verified"] is True
    forged = f"{report['head']['sequence']}:{'0' * 64}"
    assert up.json("verify", "calls", "--anchor", forged, exit_code=1)["faults"][0]["kind"] == "anchor-mismatch"

    target = up.folder / "truth.jsonl"
    assert up.run("export", "calls", "-o", str(target)).exit_code == 0
    first = target.read_bytes()
    assert [json.loads(line)["body"]["sample_id"] for line in first.splitlines()] == ["s-1", "s-2", "s-3"]
    assert up.run("export", "calls", "-o", str(target)).exit_code == 0
    assert target.read_bytes() == first


def test_an_event_that_was_refused_is_kept_and_replayed(up: Up) -> None:
    folder = write_samples(up.folder / "early", manifest("e-1", project="later"))
    refused = up.json("ingest", str(folder), exit_code=1)
    assert refused["summary"] == {"refused": 1}
    letters = [
        item for item in up.json("dead-letters", "list")["items"] if (item.get("event_id") or "").startswith("later/")
    ]
    assert len(letters) == 1
    up.json("project", "create", "later")
    up.json("dead-letters", "replay", letters[0]["dead_letter_id"])
    eventually(lambda: stages(up, "later") == {"e-1": "committed"})


def test_a_key_does_only_what_its_role_and_projects_allow(up: Up) -> None:
    viewer = up.json("key", "create", "vic", "--role", "viewer")
    assert up.run("key", "list", key=viewer["secret"]).exit_code == 2
    up.json("key", "revoke", viewer["key"]["key_id"])
    revoked = up.run("queue", key=viewer["secret"])
    assert revoked.exit_code == 2
    assert revoked.stderr.startswith("error: ")


def test_a_second_start_on_the_same_directory_is_refused_in_one_sentence(up: Up) -> None:
    second = subprocess.run(
        [*CONCORD, "up"],
        cwd=up.folder,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 2
    assert second.stdout == ""
    assert "already runs" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_ctrl_c_stops_everything_cleanly(up: Up) -> None:
    pids = read_stack_state(up.folder / ".concord").pids
    assert set(pids) == {"postgres", "nats", "temporal", "api", "ingester", "worker"}
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(120) == 0
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    messages = (up.folder / "messages.txt").read_text()
    assert "Traceback" not in messages
    assert messages.count("exited with code 0") == len(pids)
    logs = {path.stem: path.read_text(errors="replace") for path in (up.folder / ".concord" / "logs").iterdir()}
    assert not [name for name, text in logs.items() if up.address["admin_key"] in text]
    lines = [json.loads(line) for line in logs["worker"].splitlines() if line.startswith("{")]
    committed = [line for line in lines if line.get("activity") == "commit_ground_truth"]
    assert {line["sample_id"] for line in committed} == {"s-1", "s-2", "s-3", "e-1"}
    assert all(line["workflow_id"].endswith(line["sample_id"]) for line in committed)
    assert up.run("queue").exit_code == 2
