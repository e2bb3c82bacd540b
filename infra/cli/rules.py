"""``concord rules``: validate, try, publish and activate rule sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.check import AssetsOption, JobsOption, check_with_progress, read_batch
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import (
    EXIT_BAD_INPUT,
    JsonOption,
    jsonable,
    output,
    plain,
    print_json,
    print_problem,
    print_table,
)
from infra.cli.project import parse_rules
from infra.cli.rules_activate import register
from infra.cli.rules_dry_run import print_dry_run
from infra.cli.rules_try import differences, for_trial, print_trial, trial_document
from infra.client import ConcordClient
from infra.storage.project_files import rules_from
from infra.storage.rule_files import BUILT_IN, read_rules
from infra.storage.yaml_files import is_yaml
from infra.telemetry.logging import configure_logging
from services.contracts.findings import RuleReference
from services.contracts.rule_changes import MAX_SAMPLES, DryRun, DryRunRequest, ListedRuleSet, Order
from services.errors import InvalidInputError
from services.rules.escalation import EscalationRule
from services.rules.reference import rules_reference
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

app = typer.Typer(help="Validate, try, publish and activate rule sets.", no_args_is_help=True, add_completion=False)
register(app)

NamedRules = Annotated[str | None, typer.Argument(help=f"{', '.join(BUILT_IN)}, a file, or ID@VERSION on the server.")]

OrderOption = Annotated[Order, typer.Option(help="Which samples come first.")]


@app.command("validate")
def validate_rules(
    file: Annotated[Path, typer.Argument(help="A rule set as JSON, or a project's definition; it may extend another.")],
    json_output: JsonOption = False,
) -> None:
    """Say whether a file is a valid rule set; needs no server."""
    rules = rules_from(file)
    _say("valid", rules, json_output)


@app.command("push")
def push_rules(
    file: Annotated[Path, typer.Argument(help="A rule set as JSON.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Publish a rule set version; a version never changes."""
    if is_yaml(file):
        raise InvalidInputError(f"{file}: the rules of a definition are published when `concord project apply` does")
    rules = read_rules(file)

    async def work(client: ConcordClient) -> RuleReference:
        return await client.push_rule_set(rules)

    with_client(url, key, work)
    _say("published", rules, json_output)


@app.command("list")
def list_rules(json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List all rule set versions with their owners."""

    async def work(client: ConcordClient) -> tuple[ListedRuleSet, ...]:
        return await client.rule_sets()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(("rule set", "version", "owners"), [(item.id, item.version, ", ".join(item.owners)) for item in found])


@app.command("show")
def show_rules(
    rules: NamedRules = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print a whole rule set as JSON, with what it extends; a start for one of your own."""
    print_json(_named(rules, url, key))


@app.command("escalations")
def show_escalations(
    rules: NamedRules = None, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List the escalation rules of a rule set in the order in which they are tried, with the built-in ones."""
    found = _named(rules, url, key)
    own = len(found.escalations or ())
    if json_output:
        items = [{**jsonable(rule), "built_in": index >= own} for index, rule in enumerate(found.escalation_rules)]
        print_json({"rules": found.reference, "items": items})
        return
    print_table(
        ("rule", "asked", "when", "goes to", "four eyes", "source"),
        [
            (*_told(rule), "yes" if rule.four_eyes else "", "rule set" if index < own else "built in")
            for index, rule in enumerate(found.escalation_rules)
        ],
    )


def _told(rule: EscalationRule) -> tuple[str, str, str, str]:
    apart = {"id", "verdicts", "to", "four_eyes"}
    wanted = rule.model_dump(mode="json", exclude_defaults=True, exclude=apart)
    when = "; ".join(
        name.replace("_", " ") + ("" if value is True else f" {', '.join(value) if isinstance(value, list) else value}")
        for name, value in wanted.items()
    )
    to = "; ".join([rule.to.queue or rule.to.tier, *([f"skill {rule.to.skill}"] if rule.to.skill else [])])
    return rule.id, f"after {', '.join(rule.verdicts)}" if rule.verdicts else "before reviewers", when or "always", to


def _named(rules: str | None, url: str | None, key: str | None) -> RuleSet:
    if rules is None or rules in BUILT_IN or Path(rules).is_file():
        return rules_from(rules or DEFAULT_RULE_SET.id)
    reference = parse_rules(rules)

    async def work(client: ConcordClient) -> RuleSet:
        return await client.rule_set(reference.id, reference.version)

    return with_client(url, key, work)


@app.command("try")
def try_rules(
    file: Annotated[str, typer.Argument(help="The changed rule set: a file, or the name of a built-in one.")],
    paths: Annotated[list[Path], typer.Argument(help="Samples, as for `concord check`.")],
    *,
    against: Annotated[str, typer.Option(help="The rule set to compare with: a file or a name.")] = DEFAULT_RULE_SET.id,
    jobs: JobsOption = 1,
    assets: AssetsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a changed rule set would find, no longer find, and escalate otherwise on samples; needs no server.

    Exit 0: both were run, whatever differs. Exit 2: something could not be read.
    """
    configure_logging(level="ERROR", form="console")
    old, new = rules_from(against), rules_from(file)
    batch = read_batch(paths, assets or ())
    before, failures = check_with_progress(batch, for_trial(old), jobs, what="old rules")
    after, more = check_with_progress(batch, for_trial(new), jobs, what="new rules")
    errors = dict([*batch.errors, *failures, *more])
    if not failures and not more:
        items = differences(before, after, old, new)
        if json_output:
            print_json(trial_document(items, old, new))
        else:
            print_trial(items, old, new)
    for path, error in errors.items():
        print_problem(error.detail if str(path) in error.detail else f"{path}: {error.detail}", error.places)
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command("dry-run")
def dry_run(
    project: Annotated[str, typer.Argument(help="The project.")],
    rules: Annotated[str, typer.Argument(help="A file, the name of a built-in one, or ID@VERSION on the server.")],
    *,
    samples: Annotated[int, typer.Option(min=1, max=MAX_SAMPLES, help="At most so many.")] = 50,
    order: OrderOption = "newest",
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Try a rule set on a project's stored samples: findings, tasks, hours, precision and recall; changes nothing.

    Of a project's definition its rules are tried; `concord project plan` tries them with its settings and queues.
    """
    local = rules in BUILT_IN or Path(rules).is_file()
    given = DryRunRequest(
        rules=rules_from(rules) if local else None,
        rule_set=None if local else parse_rules(rules),
        samples=samples,
        order=order,
    )

    async def work(client: ConcordClient) -> DryRun:
        return await client.dry_run_rules(project, given)

    made = with_client(url, key, work)
    if json_output:
        print_json(made)
    else:
        print_dry_run(made)


@app.command("reference")
def reference() -> None:
    """Print every field of a rule set as Markdown."""
    typer.echo(rules_reference())


def _say(what: str, rules: RuleSet, json_output: bool) -> None:
    if json_output:
        print_json({"id": rules.id, "version": rules.version, "sha256": rules.sha256})
    else:
        output().print(plain(f"{what}: {rules.id}@{rules.version}  sha256 {rules.sha256}"))
