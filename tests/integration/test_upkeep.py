"""Chores are done side by side: one that hangs, never ends or fails keeps no other waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from infra import upkeep
from infra.db.engine import PostgresDatabase
from infra.upkeep import Chore, Upkeep
from services.errors import UnavailableError

pytestmark = pytest.mark.servers

Step = Callable[[], Awaitable[bool]]
SELDOM_S = 3_600.0


async def done_beside(database: PostgresDatabase, other: Step) -> None:
    """Run a chore beside another until it has been done three times."""
    times, enough, stop = 0, asyncio.Event(), asyncio.Event()

    async def step() -> bool:
        nonlocal times
        times += 1
        if times == 3:
            enough.set()
        return False

    chores = (Chore("other", SELDOM_S, other), Chore("counted", 0.01, step))
    running = asyncio.create_task(Upkeep(database, chores, look_every_s=0.02).run(stop))
    await asyncio.wait_for(enough.wait(), 60)
    stop.set()
    if other is not hangs:
        await asyncio.wait_for(running, 60)
    running.cancel()
    await asyncio.wait({running})


async def hangs() -> bool:
    await asyncio.Event().wait()
    return False


async def never_ends() -> bool:
    return True


async def fails() -> bool:
    raise RuntimeError("a fault of ours")


@pytest.mark.parametrize("other", [hangs, never_ends, fails])
async def test_a_chore_keeps_no_other_waiting(database: PostgresDatabase, other: Step) -> None:
    await done_beside(database, other)


async def test_a_chore_that_fails_is_tried_again_after_longer_and_longer_pauses(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_AGAIN_AFTER_S", 0.01)
    errors = [UnavailableError("away"), RuntimeError("one"), RuntimeError("two"), RuntimeError("three")]
    tried = asyncio.Event()
    stop = asyncio.Event()

    async def step() -> bool:
        if not errors:
            tried.set()
            return False
        raise errors.pop(0)

    with capture_logs() as logs:
        running = asyncio.create_task(Upkeep(database, (Chore("mended", SELDOM_S, step),), look_every_s=0.01).run(stop))
        await asyncio.wait_for(tried.wait(), 60)
        stop.set()
        await asyncio.wait_for(running, 60)
    told = [entry for entry in logs if entry["event"].startswith("upkeep_")]
    assert [(entry["event"], entry["again_in_s"]) for entry in told] == [
        ("upkeep_waits", 0.01),
        ("upkeep_failed", 0.01),
        ("upkeep_failed", 0.02),
        ("upkeep_failed", 0.04),
    ]
    assert all("tried again by itself" in entry["to_do"] for entry in told[1:])
