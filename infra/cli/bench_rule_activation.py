"""``concord bench rule-activation``: change the rules of stored samples, and compare with what the dry run said."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from infra.bench.rule_activation.prove import ActivationProof, prove_activation
from infra.cli.bench_tell import tell, tell_event
from infra.cli.console import EXIT_FOUND, JsonOption, print_facts, print_json, print_table
from infra.cli.rules_dry_run import share_told
from infra.cli.stoppable import run_stoppable
from infra.telemetry.logging import configure_logging
from services.contracts.rule_changes import MAX_SAMPLES


def bench_rule_activation(
    samples: Annotated[int, typer.Option(min=50, max=MAX_SAMPLES, help="Stored samples.")] = 1_000,
    *,
    fast_disk: Annotated[
        bool, typer.Option("--no-durable", help="Let the servers skip writing through to the disk.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Send samples to a whole system, decide on some, try other rules on all, activate these; did it do what was said?

    Exit code 1 if anything happened to a sample that the dry run did not say, or did not happen.
    """
    configure_logging(level="ERROR", form="console")
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        data_dir = Path(folder) / "data"
        work = prove_activation(data_dir, samples, durable=not fast_disk, on_event=tell_event, tell=tell)
        proof = run_stoppable(work)
    if json_output:
        print_json(proof)
    else:
        _print(proof)
    if not proof.holds:
        raise typer.Exit(EXIT_FOUND)


def _print(proof: ActivationProof) -> None:
    print_table(
        ("of the samples checked again, and of what was decided", "dry run", "done"),
        [(item.what, item.said, item.done) for item in proof.compared],
    )
    print_table(
        ("check", "kind", "true", "false", "precision before", "after", "recall before", "after"),
        [
            (
                kind.check,
                kind.kind,
                kind.true,
                kind.false,
                *map(share_told, (kind.before.precision, kind.after.precision)),
                *map(share_told, (kind.before.recall, kind.after.recall)),
            )
            for kind in proof.kinds
        ],
    )
    counts = proof.dry_run
    per_sample = 1_000 * proof.dry_run_s / max(counts.samples, 1)
    print_facts(
        [
            ("samples", f"{proof.samples:,}, {proof.decided:,} of them decided on by people before"),
            ("dry run", f"{proof.dry_run_s} s, {per_sample:.0f} ms a sample"),
            ("tasks over all samples", f"{counts.tasks_before:,} -> {counts.tasks_after:,}"),
            ("escalations", f"{counts.escalations_before:,} -> {counts.escalations_after:,}"),
            ("activation", f"{proof.activation_s} s in {proof.calls} calls, the longest {proof.longest_call_s} s"),
            ("checked again and at rest after", f"{proof.recheck_s} s"),
            ("before that", f"filled in {proof.fill_s} s, decided in {proof.decide_s} s"),
            ("samples to which something else happened", ", ".join(proof.differing[:10]) or "none"),
            ("holds", "yes" if proof.holds else "NO"),
        ]
    )
