import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import nats
import pytest
from nats.js.api import StreamConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from infra.stack.directory import StackUrls, _holders, read_secrets, read_stack, read_stack_state
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
from tests.unit.stack_programs import is_alive, until

pytestmark = pytest.mark.servers

PROJECT = Path(__file__).parents[2]
SERVERS = ("nats", "postgres", "temporal")
LOOPBACK = "0100007F"


async def fetch(urls: StackUrls, query: str) -> object:
    connection = await asyncpg.connect(urls.database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def publish(urls: StackUrls, text: str) -> int:
    client = await nats.connect(urls.nats_url)
    try:
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="facts", subjects=["facts.>"]))
        return (await stream.publish("facts.new", text.encode())).seq
    finally:
        await client.close()


async def retention(urls: StackUrls) -> timedelta:
    client = await Client.connect(urls.temporal_address)
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


def family(data_dir: Path) -> set[int]:
    """Every process of a stack, however distant: they all have its lock open."""
    return set(_holders(data_dir / "children.lock"))


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

        with pytest.raises(nats.errors.Error, match="Authorization"):
            await nats.connect(wrong, allow_reconnect=False, error_cb=ignore)
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


@pytest.mark.parametrize("name", SERVERS)
async def test_killed_server_is_ready_again_with_what_it_acknowledged(tmp_path: Path, name: str) -> None:
    async with EmbeddedStack(StackConfig(data_dir=tmp_path)) as stack:
        await fetch(stack.urls, "create table kept as select 42 as answer")
        await publish(stack.urls, "one")
        for _ in range(2):
            pid = stack.pid(name)
            os.kill(pid, signal.SIGKILL)
            assert await stack.wait_ready(name, other_than=pid) == stack.pid(name) != pid
        assert await fetch(stack.urls, "select answer from kept") == 42
        assert await publish(stack.urls, "two") == 2
        assert await retention(stack.urls) == timedelta(days=30)
        assert read_stack_state(tmp_path).pids[name] == stack.pid(name)
        assert stack.supervisor.restarts(name) >= 2


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


@pytest.mark.parametrize("moment", ["postgres-initdb", "temporal starting", "nats ready", "postgres ready"])
async def test_stop_at_any_moment_of_the_first_start_leaves_nothing(tmp_path: Path, moment: str) -> None:
    reached = asyncio.Event()
    stack = EmbeddedStack(
        StackConfig(data_dir=tmp_path, durable=False),
        on_event=lambda event: reached.set() if f"{event.name} {event.kind}" == moment else None,
    )
    starting = asyncio.create_task(stack.__aenter__())
    if moment == "postgres-initdb":
        await until((tmp_path / "logs" / "postgres-initdb.log").exists)
    else:
        await reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not family(tmp_path)
    assert not zombie_children(os.getpid())
    async with EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False)) as stack:
        assert await fetch(stack.urls, "select 1") == 1


async def test_stale_pid_file_with_the_number_of_another_process_is_no_obstacle(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path, durable=False)
    async with EmbeddedStack(config) as stack:
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["sleep", "600"]) as bystander:  # noqa: ASYNC220
        try:
            pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
            async with EmbeddedStack(config) as stack:
                assert await fetch(stack.urls, "select 1") == 1
            assert bystander.poll() is None
        finally:
            bystander.kill()


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


PROGRAM = """
import asyncio, sys
from pathlib import Path
from infra.stack.signals import run_until_signal
from infra.stack.stack import EmbeddedStack, StackConfig

async def up():
    async with EmbeddedStack(StackConfig(data_dir=Path(sys.argv[1]), durable=False)) as stack:
        print(*stack.supervisor.pids().values(), flush=True)
        await asyncio.Event().wait()

print(asyncio.run(run_until_signal(up())).name, flush=True)
"""


def start_program(data_dir: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(data_dir)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout is not None
    pids = process.stdout.readline().split()
    assert len(pids) == 3
    return process, [int(pid) for pid in pids]


async def test_killed_supervisor_leaves_no_orphan_and_the_data_usable(tmp_path: Path) -> None:
    process, servers = start_program(tmp_path)
    with process:
        assert read_stack_state(tmp_path).supervisor_pid == process.pid
        process.kill()
    # At once: the new start waits for what is left of the old one.
    async with EmbeddedStack(StackConfig(data_dir=tmp_path, durable=False)) as stack:
        assert not any(is_alive(pid) for pid in servers)
        assert await fetch(stack.urls, "select 1") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_supervisor_ends_everything_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    process, servers = start_program(tmp_path)
    with process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read() == f"{number.name}\n"
        assert process.wait() == 0
    assert not any(is_alive(pid) for pid in servers)
    assert not (tmp_path / "stack.json").exists()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


DISK_FULL = """
import asyncio, sys
from pathlib import Path
import nats
from infra.stack.stack import EmbeddedStack, StackConfig
from infra.stack.supervisor import RestartPolicy

async def ignore(error):
    pass

async def publish(stack):
    client = await nats.connect(stack.urls.nats_url, error_cb=ignore)
    try:
        await client.jetstream().publish("facts.new", bytes(100_000), timeout=2)
    finally:
        await client.close()

async def main(disk, database_url, temporal_address):
    policy = RestartPolicy(health_interval_s=0.2)
    config = StackConfig(data_dir=disk / "data", database_url=database_url, temporal_address=temporal_address)
    async with EmbeddedStack(config, policy=policy) as stack:
        client = await nats.connect(stack.urls.nats_url)
        await client.jetstream().add_stream(name="facts", subjects=["facts.>"])
        await client.close()
        await publish(stack)
        pid = stack.pid("nats")
        with open(disk / "junk", "wb", buffering=0) as junk:
            try:
                while True:
                    junk.write(bytes(4096))
            except OSError:
                print("full", flush=True)
        try:
            await publish(stack)
        except nats.errors.TimeoutError:
            print("refused", flush=True)
        await stack.wait_ready("nats", other_than=pid)
        print("restarted", flush=True)
        (disk / "junk").unlink()
        while True:
            try:
                await publish(stack)
                break
            except nats.errors.Error:
                pass
        print("healthy", flush=True)

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


def can_mount() -> bool:
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="a disk that can be filled has to be mounted, which only root can do")
def test_nats_is_healthy_again_after_a_full_disk(tmp_path: Path, stack_urls: StackUrls) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=16m tmpfs "$1" && exec "$0" -c "$2" "$1" "$3" "$4"'
    result = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", mount, sys.executable, str(disk), DISK_FULL),
            *(stack_urls.database_url, stack_urls.temporal_address),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    assert result.stdout.split() == ["full", "refused", "restarted", "healthy"], result.stderr
