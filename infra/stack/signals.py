"""Ctrl-C and its relatives: the first one cancels the work, and its clean-up is left to finish."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_until_signal(work: Coroutine[Any, Any, None]) -> signal.Signals | None:
    """Run work until it returns or a signal asks to stop; further signals do not disturb the clean-up.

    Args:
        work: Cancelled by the first SIGINT, SIGTERM or SIGHUP, at any await, also during a start.

    Returns:
        The signal, or None if the work returned by itself.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            task.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
    return received[0] if received else None
