"""The process-pool check runner: real processes, real files."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.errors import UnavailableError
from services.rules.context_gate import ContextGateRules
from services.rules.rule_set import DEFAULT_RULE_SET

GATED = DEFAULT_RULE_SET.model_copy(update={"context_gate": ContextGateRules(required=("region",))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assets")


@pytest.fixture(scope="module")
async def runner(folder: Path) -> AsyncIterator[ProcessCheckRunner]:
    async with ProcessCheckRunner(ReaderConfig((folder,), 10_000_000, 20.0), 1, 120.0) as started:
        yield started


def a_manifest(*streams: dict[str, Any], **changes: Any) -> SampleManifest:
    own = streams or ({"id": "note", "modality": "text", "inline": "good morning"},)
    document = {"format": "concord.sample/1", "sample_id": "s-1", "project": "p", "streams": list(own)} | changes
    return SampleManifest.model_validate(document)


def kinds(report: CheckReport) -> set[tuple[str, str]]:
    return {(finding.check, finding.kind) for finding in report.findings}


def write_tone(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"\x00\x00" * 8_000)


async def test_report_comes_back_with_the_rules_it_was_made_by(runner: ProcessCheckRunner) -> None:
    report = await runner.run(a_manifest(), (), GATED)
    assert kinds(report) == {("context_gate", "missing")}
    assert report.rule == GATED.reference


async def test_assets_that_can_not_be_read_are_findings_and_no_exception(
    runner: ProcessCheckRunner, folder: Path
) -> None:
    (folder / "noise.wav").write_bytes(b"this is no recording")
    write_tone(folder / "tone.wav")
    manifest = a_manifest(
        {"id": "gone", "modality": "audio", "uri": "gone.wav"},
        {"id": "noise", "modality": "audio", "uri": "noise.wav"},
        {"id": "tone", "modality": "audio", "uri": "tone.wav", "sha256": "0" * 64},
        {"id": "outside", "modality": "audio", "uri": "file:///etc/passwd"},
        label_files=[{"format": "rttm", "uri": "gone.rttm", "stream": "tone"}],
    )
    report = await runner.run(manifest, (), DEFAULT_RULE_SET)
    faults = {(item.streams[0], item.kind) for item in report.findings if item.check == "metadata_source"}
    assert faults == {
        ("gone", "asset_missing"),
        ("noise", "asset_unreadable"),
        ("tone", "hash_mismatch"),
        ("tone", "asset_missing"),
        ("outside", "asset_unreadable"),
    }
    assert all(item.severity == "critical" for item in report.findings if item.check == "metadata_source")
    again = await runner.run(manifest, (), DEFAULT_RULE_SET)
    assert [item.finding_id for item in again.findings] == [item.finding_id for item in report.findings]


async def test_process_that_is_killed_is_replaced_and_its_sample_may_be_tried_again(folder: Path) -> None:
    before = child_pids()
    async with ProcessCheckRunner(ReaderConfig((folder,), 10_000_000, 20.0), 1, 120.0) as runner:
        await runner.run(a_manifest(), (), GATED)
        (pid,) = child_pids() - before
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="ended"):
            await runner.run(a_manifest(), (), GATED)
        assert kinds(await runner.run(a_manifest(), (), GATED)) == {("context_gate", "missing")}


async def test_checks_that_take_too_long_are_ended_with_their_process(folder: Path) -> None:
    before = child_pids()
    async with ProcessCheckRunner(ReaderConfig((folder,), 10_000_000, 20.0), 1, 0.000_1) as runner:
        (pid,) = child_pids() - before
        watcher = os.pidfd_open(pid)
        with pytest.raises(UnavailableError, match="longer than"):
            await runner.run(a_manifest(), (), GATED)
        await asyncio.to_thread(select.select, [watcher], [], [], 60)
        os.close(watcher)
    assert pid not in child_pids()


async def test_two_processes_check_two_samples_at_once(folder: Path) -> None:
    async with ProcessCheckRunner(ReaderConfig((folder,), 10_000_000, 20.0), 2, 120.0) as runner:
        reports = await asyncio.gather(*(runner.run(a_manifest(), (), GATED) for _ in range(6)))
    assert [kinds(report) for report in reports] == [{("context_gate", "missing")}] * 6


def child_pids() -> set[int]:
    """The processes of runners that this process has started."""
    while True:
        try:
            children = (task / "children" for task in Path("/proc/self/task").iterdir())
            pids = [int(pid) for listed in children for pid in listed.read_text().split()]
            return {pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread or a process ended after it was listed, and its children are another's now
