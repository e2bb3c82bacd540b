"""``concord audit``: who did what, and anchors for the chain."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.anchors import append_heads
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, messages, output, plain, print_json, print_table
from infra.cli.verify import all_chains
from infra.client import ConcordClient
from services.audit.anchors import anchor_line
from services.audit.personal import text_of
from services.contracts.audit import AuditFilter
from services.contracts.canonical import canonical_json
from services.contracts.records import AuditEntry
from services.contracts.validation import validate
from services.contracts.verification import AuditHead
from services.errors import InvalidInputError

app = typer.Typer(help="Who did what, and anchors for the chain.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_entries(
    project: Annotated[str, typer.Argument(help="The project; concord for what concerns all.")],
    *,
    actor: Annotated[str | None, typer.Option(help="Only what this person or program did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as task.fix.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this, such as samples/s-1/revisions/1.")] = None,
    since: Annotated[str | None, typer.Option(help="Not before this moment, such as 2026-03-01T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only entries after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 100,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List entries of the audit chain in order, with the texts they commit to."""
    given = {"actor": actor, "action": action, "subject": subject, "since": since, "until": until}
    wanted = validate(AuditFilter, {name: value for name, value in given.items() if value is not None}, what="filter")

    async def work(client: ConcordClient) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        pages = client.each(
            lambda cursor: client.audit(project, after=after, wanted=wanted, cursor=cursor, limit=min(limit, 500))
        )
        async for entry in pages:
            found.append(entry)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("#", "at", "actor", "action", "subject", "says"),
        [(e.sequence, _second(e.at), e.actor, e.action, e.subject, _says(e)) for e in found],
    )


@app.command("anchor")
def anchor(
    project: Annotated[str | None, typer.Argument(help="The project; all chains if left out.")] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Append to this file; printed if left out.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Note the newest link of each chain, for `concord verify --anchors`; keep the file out of the database's reach."""

    async def work(client: ConcordClient) -> list[AuditHead]:
        names = [project] if project is not None else await all_chains(client)
        return [await client.audit_head(name) for name in names]

    heads = with_client(url, key, work)
    if output_file is None:
        for head in heads:
            if head.anchor is not None:
                output().print(plain(anchor_line(head.project, head.anchor, head.at)))
        return
    try:
        added = append_heads(output_file, heads)
    except OSError as error:
        raise InvalidInputError(f"{output_file} can not be written: {error}") from error
    messages().print(plain(f"{added} new anchors in {output_file}; {len(heads) - added} chains have not grown"))


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _says(entry: AuditEntry) -> str:
    told = {name: text_of(entry, name) for name in entry.body}
    return canonical_json({name: value for name, value in told.items() if value is not None}).decode()
