import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from infra.stack.directory import StackUrls, read_stack_state
from infra.stack.reaper import zombie_children
from infra.stack.stack import EmbeddedStack, StackConfig
from tests.integration.stack_facts import SERVERS, family, fetch, publish, retention
from tests.unit.stack_programs import is_alive, until

pytestmark = pytest.mark.servers

PROJECT = Path(__file__).parents[2]


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
