"""What a person sees beside a task: enough to decide, nothing that would decide for them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from services.access.policy import Permission, may, task_kinds_of
from services.contracts.access import Principal
from services.contracts.annotations import Annotation
from services.contracts.review import (
    JUDGING_KINDS,
    LABELLING_KINDS,
    Decision,
    Evidence,
    FindingState,
    GivenAnswer,
    ReviewTask,
    StoredFinding,
    TaskKind,
    Verdict,
)
from services.errors import ForbiddenError, IntegrityError
from services.ports.database import Transaction
from services.review.answers import labels_for
from services.review.judges import (
    FINISHED_STATES,
    blindfolded,
    ensure_may_take,
    findings_of,
    folded_of,
    is_second_look,
    seen_task,
)
from services.review.overlap import given_answers, newest_predictions
from services.rules.answer_agreement import ANSWER_AGREEMENT


async def evidence_of(tx: Transaction, principal: Principal, task_id: UUID) -> Evidence:
    """Return the evidence for a task.

    Who may read the history of samples sees every task whole. Everybody else sees tasks they could take or have
    decided, and a second look without anything that tells of the first: no earlier decisions, findings as if they
    were open, labels without their authors.

    All labels of the sample are shown, not only those that the findings name: to mend a disagreement one must know
    what else is there.

    Raises:
        NotFoundError: There is no such task, or none that the key sees.
        ForbiddenError, SelfReviewError: The person may not know.
    """
    task = await seen_task(tx, principal, task_id)
    revision = await tx.samples.get(task.ref)
    if revision is None:
        raise IntegrityError(f"task {task_id} belongs to a revision that is not stored")
    decisions = await tx.review.decisions(task.ref)
    knows_history = may(principal.role, Permission.HISTORY_READ)
    own = next((item for item in decisions if item.task_id == task_id), None)
    if not knows_history:
        await _ensure_may_look(tx, principal, task, own)
    blind = not knows_history and is_second_look(task, decisions)

    findings = await findings_of(tx, task)
    folded = await folded_of(tx, task.ref, findings)
    label_set = await labels_for(tx, task)
    annotations = label_set.annotations if label_set is not None else ()
    predictions: tuple[Annotation, ...] = ()
    if task.kind in LABELLING_KINDS:
        predictions = newest_predictions(await tx.samples.label_sets(task.ref))
    answers = await _answers_about(tx, task, findings)
    shown = task if knows_history else task.model_copy(update={"excluded_actors": ()})
    return Evidence(
        task=blindfolded(task) if blind else shown,
        stage=revision.stage,
        context=revision.manifest.context,
        streams=revision.manifest.streams,
        findings=tuple(_unjudged(item) for item in findings) if blind else findings,
        folded=folded,
        label_version=label_set.version if label_set is not None else 0,
        annotations=tuple(label.model_copy(update={"author": None}) for label in annotations) if blind else annotations,
        predictions=predictions,
        answers=answers,
        decisions=() if blind else _earlier(decisions, task, own, knows_history=knows_history),
        draft=await tx.review.draft(task_id, principal.actor_id),
    )


async def _answers_about(
    tx: Transaction, task: ReviewTask, findings: Iterable[StoredFinding]
) -> tuple[GivenAnswer, ...]:
    disputed = {
        name for item in findings if item.finding.check == ANSWER_AGREEMENT for name in item.finding.annotations
    }
    # An annotator has handed the whole sample to an expert, to whom all that the others said is of use.
    whole = task.kind is TaskKind.ADJUDICATE and not task.finding_ids
    found = await tx.answers.consensus_of(task.ref) if disputed or whole else None
    if found is None:
        return ()
    about = {item.annotation.id for item in found.labels} if whole else disputed
    return given_answers(found, await tx.samples.label_sets(task.ref), about)


async def _ensure_may_look(tx: Transaction, principal: Principal, task: ReviewTask, own: Decision | None) -> None:
    if task.kind not in task_kinds_of(principal.role):
        raise ForbiddenError(f"The role {principal.role} does not take tasks of kind {task.kind}.")
    if own is not None and own.actor_id == principal.actor_id:
        return
    if task.state in FINISHED_STATES:
        # The verdict on a finished task is what a second look must not know.
        raise ForbiddenError(f"This task is {task.state}; only who decided it can look at it again.")
    await ensure_may_take(tx, principal, task)


def _unjudged(item: StoredFinding) -> StoredFinding:
    return item.model_copy(
        update={
            "state": FindingState.OPEN,
            "decision_id": None,
            "decision_revision": None,
            "fixed_by_label_version": None,
            "updated_at": item.found_at,
        }
    )


def _earlier(
    decisions: Iterable[Decision], task: ReviewTask, own: Decision | None, *, knows_history: bool
) -> tuple[Decision, ...]:
    """The decisions on the same findings, and the one that caused the task; for a person none later than their own."""
    named = frozenset(task.finding_ids)
    chosen = [
        item
        for item in decisions
        if item.decision_id == task.origin_decision_id
        or item.task_id == task.task_id
        or named.intersection(item.finding_ids)
        or (not named and item.task_kind not in JUDGING_KINDS)
    ]
    if task.kind is TaskKind.ANNOTATE and not knows_history:
        # What others answered, and what they wrote with it, is not for who is asked to label by themselves.
        chosen = [item for item in chosen if item.task_id == task.task_id or item.verdict is not Verdict.SUBMIT]
    if own is not None and not knows_history:
        chosen = [item for item in chosen if item.decided_at <= own.decided_at]
    return tuple(chosen)
