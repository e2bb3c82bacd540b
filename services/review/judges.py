"""Who may work on a task, and who may judge: nobody judges what they made or have judged before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from services.access.policy import task_kinds_of
from services.contracts.access import Principal
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import JUDGING_KINDS, UPHELD_BY, Decision, ReviewTask, StoredFinding, TaskKind, TaskState
from services.errors import (
    ForbiddenError,
    NotFoundError,
    SelfReviewError,
    StaleFenceError,
    TaskFinishedError,
)
from services.ports.database import Transaction
from services.review.authorship import NO_EARLIER_WORK, EarlierWork, concerned_ids
from services.review.case_file import CaseFile
from services.review.overlap import answered_before
from services.review.routing import excluded_actors

SeenTask = TypeVar("SeenTask", bound=ReviewTask)
FINISHED_STATES = frozenset({TaskState.COMPLETED, TaskState.CANCELLED})
_SELF_REVIEW = "You made, or have already judged, what this task is about; somebody else must decide it."
_ANSWERED = "You have labelled this sample already; another person's labels are needed."


async def seen_task(tx: Transaction, principal: Principal, task_id: UUID, *, lock: bool = False) -> ReviewTask:
    """Return a task of a project that the key sees.

    Raises:
        NotFoundError: There is none, or it lies in another project; both read alike.
    """
    task = await tx.review.task(task_id, lock=lock)
    if task is None or not principal.sees(task.ref.project):
        raise task_not_found(task_id)
    return task


def task_not_found(task_id: UUID) -> NotFoundError:
    """Return the error for a task that is not there, or lies in a project that the key does not see."""
    return NotFoundError(f"There is no task {task_id}.")


async def ensure_may_take(tx: Transaction, principal: Principal, task: ReviewTask) -> None:
    """Refuse who lacks the role or the skill for a task, or is not the person it is assigned to.

    A skill is asked for when a task is taken. Who holds it finishes it, even if the skill was lost meanwhile.

    Raises:
        ForbiddenError: The role, a skill or the assignment says no.
        SelfReviewError: The person is excluded from the task.
    """
    if task.kind not in task_kinds_of(principal.role):
        raise ForbiddenError(f"The role {principal.role} does not take tasks of kind {task.kind}.")
    if task.held_by != principal.actor_id:
        if task.skill is not None and not await has_skill(tx, principal, task.ref.project, task.skill):
            raise ForbiddenError(f"This task needs the skill {task.skill!r}, which you do not have.")
        if task.assignee is not None and task.assignee != principal.actor_id:
            raise ForbiddenError("This task is assigned to somebody else.")
    if principal.actor_id in task.excluded_actors:
        raise SelfReviewError(_ANSWERED if task.kind is TaskKind.ANNOTATE else _SELF_REVIEW)


async def has_skill(tx: Transaction, principal: Principal, project: str, skill: str) -> bool:
    """Whether a person's key, or the project, says that they have a skill, at whatever level."""
    if skill in principal.skills:
        return True
    reviewer = await tx.people.get(project, principal.actor_id)
    return reviewer is not None and skill in reviewer.levels


def ensure_unfinished(task: ReviewTask) -> None:
    """Raise TaskFinishedError for a completed or cancelled task."""
    if task.state in FINISHED_STATES:
        raise TaskFinishedError(f"This task is {task.state}; nothing more can be done with it.")


def ensure_lease(principal: Principal, task: ReviewTask, fence: int, now: datetime) -> None:
    """Refuse a fencing token that is not the task's newest, or whose lease is over.

    Args:
        principal: Who shows the token.
        task: The task, locked.
        fence: The token.
        now: The database's clock, read after the task was locked: the lock may have been waited for.

    Raises:
        StaleFenceError: With what to do next.
    """
    holds = task.fence == fence and task.held_by == principal.actor_id
    if holds and task.lease_expires_at is not None and task.lease_expires_at > now:
        return
    if holds or (task.fence == fence and task.held_by is None):
        detail = f"The lease of fence {fence} is over; claim the task again."
    elif task.held_by is not None and task.held_by != principal.actor_id:
        detail = f"Fence {fence} is over: somebody else has claimed the task since."
    else:
        detail = f"Fence {fence} is not the task's newest; claim the task again and use the fence you get."
    raise StaleFenceError(detail)


def ensure_may_judge(
    principal: Principal,
    task: ReviewTask,
    case: CaseFile,
    folded: Iterable[Finding],
    earlier: EarlierWork = NO_EARLIER_WORK,
) -> None:
    """Refuse whoever made the labels concerned or has judged the same findings before, by what is stored now.

    A second answer to the same sample is refused too: answers are to be independent.

    The people excluded on the task were right when it was opened; labels may have changed hands since.

    Args:
        principal: The person.
        task: The task, locked.
        case: Its file, read after that.
        folded: Symptoms that its findings explain.
        earlier: What people did in earlier revisions of the sample.

    Raises:
        SelfReviewError: The person is one of them.
    """
    if task.kind is TaskKind.ANNOTATE and answered_before(principal.actor_id, task, case.decisions):
        raise SelfReviewError(_ANSWERED)
    if task.kind not in JUDGING_KINDS:
        return
    symptoms = {item.finding_id: item for item in folded}
    before = judged_before(case.decisions, task)
    findings = [item.finding for item in case.findings]
    if principal.actor_id in excluded_actors(findings, symptoms, case.label_sets, before, earlier):
        raise SelfReviewError(_SELF_REVIEW)


async def findings_of(tx: Transaction, task: ReviewTask) -> tuple[StoredFinding, ...]:
    """Return the findings that a task names, by id."""
    named = frozenset(task.finding_ids)
    return tuple(item for item in await tx.review.findings(task.ref) if item.finding.finding_id in named)


async def folded_of(tx: Transaction, ref: RevisionRef, findings: tuple[StoredFinding, ...]) -> tuple[Finding, ...]:
    """Return the symptoms that the findings explain, as the last check run kept them."""
    explained = {name for item in findings for name in item.finding.explains}
    if not explained:
        return ()
    run = await tx.samples.last_check_run(ref)
    return tuple(item for item in run.report.folded if item.finding_id in explained) if run is not None else ()


def labels_concerned(
    findings: Iterable[StoredFinding], folded: Iterable[Finding], annotations: Sequence[Annotation]
) -> frozenset[str]:
    """Return the ids of the labels that findings, and the symptoms under them, are about."""
    named = {name for item in findings for name in concerned_ids(item.finding, annotations)}
    return frozenset(named.union(*(item.annotations for item in folded)))


def judged_before(decisions: Iterable[Decision], task: ReviewTask) -> tuple[Decision, ...]:
    """Return the verdicts on the task's findings that were given with other tasks."""
    named = frozenset(task.finding_ids)
    return tuple(
        decision
        for decision in decisions
        if decision.task_id != task.task_id
        and decision.task_kind in JUDGING_KINDS
        and named.intersection(decision.finding_ids)
    )


def is_second_look(task: ReviewTask, decisions: Iterable[Decision]) -> bool:
    """Whether a task is the second of four eyes: its judge must not know the first verdict.

    An adjudication that follows an escalation is none, nor one whose rule does not ask for four eyes; there the
    history is the point.
    """
    if task.caused_by is not None and not task.caused_by.four_eyes:
        return False
    return task.kind is TaskKind.ADJUDICATE and any(
        decision.decision_id == task.origin_decision_id and decision.verdict in UPHELD_BY for decision in decisions
    )


def told_to_decider(decision: Decision) -> Decision:
    """Return a decision as the person who made it sees it: a second look stays blind when it is over."""
    hidden = decision.caused_by is not None and decision.caused_by.four_eyes
    return decision.model_copy(update={"caused_by": None}) if hidden else decision


def blindfolded(task: SeenTask) -> SeenTask:
    """Return a second look's task without what would tell of the first."""
    return task.model_copy(
        update={
            "origin_decision_id": None,
            "excluded_actors": (),
            "caused_by": None,
        }
    )
