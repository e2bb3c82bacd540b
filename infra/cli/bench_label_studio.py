"""The command ``concord bench label-studio`` and its table."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from infra.api_calls import ApiProblem
from infra.bench.beside.environments import default_folder, environment_python
from infra.bench.label_studio.measure import WORKS, LabelStudioBenchmark, LabelStudioConfig, measure_label_studio
from infra.cli.bench_tell import tell
from infra.cli.console import EXIT_FOUND, JsonOption, messages, plain, print_facts, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.stack.events import ignore_event
from infra.telemetry.logging import configure_logging
from services.errors import IntegrityError


def bench_label_studio(
    tasks: Annotated[int, typer.Option(min=1_000, max=1_000_000, help="Open tasks on each side.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Measured rounds; one more warms up.")] = 30,
    samples: Annotated[int, typer.Option(min=1, max=1_000, help="Samples an import.")] = 200,
    import_rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Measured rounds of imports.")] = 5,
    environments: Annotated[
        Path | None, typer.Option(help="Where Label Studio's environment is kept; the user's cache by default.")
    ] = None,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the servers skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Import, next task, submit and list through Concord and through Label Studio, in turns, on one Postgres server.

    Label Studio is installed into an environment of its own on first use. Exit code 1 if one side did not do the work.
    """
    configure_logging(level="ERROR", form="console")
    python = environment_python("label-studio", environments or default_folder(), tell)
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        config = LabelStudioConfig(
            python=python,
            data_dir=Path(folder) / "data",
            tasks=tasks,
            rounds=rounds,
            samples=samples,
            import_rounds=import_rounds,
            durable=not fast_disk,
        )

        try:
            measured = run_stoppable(measure_label_studio(config, ignore_event, tell))
        except (IntegrityError, ApiProblem) as error:
            messages().print(plain(f"not done: {error}"), style="red")
            raise typer.Exit(EXIT_FOUND) from error
    if json_output:
        print_json(measured)
    else:
        print_label_studio(measured)


def print_label_studio(report: LabelStudioBenchmark) -> None:
    """Print times and ratios, and what ran."""
    print_table(
        ("work", "Concord", "Label Studio", "theirs/ours", "lowest", "highest"),
        [(WORKS[one.work], one.ours_ms, one.theirs_ms, one.ratio, one.lowest, one.highest) for one in report.works],
    )
    print_facts(
        [
            ("open tasks on each side", f"{report.tasks:,}"),
            ("rounds", f"{report.rounds}; imports of {report.samples_an_import} samples"),
            ("runs on", f"Label Studio {report.label_studio}, PostgreSQL {report.postgres}"),
            ("written through to the disk", "yes" if report.durable else "no"),
        ]
    )
