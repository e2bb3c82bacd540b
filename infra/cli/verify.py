"""``concord verify``: prove the audit chain and the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, output, plain, print_json, print_table
from infra.cli.progress import phases
from infra.client import ConcordClient
from services.access.keys import SYSTEM_PROJECT
from services.audit.anchors import parse_anchors, parse_link
from services.contracts.verification import Anchor, VerificationReport
from services.errors import InvalidInputError

MAX_ANCHORS = 50_000


def verify(
    project: Annotated[str | None, typer.Argument(help="The project; all projects if left out.")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="SEQ:SHA of an entry noted earlier; needs PROJECT.", metavar="SEQ:SHA")
    ] = None,
    anchors: Annotated[
        Path | None, typer.Option(help="A file of `concord audit anchor`; every line must hold.", dir_okay=False)
    ] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Recompute the audit chain and every ground-truth record; exit 1 if anything contradicts."""
    if anchor is not None and project is None:
        raise InvalidInputError("an anchor belongs to one project: name it")
    noted = read_anchors(anchors)
    if project is not None and anchor is not None:
        noted.setdefault(project, []).append(parse_link(anchor, what="--anchor"))

    async def work(client: ConcordClient) -> list[VerificationReport]:
        # A project that is gone with its chain must not pass for verified.
        names = [project] if project is not None else sorted({*await all_chains(client), *noted})
        reports = []
        for name in names:
            with phases(f"verifying {name}") as tell:
                reports.append(await client.verify(name, anchors=noted.get(name, ()), tell=tell))
        return reports

    reports = with_client(url, key, work)
    if json_output:
        print_json(reports[0] if project is not None else {"items": reports})
    else:
        _print(reports)
    if not all(report.verified for report in reports):
        raise typer.Exit(EXIT_FOUND)


async def all_chains(client: ConcordClient) -> list[str]:
    """Return every chain that the key may see, that of what concerns no single project among them."""
    names = [item.id for item in await client.projects()]
    return names if (await client.whoami()).projects is not None else [SYSTEM_PROJECT, *names]


def read_anchors(file: Path | None) -> dict[str, list[Anchor]]:
    """Return the anchors of a file by project; none without a file.

    Raises:
        InvalidInputError: It can not be read, a line is no anchor, or there are too many.
    """
    if file is None:
        return {}
    try:
        with file.open(encoding="utf-8") as stream:
            found = parse_anchors(stream)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--anchors: {file} can not be read: {error}") from error
    for name, anchors in found.items():
        if len(anchors) > MAX_ANCHORS:
            raise InvalidInputError(f"--anchors: {len(anchors)} of {name}; keep at most {MAX_ANCHORS} in a file")
    return found


def _print(reports: list[VerificationReport]) -> None:
    print_table(
        ("project", "audit", "lineage", "datasets", "entries", "records", "versions", "erased", "redacted", "head"),
        [
            (
                report.project,
                _verdict(report.audit_verified),
                _verdict(report.lineage_verified),
                _verdict(report.datasets_verified),
                report.entries,
                report.records,
                report.dataset_versions,
                report.erased,
                report.redacted,
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


def _verdict(verified: bool) -> str:
    return "verified" if verified else "BROKEN"
