"""``concord dead-letters``: events that could not be handled, and what to do about them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, output, plain, print_json, print_table
from infra.client import ConcordClient
from services.contracts.records import DeadLetter

app = typer.Typer(help="List and replay events that could not be handled.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List events that could not be handled, with the reason."""

    async def work(client: ConcordClient) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        async for letter in client.each(lambda cursor: client.dead_letters(cursor=cursor, limit=min(limit, 200))):
            found.append(letter)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("dead letter", "age", "via", "source", "event", "reason code", "reason", "replayed"),
        [
            (
                letter.dead_letter_id,
                age(letter.received_at),
                letter.via,
                letter.source,
                letter.event_id,
                letter.reason_code,
                letter.reason,
                letter.replay_outcome,
            )
            for letter in found
        ],
    )


@app.command("replay")
def replay_dead_letter(
    dead_letter: Annotated[str, typer.Argument(help="Its id.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Handle an event once more, after what was wrong was put right."""

    async def work(client: ConcordClient) -> dict[str, Any]:
        return await client.replay_dead_letter(dead_letter)

    answer = with_client(url, key, work)
    if json_output:
        print_json(answer)
    else:
        output().print(plain(", ".join(f"{name} {value}" for name, value in answer.items())))
