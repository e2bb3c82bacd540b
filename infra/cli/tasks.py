"""``concord tasks``: change many tasks at once, and take it back."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from infra.api_pages import Page
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, print_facts, print_json, print_table
from infra.cli.top import length
from infra.client import ConcordClient
from services.contracts.active_time import ActivitySelection, TaskTime
from services.contracts.review import TaskKind
from services.contracts.task_operations import (
    Assign,
    Hold,
    OperationPreview,
    OperationRequest,
    Outcome,
    Release,
    Reprioritise,
    Reroute,
    TaskChange,
    TaskFilter,
    TaskOperation,
)
from services.contracts.validation import validate
from services.errors import InvalidInputError

app = typer.Typer(
    help="Re-route, re-prioritise, hold, release or assign many tasks at once; undo takes an operation back.",
    no_args_is_help=True,
    add_completion=False,
)

Project = Annotated[str, typer.Argument(help="The project.")]
Queue = Annotated[list[str] | None, typer.Option("--queue", help="Only tasks of this queue; may be repeated.")]
Check = Annotated[list[str] | None, typer.Option("--check", help="Only about this check; may be repeated.")]
Kind = Annotated[list[TaskKind] | None, typer.Option("--kind", help="Only of this kind; may be repeated.")]
Risk = Annotated[list[str] | None, typer.Option("--risk", help="Only of this risk; may be repeated.")]
Region = Annotated[list[str] | None, typer.Option("--region", help="Only of this region; may be repeated.")]
Sample = Annotated[list[str] | None, typer.Option("--sample", help="Only of this sample; may be repeated.")]
Task = Annotated[list[UUID] | None, typer.Option("--task", help="Only this task; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would become of the tasks.")]
Note = Annotated[str | None, typer.Option(help="Why, for the record.")]


def _wanted(
    queue: list[str] | None,
    check: list[str] | None,
    kind: list[TaskKind] | None,
    risk: list[str] | None,
    region: list[str] | None,
    sample: list[str] | None,
    task: list[UUID] | None,
) -> TaskFilter:
    members: dict[str, Any] = {
        "queues": queue, "checks": check, "kinds": kind, "risks": risk, "regions": region, "sample_ids": sample,
        "task_ids": task,
    }  # fmt: skip
    given = {name: [str(value) for value in values] for name, values in members.items() if values}
    return validate(TaskFilter, given, what="filter")


@app.command("active-time")
def active_time(
    project: Project,
    *,
    task: Annotated[UUID | None, typer.Option(help="Only this task.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only tasks of this queue.")] = None,
    kind: Annotated[TaskKind | None, typer.Option(help="Only of this kind.")] = None,
    person: Annotated[str | None, typer.Option(help="Only this person's time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Show at most so many tasks.")] = 100,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show how long people really worked on tasks, the oldest first."""
    wanted = ActivitySelection(task_id=task, queue=queue, kind=kind, actor=person)

    async def work(client: ConcordClient) -> Page[TaskTime]:
        return await client.task_times(project, wanted, limit=limit)

    page = with_client(url, key, work)
    if json_output:
        print_json({"items": page.items, "next_cursor": page.next_cursor})
        return
    print_table(
        ("task", "sample", "queue", "kind", "state", "people", "active"),
        [
            (
                one.task_id,
                one.ref.sample_id,
                one.queue,
                one.kind,
                one.state,
                one.people.value,
                length(one.active_s.value),
            )
            for one in page.items
        ],
    )


@app.command("reroute")
def reroute(
    project: Project,
    *,
    to: Annotated[str | None, typer.Option(help="The queue; where each would go by the queues, if left out.")] = None,
    queue: Queue = None,
    check: Check = None,
    kind: Kind = None,
    risk: Risk = None,
    region: Region = None,
    sample: Sample = None,
    task: Task = None,
    note: Note = None,
    dry_run: DryRun = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Send tasks to another queue; what somebody holds stays where it is."""
    change = Reroute(action="reroute", queue=to)
    wanted = _wanted(queue, check, kind, risk, region, sample, task)
    _run(project, wanted, change, note, dry_run, json_output, url, key)


@app.command("prioritise")
def prioritise(
    project: Project,
    *,
    priority: Annotated[int | None, typer.Option(help="The new priority.")] = None,
    add: Annotated[int | None, typer.Option(help="Points to add instead; may be negative.")] = None,
    queue: Queue = None,
    check: Check = None,
    kind: Kind = None,
    risk: Risk = None,
    region: Region = None,
    sample: Sample = None,
    task: Task = None,
    note: Note = None,
    dry_run: DryRun = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Give tasks another priority."""
    if (priority is None) == (add is None):
        raise InvalidInputError("give --priority or --add, one of the two")
    change = Reprioritise(action="reprioritise", priority=priority, add=add)
    wanted = _wanted(queue, check, kind, risk, region, sample, task)
    _run(project, wanted, change, note, dry_run, json_output, url, key)


@app.command("hold")
def hold(
    project: Project,
    *,
    reason: Annotated[str, typer.Option(help="Why nobody shall work on them now.")],
    queue: Queue = None,
    check: Check = None,
    kind: Kind = None,
    risk: Risk = None,
    region: Region = None,
    sample: Sample = None,
    task: Task = None,
    note: Note = None,
    dry_run: DryRun = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Give tasks to nobody until they are released; who holds one may finish it."""
    wanted = _wanted(queue, check, kind, risk, region, sample, task)
    _run(project, wanted, Hold(action="hold", reason=reason), note, dry_run, json_output, url, key)


@app.command("release")
def release(
    project: Project,
    *,
    queue: Queue = None,
    check: Check = None,
    kind: Kind = None,
    risk: Risk = None,
    region: Region = None,
    sample: Sample = None,
    task: Task = None,
    note: Note = None,
    dry_run: DryRun = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """End a hold."""
    wanted = _wanted(queue, check, kind, risk, region, sample, task)
    _run(project, wanted, Release(action="release"), note, dry_run, json_output, url, key)


@app.command("assign")
def assign(
    project: Project,
    *,
    to: Annotated[str | None, typer.Option(help="The person; anybody, if left out.")] = None,
    queue: Queue = None,
    check: Check = None,
    kind: Kind = None,
    risk: Risk = None,
    region: Region = None,
    sample: Sample = None,
    task: Task = None,
    note: Note = None,
    dry_run: DryRun = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Ask one person, or anybody again; what somebody holds stays with them."""
    wanted = _wanted(queue, check, kind, risk, region, sample, task)
    _run(project, wanted, Assign(action="assign", assignee=to), note, dry_run, json_output, url, key)


@app.command("undo")
def undo(
    project: Project,
    operation: Annotated[UUID, typer.Argument(help="The operation.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Restore what an operation changed, where that has not been changed since; exit 1 if a task was left."""

    async def work(client: ConcordClient) -> TaskOperation:
        return await client.undo_operation(project, operation)

    done = with_client(url, key, work)
    _print(done, json_output)
    if set(done.outcomes) - {Outcome.CHANGED}:
        raise typer.Exit(EXIT_FOUND)


@app.command("operations")
def operations(project: Project, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List the operations of a project, oldest first."""

    async def work(client: ConcordClient) -> list[TaskOperation]:
        return [one async for one in client.each(lambda cursor: client.task_operations(project, cursor=cursor))]

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("operation", "at", "by", "action", "changed", "undone by", "note"),
        [
            (
                one.operation_id,
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.actor_id,
                one.action,
                one.changed,
                one.undone_by or "",
                one.note or "",
            )
            for one in found
        ],
    )


def _run(
    project: str,
    wanted: TaskFilter,
    change: TaskChange,
    note: str | None,
    dry_run: bool,
    json_output: bool,
    url: str | None,
    key: str | None,
) -> None:
    request = OperationRequest(filter=wanted, change=change, note=note)

    async def work(client: ConcordClient) -> TaskOperation | OperationPreview:
        if dry_run:
            return await client.preview_tasks(project, request)
        return await client.change_tasks(project, request)

    _print(with_client(url, key, work), json_output)


def _print(done: TaskOperation | OperationPreview, json_output: bool) -> None:
    if json_output:
        print_json(done)
        return
    counts = [(outcome.value.replace("_", " "), count) for outcome, count in done.outcomes.items()]
    named = [("operation", str(done.operation_id))] if isinstance(done, TaskOperation) else []
    print_facts([*named, *(counts or [("changed", 0)])])
