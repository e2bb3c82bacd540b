"""``concord incident``: one cause behind findings of many samples; look, preview a fix, order it, dismiss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, output, plain, print_facts, print_json, print_table
from infra.client import ConcordClient
from infra.storage.given_files import read_json
from services.contracts.incidents import (
    DismissRequest,
    FixPreview,
    FixRequest,
    IncidentMember,
    IncidentState,
    IncidentSummary,
    MemberState,
)
from services.contracts.validation import validate

app = typer.Typer(
    help="Findings of many samples with one cause: look, fix them all at once, or dismiss.",
    no_args_is_help=True,
    add_completion=False,
)
EXIT_EXPLAINS_TOO_LITTLE = 1
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
IncidentArgument = Annotated[str, typer.Argument(help="The incident's id.")]
NoteOption = Annotated[str | None, typer.Option(help="For those who read it later.")]


@app.command("list")
def list_incidents(
    project: ProjectArgument,
    state: Annotated[IncidentState | None, typer.Option(help="Only incidents in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List incidents with how far each is."""

    async def work(client: ConcordClient) -> list[IncidentSummary]:
        found: list[IncidentSummary] = []
        pages = client.each(lambda cursor: client.incidents(project, state=state, cursor=cursor, limit=min(limit, 200)))
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
        ("incident", "state", "severity", "samples", "spot checks", "checked again", "opened", "cause"),
        [
            (
                one.incident.incident_id,
                one.incident.state,
                one.incident.severity,
                one.samples,
                one.spot_checks,
                one.progress.checked_again,
                age(one.incident.opened_at),
                one.incident.message,
            )
            for one in found
        ],
    )


@app.command("show")
def show_incident(
    project: ProjectArgument,
    incident: IncidentArgument,
    samples: Annotated[bool, typer.Option("--samples", help="List every finding, not only the spot checks.")] = False,
    state: Annotated[MemberState | None, typer.Option(help="Only findings in this state.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show an incident, its estimate, its fix, and its samples."""

    async def work(client: ConcordClient) -> tuple[IncidentSummary, list[IncidentMember]]:
        members = client.each(
            lambda cursor: client.incident_samples(
                project,
                incident,
                state=state,
                spot_checks=None if samples or state is not None else True,
                cursor=cursor,
                limit=200,
            )
        )
        return await client.incident(project, incident), [member async for member in members]

    summary, members = with_client(url, key, work)
    if json_output:
        print_json({"incident": summary, "samples": members})
        return
    _print_summary(summary)
    print_table(
        ("sample", "revision", "finding", "state", "spot check", "estimate", "reason"),
        [
            (
                member.ref.sample_id,
                member.ref.revision,
                member.finding_id,
                member.state,
                "yes" if member.spot_check else "",
                ", ".join(f"{value.name} {value.value:+.4g}" for value in member.values),
                member.reason,
            )
            for member in members
        ],
        title="\nsamples" if samples or state is not None else "\nspot checks",
    )


@app.command("fix")
def fix_incident(
    project: ProjectArgument,
    incident: IncidentArgument,
    *,
    correction: Annotated[
        Path | None, typer.Option(help="A JSON file with the correction; what the incident suggests if left out.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Apply it to all samples after the preview.")] = False,
    override: Annotated[
        bool, typer.Option("--override", help="Apply it although it explains less than the rule set asks for.")
    ] = False,
    note: NoteOption = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Preview a fix on the spot checks, and with --apply order it; exit 1 if it explains too little to be applied."""
    request = FixRequest(note=note, override=override)
    if correction is not None:
        document = {"correction": read_json(correction)}
        request = validate(FixRequest, document, what="correction").model_copy(
            update={"note": note, "override": override}
        )

    async def work(client: ConcordClient) -> tuple[FixPreview, IncidentSummary | None]:
        preview = await client.preview_fix(project, incident, request)
        if not apply or not (preview.sufficient or override):
            return preview, None
        ordered = request.model_copy(update={"correction": preview.correction})
        return preview, await client.fix_incident(project, incident, ordered)

    preview, summary = with_client(url, key, work)
    if json_output:
        print_json({"preview": preview, "incident": summary})
    else:
        _print_preview(preview)
        if summary is not None:
            output().print(plain("\nThe fix is ordered; every sample is corrected and checked again."))
            _print_summary(summary)
        elif preview.sufficient:
            output().print(plain("\nNothing was changed. Add --apply to correct all samples."))
    if summary is None and not preview.sufficient:
        output().print(plain("\nIt explains less than the rule set asks for; nothing was changed."))
        raise typer.Exit(EXIT_EXPLAINS_TOO_LITTLE)


@app.command("dismiss")
def dismiss_incident(
    project: ProjectArgument,
    incident: IncidentArgument,
    *,
    reason_code: Annotated[str, typer.Option(help="Such as different_causes or not_a_fault.")],
    note: NoteOption = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Say that an incident is none; each of its findings goes back to review by itself."""

    async def work(client: ConcordClient) -> IncidentSummary:
        return await client.dismiss_incident(project, incident, DismissRequest(reason_code=reason_code, note=note))

    summary = with_client(url, key, work)
    if json_output:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: IncidentSummary) -> None:
    incident = summary.incident
    facts: list[tuple[str, Any]] = [
        ("incident", incident.incident_id),
        ("state", incident.state),
        ("cause", incident.message),
        ("check", f"{incident.check}/{incident.kind}, {incident.severity}"),
        ("samples", summary.samples),
        ("spot checks", summary.spot_checks),
        (
            "findings",
            ", ".join(f"{count} {name}" for name, count in summary.progress.model_dump().items() if count),
        ),
    ]
    if incident.suggestion is not None and incident.fix is None:
        facts.append(("suggests", incident.suggestion.model_dump_json(exclude_none=True)))
    if incident.fix is not None:
        fix = incident.fix
        facts.append(("fix", fix.correction.model_dump_json(exclude_none=True)))
        facts.append(("ordered", f"by {fix.ordered_by} at {fix.ordered_at.isoformat()}"))
    if summary.share_checked is not None:
        facts.append(("checked again", f"{summary.share_checked:.0%}"))
    if incident.reason_code is not None:
        facts.append(("dismissed", f"{incident.reason_code}: {incident.note or ''}".rstrip(": ")))
    print_facts(facts)


def _print_preview(preview: FixPreview) -> None:
    print_facts(
        [
            ("correction", preview.correction.model_dump_json(exclude_none=True)),
            ("explains", f"{preview.explained} of {len(preview.spot_checks)} spot checks"),
            ("meets", f"the estimate of {preview.reckoned} of {preview.members} findings"),
        ]
    )
    print_table(
        ("sample", "explained", "measured", "left", "unit", "findings", "after", "reason"),
        [
            (
                spot.ref.sample_id,
                "yes" if spot.explained else "no",
                "" if spot.measured_before is None else f"{spot.measured_before:.4g}",
                "" if spot.measured_after is None else f"{spot.measured_after:.4g}",
                spot.unit,
                spot.findings_before,
                spot.findings_after,
                spot.reason,
            )
            for spot in preview.spot_checks
        ],
        title="\nspot checks",
    )
