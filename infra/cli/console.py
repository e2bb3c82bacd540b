"""What the command line prints: tables for people, JSON for programs, problems as one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.api_calls import ApiProblem
from infra.stack.errors import StackError
from services.errors import Category, ConcordError
from services.formats.result import FileLosses

EXIT_FOUND = 1
"""The command did its work and found what it looks for: findings, faults."""
EXIT_BAD_INPUT = 2
EXIT_UNAVAILABLE = 3
_PLACES_SHOWN = 10
_LOSSES_SHOWN = 3
_UNFOLDED_WIDTH = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def product_version() -> str:
    """Return the version that is installed."""
    try:
        return version("concord")
    except PackageNotFoundError:
        return "unknown"


def output() -> Console:
    """Return what results go to."""
    # Into a pipe or a file nothing is folded: it is for grep, not for a screen.
    width = None if sys.stdout.isatty() else _UNFOLDED_WIDTH
    return Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)


def messages() -> Console:
    """Return what progress and problems go to."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def plain(value: object) -> Text:
    """Return a value as text that can not steer the terminal, whoever wrote it."""
    text = "" if value is None else str(value)
    return Text("".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text))


def jsonable(value: Any) -> Any:
    """Return contract models, also inside lists and dicts, as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """Print a JSON document."""
    typer.echo(json.dumps(jsonable(value), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print one line of JSON Lines."""
    typer.echo(json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; numbers stand to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    lines = [tuple(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(lines) and all(isinstance(line[index], int | float) for line in lines)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*(plain(value) for value in line))
    output().print(table)
    if not lines:
        messages().print("(none)")


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names with their values, one a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, plain(value))
    output().print(table)


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    if moment is None:
        return ""
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def told_in_short(losses: FileLosses) -> str:
    """Return in one line how much of a file was not taken over, and what of it first."""
    count = len(losses.dropped)
    first = "; ".join(f"{lost.place} {lost.what} ({lost.why})" for lost in losses.dropped[:_LOSSES_SHOWN])
    more = "" if count <= _LOSSES_SHOWN else f"; and {count - _LOSSES_SHOWN} more"
    return f"{count} thing{'' if count == 1 else 's'} of {losses.file} not taken over: {first}{more}"


def losses_document(losses: Iterable[FileLosses]) -> list[dict[str, str]]:
    """Return everything that was not taken over, as JSON values."""
    return [
        {"file": own.file, "place": lost.place, "what": lost.what, "why": lost.why}
        for own in losses
        for lost in own.dropped
    ]


def report_problem(error: Exception) -> int | None:
    """Print a problem that a person can do something about; return its exit code, None if it is not one."""
    places: tuple[tuple[str, str], ...] = ()
    code = EXIT_BAD_INPUT
    if isinstance(error, ApiProblem):
        sentence, places = (error.detail or error.title), error.places
        if error.status == 0 or error.status >= 500:
            code = EXIT_UNAVAILABLE
    elif isinstance(error, ConcordError):
        sentence, places = error.detail, error.places
        if error.category in (Category.UNAVAILABLE, Category.INTEGRITY):
            code = EXIT_UNAVAILABLE
    elif isinstance(error, OSError) and error.filename is not None:
        sentence = f"{error.filename}: {error.strerror}"
    elif isinstance(error, StackError):
        sentence = str(error)
    else:
        return None
    print_problem(sentence, places)
    return code


def print_problem(sentence: str, places: Sequence[tuple[str, str]] = ()) -> None:
    """Print a problem to standard error, with the places it names beyond the first."""
    console = messages()
    console.print(Text("error: ", style="bold red"), plain(sentence), sep="")
    shown = [f"{pointer}: {advice}" for pointer, advice in places]
    for line in shown[:_PLACES_SHOWN]:
        if line not in sentence:
            console.print(Text("  at ", style="dim"), plain(line), sep="")
    if len(shown) > _PLACES_SHOWN:
        console.print(plain(f"  and {len(shown) - _PLACES_SHOWN} more places"))
