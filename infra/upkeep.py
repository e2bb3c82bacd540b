"""What is to be done now and then, in one process at a time, without anybody asking for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from infra.db.engine import PostgresDatabase
from infra.db.leader import Leadership
from services.errors import UnavailableError

LEADS = "upkeep"
_LOOK_EVERY_S = 30.0
_AGAIN_AFTER_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do.

    Attributes:
        name: As the log names it.
        every_s: How long after it was done it is due again, in seconds.
        step: Does a bounded piece of it, and tells whether there may be more to do now.
    """

    name: str
    every_s: float
    step: Callable[[], Awaitable[bool]]


class Upkeep:
    """Does chores when they are due, in the one process that leads; others stand by.

    A chore must be safe to do twice at once, and to break off: a process that lost its leadership may finish a step
    while another begins. All are due when a process begins to lead.

    Args:
        database: The store of record.
        chores: What to do.
        look_every_s: How often a process that stands by asks whether it leads, in seconds.
    """

    def __init__(
        self, database: PostgresDatabase, chores: Sequence[Chore], *, look_every_s: float = _LOOK_EVERY_S
    ) -> None:
        self._database = database
        self._chores = tuple(chores)
        self._look_every_s = look_every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due until ``stop`` is set; a step that has begun is finished."""
        due_at = dict.fromkeys((chore.name for chore in self._chores), 0.0)
        async with self._database.leadership(LEADS) as leadership:
            while not stop.is_set():
                pause_s = self._look_every_s
                if await leadership.acquire():
                    for chore in self._chores:
                        if due_at[chore.name] <= time.monotonic() and not stop.is_set():
                            due_at[chore.name] = time.monotonic() + await self._do(chore, leadership, stop)
                    pause_s = min(pause_s, min(due_at.values()) - time.monotonic())
                else:
                    due_at = dict.fromkeys(due_at, 0.0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(pause_s, 0.0))

    async def _do(self, chore: Chore, leadership: Leadership, stop: asyncio.Event) -> float:
        """Do a chore, step by step; return after how many seconds it is due again."""
        try:
            while await chore.step():
                if stop.is_set() or not await leadership.acquire():
                    return 0.0
        except UnavailableError as error:
            _log.warning("upkeep_waits", chore=chore.name, reason=error.detail)
        except Exception as error:  # a fault in one chore must not keep the others from being done
            _log.exception("upkeep_failed", chore=chore.name, error=type(error).__name__)
        else:
            return chore.every_s
        return min(chore.every_s, _AGAIN_AFTER_S)
