"""What the supervisor reports while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened to a process."""

    STARTING = "starting"
    WAITING = "waiting"
    READY = "ready"
    EXITED = "exited"
    UNHEALTHY = "unhealthy"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEvent:
    """One fact about one process.

    Attributes:
        name: The process.
        kind: What happened.
        pid: Its number, where it has one.
        detail: For people: why, or how it ended.
        elapsed_s: Since this start of the process began.
    """

    name: str
    kind: EventKind
    pid: int | None = None
    detail: str = ""
    elapsed_s: float = 0.0


EventListener = Callable[[ProcessEvent], None]


def ignore_event(_event: ProcessEvent) -> None:
    """The listener of those who do not care."""
