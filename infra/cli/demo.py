"""``concord demo``: the main job, start to end, on an embedded system of its own."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.cli.console import EXIT_FOUND, JsonOption, messages, print_json
from infra.cli.stoppable import run_stoppable
from infra.demo.driver import DemoError, Demonstration
from infra.demo.plan import PROJECT, PlannedSample, from_recordings, made_up
from infra.demo.report import DemoReport, as_json, show
from infra.local import LocalConfig, run_local
from infra.stack.events import EventKind, ProcessEvent
from infra.storage import call_folder, kitti_folder
from infra.telemetry.logging import configure_logging
from services.contracts.lifecycle import FINAL_STAGES, Stage
from services.contracts.manifest import SampleManifest
from services.errors import ConcordError, InvalidInputError

_FILE_WIDTH = 120
"""What a shell shows for a command that Ctrl-C ended."""


def demo(
    data: Annotated[
        list[Path] | None, typer.Option(help="Recordings to use instead of made-up ones: KITTI or call folders.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often 13 made-up samples are made.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other samples and other faults.")] = 1,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the system's data in this folder; it must not exist yet.")
    ] = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Run the main job: events in, disagreements found, decisions made, ground truth committed and verified.

    Exit code 0 when every known disagreement was found without a false alarm, every sample came to its end and
    lineage and audit chain verify; 1 otherwise.
    """
    started = time.monotonic()
    configure_logging(level="WARNING", form="console")
    console = messages()
    with _folder(keep) as folder:
        planned = _planned(folder / "assets", data, rounds=rounds, seed=seed)
        roots = tuple(path.resolve() for path in data) if data else (folder / "assets",)
        config = LocalConfig(data_dir=folder / "data", asset_roots=roots)
        done = run_stoppable(_run(config, planned, console))
    report = done.model_copy(update={"seconds": round(time.monotonic() - started, 2)})
    if json_output:
        print_json(as_json(report))
    else:
        # Tables of sentences need an edge to wrap at, also where the output is a file.
        show(report, Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH))
    whole = report.found == report.injected and report.committed + report.rejected == report.samples
    if not (whole and report.lineage_verified and report.audit_verified and report.false_alarms == 0):
        raise typer.Exit(EXIT_FOUND)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists():
            raise InvalidInputError(f"--keep {keep} exists already; name a folder that does not")
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="concord-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _planned(assets: Path, data: list[Path] | None, *, rounds: int, seed: int) -> tuple[PlannedSample, ...]:
    if not data:
        return made_up(assets, seed=seed, rounds=rounds)
    manifests = [manifest for folder in data for manifest in recordings_in(folder, PROJECT)]
    return from_recordings(manifests, seed=seed)


def recordings_in(folder: Path, project: str) -> tuple[SampleManifest, ...]:
    """Return the recordings of a folder, KITTI or calls, whichever it holds.

    Raises:
        InvalidInputError: It holds neither; with what each reader says.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"--data {folder} is no folder")
    refusals = []
    for reader in (kitti_folder, call_folder):
        try:
            manifests = tuple(reader.iter_manifests(folder, project))
        except ConcordError as error:
            refusals.append(error.detail)
        else:
            if manifests:
                return manifests
    raise InvalidInputError(f"--data {folder} holds no recordings that can be read: {'; '.join(refusals)}")


async def _run(config: LocalConfig, planned: tuple[PlannedSample, ...], console: Console) -> DemoReport:
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
    ) as progress:
        starting = progress.add_task("starting the system", total=6, detail="")
        ready: set[str] = set()

        def heard(event: ProcessEvent) -> None:
            if event.kind is EventKind.READY:
                ready.add(event.name)
                progress.update(starting, completed=len(ready), detail=", ".join(sorted(ready)))

        async with run_local(config, on_event=heard) as concord:
            flowing = progress.add_task("samples at their end", total=len(planned), detail="")

            def moved(stages: Counter[Stage], decisions: int) -> None:
                done = sum(count for stage, count in stages.items() if stage in FINAL_STAGES)
                now = ", ".join(f"{count} {stage.value}" for stage, count in sorted(stages.items()))
                progress.update(flowing, completed=done, detail=f"{now} · {decisions} decisions")

            run = Demonstration(concord.urls.api_url, concord.admin_key, planned, progress=moved)
            try:
                return await run.run()
            except DemoError as error:
                raise InvalidInputError(str(error)) from error
