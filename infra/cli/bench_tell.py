"""What benchmarks say while they run: on standard error, in passing."""

from __future__ import annotations

from infra.cli.console import messages, plain
from infra.stack.events import EventKind, ProcessEvent


def tell(what: str) -> None:
    """Say what is being done now."""
    messages().print(plain(what), style="dim")


def tell_event(event: ProcessEvent) -> None:
    """Say what happened to a process, but for the steps on the way to it."""
    if event.kind not in (EventKind.STARTING, EventKind.STOPPING, EventKind.STOPPED):
        tell(f"{event.name} {event.kind}")
