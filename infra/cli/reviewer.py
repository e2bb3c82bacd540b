"""``concord reviewer``: what a project knows of its reviewers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json, print_table
from infra.cli.documents import read_document
from infra.cli.top import length
from infra.client import ConcordClient
from services.contracts.active_time import ActivitySelection, PersonTime
from services.contracts.people import Reviewer, ReviewerProfile, SkillGrant
from services.contracts.review import TaskKind
from services.review.hours import told_hours

app = typer.Typer(
    help="Skills, teams, working hours and caps of reviewers.", no_args_is_help=True, add_completion=False
)
Project = Annotated[str, typer.Argument(help="The project.")]
Person = Annotated[str, typer.Argument(help="The person's actor id.")]


@app.command("list")
def list_reviewers(
    project: Project, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List the people that a project knows."""

    async def work(client: ConcordClient) -> tuple[Reviewer, ...]:
        return await client.reviewers(project)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("person", "skills", "teams", "hours", "holds at most", "paused"),
        [
            (
                one.profile.actor_id,
                ", ".join(map(_skill, one.skills)),
                ", ".join(one.profile.teams),
                told_hours(one.profile),
                "" if one.profile.max_claims is None else str(one.profile.max_claims),
                ", ".join(f"{pause.queue} ({pause.kind})" for pause in one.paused),
            )
            for one in found
        ],
    )


@app.command("active-time")
def active_time(
    project: Project,
    *,
    hours: Annotated[float, typer.Option(min=0.1, max=8_784, help="How far back to look.")] = 24.0,
    person: Annotated[str | None, typer.Option(help="Only this person.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show how long people really worked on the tasks that they were at in the window."""
    since = datetime.now(UTC) - timedelta(hours=hours)

    async def work(client: ConcordClient) -> tuple[PersonTime, ...]:
        return await client.people_times(project, ActivitySelection(actor=person, since=since))

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("person", "tasks", "active", "a task"),
        [
            (
                one.actor_id,
                one.tasks.value,
                length(one.active_s.value),
                length(one.active_s.value / one.tasks.value),
            )
            for one in sorted(found, key=lambda one: -one.active_s.value)
        ],
    )


@app.command("show")
def show_reviewer(project: Project, person: Person, url: UrlOption = None, key: KeyOption = None) -> None:
    """Print a person's profile as JSON; change it and hand it to `concord reviewer put`."""

    async def work(client: ConcordClient) -> Reviewer:
        return await client.reviewer(project, person)

    print_json(with_client(url, key, work).profile)


@app.command("put")
def put_reviewer(
    project: Project,
    file: Annotated[Path, typer.Argument(help="The profile as JSON.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set what a project knows of a person."""
    profile = read_document(ReviewerProfile, file, what="profile")

    async def work(client: ConcordClient) -> Reviewer:
        return await client.put_reviewer(project, profile)

    stored = with_client(url, key, work)
    if json_output:
        print_json(stored)
    else:
        output().print(plain(f"put reviewer {stored.profile.actor_id}"))


@app.command("delete")
def delete_reviewer(project: Project, person: Person, url: UrlOption = None, key: KeyOption = None) -> None:
    """Forget what a project knows of a person; keys and decisions stay."""

    async def work(client: ConcordClient) -> None:
        await client.delete_reviewer(project, person)

    with_client(url, key, work)
    output().print(plain(f"deleted reviewer {person}"))


@app.command("resume")
def resume_reviewer(
    project: Project,
    person: Person,
    queue: Annotated[str, typer.Option(help="The queue that the person is paused for.")],
    kind: Annotated[TaskKind, typer.Option(help="The kind of task.")] = TaskKind.REVIEW,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Let a paused person have tasks again; what they answered before counts no more for a pause."""

    async def work(client: ConcordClient) -> Reviewer:
        return await client.resume_reviewer(project, person, queue, kind)

    with_client(url, key, work)
    output().print(plain(f"resumed reviewer {person} for {kind} tasks of {queue}"))


def _skill(grant: SkillGrant) -> str:
    if grant.figures is None:
        return f"{grant.name} {grant.level}"
    return f"{grant.name} {grant.level} (earned: {grant.figures.right} of {grant.figures.judged} right)"
