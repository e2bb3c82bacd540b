"""A sign of life of a process without a port: a file that its event loop touches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

BEAT_S = 2.0
DEAD_AFTER_S = 20.0


async def keep_alive(path: Path) -> None:
    """Touch ``path`` until cancelled; a loop that is stuck stops touching it."""
    while True:
        with contextlib.suppress(OSError):  # a full disk must not end the process
            _touch(path)
        await asyncio.sleep(BEAT_S)


async def look_alive(path: Path) -> None:
    """Raise RuntimeError unless ``path`` was touched a moment ago."""
    silent_s = _silence_s(path)
    if silent_s is None:
        raise RuntimeError("no sign of life yet")
    if silent_s > DEAD_AFTER_S:
        raise RuntimeError(f"no sign of life for {silent_s:.0f} s")


def _touch(path: Path) -> None:
    path.write_text(str(os.getpid()), encoding="ascii")


def _silence_s(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None
