"""Buries what the system hands to us: in a container without an init, orphans become children of process 1."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

_PROC = Path("/proc")
_ZOMBIE = "Z"


def zombie_children(parent_pid: int) -> set[int]:
    """The children of a process that have ended and wait to be reaped; empty where the system does not tell."""
    found: set[int] = set()
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything, a closing parenthesis too.
            state, parent = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state == _ZOMBIE and int(parent) == parent_pid:
                found.add(int(process.name))
    return found


async def reap_adopted(supervised: Callable[[], Collection[int]], interval_s: float = 5.0) -> None:
    """Reap zombies that nobody else waits for, until cancelled.

    Args:
        supervised: The processes that somebody does wait for.
        interval_s: A zombie is taken when it is still there after so long: its parent in this program, if it has
            one, would have reaped it.
    """
    before: set[int] = set()
    while True:
        zombies = zombie_children(os.getpid()) - set(supervised())
        for pid in zombies & before:
            _reap(pid)
        before = zombies
        await asyncio.sleep(interval_s)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
