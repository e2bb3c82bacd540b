"""``concord ingester``: the process that moves messages."""

from __future__ import annotations

from infra.cli.serving import serve, start_process
from infra.composition.ingester import open_ingester


def ingester() -> None:
    """Take events in from NATS, publish events, and tell Temporal; settings come from the environment."""
    serve(start_process("ingester"), open_ingester)
