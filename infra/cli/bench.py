"""``concord bench``: measure the whole on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.pipeline import PipelineBenchmark, PipelineConfig, measure_pipeline
from infra.cli.console import JsonOption, messages, plain, print_facts, print_json, print_table
from infra.stack.events import EventKind, ProcessEvent
from infra.stack.signals import run_until_signal
from infra.telemetry.logging import configure_logging

EXIT_STOPPED = 130

app = typer.Typer(help="Measure the whole on this machine.", no_args_is_help=True, add_completion=False)


@app.callback()
def bench() -> None:
    """Measure the whole on this machine."""


@app.command("pipeline")
def bench_pipeline(
    samples: Annotated[int, typer.Option(min=1, max=10_000, help="Samples a round.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Measured rounds; one more warms up.")] = 5,
    keep: Annotated[Path | None, typer.Option(help="Keep the embedded stack's data in this folder.")] = None,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the servers skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Samples per second from event to ground truth, against bare Temporal workflows with as many activities.

    Both run on one embedded stack and take turns in every round; medians are printed.
    """
    configure_logging(level="WARNING", form="console")
    console = messages()
    measured: list[PipelineBenchmark] = []

    def tell(what: str) -> None:
        console.print(plain(what), style="dim")

    def heard(event: ProcessEvent) -> None:
        if event.kind not in (EventKind.STARTING, EventKind.STOPPING, EventKind.STOPPED):
            tell(f"{event.name} {event.kind}")

    with _folder(keep) as folder:
        config = PipelineConfig(data_dir=folder, samples=samples, rounds=rounds, durable=not fast_disk)

        async def work() -> None:
            measured.append(await measure_pipeline(config, heard, tell))

        asyncio.run(run_until_signal(work()))
    if not measured:
        raise typer.Exit(EXIT_STOPPED)
    if json_output:
        print_json(measured[0])
    else:
        _print(measured[0])


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        yield Path(folder) / "data"


def _print(result: PipelineBenchmark) -> None:
    rows = zip(result.samples_per_s, result.bare_per_s, strict=True)
    print_table(
        ("round", "samples/s", "bare workflows/s", "ratio"),
        [(number, ours, bare, round(ours / bare, 3)) for number, (ours, bare) in enumerate(rows, start=1)],
    )
    print_facts(
        [
            ("median samples/s", result.median_samples_per_s),
            ("median bare workflows/s", result.median_bare_per_s),
            ("ratio", result.ratio),
            ("activities per sample", result.activities_per_sample),
            ("Temporal actions per sample", f"{result.actions_per_sample} beyond the start"),
        ]
    )
