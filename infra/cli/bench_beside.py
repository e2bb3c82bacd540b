"""The command ``concord bench beside`` and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.bench.beside.measure import BesideReport, measure_beside
from infra.cli.console import EXIT_FOUND, JsonOption, messages, plain, print_json, print_table


def bench_beside(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of recordings (kitti_tracking/) to measure on as well.", exists=True, file_okay=False
        ),
    ] = None,
    boxes: Annotated[int, typer.Option(min=100, max=1_000_000, help="Rows of every input.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Measured rounds; one more warms up.")] = 5,
    tool: Annotated[
        list[str] | None,
        typer.Option(help="Only beside this one: nuscenes, av2, coco, motmetrics, trackeval, bare; may be repeated."),
    ] = None,
    work: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this: project, match, iou_table, iou_frames, identity, identity_check; may be repeated."
        ),
    ] = None,
    environments: Annotated[
        Path | None, typer.Option(help="Where the others' environments are kept; the user's cache by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other arrays.")] = 1,
    *,
    json_output: JsonOption = False,
) -> None:
    """Time the kernels beside nuscenes-devkit, av2, pycocotools, motmetrics, TrackEval and bare numpy, in turns.

    The others are installed into environments of their own on first use. Exit code 1 if a goal is missed, or if both
    sides do not find the same on the made-up arrays.
    """
    console = messages()
    report = measure_beside(
        boxes=boxes,
        rounds=rounds,
        tools=tuple(tool or ()),
        works=tuple(work or ()),
        data=data,
        environments=environments,
        seed=seed,
        tell=lambda what: console.print(plain(what), style="dim"),
    )
    if json_output:
        print_json(report)
    else:
        print_beside(report)
    if not report.good:
        raise typer.Exit(EXIT_FOUND)


def print_beside(report: BesideReport) -> None:
    """Print times, ratios, goals and agreement, and what was installed."""
    words = {True: "yes", False: "NO", None: ""}
    print_table(
        (
            "input", "work", "beside", "rows", "our us/row", "their us/row", "theirs/ours", "lowest", "highest", "goal",
            "holds", "differ by", "compared", "agrees",
        ),
        [
            (
                one.input, one.work, one.beside, one.rows, one.our_us_per_row, one.their_us_per_row, one.ratio,
                one.lowest, one.highest, "" if one.goal is None else f"at least {one.goal:g}", words[one.holds],
                f"{one.agreement.difference:.2g} {one.agreement.measure}",
                f"{one.agreement.compared} of {one.agreement.of}", words[one.agreement.agrees],
            )
            for one in report.comparisons
        ],
    )  # fmt: skip
    print_table(
        ("side", "runs on"),
        [
            (side, ", ".join(f"{name} {number}" for name, number in told.items()))
            for side, told in report.packages.items()
        ],
    )
