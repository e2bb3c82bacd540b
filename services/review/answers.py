"""Which labels somebody begins with who is asked to label or to judge."""

from __future__ import annotations

from services.contracts.consensus import Consensus
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import LabelSet
from services.contracts.review import ReviewTask, TaskKind
from services.ports.database import Transaction
from services.review.case_file import CaseFile
from services.review.overlap import labels_before_answers, undecided


async def labels_for(tx: Transaction, task: ReviewTask) -> LabelSet | None:
    """Return the labels that a task is about: the newest; for an independent answer those before anybody's answer."""
    if task.kind is not TaskKind.ANNOTATE:
        return await tx.samples.label_set(task.ref)
    return labels_before_answers(await tx.samples.label_sets(task.ref), await tx.review.decisions(task.ref))


async def consensus_left(tx: Transaction, ref: RevisionRef) -> Consensus | None:
    """Return what the answers to a revision said together, as far as it is undecided; None if none were joined."""
    found = await tx.answers.consensus_of(ref)
    return None if found is None else undecided(found, await tx.review.decisions(ref))


def labels_in(case: CaseFile, task: ReviewTask) -> LabelSet | None:
    """Return the same as :func:`labels_for`, of a case's file."""
    if task.kind is TaskKind.ANNOTATE:
        return labels_before_answers(case.label_sets, case.decisions)
    return max(
        (labels for labels in case.label_sets if labels.origin != "prediction"),
        key=lambda labels: labels.version,
        default=None,
    )
