"""Progress of long runs: on standard error, on a terminal, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from infra.cli.console import messages


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show how far ``what`` is; yields the function to call once for each piece that is done.

    Args:
        what: What is being done, such as ``checking``.
        total: How many pieces there are; None where nobody knows yet.
    """
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal or total == 1
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
