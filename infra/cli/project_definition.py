"""``concord project init, plan, apply, revert, history, export``: a project as one file of your own repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, messages, output, plain, print_json, print_table
from infra.cli.rules_dry_run import named, print_activation, print_dry_run
from infra.client import ConcordClient
from infra.storage.project_files import definition_yaml, read_definition
from infra.templates import TEMPLATES, write_template
from services.contracts.definition import (
    AppliedDefinition,
    DefinitionPlan,
    DefinitionVersion,
    ProjectDefinition,
    RuleChange,
)
from services.contracts.rule_changes import MAX_BUDGET, MAX_SAMPLES, Order, Recheck
from services.errors import NotFoundError

FileArgument = Annotated[Path, typer.Argument(help="The definition, as YAML.")]
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
BudgetOption = Annotated[
    int, typer.Option(min=0, max=MAX_BUDGET, help="If the rules are others: open samples to check again now.")
]
OrderOption = Annotated[Order, typer.Option(help="Which samples come first.")]
DryRunOption = Annotated[UUID | None, typer.Option("--dry-run", help="The dry run that a change of rules rests on.")]
_SHOWN = 100
_SIGNS = {"add": "+", "change": "~", "remove": "-"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``concord project``."""
    for name, command in (
        ("init", init_project),
        ("plan", plan_project),
        ("apply", apply_project),
        ("revert", revert_project),
        ("history", project_history),
        ("export", export_project),
    ):
        app.command(name)(command)


def init_project(
    template: Annotated[str, typer.Argument(help=f"One of {', '.join(TEMPLATES)}.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the files.")],
    project: Annotated[str | None, typer.Option(help="Id of the project; the template's name if left out.")] = None,
) -> None:
    """Write a ready project for a domain: definition, taxonomy, and an example to run; needs no server."""
    written = write_template(template, folder, project or template)
    for path in written:
        output().print(plain(path))
    messages().print(plain(f"Try it: concord check {folder / 'example'} --rules {folder / 'project.yaml'}"))


def plan_project(
    file: FileArgument,
    *,
    samples: Annotated[
        int, typer.Option(min=0, max=MAX_SAMPLES, help="Try other rules on at most so many stored samples.")
    ] = 50,
    order: OrderOption = "newest",
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show what applying a definition would change; other rules are tried on stored samples.

    Exit 0: nothing. Exit 1: something would be changed.
    """
    definition = read_definition(file)

    async def work(client: ConcordClient) -> DefinitionPlan:
        return await client.plan_definition(definition, samples=samples, order=order)

    _say_planned(with_client(url, key, work), json_output)


def apply_project(
    file: FileArgument,
    *,
    planned: Annotated[
        str | None,
        typer.Option("--planned", help="state_sha256 of the plan; refused if the project was changed since."),
    ] = None,
    budget: BudgetOption = 50,
    order: OrderOption = "newest",
    dry_run_id: DryRunOption = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make the project what the definition says, creating it if need be: all of it or nothing.

    Other rules than the project goes by are activated: open samples are checked again by them, up to the budget.
    """
    definition = read_definition(file)
    recheck = Recheck(budget=budget, order=order, dry_run_id=dry_run_id)

    async def work(client: ConcordClient) -> AppliedDefinition:
        return await client.apply_definition(definition, state_sha256=planned, recheck=recheck)

    _say_applied(with_client(url, key, work), json_output)


def revert_project(
    project: ProjectArgument,
    version: Annotated[int, typer.Argument(help="Of `concord project history`.")],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what it would change. Exit 1: something.")] = False,
    budget: BudgetOption = 50,
    order: OrderOption = "newest",
    dry_run_id: DryRunOption = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a project again what an earlier version of its definition said; other rules are activated."""
    recheck = Recheck(budget=budget, order=order, dry_run_id=dry_run_id)

    async def preview(client: ConcordClient) -> DefinitionPlan:
        async for item in client.each(lambda cursor: client.definitions(project, cursor=cursor)):
            if item.version == version:
                return await client.plan_definition(item.definition, order=order)
        raise NotFoundError(f"Project {project!r} has no version {version} of its definition.")

    async def work(client: ConcordClient) -> AppliedDefinition:
        return await client.revert_definition(project, version, recheck=recheck)

    if plan:
        _say_planned(with_client(url, key, preview), json_output)
        return
    _say_applied(with_client(url, key, work), json_output)


def project_history(
    project: ProjectArgument, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List the definitions that were applied, newest first."""

    async def work(client: ConcordClient) -> list[DefinitionVersion]:
        return [item async for item in client.each(lambda cursor: client.definitions(project, cursor=cursor))]

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("version", "origin", "of", "by", "at"),
        [(item.version, item.origin, item.reverts_to, item.actor, f"{item.at:%Y-%m-%d %H:%M:%S}") for item in found],
    )


def export_project(
    project: ProjectArgument,
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; standard output if left out.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write what the project is now as a definition; applied again it changes nothing."""

    async def work(client: ConcordClient) -> ProjectDefinition:
        return await client.definition(project)

    text = definition_yaml(with_client(url, key, work))
    if output_file is None:
        typer.echo(text, nl=False)
        return
    output_file.write_text(text, encoding="utf-8")
    messages().print(plain(f"{project} in {output_file}"))


def _say_planned(plan: DefinitionPlan, json_output: bool) -> None:
    _say_plan(plan, json_output)
    if plan.changes:
        raise typer.Exit(EXIT_FOUND)


def _say_applied(applied: AppliedDefinition, json_output: bool) -> None:
    _say_plan(applied.plan, json_output, applied=applied)


def _say_plan(plan: DefinitionPlan, json_output: bool, *, applied: AppliedDefinition | None = None) -> None:
    if json_output:
        print_json(applied or plan)
        return
    if plan.changes:
        rows = [
            (_SIGNS[change.action], change.path, _short(change.before), _short(change.after))
            for change in plan.changes[:_SHOWN]
        ]
        print_table(("", "where", "now", "then"), rows)
    if len(plan.changes) > _SHOWN:
        messages().print(plain(f"… and {len(plan.changes) - _SHOWN} more; --json has them all"))
    counts = ", ".join(
        f"{sum(change.action == action for change in plan.changes)} to {action}"
        for action in ("add", "change", "remove")
    )
    what = f"{'a new project, ' if plan.creates else ''}{counts}; rules {plan.rule_set}"
    if not plan.changes:
        what = f"nothing to change; rules {plan.rule_set}"
    if applied is not None and applied.version is not None:
        what = f"applied as version {applied.version}: {what}"
    messages().print(plain(f"{plan.project}: {what}"))
    if applied is not None and applied.activation is not None:
        print_activation(applied.activation)
    if applied is None and plan.rules is not None:
        _say_rules(plan.rules)
    if applied is None and plan.changes:
        messages().print(plain(f"state_sha256 {plan.state_sha256}"))


def _say_rules(change: RuleChange) -> None:
    if change.dry_run is not None:
        print_dry_run(change.dry_run)
        return
    went = f"the project would go over from {named(change.before)} to {named(change.after)}"
    messages().print(plain(f"{went}; not tried on stored samples: {change.not_tried}"))


def _short(value: Any) -> str:
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
