"""``concord bench taxonomy-migration``: migrate committed samples with the worker killed in the middle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.taxonomy.prove import MigrationProof, prove_migration
from infra.cli.bench_tell import tell
from infra.cli.console import EXIT_FOUND, JsonOption, print_facts, print_json, print_table
from infra.cli.stoppable import run_stoppable
from infra.db.migrate import migrate
from infra.stack.stack import EmbeddedStack, StackConfig
from infra.telemetry.logging import configure_logging


def bench_taxonomy_migration(
    samples: Annotated[int, typer.Option(min=60, max=1_000_000, help="Committed samples.")] = 10_000,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the servers skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Rename, merge and split classes under committed samples; kill the worker midway; compare with the preview.

    Exit code 1 if anything happened that the preview did not say, or happened twice, or the old version exports
    otherwise than before.
    """
    configure_logging(level="ERROR", form="console")

    async def work(folder: Path) -> MigrationProof:
        async with EmbeddedStack(StackConfig(data_dir=folder / "data", durable=not fast_disk)) as stack:
            await migrate(stack.urls.database_url)
            return await prove_migration(stack.urls.database_url, stack.urls.temporal_address, samples, tell=tell)

    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        proof = run_stoppable(work(Path(folder)))
    if json_output:
        print_json(proof)
    else:
        _print(proof)
    if not proof.holds:
        raise typer.Exit(EXIT_FOUND)


def _print(proof: MigrationProof) -> None:
    done = {(item.version, item.label, item.outcome, item.target): item for item in proof.done.classes}
    print_table(
        ("class", "outcome", "becomes", "labels previewed", "labels done", "samples previewed", "samples done"),
        [
            (item.label, item.outcome, item.target or "?", item.labels, own.labels if own else 0, item.samples,
             own.samples if own else 0)
            for item in proof.preview.classes
            for own in (done.get((item.version, item.label, item.outcome, item.target)),)
        ],
    )  # fmt: skip
    print_table(
        ("samples", "previewed", "done", "in the store"),
        [
            ("committed anew", proof.preview.migrated, proof.done.migrated, proof.migrated),
            ("reopened for people", proof.preview.reopened, proof.done.reopened, proof.reopened),
            ("untouched", proof.preview.untouched, proof.done.untouched, ""),
        ],
    )
    print_facts(
        [
            ("worker killed after", f"{proof.seen_at_the_kill:,} of {proof.samples:,} samples"),
            ("done twice", proof.twice),
            ("export of the old version", _same(*proof.old_export_sha256)),
            ("records that verify", f"{proof.records:,}, {proof.faults} faults"),
            ("seconds", f"fill {proof.fill_s}, preview {proof.preview_s}, migration {proof.migration_s}"),
            ("holds", "yes" if proof.holds else "NO"),
        ]
    )


def _same(before: str, after: str) -> str:
    return f"the same bytes, sha256 {before[:12]}…" if before == after else f"DIFFERS: {before} before, {after} after"
