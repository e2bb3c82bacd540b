"""``concord check``: the cross-modal checks alone, without a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.checks.child import check_sample
from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.cli.check_report import CheckedSample, CheckResult, as_json, as_junit, as_sarif, print_text
from infra.cli.console import EXIT_BAD_INPUT, EXIT_FOUND, messages, print_json, print_problem, product_version
from infra.cli.documents import read_document
from infra.storage.assets import FileAssetReader
from infra.storage.manifest_files import BadFile, FoundSample, asset_root, find_samples
from infra.telemetry.logging import configure_logging
from services.alignment.engine import CHECKS
from services.contracts.annotations import Annotation, Annotations
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.errors import ConcordError, InvalidInputError
from services.lifecycle.gathering import gather_sample
from services.ports.checks import CheckRunner
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

PROJECT = "local"
ASSET_MAX_BYTES = 2 * 1024**3
ASSET_TIMEOUT_S = 120.0
CHECK_TIMEOUT_S = 600.0
_ANNOTATIONS: TypeAdapter[Annotations] = TypeAdapter(Annotations)


class Format(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


class FailOn(StrEnum):
    """The least severity that fails the run."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


@dataclass(slots=True)
class _Work:
    """What was found on disk, and what became of it."""

    found: list[FoundSample] = field(default_factory=list)
    samples: list[CheckedSample] = field(default_factory=list)
    errors: list[tuple[Path, ConcordError]] = field(default_factory=list)


def check(
    paths: Annotated[list[Path], typer.Argument(help="Manifests, folders of them, KITTI or call folders.")],
    rules: Annotated[Path | None, typer.Option(help="A rule set as JSON; the built-in one if left out.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.TEXT,
    fail_on: Annotated[FailOn, typer.Option(help="Exit 1 for findings at or above it.")] = FailOn.MINOR,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many samples are checked at once.")] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check labels across modalities; no server is needed.

    Exit 0: clean. Exit 1: findings at or above the severity. Exit 2: something could not be read.
    """
    configure_logging(level="ERROR", form="console")
    rule_set = DEFAULT_RULE_SET if rules is None else read_document(RuleSet, rules, what="rule set")
    began = time.monotonic()
    work = _Work()
    roots = tuple(dict.fromkeys(asset_root(path).resolve() for path in paths))
    for path in paths:
        for item in find_samples(path, PROJECT):
            if isinstance(item, BadFile):
                work.errors.append((item.path, item.error))
            else:
                work.found.append(item)
    if work.found:
        quiet = json_output or form is not Format.TEXT
        asyncio.run(_check_all(work, rule_set, roots, min(processes, len(work.found)), quiet=quiet))
    result = CheckResult(
        samples=work.samples,
        errors=work.errors,
        fail_on=fail_on.value,
        checks=sorted(CHECKS),
        version=product_version(),
    )
    _print(result, Format.JSON if json_output else form, time.monotonic() - began)
    if result.errors:
        raise typer.Exit(EXIT_BAD_INPUT)
    if result.failed:
        raise typer.Exit(EXIT_FOUND)


class _ChecksHere:
    """The checks in a thread of this process: for one at a time, starting another process costs more than it saves."""

    def __init__(self, config: ReaderConfig) -> None:
        self._config = config

    async def run(self, manifest: SampleManifest, annotations: tuple[Annotation, ...], rules: RuleSet) -> CheckReport:
        """Return the report of one sample."""
        documents = (
            manifest.model_dump_json(exclude_none=True).encode(),
            _ANNOTATIONS.dump_json(annotations, exclude_none=True),
            rules.model_dump_json(exclude_none=True).encode(),
        )
        return CheckReport.model_validate_json(await asyncio.to_thread(check_sample, self._config, *documents))


async def _check_all(work: _Work, rules: RuleSet, roots: tuple[Path, ...], processes: int, *, quiet: bool) -> None:
    config = ReaderConfig(roots=roots, max_bytes=ASSET_MAX_BYTES, timeout_s=ASSET_TIMEOUT_S)
    async with AsyncExitStack() as stack:
        runner: CheckRunner = _ChecksHere(config)
        if processes > 1:
            runner = await stack.enter_async_context(ProcessCheckRunner(config, processes, CHECK_TIMEOUT_S))
        with _progress(quiet=quiet) as progress:
            bar = progress.add_task("checking", total=len(work.found))
            await _run_all(work, rules, roots, runner, asyncio.Semaphore(processes), lambda: progress.advance(bar))


async def _run_all(
    work: _Work,
    rules: RuleSet,
    roots: tuple[Path, ...],
    runner: CheckRunner,
    slots: asyncio.Semaphore,
    advance: Callable[[], None],
) -> None:
    assets = FileAssetReader(roots, ASSET_MAX_BYTES, ASSET_TIMEOUT_S)
    checked: dict[int, CheckedSample] = {}
    failed: dict[int, ConcordError] = {}

    async def check_one(number: int, item: FoundSample) -> None:
        manifest = item.manifest
        async with slots:
            try:
                report = await runner.run(manifest, await _labels(manifest, assets), rules)
            except ConcordError as error:
                failed[number] = error
            else:
                checked[number] = CheckedSample(item.path, manifest.project, manifest.sample_id, report)
            advance()

    async with asyncio.TaskGroup() as group:
        for number, item in enumerate(work.found):
            group.create_task(check_one(number, item))
    work.samples = [checked[number] for number in sorted(checked)]
    work.errors += [(work.found[number].path, failed[number]) for number in sorted(failed)]


def _progress(*, quiet: bool) -> Progress:
    console = messages()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


async def _labels(manifest: SampleManifest, assets: FileAssetReader) -> tuple[Annotation, ...]:
    """Return the manifest's labels and those of its label files.

    Raises:
        InvalidInputError: A label file can not be read.
    """
    labelled = [file for file in manifest.label_files if file.role == "annotation"]
    if not labelled:
        return manifest.annotations
    only_labels = manifest.model_copy(update={"label_files": tuple(labelled), "streams": _without_assets(manifest)})
    gathered = await gather_sample(only_labels, assets, (), lambda _: ())
    if gathered.failures:
        failure = gathered.failures[0]
        raise InvalidInputError(f"label file {failure.name}: {failure.reason}")
    known = {annotation.id for annotation in manifest.annotations}
    return (*manifest.annotations, *(label for label in gathered.labels if label.id not in known))


def _without_assets(manifest: SampleManifest) -> Sequence[object]:
    """Return the streams without what is behind them: label files need their names only."""
    return tuple(stream.model_copy(update={"uri": None}) for stream in manifest.streams)


def _print(result: CheckResult, form: Format, seconds: float) -> None:
    if form is Format.JSON:
        print_json(as_json(result))
    elif form is Format.SARIF:
        print_json(as_sarif(result))
    elif form is Format.JUNIT:
        typer.echo(as_junit(result))
    else:
        print_text(result, seconds)
    for path, error in result.errors:
        sentence = error.detail if str(path) in error.detail else f"{path}: {error.detail}"
        print_problem(sentence, error.places)
