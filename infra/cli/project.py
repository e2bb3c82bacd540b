"""``concord project``: create, change, list and show projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json, print_table
from infra.cli.documents import read_document
from infra.cli.project_definition import register
from infra.cli.taxonomy import parse_reference
from infra.client import ConcordClient
from services.contracts.findings import RuleReference
from services.contracts.records import Project, ProjectConfig
from services.errors import InvalidInputError

app = typer.Typer(help="Create, change, list and show projects.", no_args_is_help=True, add_completion=False)
register(app)


def parse_rules(text: str) -> RuleReference:
    """Return the rule set named by ``ID@VERSION``.

    Raises:
        InvalidInputError: It has another form.
    """
    name, _, version = text.rpartition("@")
    if not name or not version.isdecimal() or int(version) < 1:
        raise InvalidInputError(f"a rule set is named ID@VERSION, such as default@1; got {text[:100]!r}")
    return RuleReference(id=name, version=int(version))


@app.command("list")
def list_projects(json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List the projects that your key sees."""

    async def work(client: ConcordClient) -> tuple[Project, ...]:
        return await client.projects()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("project", "name", "domain", "rules", "annotate", "pre-label"),
        [
            (
                item.id,
                item.name,
                item.domain,
                f"{item.config.rule_set.id}@{item.config.rule_set.version}",
                item.config.annotate,
                ", ".join(source.name for source in item.config.pre_label),
            )
            for item in found
        ],
    )


@app.command("show")
def show_project(
    project: Annotated[str, typer.Argument(help="The project.")], url: UrlOption = None, key: KeyOption = None
) -> None:
    """Print a project as JSON; change it and hand it to `concord project update`."""

    async def work(client: ConcordClient) -> Project:
        return await client.project(project)

    print_json(with_client(url, key, work))


@app.command("create")
def create_project(
    project: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits, - and _.")],
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    purpose: Annotated[str, typer.Option(help="What a model shall do with the labels.")] = "",
    domain: Annotated[str, typer.Option(help="Such as automotive.")] = "general",
    rules: Annotated[str, typer.Option(help="ID@VERSION of its rule set.")] = "default@1",
    taxonomy: Annotated[str | None, typer.Option(help="ID@VERSION of its published taxonomy.")] = None,
    *,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Create a project."""
    if taxonomy is not None:
        parse_reference(taxonomy)
    new = Project(
        id=project,
        name=name or project,
        purpose=purpose,
        domain=domain,
        config=ProjectConfig(rule_set=parse_rules(rules), taxonomy=taxonomy),
    )

    async def work(client: ConcordClient) -> Project:
        return await client.create_project(new)

    _say("created", with_client(url, key, work), json_output)


@app.command("update")
def update_project(
    file: Annotated[Path, typer.Argument(help="The project as JSON, as `concord project show` prints it.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Replace a project's name, purpose, domain and configuration."""
    changed = read_document(Project, file, what="project")

    async def work(client: ConcordClient) -> Project:
        return await client.update_project(changed)

    _say("updated", with_client(url, key, work), json_output)


def _say(what: str, project: Project, json_output: bool) -> None:
    if json_output:
        print_json(project)
    else:
        output().print(plain(f"{what} project {project.id}"))
