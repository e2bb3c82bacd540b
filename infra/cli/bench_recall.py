"""``concord bench recall``: what depends on something, at a million records."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.recall import RecallBenchmark, measure_recall
from infra.cli.bench_tell import tell
from infra.cli.console import EXIT_FOUND, JsonOption, output, plain, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.telemetry.logging import configure_logging


def bench_recall(
    records: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="Ground-truth records.")] = 1_000_000,
    keep: Annotated[Path | None, typer.Option(help="Keep the embedded stack's data in this folder.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Ask what rests on an asset, a calibration, people, a model, rules; print the times and the query plans.

    Exit code 1 if a plan reads a table whole, or a median is over a second.
    """
    configure_logging(level="WARNING", form="console")
    with tempfile.TemporaryDirectory(prefix="concord-bench-") if keep is None else nullcontext(keep) as folder:
        measured = run_stoppable(measure_recall(Path(folder) / "data", records, tell))
    if json_output:
        print_json(asdict(measured))
    else:
        _print(measured)
    if measured.faulty:
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
