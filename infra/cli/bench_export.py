"""``concord bench export``: large dataset versions as files, twice and after a kill."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.export.measure import ExportBenchmark, measure_exports
from infra.cli.bench_tell import tell
from infra.cli.console import EXIT_FOUND, JsonOption, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.datasets.writers import FORMATS
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

_MEGABYTE = 1_000_000


def bench_export(
    records: Annotated[
        list[int] | None, typer.Option(min=100, max=10_000_000, help="Committed records; 10000 and 100000 if none.")
    ] = None,
    form: Annotated[
        list[str] | None, typer.Option("--format", help="Formats; parquet, jsonl and webdataset if none.")
    ] = None,
    part_samples: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most samples in a part.")] = 1_000,
    growth_limit: Annotated[
        float, typer.Option(min=1.0, help="A peak may grow so many times from the fewest records to the most.")
    ] = 1.5,
    keep: Annotated[Path | None, typer.Option(help="Keep the embedded stacks' data in this folder.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Make a version of generated records and export it in each format: at once, again, and killed and gone on with.

    Prints time, throughput and peak memory of the exporting process and of the API. Exit code 1 if one byte differs
    between the three, or a peak grows with the records.
    """
    forms = form or ["parquet", "jsonl", "webdataset"]
    for one in forms:
        if one not in FORMATS:
            raise InvalidInputError(f"datasets are not written as {one!r}; formats are {', '.join(FORMATS)}")
    configure_logging(level="WARNING", form="console")
    with tempfile.TemporaryDirectory(prefix="concord-bench-") if keep is None else nullcontext(keep) as folder:
        measured = run_stoppable(
            measure_exports(
                Path(folder),
                records or [10_000, 100_000],
                forms,
                part_samples=part_samples,
                growth_limit=growth_limit,
                tell=tell,
            )
        )
    if json_output:
        print_json(measured)
    else:
        _print(measured)
    if not measured.holds:
        raise typer.Exit(EXIT_FOUND)


def _print(measured: ExportBenchmark) -> None:
    print_table(
        ("records", "labels", "version made s", "records/s", "progress told", "API peak MB"),
        [
            (
                size.records,
                size.labels,
                size.version_s,
                round(size.records / size.version_s),
                size.percents,
                round(size.api_peak_bytes / _MEGABYTE),
            )
            for size in measured.sizes
        ],
    )
    print_table(
        ("records", "format", "s", "again s", "resumed s", "records/s", "MB", "peak MB", "again", "killed and resumed"),
        [
            (
                size.records,
                one.form,
                *one.seconds,
                f"{one.resumed_s} ({one.taken_up} of {one.parts} parts were there)",
                round(size.records / one.seconds[0]),
                round(one.size_bytes / _MEGABYTE, 1),
                round(one.peak_bytes / _MEGABYTE),
                "same bytes" if one.second_same else "DIFFERS",
                "same bytes" if one.resumed_same else "DIFFERS",
            )
            for size in measured.sizes
            for one in size.formats
        ],
        title="\nexports",
    )
