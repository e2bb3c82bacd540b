"""Commands that work until they are done, or until a signal asks them to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from infra.stack.signals import run_until_signal

EXIT_STOPPED = 130

Result = TypeVar("Result")


def run_stoppable(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work and return what came of it; its clean-up is left to finish when a signal stops it.

    Raises:
        typer.Exit: It was stopped before there was anything to return.
    """
    results: list[Result] = []

    async def collect() -> None:
        results.append(await work)

    try:
        asyncio.run(run_until_signal(collect()))
    finally:
        # A signal may come before it has begun.
        work.close()
    if not results:
        raise typer.Exit(EXIT_STOPPED)
    return results[0]
