"""Apply what was decided: follow-up tasks, the stage, and the workflow's next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.contracts.access import SYSTEM_ACTOR, Role
from services.contracts.lifecycle import FINAL_STAGES, NextStep, RevisionRef, Stage, StepResult
from services.contracts.people import ReviewerProfile
from services.contracts.records import SampleRevision
from services.contracts.review import FindingState, NewTask, TaskKind
from services.incidents.leaving import leave_incidents
from services.lifecycle.answers import close_slots, settle_answers, until_slots_are_free, value_answers
from services.lifecycle.covering import cover, held_findings
from services.lifecycle.earlier import read_earlier_work
from services.lifecycle.journal import move
from services.lifecycle.plan import FollowUp, ReviewFacts, plan_review
from services.lifecycle.steps import (
    ProjectRules,
    cancel_task,
    is_live,
    lock_revision,
    open_task,
    read_project_rules,
)
from services.lifecycle.windows import limits_of_task, until_next_deadline
from services.ports.database import Database, Transaction
from services.review.hours import next_at_work
from services.review.routing import follow_up

_REWORK_ROLES = frozenset({Role.ANNOTATOR, Role.REVIEWER})


async def settle_review(database: Database, ref: RevisionRef) -> StepResult:
    """Apply the decisions stored since the last time and return what the workflow does next.

    Idempotent: everything is derived from what is stored (see :func:`services.lifecycle.plan.plan_review`), under
    the lock of the revision; a follow-up task is opened once for its decision, and what is applied asks for nothing
    more. It may be called at any time, by a workflow that knows nothing.

    Raises:
        NotFoundError: There is no such revision.
    """
    async with database.transaction() as tx:
        return await settle(tx, await lock_revision(tx, ref))


async def settle(tx: Transaction, revision: SampleRevision) -> StepResult:
    """Do the same for a locked revision, in the caller's transaction."""
    if revision.stage in FINAL_STAGES:
        return await final_result(tx, revision)
    project = await read_project_rules(tx, revision.ref.project)
    covered = await cover(tx, revision, project)
    if covered.changed:
        revision = await lock_revision(tx, revision.ref)
        if revision.stage in FINAL_STAGES:
            return await final_result(tx, revision)
    facts = await read_facts(tx, revision, project)
    if await close_slots(tx, facts.tasks, facts.decisions):
        facts = await read_facts(tx, revision, project)
    plan = plan_review(facts)
    handed_over = any(item.decision.task_kind is TaskKind.ANNOTATE for item in plan.open)
    answered = revision.stage is Stage.ANNOTATING and (plan.next_step is NextStep.CHECK or handed_over)
    if answered and await settle_answers(tx, revision, project):
        plan = plan_review(await read_facts(tx, revision, project))
    elif revision.stage is Stage.ANNOTATING and plan.next_step is NextStep.ANNOTATE:
        await value_answers(tx, revision, project)
    for task in plan.cancel:
        await cancel_task(tx, task, plan.cancel_reason)
    if plan.next_step is NextStep.STOP:
        await leave_incidents(tx, revision.ref, plan.cancel_reason)
    if plan.open:
        await _open_follow_ups(tx, revision, plan.open, project)
    stage = await move(tx, revision, *plan.path, actor=SYSTEM_ACTOR)
    result = await step_result(tx, revision, stage, plan.next_step, project)
    waits = [covered.look_again_in, await until_slots_are_free(tx, facts.tasks, facts.decisions), result.due_in]
    return result.model_copy(update={"due_in": min((wait for wait in waits if wait is not None), default=None)})


async def final_result(tx: Transaction, revision: SampleRevision) -> StepResult:
    """Return what the workflow is told about a revision that has reached its end."""
    record = await tx.ground_truth.get(revision.ref) if revision.stage is Stage.COMMITTED else None
    return StepResult(
        stage=revision.stage,
        next_step=NextStep.STOP,
        content_sha256=None if record is None else record.content_sha256,
    )


async def step_result(
    tx: Transaction, revision: SampleRevision, stage: Stage, next_step: NextStep, project: ProjectRules
) -> StepResult:
    """Return what the workflow is told, with the open tasks and their next deadline as they are now."""
    live = [task for task in await tx.review.tasks_of(revision.ref) if is_live(task)]
    findings = await tx.review.findings(revision.ref)
    return StepResult(
        stage=stage,
        next_step=next_step,
        open_tasks=len(live),
        findings=sum(item.state is FindingState.OPEN for item in findings),
        due_in=await until_next_deadline(tx, live, project.config, await tx.now()) if live else None,
    )


async def read_facts(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> ReviewFacts:
    """Read what the next step follows from."""
    last_run = await tx.samples.last_check_run(revision.ref)
    return ReviewFacts(
        revision=revision,
        rules=project.rules,
        tasks=await tx.review.tasks_of(revision.ref),
        decisions=await tx.review.decisions(revision.ref),
        checked_version=None if last_run is None else last_run.label_version,
        waits_for_incident=bool(await held_findings(tx, revision.ref)),
        taxonomy_changed=last_run is not None and last_run.taxonomy != project.config.taxonomy,
    )


async def _open_follow_ups(
    tx: Transaction, revision: SampleRevision, needed: tuple[FollowUp, ...], project: ProjectRules
) -> None:
    ref = revision.ref
    now = await tx.now()
    workers = await _Workers.of(tx, ref.project, needed, now)
    tasks = {task.task_id: task for task in await tx.review.tasks_of(ref)}
    findings = await tx.review.findings(ref)
    last_run = await tx.samples.last_check_run(ref)
    label_sets = await tx.samples.label_sets(ref)
    decisions = await tx.review.decisions(ref)
    queues = await tx.queues.list(ref.project)
    earlier = await read_earlier_work(tx, ref)
    for item in needed:
        task = follow_up(
            item.decision,
            item.kind,
            tasks[item.decision.task_id],
            findings=findings,
            folded=last_run.report.folded if last_run is not None else (),
            label_sets=label_sets,
            decisions=decisions,
            may_rework=workers.may_rework,
            queues=queues,
            cause=item.cause,
            earlier=earlier,
        )
        await open_task(tx, workers.reachable(limits_of_task(task, project.config).open(task, now), now))


@dataclass(frozen=True, slots=True)
class _Workers:
    """The people who may be given rework in a project."""

    known: frozenset[str]
    profiles: Mapping[str, ReviewerProfile]

    @classmethod
    async def of(cls, tx: Transaction, project: str, needed: tuple[FollowUp, ...], now: datetime) -> _Workers:
        if not any(item.kind is TaskKind.REWORK for item in needed):
            return cls(frozenset(), {})
        known = frozenset(
            key.actor_id
            for key in await tx.access.list_keys()
            if key.role in _REWORK_ROLES
            and key.revoked_at is None
            and (key.expires_at is None or key.expires_at > now)
            and (key.projects is None or project in key.projects)
        )
        reviewers = await tx.people.list(project)
        return cls(known, {reviewer.profile.actor_id: reviewer.profile for reviewer in reviewers})

    def may_rework(self, person: str) -> bool:
        """Whether the person has a key for it."""
        return person in self.known

    def reachable(self, task: NewTask, now: datetime) -> NewTask:
        """Return the task as it is, or for anybody if its assignee is not at work before it is due."""
        profile = self.profiles.get(task.assignee or "")
        if profile is None or task.due_at is None or next_at_work(profile, now) < task.due_at:
            return task
        return task.model_copy(update={"assignee": None})
