"""Assets behind a real HTTP server on this machine, through the readers of every process."""

from __future__ import annotations

import asyncio
import hashlib
import io
import wave
from pathlib import Path
from typing import Any

import pytest

from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.composition.shared import asset_reader
from infra.db.engine import PostgresDatabase
from infra.settings import Settings
from services.contracts.manifest import SampleManifest
from services.errors import AssetForbiddenError, AssetMissingError
from services.intake.inbox import Inbox
from services.lifecycle.gathering import gather_sample
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.http_server import Handler, http, serving
from tests.intake_events import add_project, created


def tone() -> bytes:
    """One second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(b"\x00\x00" * 8_000)
    return file.getvalue()


TONE = tone()
SHA256 = hashlib.sha256(TONE).hexdigest()


def with_files(**files: bytes) -> Handler:
    """Serve files by their names."""

    async def handler(head: str, writer: asyncio.StreamWriter) -> None:
        method, path, _ = head.split(" ", 2)
        content = files.get(path.strip("/"))
        if content is None:
            writer.write(http(status="404 Not Found"))
        else:
            writer.write(http(length=len(content)) if method == "HEAD" else http(content))

    return handler


def settings(port: int | None, root: Path) -> Settings:
    return Settings.model_validate(
        {
            "database_url": "postgresql://x",
            "nats_url": "nats://x",
            "asset_roots": (root,),
            "asset_hosts": (f"127.0.0.1:{port}",) if port is not None else (),
        }
    )


def streams(port: int) -> list[dict[str, Any]]:
    base = f"http://127.0.0.1:{port}"
    return [
        {"id": "call", "modality": "audio", "uri": f"{base}/tone", "sha256": SHA256},
        {"id": "gone", "modality": "audio", "uri": f"{base}/gone"},
        {"id": "other", "modality": "audio", "uri": f"{base}/tone", "sha256": "0" * 64},
        {"id": "local", "modality": "audio", "uri": "tone.wav", "sha256": SHA256},
    ]


def manifest(*own: dict[str, Any]) -> SampleManifest:
    return SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": "s-1", "project": "p", "streams": list(own)}
    )


async def test_a_check_process_reads_files_and_hosts(tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(TONE)
    async with serving(with_files(tone=TONE)) as server:
        sample = manifest(*streams(server.port))
        allowed = ReaderConfig((tmp_path,), 1_000_000, 20.0, (f"127.0.0.1:{server.port}",))
        async with ProcessCheckRunner(allowed, 1, 120.0) as runner:
            report = await runner.run(sample, (), DEFAULT_RULE_SET)
        asked = len(server.heads)
        async with ProcessCheckRunner(ReaderConfig((tmp_path,), 1_000_000, 20.0), 1, 120.0) as runner:
            refused = await runner.run(sample, (), DEFAULT_RULE_SET)
    faults = {(item.streams[0], item.kind) for item in report.findings if item.check == "metadata_source"}
    assert faults == {("gone", "asset_missing"), ("other", "hash_mismatch")}
    told = [item for item in refused.findings if item.check == "metadata_source"]
    assert {item.streams[0] for item in told} == {"call", "gone", "other"}
    assert all("CONCORD_ASSET_HOSTS" in item.message for item in told)
    assert len(server.heads) == asked


async def test_the_worker_records_remote_assets_with_their_hash(tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(TONE)
    async with serving(with_files(tone=TONE)) as server:
        reader = asset_reader(settings(server.port, tmp_path))
        gathered = await gather_sample(manifest(*streams(server.port)), reader, (), lambda _: ())
    assert [(asset.stream, asset.sha256, asset.size_bytes) for asset in gathered.assets] == [
        ("call", SHA256, len(TONE)),
        ("local", SHA256, len(TONE)),
    ]
    assert {failure.name for failure in gathered.failures} == {"gone", "other"}


async def test_an_event_with_a_remote_asset_is_accepted_where_its_host_is_listed(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await add_project(database)
    async with serving(with_files(tone=TONE)) as server:
        call, gone, *_ = streams(server.port)
        closed = Inbox(database, asset_reader(settings(None, tmp_path)))
        with pytest.raises(AssetForbiddenError, match="--asset-host"):
            await closed.receive(created(streams=[call], annotations=[]), via="http", projects=None)
        assert not server.heads
        inbox = Inbox(database, asset_reader(settings(server.port, tmp_path)))
        with pytest.raises(AssetMissingError) as refused:
            await inbox.receive(created(streams=[call, gone], annotations=[]), via="http", projects=None)
        assert [place for place, _ in refused.value.places] == ["/data/streams/1/uri"]
        receipt = await inbox.receive(created(streams=[call], annotations=[]), via="http", projects=None)
        assert receipt.outcome == "accepted"
