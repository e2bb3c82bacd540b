"""Small programs that the tests of the supervision run, and how to wait for what they do."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from infra.stack.process import Probe, ProcessSpec

# Writes its pid to the file named by its first argument once it is set up, then waits.
SERVER = """
import os, pathlib, signal, sys, threading
here = pathlib.Path(sys.argv[1]) if sys.argv[1:] else None
def come_up():
    new = here.with_suffix(".new")
    new.write_text(str(os.getpid()))
    new.replace(here)
def stay():
    while True:
        signal.pause()
"""


def python_spec(name: str, code: str, *arguments: str | Path, **settings: object) -> ProcessSpec:
    """Runs Python code in a fresh interpreter."""
    argv = (sys.executable, "-I", "-S", "-c", SERVER + code, *map(str, arguments))
    return ProcessSpec(name=name, argv=argv, **settings)  # type: ignore[arg-type]


def server_spec(name: str, ready_file: Path, code: str = "come_up(); stay()", **settings: object) -> ProcessSpec:
    """A process that is ready when it has written its file."""
    return python_spec(name, code, ready_file, probe=file_probe(ready_file), **settings)


def file_probe(path: Path) -> Probe:
    """Well as long as the file is there."""

    async def probe() -> None:
        os.stat(path)

    return probe


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact outside this process, of which nobody tells us."""
    while not fact():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


IGNORE_TERM = f"signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN); come_up(); stay()"
