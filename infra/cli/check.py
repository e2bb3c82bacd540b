"""``concord check``: the cross-modal checks alone, without a server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.checks.batch import Batch, CheckedSample, Failure, check_batch, find_batch
from infra.checks.dataset import CheckedDataset, check_dataset
from infra.checks.fix import FixedSample
from infra.checks.plug_ins import FAILED, installed_checks
from infra.cli.check_explain import explanation, matching, print_explanation
from infra.cli.check_fix import ensure_apart, fix_batch, fix_document, print_fix, write_copies
from infra.cli.check_report import CheckResult, as_json, as_junit, as_sarif, print_text
from infra.cli.console import (
    EXIT_BAD_INPUT,
    EXIT_FOUND,
    messages,
    output,
    plain,
    print_json,
    print_problem,
    product_version,
)
from infra.cli.progress import progress
from infra.storage.project_files import rules_from
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

PROJECT = "local"


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


PathsArgument = Annotated[list[Path], typer.Argument(help="Manifests, label files, folders of either, KITTI folders.")]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", "--processes", min=1, max=64, help="How many samples are checked at once.")
]
AssetsOption = Annotated[
    list[Path] | None, typer.Option(help="A further folder that assets may be read from; may be repeated.")
]


def check(
    paths: PathsArgument,
    *,
    rules: Annotated[
        str, typer.Option(help="A rule set: a JSON file, or a built-in one by its name.")
    ] = DEFAULT_RULE_SET.id,
    form: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.TEXT,
    fail_on: Annotated[FailOn, typer.Option(help="Exit 1 for findings at or above it.")] = FailOn.MINOR,
    jobs: JobsOption = 1,
    assets: AssetsOption = None,
    explain: Annotated[
        str | None, typer.Option(metavar="FINDING", help="Explain one finding, by its id or how the id begins.")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a corrected copy of the manifests to a new folder.")
    ] = None,
    render: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the findings as PNG files, one folder a sample.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check labels across modalities; no server is needed.

    Exit 0: clean. Exit 1: findings at or above the severity. Exit 2: something could not be read.
    """
    configure_logging(level="ERROR", form="console")
    form = Format.JSON if json_output else form
    if explain is not None and form not in (Format.TEXT, Format.JSON):
        raise InvalidInputError("--explain prints text or JSON; leave --format out or say --format json")
    rule_set = rules_from(rules)
    if fix is not None:
        ensure_apart(fix, paths)
    began = time.monotonic()
    batch = read_batch(paths, assets or ())
    samples, failures = check_with_progress(batch, rule_set, jobs)
    together = check_dataset(samples, batch, rule_set)
    samples = together.samples
    if explain is not None:
        _explain(together, explain, rule_set, as_document=form is Format.JSON)
        return
    fixed: list[FixedSample] | None = None
    if fix is not None:
        fixed = fix_batch(samples, batch, rule_set, jobs)
        samples = [sample.checked for sample in fixed]
    result = CheckResult(
        samples=samples,
        errors=[*batch.errors, *failures],
        fail_on=fail_on.value,
        checks=sorted(installed_checks()),
        version=product_version(),
        across=together.findings,
    )
    extra: dict[str, Any] = {}
    if fix is not None and fixed is not None:
        extra["fixed"] = fix_document(fix, write_copies(fix, paths, fixed), fixed)
        if form is not Format.JSON:
            print_fix(fix, fixed, aside=form is not Format.TEXT)
    if render is not None:
        extra["pictures"] = [str(file) for file in _render(render, samples, batch, rule_set)]
    _print(result, form, time.monotonic() - began, extra)
    if render is not None and form is Format.TEXT:
        count = len(extra["pictures"])
        output().print(plain(f"{count} picture{'' if count == 1 else 's'} in {render}"))
    if result.errors:
        raise typer.Exit(EXIT_BAD_INPUT)
    if result.failed:
        raise typer.Exit(EXIT_FOUND)


def read_batch(paths: Sequence[Path], assets: Sequence[Path] = ()) -> Batch:
    """Return the samples behind ``paths``, with progress."""
    with progress("reading") as advance:
        return find_batch(paths, PROJECT, assets=assets, advance=advance)


def check_with_progress(
    batch: Batch, rules: RuleSet, jobs: int, *, what: str = "checking"
) -> tuple[list[CheckedSample], list[Failure]]:
    """Return the checked samples and the failures of others, with progress."""
    with progress(what, len(batch.found)) as advance:
        return check_batch(batch, rules, jobs=jobs, advance=advance)


def _render(directory: Path, samples: Sequence[CheckedSample], batch: Batch, rules: RuleSet) -> list[Path]:
    # Pillow and what draws with it are imported by those who want pictures.
    from infra.render.evidence import render_findings  # noqa: PLC0415

    files: list[Path] = []
    with progress("drawing", len(samples)) as advance:
        for sample in samples:
            files += render_findings(sample, batch.config, rules, directory / sample.project / sample.sample_id)
            advance()
    return files


def _explain(checked: CheckedDataset, wanted: str, rules: RuleSet, *, as_document: bool) -> None:
    found = matching(checked, wanted)
    if as_document:
        print_json({"explanations": [explanation(*pair, rules, installed_checks()) for pair in found]})
        return
    for sample, finding in found:
        print_explanation(sample, finding, rules, installed_checks())


def _print(result: CheckResult, form: Format, seconds: float, extra: dict[str, Any]) -> None:
    if form is Format.JSON:
        print_json({**as_json(result), **extra})
    elif form is Format.SARIF:
        print_json(as_sarif(result))
    elif form is Format.JUNIT:
        typer.echo(as_junit(result))
    else:
        print_text(result, seconds)
    reasons = [item.reason for sample in result.samples for item in sample.report.not_applicable]
    for reason in dict.fromkeys(reason for reason in reasons if reason.startswith(FAILED)):
        messages().print(plain(f"warning: {reason}"))
    for path, error in result.errors:
        sentence = error.detail if str(path) in error.detail else f"{path}: {error.detail}"
        print_problem(sentence, error.places)
