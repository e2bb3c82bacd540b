"""``concord dataset export``: a version as files, the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.checks.batch import ASSET_MAX_BYTES, ASSET_TIMEOUT_S
from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, output, plain, print_json
from infra.cli.progress import progress
from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.datasets.export import Exported, ExportOptions, export_version
from infra.datasets.writers import FORMATS
from infra.storage.assets import FileAssetReader
from services.datasets.names import parse_version
from services.errors import InvalidInputError

_LOSSES_SHOWN = 10


def export_dataset(
    project: Annotated[str, typer.Argument(help="The project.")],
    version: Annotated[str, typer.Argument(help="NAME@VERSION, such as signs@3.", metavar="NAME@VERSION")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder, or that of the same export, to go on.")],
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")
    ] = "jsonl",
    part_samples: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most samples in a part.")] = 1_000,
    assets: Annotated[
        list[Path] | None,
        typer.Option(help="Folders with the recordings, which then go into the shards of webdataset."),
    ] = None,
    license_url: Annotated[
        str | None, typer.Option("--license", help="Address of the licence, for the Croissant metadata.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Where it is published, for the Croissant metadata.")] = None,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write a version to a folder, with its hashes, lineage (PROV), Croissant metadata and data card.

    Interrupted, the same command goes on where it ended. The same version gives the same bytes, each time.
    """
    name, number = parse_version(version)
    if file_format not in FORMATS:
        raise InvalidInputError(f"datasets are not written as {file_format!r}; formats are {', '.join(FORMATS)}")
    recordings = FileAssetReader(assets, ASSET_MAX_BYTES, ASSET_TIMEOUT_S) if assets else None
    options = ExportOptions(file_format, part_samples, license_url, site, recordings)

    async def work(client: ConcordClient) -> Exported:
        calls = DatasetCalls(client, project)
        dataset, told = await calls.get(name), await calls.version(name, number)
        with progress("exporting", told.content.samples) as advance:
            return await export_version(calls, dataset, told, out, options, advance=advance)

    exported = with_client(url, key, work)
    losses = sorted(exported.losses.values(), key=lambda loss: (-loss.times, loss.what, loss.why))
    if json_output:
        print_json(
            {
                "version": version,
                "format": file_format,
                "out": str(out),
                "parts": exported.parts,
                "taken_up": exported.taken_up,
                "samples": exported.samples,
                "labels": exported.labels,
                "losses": losses,
            }
        )
        return
    went_on = f", {exported.taken_up} of them from an earlier run" if exported.taken_up else ""
    output().print(
        plain(
            f"{version}: {exported.samples} samples with {exported.labels} labels as {file_format} in {out}, "
            f"{exported.parts} part{'' if exported.parts == 1 else 's'}{went_on}"
        )
    )
    for loss in losses[:_LOSSES_SHOWN]:
        often = f"{loss.times} times, first in" if loss.times > 1 else "in"
        output().print(plain(f"  written  without {loss.what} ({often} {loss.first}): {loss.why}"), style="dim")
    if len(losses) > _LOSSES_SHOWN:
        output().print(plain(f"  written  and {len(losses) - _LOSSES_SHOWN} more kinds of losses"), style="dim")
