"""One Postgres, NATS and Temporal for a whole test run, shared by its processes and started by the first that asks.

``python -m tests.servers DIRECTORY PID`` runs them on DIRECTORY, writes one line of JSON when they are ready, and
ends when it is told to or when the process PID, which is the test run, has ended in whatever way.
"""

import asyncio
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from infra.stack.directory import StackUrls
from infra.stack.signals import run_until_signal
from infra.stack.stack import EmbeddedStack, StackConfig

_RUNNING: list[subprocess.Popen[bytes]] = []
_STOP_WITHIN_MS = 120_000


def shared_servers(directory: Path, run_pid: int) -> StackUrls:
    """The servers of this test run, started by the first process that asks; later ones wait for it.

    Args:
        directory: The same for all processes of the run, and of no other.
        run_pid: The process whose end ends the servers.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready = directory / "ready.json"
    with (directory / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            ready.write_bytes(_start(directory, run_pid))
    return StackUrls(**json.loads(ready.read_text())["urls"])


def stop_shared_servers(directory: Path) -> None:
    """End the servers of this test run, if any process of it has started them, and remove their data."""
    ready = directory / "ready.json"
    if not ready.exists():
        return
    pid = json.loads(ready.read_text())["pid"]
    try:
        watcher = os.pidfd_open(pid)
        signal.pidfd_send_signal(watcher, signal.SIGTERM)
    except ProcessLookupError:
        shutil.rmtree(directory)
        return
    poll = select.poll()
    poll.register(watcher, select.POLLIN)
    poll.poll(_STOP_WITHIN_MS)
    os.close(watcher)
    for process in _RUNNING:
        process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def _start(directory: Path, run_pid: int) -> bytes:
    with (directory / "servers.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers", str(directory), str(run_pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
    # It outlives this process, which may be one of several; kept here so that nobody takes that for a mistake.
    _RUNNING.append(process)
    assert process.stdout is not None
    with process.stdout as output:
        line = output.readline()
    if not line:
        process.wait()
        raise RuntimeError(f"the servers did not start:\n{(directory / 'servers.log').read_text()}")
    return line


async def _serve(directory: Path, run_pid: int) -> None:
    ended = asyncio.Event()
    watcher = os.pidfd_open(run_pid)
    asyncio.get_running_loop().add_reader(watcher, ended.set)
    config = StackConfig(data_dir=directory / "data", durable=False)
    async with EmbeddedStack(config) as stack:
        sys.stdout.write(json.dumps({"pid": os.getpid(), "urls": asdict(stack.urls)}) + "\n")
        sys.stdout.flush()
        await ended.wait()
    shutil.rmtree(directory)  # the run did not live to do it


if __name__ == "__main__":
    asyncio.run(run_until_signal(_serve(Path(sys.argv[1]), int(sys.argv[2]))))
