"""``concord ingest``: post the samples behind a path as events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import (
    EXIT_FOUND,
    JsonOption,
    messages,
    plain,
    print_json,
    print_problem,
    print_table,
    told_in_short,
)
from infra.client import ConcordClient, EventResult, cloud_event
from infra.storage.found import BadFile, FoundSample
from infra.storage.manifest_files import find_samples
from services.contracts.canonical import canonical_json, content_sha256
from services.contracts.events import EventType
from services.contracts.manifest import SampleManifest

SOURCE = "concord-ingest"
BATCH_EVENTS = 100
BATCH_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Outcome:
    """What became of everything that was posted."""

    results: list[EventResult] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How many samples came to each outcome."""
        return Counter({"unreadable": len(self.bad_files)}) + Counter(result.outcome for result in self.results)


def event_of(manifest: SampleManifest, *, update: bool) -> dict[str, Any]:
    """Return the event that posts a manifest.

    Its id is made of the manifest alone, so that posting the same folder again makes no duplicates.
    """
    kind = EventType.SAMPLE_UPDATED if update else EventType.SAMPLE_CREATED
    digest = content_sha256(manifest)[:32]
    event_id = f"{manifest.project}/{manifest.sample_id}/{digest}{'/update' if update else ''}"
    return cloud_event(kind.value, SOURCE, event_id, manifest, subject=f"samples/{manifest.sample_id}")


def in_batches(events: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield events in batches that the API takes; one that is too large alone is a batch of its own."""
    batch: list[dict[str, Any]] = []
    size = 0
    for event in events:
        event_size = len(canonical_json(event)) + 1
        if batch and (len(batch) == BATCH_EVENTS or size + event_size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event_size
    if batch:
        yield batch


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Manifests, label files, folders of either, KITTI folders.")],
    project: Annotated[
        str | None, typer.Option(help="Post to this project, whatever the manifests say.", metavar="PROJECT")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Post known samples as new revisions.")] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Post samples as events; exit 1 if any was refused, 2 if a file could not be read.

    Running it again on the same files changes nothing: what was accepted before is answered as a duplicate.
    """
    outcome = Outcome()
    found = list(_manifests(paths, project, outcome))

    async def work(client: ConcordClient) -> None:
        with _progress(quiet=json_output) as progress:
            task = progress.add_task("posting", total=len(found))
            for batch in in_batches(event_of(manifest, update=update) for manifest in found):
                outcome.results += await client.send_events(batch)
                progress.advance(task, len(batch))

    if found:
        with_client(url, key, work)
    if json_output:
        print_json(
            {
                "results": outcome.results,
                "unreadable": [{"path": str(bad.path), "detail": bad.error.detail} for bad in outcome.bad_files],
                "summary": dict(outcome.counts),
            }
        )
    else:
        _print(outcome)
    if outcome.bad_files:
        raise typer.Exit(2)
    if outcome.counts["refused"]:
        raise typer.Exit(EXIT_FOUND)


def _manifests(paths: list[Path], project: str | None, outcome: Outcome) -> Iterator[SampleManifest]:
    for item in find_samples(*paths, project=project or "default"):
        if isinstance(item, FoundSample):
            for losses in item.losses:
                messages().print(plain(f"{item.manifest.sample_id}: {told_in_short(losses)}"), style="dim")
            yield item.manifest if project is None else item.manifest.model_copy(update={"project": project})
        else:
            outcome.bad_files.append(item)
            print_problem(item.error.detail, item.error.places)


def _progress(*, quiet: bool) -> Progress:
    console = messages()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )


def _print(outcome: Outcome) -> None:
    refused = [result for result in outcome.results if result.outcome == "refused"]
    if refused:
        print_table(
            ("refused", "why"),
            [(result.id, (result.problem or {}).get("detail", "")) for result in refused],
        )
    counts = outcome.counts
    messages().print(plain(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing found"))
    print_table(
        ("project", "accepted", "duplicate", "refused"),
        [
            (
                project or "",
                *(
                    sum(1 for r in outcome.results if (r.project or "") == (project or "") and r.outcome == kind)
                    for kind in ("accepted", "duplicate", "refused")
                ),
            )
            for project in sorted({result.project or "" for result in outcome.results})
        ],
    )
