"""``concord samples``: where samples are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, print_facts, print_json, print_table
from infra.client import ConcordClient
from services.contracts.lifecycle import Stage
from services.contracts.records import SampleSummary


def samples(
    project: Annotated[str, typer.Argument(help="The project.")],
    sample_id: Annotated[str | None, typer.Argument(help="One sample: its history and findings.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only samples at this stage.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List samples with their stage, or tell the history of one."""
    if sample_id is not None:
        _one(project, sample_id, json_output, url, key)
        return

    async def work(client: ConcordClient) -> list[SampleSummary]:
        found: list[SampleSummary] = []
        pages = client.each(lambda cursor: client.samples(project, stage=stage, cursor=cursor, limit=min(limit, 200)))
        async for summary in pages:
            found.append(summary)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("sample", "revision", "stage", "risk", "labels", "created", "changed"),
        [
            (s.ref.sample_id, s.ref.revision, s.stage, s.risk, s.label_version, age(s.created_at), age(s.updated_at))
            for s in found
        ],
    )


def _one(project: str, sample_id: str, json_output: bool, url: str | None, key: str | None) -> None:
    async def work(client: ConcordClient) -> dict[str, Any]:
        return {
            "sample": await client.sample(project, sample_id),
            "timeline": await client.timeline(project, sample_id),
            "findings": await client.findings(project, sample_id),
        }

    facts = with_client(url, key, work)
    if json_output:
        print_json(facts)
        return
    revision = facts["sample"]
    print_facts(
        [
            ("sample", revision.ref.sample_id),
            ("revision", revision.ref.revision),
            ("stage", revision.stage),
            ("risk", revision.risk),
            ("label version", revision.label_version),
        ]
    )
    print_table(
        ("#", "at", "revision", "stage", "actor", "reason"),
        [(c.sequence, c.at.isoformat(), c.ref.revision, c.stage, c.actor, c.reason) for c in facts["timeline"]],
        title="\ntimeline",
    )
    print_table(
        ("finding", "state", "severity", "kind", "message"),
        [
            (
                f.finding.finding_id,
                f.state,
                f.finding.severity,
                f"{f.finding.check}/{f.finding.kind}",
                f.finding.message,
            )
            for f in facts["findings"]
        ],
        title="\nfindings",
    )
