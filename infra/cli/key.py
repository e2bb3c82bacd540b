"""``concord key``: API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, messages, output, plain, print_json, print_table
from infra.client import ConcordClient, CreatedKey
from services.contracts.access import ApiKeyInfo, Role

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, add_completion=False)


@app.command("create")
def create_key(
    actor: Annotated[str, typer.Argument(help="The person or system; keys of one person share it.")],
    role: Annotated[Role, typer.Option(help="What the key may do.")],
    project: Annotated[
        list[str] | None, typer.Option(help="A project it may touch; may be repeated; all if none.")
    ] = None,
    skill: Annotated[list[str] | None, typer.Option(help="What the person can do; may be repeated.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a key; its secret is printed this once and kept nowhere."""

    async def work(client: ConcordClient) -> CreatedKey:
        return await client.create_key(
            actor, role, projects=tuple(project) if project else None, skills=tuple(skill or ())
        )

    made = with_client(url, key, work)
    if json_output:
        print_json(made)
        return
    messages().print(
        plain(f"key {made.key.key_id} of {made.key.actor_id}, role {made.key.role}; its secret, told once:")
    )
    output().print(plain(made.secret))


@app.command("list")
def list_keys(json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List keys, never their secrets."""

    async def work(client: ConcordClient) -> tuple[ApiKeyInfo, ...]:
        return await client.keys()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("key", "actor", "role", "projects", "skills", "created", "state"),
        [
            (
                item.key_id,
                item.actor_id,
                item.role,
                "all" if item.projects is None else ", ".join(item.projects),
                ", ".join(item.skills),
                item.created_at.date(),
                "revoked" if item.revoked_at else f"until {item.expires_at.date()}" if item.expires_at else "valid",
            )
            for item in found
        ],
    )


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, from `concord key list`.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Revoke a key: it stops working at once."""

    async def work(client: ConcordClient) -> None:
        await client.revoke_key(key_id)

    with_client(url, key, work)
    if json_output:
        print_json({"key_id": key_id, "revoked": True})
    else:
        output().print(plain(f"revoked {key_id}"))
