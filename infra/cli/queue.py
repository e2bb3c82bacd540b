"""``concord queue``: backlog, and the queues of a project."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import EXIT_FOUND, JsonOption, age, output, plain, print_facts, print_json, print_table
from infra.cli.documents import read_document
from infra.client import ConcordClient
from services.contracts.queues import ListedQueue, ReviewQueue
from services.contracts.task_operations import RoutingPreview

app = typer.Typer(
    help="Show the backlog of every queue; list, set up, try, pause and resume the queues of a project.",
    invoke_without_command=True,
    add_completion=False,
)
Project = Annotated[str, typer.Argument(help="The project.")]
Name = Annotated[str, typer.Argument(help="The queue.")]


@app.callback()
def queue(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only queues of this project.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show the backlog of every queue: open, claimed and overdue tasks, and the oldest."""
    if context.invoked_subcommand is not None:
        return

    async def work(client: ConcordClient) -> Any:
        return await client.queues()

    rows = [row for row in with_client(url, key, work) if project is None or row.project == project]
    if json_output:
        print_json({"items": rows})
        return
    now = datetime.now(UTC)
    print_table(
        ("project", "queue", "kind", "open", "claimed", "overdue", "oldest"),
        [
            (row.project, row.queue, row.kind, row.open, row.claimed, row.overdue, age(row.oldest_created_at, now))
            for row in rows
        ],
    )


@app.command("list")
def list_queues(
    project: Project, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List a project's queues in the order in which they are asked, then those of its rule set."""

    async def work(client: ConcordClient) -> tuple[ListedQueue, ...]:
        return await client.project_queues(project)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("queue", "source", "position", "takes in", "skills", "teams", "priority", "ageing/h", "capacity", "paused"),
        [(listed.queue.name, listed.source, *_told(listed.queue)) for listed in found],
    )


def _told(queue: ReviewQueue) -> tuple[object, ...]:
    wanted = {} if queue.filter is None else queue.filter.model_dump(exclude_defaults=True)
    takes = "; ".join(f"{name} {_joined(value)}" for name, value in wanted.items())
    return (
        queue.position,
        "what is sent to it" if queue.filter is None else takes or "everything",
        ", ".join(f"{skill.name} {skill.level}" for skill in queue.skills),
        ", ".join(queue.teams),
        "" if queue.base_priority is None else str(queue.base_priority),
        queue.ageing_per_hour,
        "" if queue.capacity is None else str(queue.capacity),
        "paused" if queue.paused else "",
    )


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@app.command("show")
def show_queue(project: Project, name: Name, url: UrlOption = None, key: KeyOption = None) -> None:
    """Print a queue as JSON; change it and hand it to `concord queue put`."""

    async def work(client: ConcordClient) -> ReviewQueue:
        return await client.project_queue(project, name)

    print_json(with_client(url, key, work))


@app.command("put")
def put_queue(
    project: Project,
    file: Annotated[Path, typer.Argument(help="The queue as JSON, as `concord queue show` prints it.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set a queue up, or change it. Tasks that are open stay in their queues; see `concord tasks reroute`."""
    wanted = read_document(ReviewQueue, file, what="queue")

    async def work(client: ConcordClient) -> ReviewQueue:
        return await client.put_queue(project, wanted)

    _say("put", with_client(url, key, work), json_output)


@app.command("delete")
def delete_queue(project: Project, name: Name, url: UrlOption = None, key: KeyOption = None) -> None:
    """Remove a queue of the project's own; its open tasks stay under its name."""

    async def work(client: ConcordClient) -> None:
        await client.delete_queue(project, name)

    with_client(url, key, work)
    output().print(plain(f"deleted queue {name}"))


@app.command("pause")
def pause_queue(
    project: Project, name: Name, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Let a queue give out nothing; who holds one of its tasks finishes it."""
    _pause(project, name, True, json_output, url, key)


@app.command("resume")
def resume_queue(
    project: Project, name: Name, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Let a paused queue give out tasks again."""
    _pause(project, name, False, json_output, url, key)


def _pause(project: str, name: str, paused: bool, json_output: bool, url: str | None, key: str | None) -> None:
    async def work(client: ConcordClient) -> ReviewQueue:
        return await client.pause_queue(project, name, paused=paused)

    _say("paused" if paused else "resumed", with_client(url, key, work), json_output)


@app.command("try")
def try_queues(
    project: Project,
    file: Annotated[Path, typer.Argument(help="A JSON list of queues: all that the project would have.")],
    tasks: Annotated[int, typer.Option(min=0, max=500, help="So many of the tasks that would move are listed.")] = 20,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Tell what would be routed where with other queues, and change nothing; exit 1 if a task would move."""
    wanted = read_document(tuple[ReviewQueue, ...], file, what="list of queues")

    async def work(client: ConcordClient) -> RoutingPreview:
        return await client.preview_routing(project, wanted, moved_only=True, limit=max(tasks, 1))

    preview = with_client(url, key, work)
    if json_output:
        print_json(preview)
    else:
        print_table(("now", "would be", "tasks"), [(pair.now, pair.would, pair.tasks) for pair in preview.pairs])
        if tasks and preview.items:
            print_table(
                ("task", "sample", "now", "would be", "escalated by"),
                [(item.task_id, item.ref.sample_id, item.now, item.would, item.rule or "") for item in preview.items],
            )
        print_facts([("unfinished tasks", preview.tasks), ("would move", preview.moved)])
    if preview.moved:
        raise typer.Exit(EXIT_FOUND)


def _say(what: str, queue: ReviewQueue, json_output: bool) -> None:
    if json_output:
        print_json(queue)
    else:
        output().print(plain(f"{what} queue {queue.name}"))
