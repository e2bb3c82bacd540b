"""``concord bench recall``: what depends on something, at a million records."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.recall import RecallBenchmark, measure_recall
from infra.cli.console import EXIT_FOUND, JsonOption, messages, output, plain, print_json, print_table
from infra.stack.signals import run_until_signal
from infra.telemetry.logging import configure_logging

_EXIT_STOPPED = 130


def bench_recall(
    records: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="Ground-truth records.")] = 1_000_000,
    keep: Annotated[Path | None, typer.Option(help="Keep the embedded stack's data in this folder.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Ask what rests on an asset, a calibration, people, a model, rules; print the times and the query plans.

    Exit code 1 if a plan reads a table whole, or a median is over a second.
    """
    configure_logging(level="WARNING", form="console")
    console = messages()
    measured: list[RecallBenchmark] = []
    with tempfile.TemporaryDirectory(prefix="concord-bench-") if keep is None else nullcontext(keep) as folder:

        async def work() -> None:
            data = Path(folder) / "data"
            measured.append(await measure_recall(data, records, lambda what: console.print(plain(what), style="dim")))

        asyncio.run(run_until_signal(work()))
    if not measured:
        raise typer.Exit(_EXIT_STOPPED)
    if json_output:
        print_json(asdict(measured[0]))
    else:
        _print(measured[0])
    if measured[0].faulty:
        raise typer.Exit(EXIT_FOUND)


def _print(measured: RecallBenchmark) -> None:
    for question in measured.questions:
        for name, plan in question.plans.items():
            output().print(plain(f"{question.what}: {name}\n{plan}\n"))
    print_table(
        ("what depends on", "records", "first page ms", "deep page ms", "counts ms", "reads whole"),
        [
            (one.what, one.records, one.first_ms, one.deep_ms, one.count_ms, ", ".join(one.whole_tables))
            for one in measured.questions
        ],
        title=(
            f"{measured.records:,} records, {measured.origins:,} origins ({measured.megabytes:,} MB), "
            f"{measured.filled_s:.0f} s to make"
        ),
    )
