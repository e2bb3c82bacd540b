"""``concord agreement``: how far those agree who labelled the same samples."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from infra.checks.batch import Batch, Failure, labels_of_batch
from infra.cli.check import AssetsOption, read_batch
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import (
    EXIT_BAD_INPUT,
    JsonOption,
    output,
    plain,
    print_json,
    print_problem,
    print_table,
)
from infra.cli.progress import progress
from infra.storage.found import FoundSample
from infra.storage.project_files import rules_from
from infra.telemetry.logging import configure_logging
from services.contracts.agreement import AgreementMeasure, AgreementReport
from services.contracts.annotations import Annotation
from services.contracts.consensus import Answer
from services.errors import InvalidInputError
from services.report.agreement_build import WINDOW_DAYS, AgreementBuilder
from services.report.agreement_units import answers_by_author
from services.report.reader import MAX_SAMPLES
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

_SHOWN = 5
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._:@+-]+")
_WHY = {
    "no_pairs": "nothing was labelled by two of them",
    "no_variation": "all say one thing; skill can not be told from habit",
}


class By(StrEnum):
    """Who answered."""

    AUTHOR = "author"
    PATH = "path"


class View(StrEnum):
    """Whose agreement."""

    ALL = "all"
    CLASS = "class"
    PERSON = "person"
    TEAM = "team"
    TEAMS = "teams"
    PAIR = "pair"
    WINDOW = "window"


def agreement(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="What concord check takes; left out with --project.")
    ] = None,
    *,
    project: Annotated[
        str | None, typer.Option(help="A project of a running Concord instead of files, under its own rule set.")
    ] = None,
    by: Annotated[
        By, typer.Option(help="Who answered: the author that each label names, or each PATH is one person's labels.")
    ] = By.AUTHOR,
    rules: Annotated[str | None, typer.Option(help="A rule set: a JSON file, or a built-in one by its name.")] = None,
    assets: AssetsOption = None,
    max_listed: Annotated[
        int, typer.Option("--max-listed", min=0, max=1_000, help="Most entries to list behind each number, the worst.")
    ] = 20,
    window_days: Annotated[
        int, typer.Option("--window-days", min=1, max=366, help="Of a project: length of a window of time.")
    ] = WINDOW_DAYS,
    samples: Annotated[
        int, typer.Option(min=1, max=MAX_SAMPLES, help="Of a project: most samples to read, the newest.")
    ] = 1_000,
    view: Annotated[View | None, typer.Option(help="Print only this view.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say how far people agree, in all, by class, person, team, pair and time, with the list behind each number.

    Exit 0: done, whatever the numbers are. Exit 2: something could not be read; it is in no number.
    """
    configure_logging(level="ERROR", form="console")
    if (project is None) == (not paths):
        raise InvalidInputError("give paths, or a project with --project, and not both")
    errors: list[Failure] = []
    if project is not None:
        if rules is not None:
            raise InvalidInputError("--rules is for files; a project has a rule set of its own")
        result = with_client(
            url, key,
            lambda client: client.agreement(project, samples=samples, listed=max_listed, window_days=window_days),
        )  # fmt: skip
    else:
        rule_set = rules_from(rules or DEFAULT_RULE_SET.id)
        result, errors = _of_files(paths or [], assets or (), by, rule_set, max_listed)
    if view is not None:
        chosen = tuple(one for one in result.measures if one.view == view)
        result = result.model_copy(update={"measures": chosen})
    if json_output:
        print_json(result)
    else:
        print_agreement(result)
    for path, error in errors:
        print_problem(error.detail if str(path) in error.detail else f"{path}: {error.detail}", error.places)
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _of_files(
    paths: Sequence[Path], assets: Sequence[Path], by: By, rules: RuleSet, max_listed: int
) -> tuple[AgreementReport, list[Failure]]:
    if by is By.PATH and len(paths) < 2:
        raise InvalidInputError("--by path compares the labels of at least two paths; give another one")
    groups = [(paths, None)] if by is By.AUTHOR else [((path,), _person_of(path)) for path in paths]
    names = [name for _, name in groups]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"two paths are named {max(names, key=names.count)!r}; give each person's another name")
    answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    errors: list[Failure] = []
    unnamed = 0
    for own, person in groups:
        batch: Batch = read_batch(own, assets)
        found, failed = _labels(batch)
        errors += [*batch.errors, *failed]
        for item, labels in found:
            name = (item.manifest.project, item.manifest.sample_id)
            if person is not None:
                answers[name].append(Answer(annotator=person, annotations=labels))
            else:
                given, missing = answers_by_author(labels)
                unnamed += missing
                answers[name] += given
    builder = AgreementBuilder(rules.consensus, max_listed=max_listed)
    for (project, sample_id), given in answers.items():
        builder.add(project, sample_id, given)
    return builder.finish(unreadable=len(errors), unnamed=unnamed), errors


def _labels(batch: Batch) -> tuple[list[tuple[FoundSample, tuple[Annotation, ...]]], list[Failure]]:
    with progress("reading labels", len(batch.found)) as advance:
        return asyncio.run(labels_of_batch(batch, advance))


def _person_of(path: Path) -> str:
    name = _NOT_IN_A_NAME.sub("-", path.resolve().name).strip("-._:@+")
    if not name:
        raise InvalidInputError(f"{path} has no name that could be a person's; rename it")
    return name[:200]


def print_agreement(result: AgreementReport) -> None:
    """Print the report for a person: the numbers, the most frequent confusions, and the worst of some lists."""
    console = output()
    print_table(
        ("of", "name", "label kind", "measure", "value", "95 %", "compared", "differing"),
        [
            (one.view, one.name, one.kind, one.metric, _value(one), _interval(one), one.compared, one.differing)
            for one in result.measures
        ],
    )
    if result.confusions:
        console.print()
        print_table(
            ("label kind", "one says", "another says", "times", "share"),
            [
                (one.kind, one.class_a, one.class_b, one.times, f"{100 * one.share:.0f} %")
                for one in result.confusions[: 4 * _SHOWN]
            ],
        )
    for one in result.measures:
        if one.view == "all" and one.entries:
            console.print()
            console.print(Text(f"{one.kind}, {one.metric}", style="bold"))
            for entry in one.entries[:_SHOWN]:
                console.print(plain(f"  {entry.sample_id}: {entry.place}: {entry.sentence}"))
            if one.differing > _SHOWN:
                console.print(plain(f"  and {one.differing - _SHOWN} more (--json lists them)"), style="dim")
    console.print()
    console.print(plain(_summary(result)))


def _value(one: AgreementMeasure) -> str:
    if one.value is not None:
        return f"{one.value:.3f}"
    return f"none: {_WHY[one.degenerate]}" if one.degenerate is not None else "none"


def _interval(one: AgreementMeasure) -> str:
    return "" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"


def _summary(result: AgreementReport) -> str:
    parts = [f"{result.samples} sample{'' if result.samples == 1 else 's'} of {len(result.people)} people"]
    if result.left_out:
        parts.append(f"{result.left_out} left out: answers of fewer than two, withdrawn, or not asked for")
    if result.unnamed:
        parts.append(f"{result.unnamed} labels name no author (--by path)")
    if result.unreadable:
        parts.append(f"{result.unreadable} unreadable")
    return "; ".join(parts)
