"""``concord dataset``: define datasets, make versions, compare, verify and export them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import (
    EXIT_FOUND,
    JsonOption,
    output,
    plain,
    print_json,
    print_json_line,
    print_table,
)
from infra.cli.dataset_export import export_dataset
from infra.cli.dataset_print import print_change, print_summary, print_version
from infra.cli.documents import read_document
from infra.cli.progress import phases, progress
from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from services.contracts.audit import AuditFilter
from services.contracts.dataset_diff import DiffSummary
from services.contracts.datasets import (
    Dataset,
    DatasetVersionView,
    InclusionProof,
    MemberRecord,
    MemberView,
    NewDataset,
    NewVersion,
    Selection,
    SplitPolicy,
    Standing,
)
from services.contracts.validation import validate
from services.datasets.diff import DiffTally
from services.datasets.manifest import leaf_bytes, version_faults
from services.datasets.merkle import proves
from services.datasets.names import parse_version, version_subject
from services.datasets.proof import told_faults
from services.errors import InvalidInputError

app = typer.Typer(
    help="Datasets of committed records: versions that never change, with splits that never leak.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("export")(export_dataset)

ProjectArgument = Annotated[str, typer.Argument(help="The project.")]
NameArgument = Annotated[str, typer.Argument(help="The dataset.")]
VersionArgument = Annotated[str, typer.Argument(help="NAME@VERSION, such as signs@3.", metavar="NAME@VERSION")]
SelectionOption = Annotated[
    Path | None, typer.Option(help="A JSON file: which records; all that are committed if left out.")
]
_SPLIT = re.compile(r"([a-z0-9][a-z0-9_-]*)=([0-9]{1,7})")


@app.command("create")
def create_dataset(
    project: ProjectArgument,
    name: NameArgument,
    *,
    selection: SelectionOption = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(help="What names the group of a sample, such as context.attributes.patient; sample_id if none."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="NAME=WEIGHT; train=80, validation=10, test=10 if left out.")
    ] = None,
    salt: Annotated[str, typer.Option(help="Another salt, another spread.")] = "",
    missing: Annotated[
        str, typer.Option(help="Of a sample without its group: refuse the version, or `sample`: a group of its own.")
    ] = "refuse",
    description: Annotated[str, typer.Option(help="For people.")] = "",
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Define a dataset. How it is split is fixed for its life."""
    policy: dict[str, Any] = {"salt": salt, "missing": missing}
    if group_by:
        policy["group_by"] = group_by
    if split:
        policy["shares"] = [_share(text) for text in split]
    new = NewDataset(
        name=name,
        description=description,
        selection=_selection(selection) or Selection(),
        split=validate(SplitPolicy, policy, what="split"),
    )

    async def work(client: ConcordClient) -> Dataset:
        return await DatasetCalls(client, project).create(new)

    made = with_client(url, key, work)
    if json_output:
        print_json(made)
    else:
        output().print(
            plain(f"dataset {made.name} of {project}; make its first version with `concord dataset version`")
        )


@app.command("version")
def make_version(
    project: ProjectArgument,
    name: NameArgument,
    *,
    selection: SelectionOption = None,
    note: Annotated[str, typer.Option(help="Kept with the version.")] = "",
    card_samples: Annotated[
        int, typer.Option(min=0, max=10_000, help="Most samples to read for agreement and the nine failures.")
    ] = 1_000,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Keep what is committed now, as far as it is selected, as the next version."""
    new = NewVersion(selection=_selection(selection), note=note, card_samples=card_samples)

    async def work(client: ConcordClient) -> DatasetVersionView:
        with phases("making a version") as tell:
            return await DatasetCalls(client, project).make_version(name, new, tell=tell)

    made = with_client(url, key, work)
    print_version(made, json_output=json_output)


@app.command("list")
def list_datasets(
    project: ProjectArgument,
    name: Annotated[str | None, typer.Argument(help="The dataset whose versions to list.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List the datasets of a project, or the versions of one, newest first."""
    if name is not None:
        _list_versions(project, name, json_output=json_output, url=url, key=key)
        return

    async def work(client: ConcordClient) -> tuple[Dataset, ...]:
        return await DatasetCalls(client, project).list()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("dataset", "split by", "splits", "created by", "created at"),
        [
            (
                one.name,
                ", ".join(one.split.group_by),
                ", ".join(f"{share.name}={share.weight}" for share in one.split.shares),
                one.created_by,
                one.created_at.isoformat(timespec="seconds"),
            )
            for one in found
        ],
    )


def _list_versions(project: str, name: str, *, json_output: bool, url: str | None, key: str | None) -> None:
    async def work(client: ConcordClient) -> tuple[DatasetVersionView, ...]:
        return await DatasetCalls(client, project).versions(name)

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("version", "samples", "labels", "reopened", "superseded", "withdrawn", "root", "made by", "made at"),
        [
            (
                one.name,
                one.content.samples,
                one.content.labels,
                one.standing.reopened,
                one.standing.superseded,
                one.standing.withdrawn,
                one.content.merkle_root[:12],
                one.created_by,
                one.created_at.isoformat(timespec="seconds"),
            )
            for one in found
        ],
    )


@app.command("show")
def show_version(
    project: ProjectArgument,
    version: VersionArgument,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show a version: what it holds, how it is split, and what became of its samples since."""
    name, number = parse_version(version)

    async def work(client: ConcordClient) -> DatasetVersionView:
        return await DatasetCalls(client, project).version(name, number)

    print_version(with_client(url, key, work), json_output=json_output)


@app.command("members")
def list_members(
    project: ProjectArgument,
    version: VersionArgument,
    standing: Annotated[str | None, typer.Option(help="current, reopened, superseded or withdrawn.")] = None,
    split: Annotated[str | None, typer.Option(help="Only members of this split.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List the members of a version, with what became of each sample since; JSON Lines with --json."""
    name, number = parse_version(version)
    wanted: Standing | None = None if standing is None else validate(Standing, standing, what="--standing")  # type: ignore[arg-type]

    async def work(client: ConcordClient) -> list[MemberView]:
        calls = DatasetCalls(client, project)
        rows = []
        async for member in calls.members(name, number, standing=wanted, split=split):
            if json_output:
                print_json_line(member)
            else:
                rows.append(member)
        return rows

    found = with_client(url, key, work)
    if not json_output:
        print_table(
            ("sample", "revision", "split", "group", "labels", "standing"),
            [(one.sample_id, one.revision, one.split, one.group, one.labels, one.standing) for one in found],
        )


@app.command("diff")
def diff_versions(
    project: ProjectArgument,
    name: NameArgument,
    before: Annotated[int, typer.Argument(min=1, help="The earlier version.")],
    after: Annotated[int, typer.Argument(min=1, help="The later version.")],
    summary: Annotated[bool, typer.Option("--summary", help="Only the counts.")] = False,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Tell how two versions differ, label by label and counted by class; JSON Lines with --json."""

    async def work(client: ConcordClient) -> DiffSummary:
        calls = DatasetCalls(client, project)
        if summary:
            return await calls.summary(name, (before, after))
        tally = DiffTally(before, after)
        async for change in calls.diff(name, (before, after)):
            tally.add(change)
            if json_output:
                print_json_line(change)
            else:
                print_change(change)
        return tally.summary()

    counted = with_client(url, key, work)
    if json_output:
        print_json_line(counted)
        return
    print_summary(counted)


@app.command("verify")
def verify_version(
    project: ProjectArgument,
    version: VersionArgument,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Recompute a version from its records on this machine; exit 1 if anything contradicts.

    Recomputed are the hash of every record, every split, the Merkle root and the hash of the version, which must be
    those that the audit trail tells. The key must be allowed to read that trail.
    """
    name, number = parse_version(version)

    async def work(client: ConcordClient) -> tuple[DatasetVersionView, list[str]]:
        calls = DatasetCalls(client, project)
        told = await calls.version(name, number)
        with progress("verifying", told.content.samples) as advance:

            async def members() -> AsyncIterator[MemberRecord]:
                async for item in calls.all_records(name, number):
                    advance()
                    yield item

            faults = [fault async for fault in version_faults(told, members())]
        entries = await client.audit(project, wanted=AuditFilter(subject=version_subject(name, number)))
        return told, [*faults, *(fault.detail for fault in told_faults(told, entries.items))]

    told, faults = with_client(url, key, work)
    if json_output:
        root = told.content.merkle_root
        print_json({"version": told.name, "verified": not faults, "merkle_root": root, "faults": faults})
    else:
        said = "BROKEN" if faults else "verified"
        output().print(plain(f"{told.name}  {said}  {told.content.samples} samples  root {told.content.merkle_root}"))
        for fault in faults:
            output().print(plain(f"  {fault}"))
    if faults:
        raise typer.Exit(EXIT_FOUND)


@app.command("prove")
def prove_member(
    project: ProjectArgument,
    version: VersionArgument,
    sample: Annotated[str, typer.Argument(help="The sample.")],
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print the proof that a sample's record is in a version, as JSON; exit 1 if it does not prove it."""
    name, number = parse_version(version)

    async def work(client: ConcordClient) -> InclusionProof:
        return await DatasetCalls(client, project).proof(name, number, sample)

    proof = with_client(url, key, work)
    print_json(proof)
    if not proves(leaf_bytes(proof.member), proof.member.position, proof.size, proof.path, proof.merkle_root):
        raise typer.Exit(EXIT_FOUND)


def _share(text: str) -> dict[str, Any]:
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"--split is NAME=WEIGHT, such as train=80; got {text[:100]!r}")
    return {"name": match[1], "weight": int(match[2])}


def _selection(path: Path | None) -> Selection | None:
    return None if path is None else read_document(Selection, path, what="selection")
