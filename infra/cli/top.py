"""``concord top``: a project's work as it is, and as it changes, in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra.api_calls import ApiProblem
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, plain, print_json_line
from infra.client import ConcordClient
from services.contracts.operations import OperationsView, QueueLoad, Share
from services.contracts.review import TaskKind

_BARS = " ▁▂▃▄▅▆▇█"
_PAUSE_S = 2.0
_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


def top(
    project: Annotated[str, typer.Argument(help="The project to watch.")],
    hours: Annotated[float, typer.Option(min=0.1, max=8_784, help="How far back to look.")] = 24.0,
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two looks.")] = _PAUSE_S,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end; so does a pipe.")] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show queues, stages, escalations and people of a project, live; Ctrl-C ends it.

    With --json every change is one line.
    """
    window_s = round(timedelta(hours=hours).total_seconds())
    single = once or not (sys.stdout.isatty() or json_output)

    async def work(client: ConcordClient) -> None:
        if single:
            show(await client.operations(project, window_s=window_s), json_output)
        elif json_output:
            await _follow_lines(client, project, window_s, every)
        else:
            await _follow_screen(client, project, window_s, every)

    try:
        with_client(url, key, work)
    except KeyboardInterrupt:
        raise typer.Exit from None


def show(view: OperationsView, json_output: bool) -> None:
    """Print a view once."""
    if json_output:
        print_json_line(view)
    else:
        Console(file=sys.stdout, highlight=False).print(screen(view))


async def _follow_lines(client: ConcordClient, project: str, window_s: int, every: float) -> None:
    while True:
        async for view in client.watch_operations(project, window_s=window_s, every_s=every):
            print_json_line(view)


async def _follow_screen(client: ConcordClient, project: str, window_s: int, every: float) -> None:
    first = await client.operations(project, window_s=window_s)
    console = Console(file=sys.stdout, highlight=False)
    with Live(screen(first), console=console, screen=True, auto_refresh=False) as live:
        known = first
        while True:
            try:
                async for view in client.watch_operations(project, window_s=window_s, every_s=every):
                    known = view
                    live.update(screen(view), refresh=True)
            except ApiProblem as problem:
                if problem.status != 0:
                    raise
                # What was seen last stays, with a word that it is old.
                live.update(Group(plain(problem.detail), screen(known)), refresh=True)
                await asyncio.sleep(every)


def screen(view: OperationsView) -> RenderableType:
    """Return what the terminal shows of a view."""
    return Group(
        _headline(view),
        Text(),
        _stages(view),
        Text(),
        _queues(view),
        Text(),
        _escalations(view),
        Text(),
        _people(view),
    )


def sparkline(values: Sequence[int]) -> str:
    """Return numbers as a line of bars, the largest as the full one."""
    most = max(values, default=0)
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // most)] if most else _BARS[0] for value in values)


def length(seconds: float | None) -> str:
    """Return a length of time in the largest unit that fits."""
    if seconds is None:
        return "-"
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _headline(view: OperationsView) -> Text:
    effort = view.effort
    parts = [
        f"{view.committed.value} committed",
        f"first pass {_percent(view.first_pass_approved)} approved, {_percent(view.first_pass_rejected)} rejected",
        f"second looks agree {_percent(view.second_looks_agree)}",
        f"rework {view.rework.value} ({view.rework_loops.value} more than once)",
        f"{length(effort.active_s_per_label)} a label",
    ]
    if effort.cost_per_label is not None:
        parts.append(f"{effort.cost_per_label:.2f} {effort.currency or ''} a label".replace("  ", " "))
    window = length((view.as_of - view.since).total_seconds())
    line = plain(f"{view.project}  {view.as_of:%Y-%m-%d %H:%M:%S} UTC, last {window}\n")
    line.stylize("bold", 0, len(view.project))
    return line + plain("  ·  ".join(parts))


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.0%}"


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _stages(view: OperationsView) -> RenderableType:
    table = _table("stage", "samples", "over time", right=("samples",))
    for load in view.stages:
        series = [
            next((one.samples.value for one in bucket.stages if one.stage is load.stage), 0) for bucket in view.buckets
        ]
        table.add_row(plain(load.stage.value), str(load.samples.value), sparkline(series))
    return table


def _queues(view: OperationsView) -> RenderableType:
    numbers = ("open", "held", "late", "oldest", "came", "done", "first late in", "empty in", "people")
    table = _table("queue", "kind", *numbers, right=numbers)
    for load in view.queues:
        style = "red" if load.late.value else ""
        table.add_row(*(plain(value) for value in _queue_row(load)), style=style)
    total = [bucket.open.value for bucket in view.buckets]
    kinds = [kind for kind in TaskKind if any(one.kind is kind for bucket in view.buckets for one in bucket.kinds)]
    lines = [plain(f"open over time  {sparkline(total)}")]
    for kind in kinds:
        series = [next((one.open.value for one in bucket.kinds if one.kind is kind), 0) for bucket in view.buckets]
        lines.append(plain(f"  {kind.value:<12}  {sparkline(series)}"))
    return Group(table, *lines)


def _queue_row(load: QueueLoad) -> tuple[object, ...]:
    told = load.forecast
    return (
        load.queue,
        load.kind.value,
        load.open.value,
        load.held.value,
        load.late.value,
        length(None if load.oldest_s is None else load.oldest_s.value),
        load.arrived.value,
        load.completed.value,
        length(told.breach_in_s),
        length(told.clear_in_s),
        "-" if told.people is None else f"{told.people:.1f}",
    )


def _escalations(view: OperationsView) -> RenderableType:
    table = _table("escalated", "rule", "check", "kind", "tasks", right=("tasks",))
    for item in view.escalations[:8]:
        told = (item.rule or "-", item.check or "-", item.finding_kind or "-")
        row = (item.cause.replace("_", " "), *told, item.tasks.value)
        table.add_row(*(plain(value) for value in row))
    return table


def _people(view: OperationsView) -> RenderableType:
    table = _table("person", "decided", "holds", "active", right=("decided", "holds", "active"))
    for load in sorted(view.people, key=lambda one: -one.decided.value)[:15]:
        table.add_row(*(plain(value) for value in (load.actor, load.decided.value, load.held.value)),
                      length(load.active_s.value))  # fmt: skip
    return table
