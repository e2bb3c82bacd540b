"""``concord lineage`` and ``concord recall``: what a record rests on, and what rests on something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.tree import Tree

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_facts, print_json, print_table
from infra.client import ConcordClient
from infra.recall_calls import RecallCalls
from services.contracts.lineage import Dependent, DependentsSummary, Origin, OriginKind, VersionOfDependents
from services.contracts.records import GroundTruth
from services.errors import InvalidInputError
from services.ground_truth.origins import origins_of


def lineage(
    project: Annotated[str, typer.Argument(help="The project.")],
    sample_id: Annotated[str, typer.Argument(help="The sample.")],
    revision: Annotated[int | None, typer.Option(min=1, help="The newest if left out.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show what a committed record rests on, down to hashes, people and versions; each can be given to recall."""

    async def work(client: ConcordClient) -> GroundTruth:
        return await client.ground_truth(project, sample_id, revision=revision)

    record = with_client(url, key, work)
    if json_output:
        print_json({**record.lineage, "origins": sorted(origins_of(record), key=lambda it: (it.kind, it.key))})
    else:
        output().print(_tree(record))


def recall(
    project: Annotated[str, typer.Argument(help="The project.")],
    *,
    calibration: Annotated[str | None, typer.Option(help="HASH, or SENSOR@HASH.")] = None,
    person: Annotated[str | None, typer.Option(help="Who labelled or decided.")] = None,
    rule_set: Annotated[str | None, typer.Option(help="ID@VERSION.")] = None,
    model: Annotated[str | None, typer.Option(help="NAME@VERSION.")] = None,
    asset: Annotated[str | None, typer.Option(help="SHA-256 of the file.")] = None,
    taxonomy: Annotated[str | None, typer.Option(help="As the labels name it.")] = None,
    event: Annotated[str | None, typer.Option(help="SHA-256 of the event's content.")] = None,
    label_set: Annotated[str | None, typer.Option(help="SHA-256 of the labels.")] = None,
    decision: Annotated[str | None, typer.Option(help="Its id.")] = None,
    incident: Annotated[str | None, typer.Option(help="Its id.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Id of the Temporal run.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=1_000_000, help="List at most so many records.")] = 20,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Count and list the ground truth that rests on one thing, such as a calibration that turned out wrong."""
    origin = _wanted(
        {
            OriginKind.CALIBRATION: calibration,
            OriginKind.PERSON: person,
            OriginKind.RULE_SET: rule_set,
            OriginKind.MODEL: model,
            OriginKind.ASSET: asset,
            OriginKind.TAXONOMY: taxonomy,
            OriginKind.EVENT: event,
            OriginKind.LABEL_SET: label_set,
            OriginKind.DECISION: decision,
            OriginKind.INCIDENT: incident,
            OriginKind.WORKFLOW: workflow,
        }
    )

    async def work(client: ConcordClient) -> tuple[DependentsSummary, list[Dependent], list[VersionOfDependents]]:
        calls = RecallCalls(client, project)
        found: list[Dependent] = []
        every = client.each(lambda cursor: calls.dataset_versions(origin, cursor=cursor, limit=500))
        versions = [version async for version in every]
        if limit:
            pages = client.each(lambda cursor: calls.page(origin, cursor=cursor, limit=min(limit, 500)))
            async for dependent in pages:
                found.append(dependent)
                if len(found) == limit:
                    break
        return await calls.summary(origin), found, versions

    summary, found, versions = with_client(url, key, work)
    if json_output:
        print_json({"summary": summary, "items": found, "dataset_versions": versions})
    else:
        _print(summary, found, versions)


def _wanted(given: dict[OriginKind, str | None]) -> Origin:
    chosen = [(kind, value) for kind, value in given.items() if value is not None]
    if len(chosen) != 1:
        options = ", ".join(f"--{kind.value.replace('_', '-')}" for kind in given)
        raise InvalidInputError(f"say what the records rest on by exactly one of {options}")
    kind, value = chosen[0]
    return Origin(kind=kind, key=value)


def _print(summary: DependentsSummary, found: list[Dependent], versions: list[VersionOfDependents]) -> None:
    print_facts(
        [
            ("rests on", f"{summary.origin.kind} {summary.origin.key}"),
            ("records", summary.records),
            ("current", summary.records - summary.superseded),
            ("superseded", summary.superseded),
            ("by revision", ", ".join(f"{one.revision}: {one.records}" for one in summary.revisions)),
            ("datasets", ", ".join(f"{one.dataset}@{one.version}: {one.records}" for one in versions)),
        ]
    )
    if found:
        print_table(
            ("sample", "revision", "stage", "committed", "content"),
            [(one.ref.sample_id, one.ref.revision, one.stage, one.committed_at, one.content_sha256) for one in found],
            title=f"\nthe first {len(found)}" if len(found) < summary.records else "",
        )


def _tree(record: GroundTruth) -> Tree:
    ref, lineage = record.ref, record.lineage
    tree = Tree(plain(f"{ref.project} / {ref.sample_id} revision {ref.revision}, committed {record.committed_at}"))
    tree.add(plain(f"content {record.content_sha256}"))
    tree.add(plain(f"lineage {record.lineage_sha256}"))
    if not lineage:
        tree.add("erased: the hashes above are what is left")
    for name in sorted(lineage.keys() - {"format"}):
        _branch(tree, name, lineage[name])
    # These two stand in the record's body, or in several places.
    for kind in (OriginKind.CALIBRATION, OriginKind.MODEL):
        _branch(tree, f"{kind.value}s", sorted(origin.key for origin in origins_of(record) if origin.kind is kind))
    return tree


def _branch(tree: Tree, name: str, value: Any) -> None:
    items = value if isinstance(value, list) else [value]
    if not items or value is None:
        return
    branch = tree.add(plain(name.replace("_", " ")))
    for item in items:
        branch.add(plain(_line(item)))


def _line(item: Any) -> str:
    return "  ".join(_told(item)) if isinstance(item, dict) else str(item)


def _told(item: dict[str, Any]) -> Iterator[str]:
    for name, value in item.items():
        if value is None or value == []:
            continue
        if isinstance(value, dict):
            yield f"{name} {' '.join(_told(value))}"
        elif isinstance(value, list):
            yield f"{name} {', '.join(map(str, value))}"
        else:
            yield f"{name} {value}"
