"""Finish a labelling task with a whole label set that was made outside."""

from __future__ import annotations

from uuid import uuid4

from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.label_base import Author
from services.contracts.records import SampleRevision
from services.contracts.review import Decision, DecisionInput, LabelOrigin, ReviewTask, Verdict
from services.ports.database import Transaction
from services.review.exclusion import exclude_authors, made_by
from services.review.recording import record_decision


async def complete_labelling(
    tx: Transaction,
    revision: SampleRevision,
    task: ReviewTask,
    annotations: Annotations,
    *,
    author: Author,
    origin: LabelOrigin,
    note: str | None = None,
) -> Decision:
    """Keep the labels as the next version and complete the task with verdict ``submit``.

    Whoever made them judges them in no other task of the sample.

    The caller has locked the revision, then the task, has claimed the task for the author and has checked the
    labels against the sample's streams.

    Args:
        tx: The transaction.
        revision: The revision, locked.
        task: An annotate or rework task of the revision, as its claim returned it; its fence goes into the decision.
        annotations: The whole label set.
        author: Who made the labels; their id is the decision's actor.
        origin: Where the labels came from.
        note: What the author wrote.

    Raises:
        TaskFinishedError: The task has its answer.
    """
    decision_id = uuid4()
    known = await tx.samples.label_set(revision.ref)
    before = known.annotations if known is not None else ()
    labels = await tx.samples.add_label_set(
        revision.ref, annotations, origin=origin, author=author, decision_id=decision_id
    )
    given = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, note=note, annotations=annotations)
    decision = Decision(
        decision_id=decision_id,
        task_id=task.task_id,
        ref=revision.ref,
        task_kind=task.kind,
        actor_id=author.id,
        verdict=Verdict.SUBMIT,
        note=note,
        finding_ids=task.finding_ids,
        fence=task.fence,
        label_version_before=revision.label_version,
        label_version_after=labels.version,
        content_sha256=content_sha256(given.model_dump(mode="json", exclude_none=True, exclude={"fence"})),
        decided_at=await tx.now(),
    )
    await record_decision(tx, revision, task, decision, given)
    await exclude_authors(tx, task, made_by(before, annotations, author), (*before, *annotations))
    return decision
