"""Several people label one sample: open a task for each, ask one more while that is worth it, join what they say.

One row of ``review_tasks`` is one answer. Rows are opened under the lock of the revision only: the first ones in the
transaction that moves it to ``annotating``, each further one for the answer after which people did not settle, of
which the store keeps one a decision. A task has at most one decision. So there are never more answers than rows, and
never more rows than were decided on, whatever runs at the same time.

What the answers said together is kept each time nobody is at work on another one: labels on which people agree are
accepted there and then, and only the disputed ones go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.annotations import Annotations
from services.contracts.consensus import Answer, Consensus, JoinedAnswers
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import Context, Risk
from services.contracts.queues import ReviewQueue
from services.contracts.records import ProjectConfig, SampleRevision
from services.contracts.review import Decision, FindingState, NewTask, ReviewTask, TaskKind, TaskState
from services.lifecycle.journal import subject_of
from services.lifecycle.steps import ProjectRules, cancel_task, is_live, open_task
from services.lifecycle.windows import limits_of_task
from services.ports.database import Transaction
from services.review.asking import Asking
from services.review.overlap import (
    agreed_labels,
    agreement_of,
    answers_wanted,
    handed_over,
    labels_before_answers,
    may_ask_another,
    merged,
    newest_predictions,
    open_answers,
    submissions,
    unsettled,
)
from services.review.queueing import facts_of_sample, place_of
from services.review.worth import Case, Skills, next_askings, questions_of, worth_of

_IDS_NOTED = 100
# Joining thousands of labels takes seconds under the lock: their order in the lane is not worth that.
_MOST_VALUED = 2_000
_MORE = "Those who labelled it agree too little ({agreement:.2f}); label it without knowing what they said."


def needs_annotator(config: ProjectConfig, labels: Annotations) -> bool:
    """Whether people label a sample before it is checked, with these labels there already."""
    return config.annotate == "always" or (config.annotate == "when_missing" and not labels)


async def ask_annotators(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> None:
    """Open a task for each answer that the sample gets; the caller moves the revision in the same transaction."""
    ref = revision.ref
    # Where nobody is ever asked beyond the first, samples come in their turn.
    worth = 0.0 if project.config.overlap is None else (await _read(tx, revision, project)).worth
    for _ in range(answers_wanted(ref.project, ref.sample_id, project.rules.reference, project.config.overlap)):
        await _open(tx, revision, project, worth)


async def are_open(tx: Transaction, revision: SampleRevision) -> bool:
    """Whether there are several answers that nothing was made of yet."""
    decisions = await tx.review.decisions(revision.ref)
    return (
        len(submissions(decisions)) > 1 and len(open_answers(await tx.samples.label_sets(revision.ref), decisions)) > 1
    )


async def close_slots(tx: Transaction, tasks: Iterable[ReviewTask], decisions: tuple[Decision, ...]) -> bool:
    """Cancel the tasks for answers that nobody works on, once an annotator has handed the sample to an expert.

    Who works on an answer may finish it. True if any was cancelled.
    """
    if not handed_over(decisions):
        return False
    cancelled = False
    for seen in tasks:
        if seen.kind is TaskKind.ANNOTATE and seen.state is TaskState.OPEN:
            # Locked, so that nobody claims it between this look and its end.
            task = await tx.review.task(seen.task_id, lock=True)
            if task is not None and task.state is TaskState.OPEN:
                await cancel_task(tx, task, "An annotator has handed the sample to an expert.")
                cancelled = True
    return cancelled


async def until_slots_are_free(
    tx: Transaction, tasks: Iterable[ReviewTask], decisions: tuple[Decision, ...]
) -> timedelta | None:
    """Return when to look again at answers in people's hands that an expert waits for; None if none does."""
    if not handed_over(decisions):
        return None
    ends = [
        task.lease_expires_at
        for task in tasks
        if task.kind is TaskKind.ANNOTATE and task.state is TaskState.CLAIMED and task.lease_expires_at is not None
    ]
    return max(min(ends) - await tx.now(), timedelta(0)) if ends else None


async def settle_answers(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> bool:
    """Join the answers of a locked revision once nobody is asked any more, or ask one more; True if it did either.

    Idempotent: joined answers are no open answers, and a further task is opened once for its decision.
    """
    ref = revision.ref
    tasks = await tx.review.tasks_of(ref)
    if any(is_live(task) and task.kind is TaskKind.ANNOTATE for task in tasks):
        return False
    so_far = await _read(tx, revision, project)
    if len(so_far.answers) < 2:
        return False
    found = so_far.found
    # Where an annotator asks for an expert, nobody else is asked what they see.
    asked = [] if handed_over(so_far.decisions) else _next_askings(so_far, tasks, project)
    if asked:
        worth = sum(asking.value for asking in asked)
        await _open(tx, revision, project, worth, after=so_far)
        await _keep(tx, revision, project, so_far, label_version=None)
        return True
    labels = await tx.samples.add_label_set(
        ref, found.annotations, origin="consensus", author=Author(kind="consensus", id="consensus")
    )
    await _keep(tx, revision, project, so_far, label_version=labels.version)
    disputed = [item.annotation.id for item in found.labels if item.state == "disputed"]
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action="answers.joined",
        subject=subject_of(ref),
        body={
            "annotators": list(found.annotators),
            "labels": len(found.labels),
            "disputed": len(disputed),
            "first_disputed": disputed[:_IDS_NOTED],
            "agreement": round(agreement_of(found), 6),
        },
    )
    return True


async def value_answers(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> None:
    """Place the tasks of a locked revision that wait for answers by what one more is worth after those that came."""
    waiting = [
        task for task in await tx.review.tasks_of(revision.ref) if is_live(task) and task.kind is TaskKind.ANNOTATE
    ]
    if waiting and project.config.overlap is not None:
        so_far = await _read(tx, revision, project)
        if so_far.labels <= _MOST_VALUED:
            await tx.review.value_tasks([task.task_id for task in waiting], so_far.worth)


@dataclass(frozen=True)
class _SoFar:
    """The answers that nothing was made of yet, and what one more would hang on."""

    answers: list[Answer]
    decisions: tuple[Decision, ...]
    accepted: Annotations
    weights: dict[str, float]
    case: Case

    @cached_property
    def found(self) -> Consensus:
        """What they say together."""
        return merged(self.answers, self.case.rules.consensus, accepted=self.accepted, weights=self.weights or None)

    @property
    def labels(self) -> int:
        """How many labels they have in all."""
        return sum(len(answer.annotations) for answer in self.answers)

    @property
    def worth(self) -> float:
        """What one more is worth."""
        return worth_of(questions_of(self.found, self.case), self.case)


async def _read(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> _SoFar:
    ref, overlap, rules = revision.ref, project.config.overlap, project.rules
    decisions = await tx.review.decisions(ref)
    label_sets = await tx.samples.label_sets(ref)
    answers = open_answers(label_sets, decisions)
    people = tuple(sorted({answer.annotator for answer in answers}))
    skills = Skills.of(await tx.answers.skills(ref.project, people))
    by_skill = rules.consensus is not None and rules.consensus.votes == "by_skill"
    weights = skills.weights(people) if by_skill else {}
    last = await tx.answers.last_joined(ref) if answers else None
    accepted = agreed_labels(last.consensus) if last is not None and last.label_version is None else ()
    before = labels_before_answers(label_sets, decisions)
    said = (*newest_predictions(label_sets), *(() if before is None else before.annotations))
    findings = await tx.review.findings(ref)
    case = Case(
        rules=rules,
        risk=revision.risk,
        skills=skills,
        findings=tuple(item.finding for item in findings if item.state is FindingState.OPEN),
        predicted=tuple(label for label in said if label.confidence is not None),
        min_answers=1 if overlap is None else overlap.answers,
        max_answers=1 if overlap is None else overlap.max_answers or overlap.answers,
    )
    return _SoFar(answers, decisions, accepted, weights, case)


def _next_askings(so_far: _SoFar, tasks: tuple[ReviewTask, ...], project: ProjectRules) -> list[Asking]:
    overlap = project.config.overlap
    if overlap is None or not may_ask_another(so_far.found, tasks, overlap):
        return []
    return next_askings(so_far.found, unsettled(so_far.found, overlap), so_far.case)


async def _keep(
    tx: Transaction, revision: SampleRevision, project: ProjectRules, so_far: _SoFar, *, label_version: int | None
) -> None:
    await tx.answers.put_joined(
        JoinedAnswers(
            ref=revision.ref,
            answers=len(so_far.answers),
            rule=project.rules.reference,
            consensus=so_far.found,
            weights=so_far.weights,
            label_version=label_version,
            joined_at=await tx.now(),
        )
    )


async def _open(
    tx: Transaction, revision: SampleRevision, project: ProjectRules, worth: float, *, after: _SoFar | None = None
) -> None:
    """Open a task for an answer; ``after`` which, where it is one more."""
    ref = revision.ref
    queues = await tx.queues.list(ref.project)
    task = task_to_label(ref, revision.manifest.context, revision.risk, project, queues)
    if after is not None:
        last = list(submissions(after.decisions).values())[-1]
        task = task.model_copy(
            update={
                "excluded_actors": after.found.annotators,
                "origin_decision_id": last.decision_id,
                "reason": _MORE.format(agreement=agreement_of(after.found)),
            }
        )
    task = task.model_copy(update={"worth": worth})
    await open_task(tx, limits_of_task(task, project.config).open(task, await tx.now()))


def task_to_label(
    ref: RevisionRef, context: Context, risk: Risk, project: ProjectRules, queues: Sequence[ReviewQueue]
) -> NewTask:
    """Return a task that asks for one answer: a sample's labels by somebody who knows nobody else's."""
    facts = facts_of_sample(context, project.domain)
    place = place_of(TaskKind.ANNOTATE, risk, facts, project.rules, queues)
    return NewTask(
        ref=ref,
        kind=TaskKind.ANNOTATE,
        queue=place.queue,
        **({} if place.priority is None else {"priority": place.priority}),
        risk=risk,
        facts=facts,
    )
