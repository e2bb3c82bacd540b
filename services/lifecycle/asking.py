"""Open tasks for findings, so that people are asked."""

from __future__ import annotations

from collections.abc import Iterable

from services.contracts.findings import Finding
from services.contracts.records import SampleRevision
from services.contracts.review import Decision, NewTask, StoredFinding, TaskKind
from services.lifecycle.earlier import read_earlier_work
from services.lifecycle.steps import ProjectRules, open_task
from services.lifecycle.windows import limits_of_task
from services.ports.database import Transaction
from services.review.routing import route

_REASON_LENGTH = 2_000


async def ask_people(
    tx: Transaction,
    revision: SampleRevision,
    project: ProjectRules,
    findings: Iterable[StoredFinding],
    decisions: tuple[Decision, ...],
    *,
    folded: tuple[Finding, ...],
    spot_checks: frozenset[str] = frozenset(),
) -> frozenset[TaskKind]:
    """Open a task for each queue that findings go to; return the kinds of the tasks.

    Args:
        tx: The transaction.
        revision: The revision, locked.
        project: Its project.
        findings: Open findings that no open task asks about.
        decisions: All decisions on the revision.
        folded: Symptoms under the findings.
        spot_checks: Ids of findings that many samples share, of which this one is looked at for all.
    """
    asked = tuple(findings)
    if not asked:
        return frozenset()
    tasks = route(
        asked,
        project.rules,
        revision,
        await tx.samples.label_sets(revision.ref),
        decisions,
        queues=await tx.queues.list(revision.ref.project),
        domain=project.domain,
        folded=folded,
        earlier=await read_earlier_work(tx, revision.ref),
        max_review_rounds=project.config.max_review_rounds,
    )
    now = await tx.now()
    for routed in tasks:
        task = _as_spot_check(routed) if spot_checks.intersection(routed.finding_ids) else routed
        await open_task(tx, limits_of_task(task, project.config).open(task, now))
    return frozenset(task.kind for task in tasks)


def _as_spot_check(task: NewTask) -> NewTask:
    said = "A spot check: other samples seem to have the same cause, and wait for what is found here."
    return task.model_copy(update={"reason": f"{said} {task.reason or ''}".strip()[:_REASON_LENGTH]})
