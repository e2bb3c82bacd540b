"""``concord taxonomy``: validate, draft, publish and compare taxonomies, and migrate samples between versions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import (
    EXIT_FOUND,
    JsonOption,
    messages,
    output,
    plain,
    print_facts,
    print_json,
    print_table,
)
from infra.cli.documents import read_document
from infra.client import ConcordClient
from services.contracts.canonical import content_sha256
from services.contracts.taxonomies import (
    LIVE_MIGRATIONS,
    MigrationCounts,
    MigrationPreview,
    TaxonomyMigration,
    TaxonomySummary,
    split_reference,
)
from services.errors import InvalidInputError
from services.taxonomy.governance import TaxonomyDiff, TaxonomyDraft, diff, document_faults
from services.taxonomy.taxonomy import Taxonomy

app = typer.Typer(
    help="Validate, publish and compare taxonomies; migrate samples.", no_args_is_help=True, add_completion=False
)
migration = typer.Typer(help="Carry samples over to another version.", no_args_is_help=True, add_completion=False)
app.add_typer(migration, name="migration")

_LOOK_EVERY_S = 1.0
FileArgument = Annotated[Path, typer.Argument(help="A taxonomy as JSON or YAML.")]
ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
TargetArgument = Annotated[str, typer.Argument(help="ID@VERSION to migrate to.")]
MigrationArgument = Annotated[str, typer.Argument(help="Id of the migration.")]


def parse_reference(text: str) -> tuple[str, int]:
    """Return id and version of ``ID@VERSION``.

    Raises:
        InvalidInputError: It has another form.
    """
    name, _, number = text.rpartition("@")
    if not name or not number.isdecimal() or int(number) < 1:
        raise InvalidInputError(f"a taxonomy is named ID@VERSION, such as av@2, not {text[:100]!r}")
    return split_reference(text)


@app.command("list")
def list_taxonomies(json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """List all published versions."""

    async def work(client: ConcordClient) -> tuple[TaxonomySummary, ...]:
        return await client.taxonomies()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("taxonomy", "version", "classes", "published by", "published at"),
        [(item.id, item.version, item.classes, item.published_by, item.published_at) for item in found],
    )


@app.command("show")
def show_taxonomy(
    taxonomy: Annotated[str, typer.Argument(help="ID@VERSION, or ID for its draft.")],
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print a published version, or a draft, as JSON."""

    async def work(client: ConcordClient) -> Taxonomy:
        if "@" not in taxonomy:
            return (await client.taxonomy_draft(taxonomy)).document
        return await client.taxonomy(*parse_reference(taxonomy))

    print_json(with_client(url, key, work))


@app.command("validate")
def validate_taxonomy(
    file: FileArgument,
    against: Annotated[list[Path] | None, typer.Option(help="An earlier version, as a file; may be repeated.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Say whether a file could be published; needs no server. Exit 1 if it has faults."""
    taxonomy = _read(file)
    earlier = {item.reference: item for item in map(_read, against or ())}
    faults = document_faults(taxonomy, earlier)
    if json_output:
        print_json({"reference": taxonomy.reference, "sha256": content_sha256(taxonomy), "faults": faults})
    elif faults:
        print_table(("place", "fault"), [(fault.place, fault.sentence) for fault in faults])
    else:
        _say("valid", taxonomy)
    if faults:
        raise typer.Exit(EXIT_FOUND)


@app.command("draft")
def draft_taxonomy(
    file: FileArgument, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Keep a file as the draft of the next version; one with faults is kept too."""
    taxonomy = _read(file)

    async def work(client: ConcordClient) -> TaxonomyDraft:
        return await client.put_taxonomy_draft(taxonomy)

    kept = with_client(url, key, work)
    if json_output:
        print_json({"reference": kept.document.reference, "sha256": kept.sha256, "faults": kept.faults})
        return
    _say("drafted", kept.document)
    if kept.faults:
        print_table(("place", "to be changed"), [(fault.place, fault.sentence) for fault in kept.faults])


@app.command("publish")
def publish_taxonomy(
    what: Annotated[str, typer.Argument(help="A taxonomy as JSON or YAML, or the id of one whose draft is published.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Publish a version; it never changes. Refused where a class in use would vanish."""
    path = Path(what)
    document = _read(path) if path.is_file() or what.endswith((".json", ".yaml", ".yml")) else None

    async def work(client: ConcordClient) -> Taxonomy:
        if document is None:
            return await client.publish_taxonomy_draft(what)
        return await client.publish_taxonomy(document)

    published = with_client(url, key, work)
    if json_output:
        print_json({"reference": published.reference, "sha256": content_sha256(published)})
    else:
        _say("published", published)


@app.command("diff")
def diff_taxonomies(
    old: Annotated[str, typer.Argument(help="The earlier version: ID@VERSION or a file.")],
    new: Annotated[str, typer.Argument(help="The later version: ID@VERSION or a file.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print what differs between two versions. Exit 1 if a class would be left without a successor."""
    found = _difference(old, new, url, key)
    if json_output:
        print_json(found)
    else:
        print_facts(
            (
                ("added", ", ".join(found.added) or "none"),
                ("removed", ", ".join(found.removed) or "none"),
                ("changed", ", ".join(found.changed) or "none"),
                ("without a class", ", ".join(found.left_without_class) or "none"),
            )
        )
    if found.left_without_class:
        raise typer.Exit(EXIT_FOUND)


@app.command("crosswalk")
def crosswalk_taxonomies(
    old: Annotated[str, typer.Argument(help="The earlier version: ID@VERSION or a file.")],
    new: Annotated[str, typer.Argument(help="The later version: ID@VERSION or a file.")],
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print how labels of one version become labels of another; a start for ``steps`` of your own."""
    walk = _difference(old, new, url, key).crosswalk
    if json_output:
        print_json(walk)
        return
    print_table(
        ("change", "from", "to", "cases"),
        [
            (item.kind, ", ".join(item.sources), ", ".join(item.targets), len(item.cases) if item.cases else "")
            for item in walk.changes
        ],
    )


@migration.command("preview")
def preview_migration(
    project: ProjectArgument,
    target: TargetArgument,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Count what a migration would do now; nothing is changed."""
    parse_reference(target)

    async def work(client: ConcordClient) -> MigrationPreview:
        return await client.preview_migration(project, target)

    found = with_client(url, key, work)
    if json_output:
        print_json(found)
    else:
        print_counts(found.counts)


@migration.command("start")
def start_migration(
    project: ProjectArgument,
    target: TargetArgument,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end, and say how far it is.")] = True,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Migrate a project's samples. The project names the target from now on."""
    parse_reference(target)

    async def work(client: ConcordClient) -> TaxonomyMigration:
        found = await client.start_migration(project, target)
        while wait and found.state in LIVE_MIGRATIONS:
            messages().print(plain(f"{found.state.value}: {found.done.samples} of {found.total} samples"))
            await asyncio.sleep(_LOOK_EVERY_S)
            found = await client.migration(project, found.migration_id)
        return found

    _print_migration(with_client(url, key, work), json_output)


@migration.command("list")
def list_migrations(
    project: ProjectArgument, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List a project's migrations, newest first."""

    async def work(client: ConcordClient) -> tuple[TaxonomyMigration, ...]:
        return await client.migrations(project)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("migration", "from", "to", "state", "looked at", "of", "started at"),
        [
            (item.migration_id, item.source, item.target, item.state.value, item.done.samples, item.total,
             item.started_at)
            for item in found
        ],
    )  # fmt: skip


@migration.command("show")
def show_migration(
    project: ProjectArgument,
    migration_id: MigrationArgument,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print how far a migration is, and what it has done."""

    async def work(client: ConcordClient) -> TaxonomyMigration:
        return await client.migration(project, migration_id)

    _print_migration(with_client(url, key, work), json_output)


def _mover(what: str, told: str) -> None:
    def move(
        project: ProjectArgument,
        migration_id: MigrationArgument,
        json_output: JsonOption = False,
        url: UrlOption = None,
        key: KeyOption = None,
    ) -> None:
        async def work(client: ConcordClient) -> TaxonomyMigration:
            return await client.move_migration(project, migration_id, what)

        _print_migration(with_client(url, key, work), json_output)

    migration.command(what, help=told)(move)


_mover("pause", "Stop after the samples in hand.")
_mover("resume", "Go on where a paused migration stopped.")
_mover("cancel", "End a migration where it is; what was migrated stays.")


def print_counts(counts: MigrationCounts) -> None:
    """Print what a migration does, or has done."""
    print_table(
        ("version", "class", "becomes", "outcome", "labels", "samples"),
        [
            (item.version, item.label, item.target or "?", item.outcome, item.labels, item.samples)
            for item in counts.classes
        ],
    )
    elsewhere = ", ".join(f"{count} {stage}" for stage, count in counts.elsewhere.items())
    print_facts(
        (
            ("committed anew", counts.migrated),
            ("reopened for people", counts.reopened),
            ("untouched", counts.untouched),
            ("at other stages", elsewhere or "none"),
            ("of these checked again at once", counts.rechecked),
        )
    )


def _print_migration(found: TaxonomyMigration, json_output: bool) -> None:
    if json_output:
        print_json(found)
        return
    print_facts(
        (
            ("migration", found.migration_id),
            ("from", found.source or "none"),
            ("to", found.target),
            ("state", found.state.value),
            ("looked at", f"{found.done.samples} of {found.total}"),
        )
    )
    print_counts(found.done)


def _difference(old: str, new: str, url: str | None, key: str | None) -> TaxonomyDiff:
    files = {name: _read(Path(name)) for name in (old, new) if Path(name).is_file()}
    if old in files and new in files:
        return diff(files[old], files[new])

    async def work(client: ConcordClient) -> TaxonomyDiff:
        before, after = [files.get(name) or await client.taxonomy(*parse_reference(name)) for name in (old, new)]
        return diff(before, after)

    return with_client(url, key, work)


def _read(path: Path) -> Taxonomy:
    return read_document(Taxonomy, path, what="taxonomy")


def _say(what: str, taxonomy: Taxonomy) -> None:
    output().print(plain(f"{what}: {taxonomy.reference}  sha256 {content_sha256(taxonomy)}"))
