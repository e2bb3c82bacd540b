"""Progress of long runs: on standard error, on a terminal, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from infra.cli.console import messages
from services.contracts import progress as contract
from services.progress import Tell


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show how far ``what`` is; yields the function to call once for each piece that is done.

    Args:
        what: What is being done, such as ``checking``.
        total: How many pieces there are; None where nobody knows yet.
    """
    with _bar(hidden=total == 1) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def phases(what: str) -> Iterator[Tell]:
    """Show how far each phase of ``what`` is, in percent; yields what to tell of every change."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)

        def tell(now: contract.Progress) -> None:
            bar.update(task, description=f"{what}: {now.phase}", completed=now.done, total=now.total)

        yield tell


def _bar(*, hidden: bool = False) -> Progress:
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True, disable=hidden or not console.is_terminal)
