"""``concord verify``: prove the audit chain and the ground truth."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, output, plain, print_json, print_table
from infra.client import ConcordClient
from services.access.keys import SYSTEM_PROJECT
from services.contracts.verification import VerificationReport
from services.errors import InvalidInputError

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def parse_anchor(text: str | None) -> tuple[int, str] | None:
    """Return (sequence, sha256) of ``SEQ:SHA``.

    Raises:
        InvalidInputError: It has another form.
    """
    if text is None:
        return None
    match = _ANCHOR.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInputError("--anchor is SEQ:SHA: the number of an audit entry and its 64 hex digits")
    return int(match[1]), match[2]


def verify(
    project: Annotated[str | None, typer.Argument(help="The project; all projects if left out.")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="SEQ:SHA of an entry noted earlier; needs PROJECT.", metavar="SEQ:SHA")
    ] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Recompute the audit chain and every ground-truth record; exit 1 if anything contradicts."""
    wanted = parse_anchor(anchor)
    if wanted is not None and project is None:
        raise InvalidInputError("an anchor belongs to one project: name it")

    async def work(client: ConcordClient) -> list[VerificationReport]:
        names = [project] if project is not None else await _all_chains(client)
        return [await client.verify(name, anchor=wanted) for name in names]

    reports = with_client(url, key, work)
    if json_output:
        print_json(reports[0] if project is not None else {"items": reports})
    else:
        _print(reports)
    if not all(report.audit_verified and report.lineage_verified for report in reports):
        raise typer.Exit(EXIT_FOUND)


async def _all_chains(client: ConcordClient) -> list[str]:
    """Return every chain that the key may see, that of what concerns no single project among them."""
    names = [item.id for item in await client.projects()]
    return names if (await client.whoami()).projects is not None else [SYSTEM_PROJECT, *names]


def _print(reports: list[VerificationReport]) -> None:
    print_table(
        ("project", "audit", "lineage", "entries", "records", "head"),
        [
            (
                report.project,
                "verified" if report.audit_verified else "BROKEN",
                "verified" if report.lineage_verified else "BROKEN",
                report.entries,
                report.records,
                f"{report.head.sequence}:{report.head.sha256}" if report.head else "",
            )
            for report in reports
        ],
    )
    for report in reports:
        for item in report.faults:
            output().print(plain(f"{report.project}  {item.kind}  {item.subject}: {item.detail}"))
        if report.faults_left_out:
            output().print(plain(f"{report.project}  and {report.faults_left_out} more"))
