"""Several people label one sample: open a task for each, ask one more while they agree too little, join what they say.

One row of ``review_tasks`` is one answer. Rows are opened under the lock of the revision only: the first ones in the
transaction that moves it to ``annotating``, each further one for the answer after which people agreed too little, of
which the store keeps one a decision. A task has at most one decision. So there are never more answers than rows, and
never more rows than were decided on, whatever runs at the same time.
"""

from __future__ import annotations

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.label_base import Author
from services.contracts.records import SampleRevision
from services.contracts.review import Decision, NewTask, TaskKind
from services.lifecycle.journal import subject_of
from services.lifecycle.steps import ProjectRules, is_live, open_task
from services.lifecycle.windows import limits_of_task
from services.ports.database import Transaction
from services.review.overlap import agreement_of, answers_wanted, merged, open_answers, submissions, wants_another
from services.review.queueing import facts_of_sample, place_of

_IDS_NOTED = 100
_MORE = "Those who labelled it agree too little ({agreement:.2f}); label it without knowing what they said."


async def ask_annotators(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> None:
    """Open a task for each answer that the sample gets; the caller moves the revision in the same transaction."""
    ref = revision.ref
    for _ in range(answers_wanted(ref.project, ref.sample_id, project.rules.reference, project.config.overlap)):
        await _open(tx, revision, project)


async def are_open(tx: Transaction, revision: SampleRevision) -> bool:
    """Whether there are several answers that nothing was made of yet."""
    decisions = await tx.review.decisions(revision.ref)
    return (
        len(submissions(decisions)) > 1 and len(open_answers(await tx.samples.label_sets(revision.ref), decisions)) > 1
    )


async def settle_answers(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> bool:
    """Join the answers of a locked revision once nobody is asked any more, or ask one more; True if it did either.

    Idempotent: joined answers are no open answers, and a further task is opened once for its decision.
    """
    ref = revision.ref
    decisions = await tx.review.decisions(ref)
    answers = open_answers(await tx.samples.label_sets(ref), decisions)
    tasks = await tx.review.tasks_of(ref)
    if len(answers) < 2 or any(is_live(task) and task.kind is TaskKind.ANNOTATE for task in tasks):
        return False
    found = merged(answers, project.rules.consensus)
    if wants_another(found, tasks, project.config.overlap):
        last = list(submissions(decisions).values())[-1]
        await _open(tx, revision, project, after=last, people=found.annotators, agreement=agreement_of(found))
        return True
    await tx.samples.add_label_set(
        ref, found.annotations, origin="consensus", author=Author(kind="consensus", id="consensus")
    )
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


async def _open(
    tx: Transaction,
    revision: SampleRevision,
    project: ProjectRules,
    *,
    after: Decision | None = None,
    people: tuple[str, ...] = (),
    agreement: float = 0.0,
) -> None:
    facts = facts_of_sample(revision.manifest.context, project.domain)
    queues = await tx.queues.list(revision.ref.project)
    place = place_of(TaskKind.ANNOTATE, revision.risk, facts, project.rules, queues)
    task = NewTask(
        ref=revision.ref,
        kind=TaskKind.ANNOTATE,
        queue=place.queue,
        **({} if place.priority is None else {"priority": place.priority}),
        risk=revision.risk,
        facts=facts,
        excluded_actors=people,
        origin_decision_id=None if after is None else after.decision_id,
        reason=None if after is None else _MORE.format(agreement=agreement),
    )
    await open_task(tx, limits_of_task(task, project.config).open(task, await tx.now()))
