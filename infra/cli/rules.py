"""``concord rules``: validate and publish rule sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json, print_table
from infra.cli.documents import read_document
from infra.cli.project import parse_rules
from infra.client import ConcordClient
from services.contracts.findings import RuleReference
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

app = typer.Typer(help="Validate and publish rule sets.", no_args_is_help=True, add_completion=False)


@app.command("validate")
def validate_rules(
    file: Annotated[Path, typer.Argument(help="A rule set as JSON.")], json_output: JsonOption = False
) -> None:
    """Say whether a file is a valid rule set; needs no server."""
    rules = read_document(RuleSet, file, what="rule set")
    _say("valid", rules, json_output)


@app.command("push")
def push_rules(
    file: Annotated[Path, typer.Argument(help="A rule set as JSON.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Publish a rule set version; a version never changes."""
    rules = read_document(RuleSet, file, what="rule set")

    async def work(client: ConcordClient) -> RuleReference:
        return await client.push_rule_set(rules)

    with_client(url, key, work)
    _say("published", rules, json_output)


@app.command("list")
def list_rules(json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List all rule set versions."""

    async def work(client: ConcordClient) -> tuple[RuleReference, ...]:
        return await client.rule_sets()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(("rule set", "version"), [(item.id, item.version) for item in found])


@app.command("show")
def show_rules(
    rules: Annotated[str | None, typer.Argument(help="ID@VERSION; the built-in one if left out.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print a rule set as JSON; a start for one of your own."""
    if rules is None:
        print_json(DEFAULT_RULE_SET)
        return
    reference = parse_rules(rules)

    async def work(client: ConcordClient) -> RuleSet:
        return await client.rule_set(reference.id, reference.version)

    print_json(with_client(url, key, work))


def _say(what: str, rules: RuleSet, json_output: bool) -> None:
    if json_output:
        print_json({"id": rules.id, "version": rules.version, "sha256": rules.sha256})
    else:
        output().print(plain(f"{what}: {rules.id}@{rules.version}  sha256 {rules.sha256}"))
