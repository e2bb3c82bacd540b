"""What every step of the lifecycle begins with: the locked revision, its project, its rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.lifecycle import LifecycleInput, RevisionRef
from services.contracts.records import ProjectConfig, SampleRevision
from services.contracts.review import NewTask, ReviewTask, TaskState
from services.errors import IntegrityError, NotFoundError
from services.lifecycle.journal import subject_of, told_of_cause
from services.ports.database import Transaction
from services.rules.rule_set import RuleSet

LIVE_TASK_STATES = frozenset({TaskState.OPEN, TaskState.CLAIMED})


@dataclass(frozen=True, slots=True)
class ProjectRules:
    """A project's settings with the rule set they name, and its domain."""

    config: ProjectConfig
    rules: RuleSet
    domain: str = "general"


async def lock_revision(tx: Transaction, ref: RevisionRef) -> SampleRevision:
    """Lock the sample, then the revision, in the order that everybody keeps; return the revision.

    Raises:
        NotFoundError: There is no such revision.
    """
    await tx.samples.lock_sample(ref.project, ref.sample_id)
    return _found(await tx.samples.get(ref, lock=True), ref)


async def read_revision(tx: Transaction, ref: RevisionRef) -> SampleRevision:
    """Return the revision without locking it.

    Raises:
        NotFoundError: There is no such revision.
    """
    return _found(await tx.samples.get(ref), ref)


def _found(revision: SampleRevision | None, ref: RevisionRef) -> SampleRevision:
    if revision is None:
        raise NotFoundError(f"there is no revision {ref.revision} of sample {ref.sample_id} in project {ref.project}")
    return revision


async def read_project_rules(tx: Transaction, project_id: str) -> ProjectRules:
    """Return the project's settings and rule set.

    Raises:
        NotFoundError: There is no such project.
        IntegrityError: The project names a rule set that is not kept.
    """
    project = await tx.projects.get(project_id)
    if project is None:
        raise NotFoundError(f"there is no project {project_id}")
    reference = project.config.rule_set
    rules = await tx.projects.rule_set(reference)
    if rules is None:
        raise IntegrityError(
            f"project {project_id} names rule set {reference.id} version {reference.version}, which is not kept"
        )
    return ProjectRules(config=project.config, rules=rules, domain=project.domain)


def is_live(task: ReviewTask) -> bool:
    """Whether the task still waits for its answer."""
    return task.state in LIVE_TASK_STATES


async def open_task(tx: Transaction, task: NewTask) -> ReviewTask:
    """Open a task and say so in the audit trail."""
    opened = await tx.review.open_task(task)
    tell_opened(tx, opened.task_id, opened)
    return opened


def tell_opened(tx: Transaction, task_id: UUID, task: NewTask | ReviewTask) -> None:
    """Say in the audit trail that a task was opened."""
    tx.audit.append(
        task.ref.project,
        actor=SYSTEM_ACTOR,
        action="task.opened",
        subject=subject_of(task.ref),
        body={
            "task_id": str(task_id),
            "kind": task.kind.value,
            "queue": task.queue,
            "finding_ids": list(task.finding_ids),
            "origin_decision_id": None if task.origin_decision_id is None else str(task.origin_decision_id),
            **told_of_cause("caused_by", task.caused_by),
        },
    )


async def cancel_task(tx: Transaction, task: ReviewTask, reason: str) -> None:
    """Cancel a task and say so in the audit trail. Drafts stay."""
    await tx.review.close_task(task.task_id, TaskState.CANCELLED)
    tx.audit.append(
        task.ref.project,
        actor=SYSTEM_ACTOR,
        action="task.cancelled",
        subject=subject_of(task.ref),
        body={"task_id": str(task.task_id), "kind": task.kind.value},
        personal={"reason": reason},
    )


def lifecycle_input(ref: RevisionRef, config: ProjectConfig) -> LifecycleInput:
    """Return what the revision's workflow starts with: made of stored facts, so that it can be made again."""
    return LifecycleInput(
        ref=ref,
        annotate_within=timedelta(seconds=config.annotate_within_s),
        review_within=timedelta(seconds=config.review_within_s),
    )
