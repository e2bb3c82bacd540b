"""``concord bench``: measure the whole on this machine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.checks.memory import measure_memory
from infra.bench.checks.timings import measure_checks
from infra.bench.detection.score import score
from infra.bench.kill import kill_campaign
from infra.bench.pipeline import PipelineBenchmark, PipelineConfig, measure_pipeline
from infra.bench.search import SearchBenchmark, measure_search
from infra.cli.bench_beside import bench_beside
from infra.cli.bench_checks import print_checks, print_memory
from infra.cli.bench_export import bench_export
from infra.cli.bench_label_studio import bench_label_studio
from infra.cli.bench_queue import bench_crowd, bench_queue
from infra.cli.bench_recall import bench_recall
from infra.cli.bench_rule_activation import bench_rule_activation
from infra.cli.bench_taxonomy import bench_taxonomy_migration
from infra.cli.bench_tell import tell, tell_event
from infra.cli.bench_votes import bench_votes
from infra.cli.console import EXIT_FOUND, JsonOption, messages, plain, print_facts, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

app = typer.Typer(help="Measure the whole on this machine.", no_args_is_help=True, add_completion=False)


app.command("beside")(bench_beside)
app.command("label-studio")(bench_label_studio)


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
    with _folder(keep) as folder:
        config = PipelineConfig(data_dir=folder, samples=samples, rounds=rounds, durable=not fast_disk)
        measured = run_stoppable(measure_pipeline(config, tell_event, tell))
    if json_output:
        print_json(measured)
    else:
        _print(measured)


@app.command("search")
def bench_search(
    tasks: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="Tasks in the store.")] = 1_000_000,
    keep: Annotated[Path | None, typer.Option(help="Keep the embedded stack's data in this folder.")] = None,
    json_output: JsonOption = False,
) -> None:
    """First and deep pages of the search and of the list of tasks; exit 1 if a plan reads a table whole."""
    configure_logging(level="WARNING", form="console")
    with _folder(keep) as folder:
        measured = run_stoppable(measure_search(folder, tasks, tell))
    if json_output:
        print_json(asdict(measured))
    else:
        _print_search(measured)
    if measured.faulty:
        raise typer.Exit(EXIT_FOUND)


def _print_search(measured: SearchBenchmark) -> None:
    print_table(
        ("page of 100", "first ms", "deep ms", "rows", "indexes", "reads whole"),
        [
            (page.what, page.first_ms, page.deep_ms, page.rows, ", ".join(page.indexes), ", ".join(page.whole_tables))
            for page in measured.pages
        ],
        title=f"{measured.tasks:,} tasks, {measured.entries:,} search entries, {measured.filled_s:.0f} s to make",
    )


@app.command("detection")
def bench_detection(
    data: Annotated[
        Path, typer.Argument(help="A folder of recordings with clean labels.", exists=True, file_okay=False)
    ],
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="How often each fault goes into each sample.")] = 5,
    check: Annotated[list[str] | None, typer.Option(help="Only this check; may be repeated.")] = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Put known faults into clean labels and score what the checks find, on both halves of the recordings.

    Read are the public recordings below DATA that are named kitti_object, kitti_tracking, pyannote_call, epic,
    meld, openlabel_vcd and others; what is not there is left out, and named.
    """
    console = messages()
    report = score(
        data, seeds=seeds, checks=tuple(check or ()), tell=lambda what: console.print(plain(what), style="dim")
    )
    if not report.controls:
        raise InvalidInputError(f"{data} holds none of the recordings that a benchmark reads, such as kitti_object/")
    if json_output:
        print_json(report)
        return
    print_table(
        (
            "check", "kind", "fault", "half", "injected", "found", "recall", "95 %", "precision", "95 %",
            "s/1000 labels",
        ),
        [
            (
                one.check, one.kind, one.fault, one.half, one.injected, one.found, one.recall,
                f"{one.recall_low} to {one.recall_high}", one.precision,
                "" if one.precision is None else f"{one.precision_low} to {one.precision_high}",
                one.seconds_per_1000_labels,
            )
            for one in report.faults
            if one.injected
        ],
    )  # fmt: skip
    print_table(
        ("benchmark", "control", "half", "labels", "false alarms", "per 1000", "95 %"),
        [
            (
                one.benchmark,
                one.control,
                one.half,
                one.labels,
                one.false_alarms,
                one.false_alarms_per_1000,
                f"{one.false_alarms_per_1000_low} to {one.false_alarms_per_1000_high}",
            )
            for one in report.controls
            if one.labels
        ],
    )
    if report.known:
        print_table(
            ("check", "recordings as they are", "known disagreements", "known", "found", "other findings"),
            [(one.check, one.recordings, one.disagreement, one.known, one.found, one.others) for one in report.known],
        )
    for reason in report.left_out:
        console.print(plain(f"left out: {reason}"), style="yellow")


@app.command("checks")
def bench_checks(
    max_labels: Annotated[
        int, typer.Option(min=100, max=10_000_000, help="The largest number of labels; from 100 on in powers of ten.")
    ] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured; the median counts.")] = 3,
    check: Annotated[list[str] | None, typer.Option(help="Only this check; may be repeated.")] = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Time every check on made-up labels, per 1,000 labels, and how that grows with their number.

    Exit code 1 if one grows worse than n log n.
    """
    console = messages()
    report = measure_checks(
        max_labels=max_labels,
        rounds=rounds,
        checks=tuple(check or ()),
        tell=lambda what: console.print(plain(what), style="dim"),
    )
    if json_output:
        print_json(report)
    else:
        print_checks(report)
    if any(one.holds is False for one in report.growth):
        raise typer.Exit(EXIT_FOUND)


@app.command("memory")
def bench_memory(
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only this one: cloud, recording or tracks; may be repeated.")
    ] = None,
    share: Annotated[float, typer.Option(min=0.0001, max=10.0, help="Size of the inputs against the full one.")] = 1.0,
    folder: Annotated[
        Path | None, typer.Option(help="Where inputs are written, and removed again.", exists=True, file_okay=False)
    ] = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Check a cloud of 10 million points, a call of an hour and 100,000 frames of tracks, each in its own process.

    Told is the peak of resident memory. Exit code 1 if one needs 1.5 GB or more.
    """
    console = messages()
    report = measure_memory(
        scenarios=tuple(scenario or ()),
        share=share,
        folder=folder,
        tell=lambda what: console.print(plain(what), style="dim"),
    )
    if json_output:
        print_json(report)
    else:
        print_memory(report)
    if not all(one.holds for one in report.scenarios):
        raise typer.Exit(EXIT_FOUND)


@app.command("kill")
def bench_kill(
    samples: Annotated[int, typer.Option(min=1, max=1_000, help="How many made-up samples flow.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other samples.")] = 1,
    *,
    json_output: JsonOption = False,
) -> None:
    """Kill worker, API, ingester, NATS and Temporal once each while samples flow; prove that nothing is lost.

    Exit code 1 if a proof fails.
    """
    configure_logging(level="ERROR", form="console")
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        report = run_stoppable(kill_campaign(Path(folder), samples=samples, seed=seed, tell=tell))
    if json_output:
        print_json(report)
    else:
        kills = [(kill.process, kill.open_samples, kill.seconds_to_ready) for kill in report.kills]
        print_table(("killed", "samples under way", "s until ready"), kills)
        proofs = [("holds" if proof.holds else "BROKEN", proof.name, proof.detail) for proof in report.proofs]
        print_table(("", "proof", "counted"), proofs)
    if not report.survived:
        raise typer.Exit(EXIT_FOUND)


app.command("queue")(bench_queue)
app.command("crowd")(bench_crowd)
app.command("votes")(bench_votes)
app.command("rule-activation")(bench_rule_activation)
app.command("taxonomy-migration")(bench_taxonomy_migration)
app.command("recall")(bench_recall)
app.command("export")(bench_export)


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
