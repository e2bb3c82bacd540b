import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import nats
import nats.errors
import pytest
from nats.aio.client import Client as NatsClient

from infra.stack.directory import StackUrls, read_secrets, read_stack, read_stack_state
from infra.stack.errors import (
    DataDirectoryError,
    PortInUseError,
    ProcessStartError,
    ServerUnavailableError,
    StackAlreadyRunningError,
    StackNotRunningError,
)
from infra.stack.process import ProcessSpec
from infra.stack.reaper import zombie_children
from infra.stack.stack import EmbeddedStack, StackConfig
from tests.integration.stack_facts import SERVERS, family, fetch, publish, retention

pytestmark = pytest.mark.servers

LOOPBACK = "0100007F"


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def listening_addresses(pid: int) -> set[str]:
    """The local addresses of a process's listening sockets, as the kernel writes them."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    sockets = {link[len("socket:[") : -1] for link in map(os.readlink, descriptors) if link.startswith("socket:[")}
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
    ]
    return {fields[1].partition(":")[0] for fields in lines if fields[3] == "0A" and fields[9] in sockets}


async def test_started_servers_answer_on_loopback_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with EmbeddedStack(StackConfig(data_dir=tmp_path)) as stack:
        assert await fetch(stack.urls, "select 1") == 1
        assert await fetch(stack.urls, "show fsync") == "on"
        assert await fetch(stack.urls, "show synchronous_commit") == "on"
        assert await fetch(
            stack.urls, "select datcollate || datlocale from pg_database where datname = current_database()"
        )
        assert await publish(stack.urls, "one") == 1
        assert await retention(stack.urls) == timedelta(days=30)
        assert read_stack(tmp_path) == stack.urls
        assert read_secrets(tmp_path) == stack.secrets
        assert read_stack_state(tmp_path).pids == {name: stack.pid(name) for name in SERVERS}
        servers = {stack.pid(name) for name in SERVERS}
        assert [listening_addresses(pid) for pid in servers] == [{LOOPBACK}] * 3
        assert family(tmp_path) >= servers
    assert not family(tmp_path)
    assert not any(exists(pid) for pid in servers), "not even a zombie is left"
    with pytest.raises(StackNotRunningError):
        read_stack(tmp_path)


async def test_servers_refuse_who_has_no_password(tmp_path: Path) -> None:
    async with EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False)) as stack:
        secrets = stack.secrets
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(stack.urls.database_url.replace(secrets.postgres_password, "guess"))
        wrong = stack.urls.nats_url.replace(secrets.nats_password, "guess")

        async def ignore(_error: Exception) -> None:
            pass

        client = NatsClient()
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await client.connect(wrong, allow_reconnect=False, error_cb=ignore)
        await client.close()
        commands = "".join(command_line(stack.pid(name)) for name in SERVERS)
        logs = "".join(file.read_text(errors="replace") for file in (tmp_path / "logs").iterdir())
        for secret in (secrets.postgres_password, secrets.nats_password, secrets.bootstrap_admin_key):
            assert secret not in commands
            assert secret not in logs


async def test_data_survives_a_restart_at_the_same_addresses(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path)
    async with EmbeddedStack(config) as stack:
        first, made = stack.urls, stack.secrets
        await fetch(stack.urls, "create table kept as select 42 as answer")
        await publish(stack.urls, "one")
    async with EmbeddedStack(config) as stack:
        assert (stack.urls, stack.secrets) == (first, made)
        assert await fetch(stack.urls, "select answer from kept") == 42
        assert await publish(stack.urls, "two") == 2


async def test_second_start_is_refused_and_does_not_disturb_the_first(tmp_path: Path) -> None:
    async with EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False)) as stack:
        with pytest.raises(StackAlreadyRunningError, match=rf"already runs on {tmp_path} \(process {os.getpid()}\)"):
            await EmbeddedStack(StackConfig(data_dir=tmp_path)).__aenter__()
        assert await fetch(stack.urls, "select 1") == 1
        assert read_stack(tmp_path) == stack.urls


async def test_existing_servers_are_used_by_their_urls(tmp_path: Path, stack_urls: StackUrls) -> None:
    config = StackConfig(
        data_dir=tmp_path,
        database_url=stack_urls.database_url,
        nats_url=stack_urls.nats_url,
        temporal_address=stack_urls.temporal_address,
    )
    async with EmbeddedStack(config) as stack:
        assert stack.supervisor.pids() == {}
        assert (stack.urls.database_url, stack.urls.nats_url) == (stack_urls.database_url, stack_urls.nats_url)
        assert stack.urls.temporal_address == stack_urls.temporal_address


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"database_url": "postgresql://u:hush@127.0.0.1:9/x"}, "Postgres"),
        ({"nats_url": "nats://u:hush@127.0.0.1:9"}, "NATS"),
        ({"temporal_address": "127.0.0.1:9"}, "Temporal"),
    ],
)
async def test_existing_server_that_does_not_answer_is_named(
    tmp_path: Path, setting: dict[str, str], named: str
) -> None:
    config = StackConfig(data_dir=tmp_path, external_timeout_s=0, **setting)  # type: ignore[arg-type]
    with pytest.raises(ServerUnavailableError, match=f"The {named} server that was given does not answer") as error:
        await EmbeddedStack(config).__aenter__()
    assert "hush" not in str(error.value)
    assert not family(tmp_path)


def web_server(urls: StackUrls) -> ProcessSpec:
    async def probe() -> None:
        async with httpx.AsyncClient() as client:
            (await client.get(urls.api_url)).raise_for_status()

    port = urls.api_url.rpartition(":")[2]
    return ProcessSpec(
        name="api",
        argv=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", port),
        stop_signal=signal.SIGINT,
        probe=probe,
    )


async def test_children_start_after_the_hook_and_end_before_the_servers(tmp_path: Path) -> None:
    steps: list[str] = []

    async def migrate(urls: StackUrls) -> None:
        await fetch(urls, "create table migrated ()")
        steps.append("migrated")

    stack = EmbeddedStack(
        StackConfig(data_dir=tmp_path, durable=False),
        children=[web_server],
        before_children=migrate,
        on_event=lambda event: steps.append(f"{event.name} {event.kind}"),
    )
    async with stack, httpx.AsyncClient() as client:
        assert (await client.get(stack.urls.api_url)).status_code == 200
    ready = [f"{name} ready" for name in SERVERS]
    assert max(steps.index(step) for step in ready) < steps.index("migrated") < steps.index("api starting")
    assert steps.index("api stopped") < min(steps.index(f"{name} stopping") for name in SERVERS)


async def test_hook_that_fails_stops_everything(tmp_path: Path) -> None:
    async def migrate(_urls: StackUrls) -> None:
        raise ValueError("bad migration")

    with pytest.raises(ValueError, match="bad migration"):
        await EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False), before_children=migrate).__aenter__()
    assert not family(tmp_path)
    assert not zombie_children(os.getpid())


async def test_child_that_does_not_start_stops_everything(tmp_path: Path) -> None:
    def broken(_urls: StackUrls) -> ProcessSpec:
        async def never() -> None:
            raise ConnectionError

        return ProcessSpec(name="api", argv=(sys.executable, "-c", "raise SystemExit('no licence')"), probe=never)

    with pytest.raises(ProcessStartError, match="no licence"):
        await EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False), children=[broken]).__aenter__()
    assert not family(tmp_path)
    assert not zombie_children(os.getpid())


async def test_wanted_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PortInUseError, match=str(port)):
        await EmbeddedStack(StackConfig(data_dir=tmp_path, api_port=port)).__aenter__()
    server.close()
    await server.wait_closed()


async def test_lost_secrets_are_noticed(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path, durable=False)
    async with EmbeddedStack(config):
        pass
    (tmp_path / "secrets.json").unlink()
    with pytest.raises(DataDirectoryError, match="is missing although"):
        await EmbeddedStack(config).__aenter__()
