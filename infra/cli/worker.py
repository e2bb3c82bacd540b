"""``concord worker``: the Temporal worker's process."""

from __future__ import annotations

from infra.cli.serving import serve, start_process
from infra.composition.worker import open_worker


def worker() -> None:
    """Run workflows and activities; settings come from the environment (CONCORD_…)."""
    serve(start_process("worker"), open_worker)
