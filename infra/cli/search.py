"""``concord search``: find samples, findings, notes, tasks and people."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, print_json, print_table
from infra.client import ConcordClient, Page
from services.contracts.findings import Severity
from services.contracts.search import HitKind, SearchHit


def search(
    words: Annotated[list[str] | None, typer.Argument(help="Beginnings of words, all of which must occur.")] = None,
    kind: Annotated[list[HitKind] | None, typer.Option(help="Only these kinds; may be repeated.")] = None,
    project: Annotated[str | None, typer.Option(help="Only what lies in this project.")] = None,
    sample: Annotated[str | None, typer.Option(help="Only what is about this sample.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only notes of this person.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only findings of this severity.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Find samples, findings, notes, tasks and people by words and filters, newest first."""

    async def work(client: ConcordClient) -> list[SearchHit]:
        found: list[SearchHit] = []

        async def page(cursor: str | None) -> Page[SearchHit]:
            return await client.search(
                " ".join(words) if words else None,
                kinds=kind or (),
                project=project,
                sample_id=sample,
                actor=actor,
                severity=severity,
                cursor=cursor,
                limit=min(limit, 200),
            )

        async for hit in client.each(page):
            found.append(hit)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("kind", "id", "project", "sample", "age", "title", "text"),
        [
            (hit.kind, hit.subject, hit.project or "all", hit.sample_id, age(hit.at), hit.title, hit.excerpt)
            for hit in found
        ],
    )
