"""What a rule set would change for a project's stored samples, and what its activation did, for a person."""

from __future__ import annotations

from infra.cli.console import output, plain, print_table
from services.contracts.findings import RuleReference
from services.contracts.rule_changes import (
    Activation,
    DryRun,
    FindingChange,
    KindAccuracy,
    QueueChange,
    SampleTrial,
    Share,
)


def named(rules: RuleReference) -> str:
    """Return how people write a rule set version."""
    return f"{rules.id}@{rules.version}"


def print_activation(done: Activation) -> None:
    """Print what an activation did."""
    told = f"{done.project} goes by {named(done.rule_set)} (before: {named(done.before)})"
    again = f"checked again: {len(done.rechecked)} in review at once, {done.left} when their tasks are done"
    output().print(plain(f"{told}; {again}"))


def print_dry_run(made: DryRun) -> None:
    """Print the samples that differ, then the numbers that are counted from them."""
    console = output()
    console.print(plain(f"{named(made.rule_set)} against {named(made.against)}, {made.order} first: {made.dry_run_id}"))
    for trial in made.samples:
        _print_trial(trial)
    for skipped in made.skipped:
        console.print(plain(f"{skipped.ref.sample_id} not tried: {skipped.reason}"), style="dim")
    print_table(
        ("queue", "kind", "tasks before", "after", "median minutes", "hours"),
        [_of_queue(queue) for queue in made.queues],
    )
    if made.kinds:
        _print_kinds(made.kinds)
    counts = made.counts
    hours = "not measured" if counts.hours is None else f"{counts.hours:+.2f} h"
    unknown = f" ({counts.tasks_not_measured:+d} tasks not measured)" if counts.tasks_not_measured else ""
    found = f"{counts.appear} findings appear, {counts.disappear} disappear, {counts.folded} are folded"
    graver = f"{counts.severity_changed} change their severity"
    console.print(plain(f"{counts.differ} of {counts.samples} samples differ: {found}, {graver}"))
    tasks = f"tasks {counts.tasks_before} -> {counts.tasks_after}"
    escalated = f"of these escalations {counts.escalations_before} -> {counts.escalations_after}"
    blocking = f"blocking findings {counts.blocking_before} -> {counts.blocking_after}"
    console.print(plain(f"{blocking}, {tasks}, {escalated}"))
    console.print(plain(f"people: {hours}{unknown}; checked again at once: {counts.rechecked}"))


def _print_kinds(kinds: tuple[KindAccuracy, ...]) -> None:
    print_table(
        ("check", "kind", "true", "false", "exempt", "precision before", "after", "recall before", "after"),
        [
            (
                one.check,
                one.kind,
                one.true,
                one.false,
                one.exempt,
                share_told(one.before.precision),
                share_told(one.after.precision),
                share_told(one.before.recall),
                share_told(one.after.recall),
            )
            for one in kinds
        ],
    )


def _print_trial(trial: SampleTrial) -> None:
    if not trial.changes and trial.tasks_before == trial.tasks_after:
        return
    console = output()
    again = ", checked again" if trial.rechecked else ""
    console.print(plain(f"{trial.ref.sample_id} ({trial.stage}{again})"), style="bold")
    for change in trial.changes:
        console.print(plain(f"  {_sign(change)} {change.check}/{change.kind}  {change.message}"))
    for sign, tasks, others in (
        ("-", trial.tasks_before, trial.tasks_after),
        ("+", trial.tasks_after, trial.tasks_before),
    ):
        for task in tasks:
            if task not in others:
                count = len(task.finding_ids)
                about = f"{count} finding{'' if count == 1 else 's'}"
                console.print(plain(f"  {sign} task {task.kind} in {task.queue}, {about}"), style="dim")


def _sign(change: FindingChange) -> str:
    if change.before is None:
        return f"+ {change.after}"
    if change.after is None:
        return "folded" if change.folded else f"- {change.before}"
    return f"~ {change.before} -> {change.after}"


def _of_queue(queue: QueueChange) -> tuple[str, str, int, int, str, str]:
    median, hours = queue.median_active_s, queue.hours
    return (
        queue.queue,
        queue.kind,
        queue.before,
        queue.after,
        "-" if median is None else f"{median / 60:.1f}",
        "-" if hours is None else f"{hours:+.2f}",
    )


def share_told(share: Share | None) -> str:
    """Return a share with what it is of, and its interval."""
    if share is None:
        return "-"
    return f"{share.hits}/{share.of} ({share.low:.2f} to {share.high:.2f})"
