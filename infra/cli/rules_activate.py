"""Which rules a project goes by and from when on: ``concord rules activate, activations, cancel, owners``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json, print_table
from infra.cli.project import parse_rules
from infra.cli.rules_dry_run import named, print_activation
from infra.client import ConcordClient
from services.contracts.rule_changes import (
    MAX_BUDGET,
    Activation,
    ActivationRequest,
    Order,
    RuleActivation,
    RuleSetOwners,
    ScheduleRequest,
)
from services.errors import InvalidInputError

ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
_TIME = "%Y-%m-%d %H:%M:%S"


def register(app: typer.Typer) -> None:
    """Add the commands to ``concord rules``."""
    for name, command in (
        ("activate", activate),
        ("activations", list_activations),
        ("cancel", cancel),
        ("owners", owners),
    ):
        app.command(name)(command)


def activate(
    project: ProjectArgument,
    rules: Annotated[str, typer.Argument(help="ID@VERSION on the server.")],
    *,
    at: Annotated[
        str | None, typer.Option(help="From when on, such as 2030-01-01T06:00:00Z; at once if left out.")
    ] = None,
    budget: Annotated[int, typer.Option(min=0, max=MAX_BUDGET, help="Open samples to check again then.")] = 50,
    order: Annotated[Order, typer.Option(help="Which samples come first.")] = "newest",
    dry_run_id: Annotated[UUID | None, typer.Option("--dry-run", help="The dry run that it rests on.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Let a project go by a rule set, and have open samples checked again by it, up to the budget."""
    given = ActivationRequest(rule_set=parse_rules(rules), budget=budget, order=order, dry_run_id=dry_run_id)
    moment = None if at is None else parse_moment(at)

    async def now(client: ConcordClient) -> Activation:
        return await client.activate_rules(project, given)

    async def later(client: ConcordClient, effective_at: datetime) -> RuleActivation:
        return await client.schedule_rules(project, ScheduleRequest(**given.model_dump(), effective_at=effective_at))

    if moment is not None:
        _say(with_client(url, key, lambda client: later(client, moment)), json_output)
        return
    done = with_client(url, key, now)
    if json_output:
        print_json(done)
    else:
        print_activation(done)


def parse_moment(text: str) -> datetime:
    """Return a moment with its offset from UTC.

    Raises:
        InvalidInputError: It has another form, or no offset.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInputError(
            f"a moment is written 2030-01-01T06:00:00Z, or with another offset from UTC; got {text[:100]!r}"
        )
    return moment


def list_activations(
    project: ProjectArgument, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List from when on a project went, goes, or shall go by which rule set; what takes effect last comes first."""

    async def work(client: ConcordClient) -> list[RuleActivation]:
        return [item async for item in client.each(lambda cursor: client.rule_activations(project, cursor=cursor))]

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("from (UTC)", "rule set", "state", "before", "checked again", "by", "activation"),
        [
            (
                f"{item.effective_at:{_TIME}}",
                named(item.rule_set),
                item.state,
                "" if item.before is None else named(item.before),
                f"up to {item.recheck.budget}" if item.rechecked is None else item.rechecked,
                item.cancelled_by or item.requested_by,
                item.activation_id,
            )
            for item in found
        ],
    )


def cancel(
    project: ProjectArgument,
    activation: Annotated[UUID, typer.Argument(help="Of `concord rules activations`.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Take a scheduled activation back."""

    async def work(client: ConcordClient) -> RuleActivation:
        return await client.cancel_activation(project, activation)

    _say(with_client(url, key, work), json_output)


def owners(
    rule_set: Annotated[str, typer.Argument(help="Id of the rule set, without a version.")],
    *,
    names: Annotated[
        list[str] | None, typer.Option("--set", help="Name a person the owner; once for each, in place of all before.")
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Leave it to all who may change rules.")] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show, or name, who may publish versions of a rule set and activate them."""
    if names and nobody:
        raise InvalidInputError("give one of the two: --set, or --nobody")

    async def work(client: ConcordClient) -> RuleSetOwners:
        if names or nobody:
            return await client.set_rule_set_owners(rule_set, tuple(names or ()))
        return await client.rule_set_owners(rule_set)

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
        return
    since = "" if found.changed_at is None else f" since {found.changed_at:{_TIME}} UTC, by {found.changed_by}"
    who = ", ".join(found.owners) or "nobody; whoever may change rules publishes and activates it"
    output().print(plain(f"{found.rule_set_id} is owned by {who}{since}"))


def _say(item: RuleActivation, json_output: bool) -> None:
    if json_output:
        print_json(item)
        return
    what = f"{item.project}: {named(item.rule_set)} from {item.effective_at:{_TIME}} UTC on is {item.state}"
    output().print(plain(f"{what} ({item.activation_id})"))
