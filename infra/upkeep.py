"""What is to be done now and then, in one process at a time, without anybody asking for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from infra.db.engine import PostgresDatabase
from services.errors import UnavailableError

LEADS = "upkeep"
_LOOK_EVERY_S = 30.0
_AGAIN_AFTER_S = 60.0
_LONGEST_PAUSE_S = 3_600.0

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
        """Do what is due until ``stop`` is set; a step that has begun is finished.

        Each chore goes on by itself, a step after the other: one that takes long, or fails, keeps no other waiting.
        """
        turns = [_Turn(chore) for chore in self._chores]
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._take_turns(turns, stopping)
            await asyncio.gather(*(turn.step for turn in turns if turn.step is not None), return_exceptions=True)
        finally:
            for task in (stopping, *(turn.step for turn in turns)):
                if task is not None:
                    task.cancel()

    async def _take_turns(self, turns: Sequence[_Turn], stopping: asyncio.Task[Literal[True]]) -> None:
        leads = False
        async with self._database.leadership(LEADS) as leadership:
            while not stopping.done():
                led, leads = leads, await leadership.acquire()
                for turn in turns:
                    turn.take(leads=leads, anew=leads and not led)
                steps = {turn.step for turn in turns if turn.step is not None}
                waits = [turn.due_at - time.monotonic() for turn in turns if leads and turn.step is None]
                pause_s = max(min([self._look_every_s, *waits]), 0.0)
                await asyncio.wait({stopping, *steps}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)


class _Turn:
    """One chore: its step under way, and when the next one is due by the monotonic clock."""

    def __init__(self, chore: Chore) -> None:
        self._chore = chore
        self._failures = 0
        self.step: asyncio.Task[bool] | None = None
        self.due_at = 0.0

    def take(self, *, leads: bool, anew: bool) -> None:
        """Note a step that has ended, and begin the next one if it is due.

        Args:
            leads: Whether this process leads.
            anew: Whether it has begun to lead just now; everything is due then.
        """
        if self.step is not None and self.step.done():
            self.due_at = time.monotonic() + self._again_in_s(self.step)
            self.step = None
        if anew:
            self.due_at = 0.0
        if leads and self.step is None and self.due_at <= time.monotonic():
            self.step = asyncio.create_task(_begin(self._chore), name=f"upkeep-{self._chore.name}")

    def _again_in_s(self, step: asyncio.Task[bool]) -> float:
        """Return after how many seconds the chore is due again; log what went wrong, and what is done about it."""
        chore, error = self._chore, step.exception()
        if error is None:
            self._failures = 0
            return 0.0 if step.result() else chore.every_s
        again_s = min(chore.every_s, _AGAIN_AFTER_S)
        if isinstance(error, UnavailableError):
            _log.warning("upkeep_waits", chore=chore.name, reason=error.detail, again_in_s=again_s)
            return again_s
        again_s = min(again_s * 2.0**self._failures, max(chore.every_s, _LONGEST_PAUSE_S))
        self._failures += 1
        _log.error(
            "upkeep_failed",
            chore=chore.name,
            error=type(error).__name__,
            failures=self._failures,
            again_in_s=again_s,
            to_do="It is tried again by itself, and the other chores go on; if it keeps failing, see the error.",
            exc_info=error,
        )
        return again_s


async def _begin(chore: Chore) -> bool:
    return await chore.step()
