"""``concord export``: ground truth as JSON Lines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import messages, plain
from infra.cli.taxonomy import parse_reference
from infra.client import ConcordClient
from services.contracts.canonical import canonical_json
from services.contracts.records import GroundTruth
from services.ground_truth.as_of import as_of


def export(
    project: Annotated[str, typer.Argument(help="The project.")],
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; standard output if left out.")
    ] = None,
    file_format: Annotated[Literal["json"], typer.Option("--format", help="json: one record a line.")] = "json",
    taxonomy: Annotated[
        str | None,
        typer.Option(help="ID@VERSION: of each sample only the newest record from before any later version."),
    ] = None,
    lineage: Annotated[bool, typer.Option("--lineage/--no-lineage", help="With the lineage of each record.")] = True,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write the ground truth of a project, one canonical JSON record a line, by sample and revision."""
    if taxonomy is not None:
        parse_reference(taxonomy)

    async def work(client: ConcordClient) -> int:
        records = client.each(lambda cursor: client.ground_truths(project, cursor=cursor))
        chosen = records if taxonomy is None else as_of(records, taxonomy)
        if output_file is None:
            return await write_records(chosen, typer.get_text_stream("stdout"), lineage=lineage)
        with put_in_place(output_file) as stream:
            return await write_records(chosen, stream, lineage=lineage)

    count = with_client(url, key, work)
    messages().print(plain(f"{count} records of {project}{f' in {output_file}' if output_file else ''}"))


@contextmanager
def put_in_place(path: Path) -> Iterator[TextIO]:
    """Give a file to write, which is there under its name only once it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def write_records(records: AsyncIterator[GroundTruth], stream: TextIO, *, lineage: bool = True) -> int:
    """Write records as they come, page by page: no answer and no memory grows with their number.

    Returns:
        How many there are.
    """
    count = 0
    async for record in records:
        stream.write(_line(record, lineage=lineage))
        count += 1
    return count


def _line(record: GroundTruth, *, lineage: bool) -> str:
    left_out = frozenset[str]() if lineage else frozenset({"lineage"})
    # Canonical, so that two exports of the same records are the same bytes.
    return canonical_json(record.model_dump(mode="json", exclude=set(left_out))).decode() + "\n"
