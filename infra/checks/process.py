"""The border of a check process: everything crosses it as JSON.

The process that starts others imports this module only. The checks, and the numeric libraries under them, are
imported by the started process, while the starting one goes on.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

_WORK = "infra.checks.child"


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """How a process of the runner reads assets.

    Attributes:
        roots: Allowed folders; a relative address is inside the first.
        max_bytes: Largest asset.
        timeout_s: Longest time for one asset.
        hosts: Hosts outside that assets may be read from.
    """

    roots: tuple[Path, ...]
    max_bytes: int
    timeout_s: float
    hosts: tuple[str, ...] = ()


def start_child() -> None:
    """Make the process end with the one that started it, and leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def warm_up() -> int:
    """Return the process's id; by then everything is imported."""
    importlib.import_module(_WORK)
    return os.getpid()


def check_in_process(
    config: ReaderConfig,
    manifest_json: bytes,
    annotations_json: bytes,
    rules_json: bytes,
    consensus_json: bytes | None = None,
) -> bytes:
    """Run :func:`infra.checks.child.check_sample`."""
    report: bytes = importlib.import_module(_WORK).check_sample(
        config, manifest_json, annotations_json, rules_json, consensus_json
    )
    return report
