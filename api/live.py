"""Server-sent events: what a reader sees whenever it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

from services.contracts.operations import OperationsView
from services.errors import UnavailableError

EVENT_STREAM = "text/event-stream"
_SIGN_OF_LIFE_S = 15.0
_RETRY_MS = 3_000
# These move with the clock alone; a change of nothing else is no news.
_MOVING = frozenset({"as_of", "since", "buckets"})


async def live_events(
    first: OperationsView,
    look: Callable[[], Awaitable[OperationsView]],
    is_disconnected: Callable[[], Awaitable[bool]],
    *,
    every_s: float,
    for_s: float,
) -> AsyncIterator[str]:
    """Yield a view at once and again whenever something but the clock has moved; comments in between keep it open.

    Args:
        first: What is told first.
        look: Reads it again. While the store is away the stream stays, and says nothing.
        is_disconnected: Whether the reader is gone.
        every_s: Pause between two looks.
        for_s: How long the stream lasts.
    """
    began = spoken = monotonic()
    known = _news(first)
    yield f"retry: {_RETRY_MS}\n\n"
    yield _event(first)
    while monotonic() - began + every_s <= for_s:
        await asyncio.sleep(every_s)
        if await is_disconnected():
            return
        try:
            view = await look()
        except UnavailableError:
            continue
        news = _news(view)
        if news != known:
            known, spoken = news, monotonic()
            yield _event(view)
        elif monotonic() - spoken >= _SIGN_OF_LIFE_S:
            spoken = monotonic()
            yield ": still here\n\n"


def _event(view: OperationsView) -> str:
    moment = view.as_of.isoformat()
    return f"id: {moment}\nevent: operations\ndata: {view.model_dump_json(exclude_none=True)}\n\n"


def _news(view: OperationsView) -> str:
    """Return what is compared: the numbers, without ages, forecasts and addresses, which move with the clock."""
    numbers = view.model_dump(mode="json", exclude=set(_MOVING))
    return repr(_plain(numbers))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if name not in ("list", "oldest_s", "forecast")}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
