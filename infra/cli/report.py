"""``concord report``: how a dataset does on the nine ways in which large datasets fail, without a server."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from infra.checks.batch import Batch, CheckedSample, Failure
from infra.checks.dataset import check_dataset
from infra.cli.check import AssetsOption, JobsOption, check_with_progress, read_batch
from infra.cli.check_report import STYLE
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_BAD_INPUT, jsonable, messages, output, plain, print_problem, print_table
from infra.cli.progress import progress
from infra.render.report_page import percent, report_page, samples_of
from infra.storage.project_files import rules_from
from infra.telemetry.logging import configure_logging
from services.alignment.sample import CheckSample
from services.contracts.dataset_report import DatasetReport, ReportEntry, Score
from services.errors import AlreadyExistsError, InvalidInputError
from services.report.build import ReportBuilder
from services.report.reader import MAX_SAMPLES
from services.report.sample import ReportSample
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

_SHOWN = 5


class Format(StrEnum):
    """How the report is printed."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


def report(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="What concord check takes; left out with --project.")
    ] = None,
    *,
    project: Annotated[
        str | None, typer.Option(help="A project of a running Concord instead of files, under its own rule set.")
    ] = None,
    rules: Annotated[str | None, typer.Option(help="A rule set: a JSON file, or a built-in one by its name.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report is printed.")] = Format.TEXT,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file to write to; standard output if left out.")
    ] = None,
    jobs: JobsOption = 1,
    assets: AssetsOption = None,
    max_listed: Annotated[
        int | None,
        typer.Option(
            "--max-listed",
            min=0,
            max=10_000,
            help="Most entries to list behind each number; all if left out, of a project 10,000.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, max=MAX_SAMPLES, help="Of a project: most samples to read, the newest.")
    ] = 1_000,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Score a dataset on nine ways to fail, each with its number and the list behind it.

    Files need no server. Exit 0: done, whatever the numbers are. Exit 2: something could not be read; it is in no
    number.
    """
    configure_logging(level="ERROR", form="console")
    if out is not None and out.is_dir():
        raise InvalidInputError(f"{out} is a folder; --out names a file")
    if (project is None) == (not paths):
        raise InvalidInputError("give paths, or a project with --project, and not both")
    if project is not None:
        if rules is not None:
            raise InvalidInputError("--rules is for files; a project has a rule set of its own")
        listed = 10_000 if max_listed is None else max_listed
        _print(with_client(url, key, lambda client: client.report(project, samples=samples, listed=listed)), form, out)
        return
    rule_set = rules_from(rules or DEFAULT_RULE_SET.id)
    batch = read_batch(paths or [], assets or ())
    checked, failures = check_with_progress(batch, rule_set, jobs)
    errors = [*batch.errors, *failures]
    result = dataset_report(checked, errors, batch, rule_set, max_listed=max_listed)
    _print(result, form, out)
    for path, error in errors:
        print_problem(error.detail if str(path) in error.detail else f"{path}: {error.detail}", error.places)
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def dataset_report(
    samples: list[CheckedSample],
    errors: list[Failure],
    batch: Batch,
    rules: RuleSet,
    *,
    max_listed: int | None = None,
) -> DatasetReport:
    """Return the report of checked samples.

    Args:
        samples: What the checks of each said; a second sample of the same id and project is left out.
        errors: What could not be read; samples that are left out are added.
        batch: Where they were found.
        rules: The rule set they were checked with.
        max_listed: Most entries behind each number.
    """
    known: dict[tuple[str, str], CheckedSample] = {}
    for item in samples:
        first = known.setdefault((item.project, item.sample_id), item)
        if first is not item:
            sentence = f"{item.path}: {item.project} has a sample {item.sample_id} already, from {first.path}"
            errors.append((item.path, AlreadyExistsError(sentence)))
    checked = check_dataset(list(known.values()), batch, rules, drift=False)
    project_of = {sample_id: project for project, sample_id in known}
    builder = ReportBuilder(rules, max_listed=max_listed)
    with progress("scoring", len(checked.samples)) as advance:
        for sample in checked.samples:
            builder.add(ReportSample(CheckSample(sample.manifest, sample.annotations), sample.report))
            advance()
        for found in checked.findings:
            if found.finding.kind == "swapped_with":
                builder.add_exchanged(project_of[found.samples[0]], found.finding, found.samples)
        return builder.finish(unreadable=len(errors))


def _print(result: DatasetReport, form: Format, out: Path | None) -> None:
    if form is Format.TEXT and out is None:
        print_report(result)
        return
    if form is Format.HTML:
        document = report_page(result)
    elif form is Format.JSON:
        document = json.dumps(jsonable(result), indent=2, ensure_ascii=False) + "\n"
    else:
        document = report_text(result)
    if out is None:
        typer.echo(document, nl=False)
        return
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_text(document, encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    messages().print(plain(f"report in {out}"))


def print_report(result: DatasetReport) -> None:
    """Print the report for a person: all nine numbers, and the gravest of each list."""
    console = output()
    rows = [
        (score.title, score.failing, score.population, percent(score.rate),
         samples_of(score))
        for score in result.scores
    ]  # fmt: skip
    print_table(("", "failing", "of", "rate", "samples"), rows)
    for score in result.scores:
        if score.entries or score.rate is None:
            console.print()
            console.print(Text(score.title, style="bold"))
        for entry in score.entries[:_SHOWN]:
            console.print(plain(f"  {_line(entry)}"), style=STYLE[entry.severity] if entry.severity else "")
        for line in _rest(score):
            console.print(plain(line), style="dim")
    console.print()
    console.print(plain(_summary(result)))


def report_text(result: DatasetReport) -> str:
    """Return the same as text for a file, with every entry."""
    lines = [f"{score.title}: {score.failing} of {score.population} ({percent(score.rate)})" for score in result.scores]
    for score in result.scores:
        lines += ["", score.title, *(f"  {_line(entry)}" for entry in score.entries)]
        if score.unlisted:
            lines.append(f"  and {score.unlisted} more")
        lines += [_not_judged(score, index) for index in range(len(score.not_judged))]
    text = "\n".join([*lines, "", _summary(result)])
    return str(plain(text)) + "\n"


def _line(entry: ReportEntry) -> str:
    where = entry.sample_id or entry.project or "dataset"
    first = f"  [{entry.finding_ids[0]}]" if entry.finding_ids else ""
    return f"{entry.severity or '-':<8} {where}: {entry.place}: {entry.sentence}{first}"


def _rest(score: Score) -> list[str]:
    lines = []
    more = score.failing - min(len(score.entries), _SHOWN)
    if more and score.failing:
        lines.append(f"  and {more} more (--format json lists them)")
    if score.rate is None:
        lines += [_not_judged(score, index) for index in range(min(len(score.not_judged), _SHOWN))]
    return lines


def _not_judged(score: Score, index: int) -> str:
    item = score.not_judged[index]
    check = f"{item.check}: " if item.check else ""
    samples = f" ({item.samples} sample{'' if item.samples == 1 else 's'})" if item.samples else ""
    return f"  not judged: {check}{item.reason}{samples}"


def _summary(result: DatasetReport) -> str:
    unread = f", {result.unreadable} unreadable" if result.unreadable else ""
    if result.left_out:
        unread += f", {result.left_out} more withdrawn, not checked yet or not asked for (--samples)"
    other = sum(result.other_findings.values())
    plug_ins = f", {other} findings of plug-ins" if other else ""
    rules = f"{result.rule.id}@{result.rule.version}"
    samples = f"{result.samples} sample{'' if result.samples == 1 else 's'}"
    return f"{samples}, {result.labels} labels{unread}{plug_ins}; rules {rules}"
