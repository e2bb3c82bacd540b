"""Deadlines of open tasks: what happens when one comes near, and when one has passed."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.canonical import content_sha256
from services.contracts.deadlines import DeadlinePolicy
from services.contracts.escalation import OVERDUE_RULE, EscalationFacts, EscalationTarget, TaskCause
from services.contracts.events import TaskDeadline, task_event_id, task_event_type
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef, StepResult
from services.contracts.review import ReviewTask, TaskKind
from services.lifecycle.journal import subject_of
from services.lifecycle.settle import settle
from services.lifecycle.steps import ProjectRules, is_live, lock_revision, read_project_rules
from services.lifecycle.windows import Moment, MomentKind, is_held, limits_of, limits_of_task, missed
from services.ports.database import Database, Transaction
from services.review.queueing import next_tier, place_in_tier

OVERDUE_PRIORITY = 50

_TOO_LATE = {MomentKind.START: "started", MomentKind.FINISH: "decided"}


async def escalate_overdue(database: Database, ref: RevisionRef, deadline_round: int) -> StepResult:
    """Remind of what is due soon, move overdue work on, and return what the workflow does next.

    What nobody holds when it should have been started or finished goes to the next tier: a review to the experts, what
    is with the experts to the tiers above them where the project has any, each to the queue that would take it in if it
    were opened for that tier now. Other overdue tasks rise in priority. What one person alone was asked for is asked of
    anybody then. A task that somebody holds under a live lease is left to them; reminders are sent all the same.

    Idempotent: each moment of a task has a name that follows from its deadlines and the database's clock, and is
    acted on once, in the transaction that keeps a note of it. A second call for the same moment, a clock of the
    workflow that runs ahead, or a workflow that was started again therefore changes nothing.

    Args:
        database: The store of record.
        ref: The revision.
        deadline_round: The workflow's count of its deadlines; kept in the audit trail.

    Raises:
        NotFoundError: There is no such revision.
    """
    async with database.transaction() as tx:
        revision = await lock_revision(tx, ref)
        if revision.stage not in FINAL_STAGES:
            project = await read_project_rules(tx, ref.project)
            now = await tx.now()
            for seen in await tx.review.tasks_of(ref):
                # Locked, so that nobody claims it between this look and what follows from it.
                task = await tx.review.task(seen.task_id, lock=True) if is_live(seen) else None
                if task is not None:
                    await _look_at(tx, task, project, now, deadline_round)
        return await settle(tx, revision)


async def _look_at(
    tx: Transaction, task: ReviewTask, project: ProjectRules, now: datetime, deadline_round: int
) -> None:
    moved = False
    for moment in await missed(tx, task, limits_of_task(task, project.config), now):
        if moment.kind is MomentKind.REMINDER:
            await _tell(tx, task, moment, now, deadline_round)
        elif not is_held(task, now):
            # Too late in both ways is one step up, not two.
            queue = None if moved else await _escalate(tx, task, moment, project, now)
            await _tell(tx, task, moment, now, deadline_round, queue, freed=not moved and task.assignee is not None)
            moved = True


async def _escalate(
    tx: Transaction, task: ReviewTask, moment: Moment, project: ProjectRules, now: datetime
) -> str | None:
    """Move a task to the next tier and return its new queue, or raise its priority where there is none.

    A task that names one person, such as rework its author, is asked of anybody from then on: they had their time.
    """
    tiers = (project.config.deadlines or DeadlinePolicy()).tiers_above_experts
    to = next_tier(task, tiers)
    if to is None:
        await tx.review.raise_priority(task.task_id, OVERDUE_PRIORITY)
        await tx.review.ask_anybody(task.task_id)
        return None
    place = place_in_tier(task, to, await tx.queues.list(task.ref.project), tiers)
    whom = "the experts" if task.kind is TaskKind.REVIEW else f"queue {place.queue}"
    done = _TOO_LATE[moment.kind]
    reason = f"Nobody {done} this {_NOUN[task.kind]} before {moment.at:%Y-%m-%d %H:%M} UTC, so it went to {whom}."
    # The tier has its own time for it, from now on: the one before has used up its own.
    clock = limits_of(TaskKind.ADJUDICATE, place.queue, task.risk, project.config).clock(now)
    await tx.review.move_to_tier(task.task_id, place.queue, place.skill, reason, _cause(task, to, project), clock)
    return place.queue


def _cause(task: ReviewTask, to: EscalationTarget, project: ProjectRules) -> TaskCause | None:
    """Return the cause of a moved task: of a review the deadline, of an adjudication its own, in the new tier."""
    if task.kind is TaskKind.REVIEW:
        return TaskCause(rule=OVERDUE_RULE, rule_set=project.rules.reference, to=to, facts=_facts_of(task))
    return None if task.caused_by is None else task.caused_by.model_copy(update={"to": to})


def _facts_of(task: ReviewTask) -> EscalationFacts:
    known = task.facts
    return EscalationFacts(
        check=known.check,
        finding_kind=known.finding_kind,
        severity=known.severity,
        domain=known.domain,
        risk=task.risk,
    )


_NOUN = {
    TaskKind.ANNOTATE: "annotation",
    TaskKind.REVIEW: "review",
    TaskKind.ADJUDICATE: "adjudication",
    TaskKind.REWORK: "rework",
}


async def _tell(
    tx: Transaction,
    task: ReviewTask,
    moment: Moment,
    now: datetime,
    deadline_round: int,
    moved_to: str | None = None,
    *,
    freed: bool = False,
) -> None:
    """Tell the audit trail and the outside about a moment, and note that it was acted on."""
    body = {
        "task_id": str(task.task_id),
        "moment": moment.kind.value,
        "deadline": moment.number,
        "deadline_round": deadline_round,
        "moved_to": moved_to,
        **({"no_longer_only_for": task.assignee} if freed else {}),
        "late_s": round((now - moment.at) / timedelta(seconds=1), 3),
    }
    action = "task.reminded" if moment.kind is MomentKind.REMINDER else "task.overdue"
    tx.audit.append(task.ref.project, actor=SYSTEM_ACTOR, action=action, subject=subject_of(task.ref), body=body)
    event = TaskDeadline(
        project=task.ref.project,
        sample_id=task.ref.sample_id,
        revision=task.ref.revision,
        task_id=task.task_id,
        kind=task.kind.value,
        queue=task.queue,
        moment=moment.kind.value,
        number=moment.number,
        deadline_at=moment.at if task.due_at is None or moment.kind is not MomentKind.REMINDER else task.due_at,
        at=now,
        person=task.held_by if is_held(task, now) else task.assignee,
        moved_to=moved_to,
        freed=freed or None,
        moment_key=moment.key,
    )
    await tx.outbox.add(
        "event",
        task.ref,
        event.model_dump(mode="json", exclude_none=True),
        event_type=task_event_type(event),
        event_id=task_event_id(event),
    )
    await tx.idempotency.add(SYSTEM_ACTOR, moment.key, content_sha256(body), 200, b"{}")
