"""``concord bench queue`` and ``concord bench crowd``, and their tables."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.queue.crowd import CrowdReport, run_crowd
from infra.bench.queue.fill import fill
from infra.bench.queue.latency import MOST_GROWTH, MOST_OF_BARE, QueueBenchmark, QueueConfig, measure_queue
from infra.bench.queue.server import bench_postgres, migrated_database
from infra.cli.bench_tell import tell
from infra.cli.console import EXIT_FOUND, JsonOption, print_facts, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.db.connect import create_engine
from infra.db.engine import open_database
from infra.stack.events import ignore_event
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

ANSWERS = 2


def bench_queue(
    tasks: Annotated[
        list[int] | None, typer.Option(min=1_000, max=10_000_000, help="Numbers of open tasks; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=20, max=100_000, help="Claims and decisions at each number.")] = 300,
    queues: Annotated[int, typer.Option(min=1, max=1_000, help="Over how many queues the tasks are spread.")] = 20,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the server skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Latency of claim and decide among 10 thousand and a million open tasks, beside a bare SKIP LOCKED statement.

    Exit code 1 if the median claim takes more than 3 times as long as the bare statement, grows by more than 1.3
    from the fewest to the most tasks, or reads or sorts tasks that it does not claim.
    """
    configure_logging(level="ERROR", form="console")
    sizes = tuple(sorted(set(tasks or (10_000, 1_000_000))))
    if len(sizes) < 2:
        raise InvalidInputError("growth needs two numbers of open tasks: give --tasks twice, or not at all")
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        config = QueueConfig(
            data_dir=Path(folder) / "data", sizes=sizes, rounds=rounds, queues=queues, durable=not fast_disk
        )
        measured = run_stoppable(measure_queue(config, ignore_event, tell))
    if json_output:
        print_json(measured)
    else:
        _print(measured)
    if not measured.holds:
        raise typer.Exit(EXIT_FOUND)


def bench_crowd(
    people: Annotated[int, typer.Option(min=2, max=500, help="So many claim at once.")] = 64,
    tasks: Annotated[int, typer.Option(min=8, max=1_000_000, help="Open tasks; a multiple of 4.")] = 5_000,
    lease_s: Annotated[int, typer.Option(min=1, max=3_600, help="Length of a lease, seconds.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Another seed lays other tasks aside.")] = 1,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the server skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Many people at one queue with short leases: nothing held twice, answered twice, self-reviewed or starved.

    Exit code 1 if a promise is broken.
    """
    configure_logging(level="ERROR", form="console")

    async def work(folder: Path) -> CrowdReport:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(
                bench_postgres(folder / "data", durable=not fast_disk, on_event=ignore_event)
            )
            url = await migrated_database(server, "bench_crowd")
            whole = tasks - tasks % 4
            tell(f"making {whole:,} open tasks")
            await fill(url, tasks=whole, people=people, answers=ANSWERS, some_held=False, lease_s=lease_s)
            database = await stack.enter_async_context(open_database(url, pool_size=20))
            engine = create_engine(url, statement_timeout_s=60, pool_size=1)
            stack.push_async_callback(engine.dispose)
            return await run_crowd(
                database, engine, people=people, tasks=whole, answers=ANSWERS, lease_s=lease_s, seed=seed,
                progress=tell,
            )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        report = run_stoppable(work(Path(folder)))
    if json_output:
        print_json(report)
    else:
        print_facts([(name.replace("_", " "), value) for name, value in report.model_dump().items()])
        print_facts([("holds", "yes" if report.holds else "NO")])
    if not report.holds:
        raise typer.Exit(EXIT_FOUND)


def _print(result: QueueBenchmark) -> None:
    print_table(
        ("open tasks", "what", "statements", "p50 ms", "p99 ms", "p50 / bare", "p99 / bare"),
        [
            (one.open_tasks, one.what, one.statements, one.p50_ms, one.p99_ms, one.of_bare_p50, one.of_bare_p99)
            for one in result.latencies
        ],
    )
    print_table(("growth of", "p50", "p99"), [(one.what, one.p50, one.p99) for one in result.growth])
    print_table(
        ("open tasks", "lanes", "index", "scans all", "most read of a lane", "most sorted"),
        [
            (plan.open_tasks, plan.lanes, ", ".join(plan.indexes), plan.scans_all, plan.most_read_of_a_lane,
             plan.most_sorted)
            for plan in result.plans
        ],
    )  # fmt: skip
    print_facts(
        [
            ("claim, in bare statements", f"{result.claim_of_bare} (limit {MOST_OF_BARE})"),
            ("growth of a claim", f"{result.claim_growth} (limit {MOST_GROWTH})"),
            ("holds", "yes" if result.holds else "NO"),
        ]
    )
