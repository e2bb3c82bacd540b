"""What upstream's events do to a sample: open a revision, replace it, withdraw it, hand in its labels."""

from __future__ import annotations

from datetime import timedelta

from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.events import EventType, IncomingEvent, LabelsSubmitted, SampleWithdrawn
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest, check_annotations
from services.contracts.records import ProjectConfig, SampleRevision
from services.contracts.review import LABELLING_KINDS, ReviewTask
from services.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    StageConflictError,
    TaskHeldError,
)
from services.incidents.leaving import leave_incidents
from services.lifecycle.journal import record_stage, tell_workflow
from services.lifecycle.opening import Arrived, actor_of, open_samples, tell_start
from services.lifecycle.steps import cancel_task, is_live
from services.ports.database import Transaction
from services.quality.answers import note_answer
from services.review.labelling import complete_labelling
from services.review.overlap import answered_before

# Ground truth, and a rejection, stay what they are; the revision that follows says that it was opened again.
_REOPENED_FROM = frozenset({Stage.COMMITTED, Stage.REJECTED})


async def open_revision(
    tx: Transaction, manifest: SampleManifest, event: IncomingEvent, *, config: ProjectConfig
) -> RevisionRef:
    """Keep a manifest as the next revision of its sample and have its workflow started.

    An event of type ``sample.updated`` closes the revision before: one that is under way is withdrawn, one that
    was committed or rejected is marked as reopened.

    Raises:
        AlreadyExistsError: The event says ``created`` and the sample exists.
        NotFoundError: The event says ``updated`` and the sample does not exist.
    """
    if event.type == EventType.SAMPLE_CREATED:
        opened = await open_samples(tx, manifest.project, config, [Arrived(manifest, event)])
        if manifest.sample_id in opened:
            return opened[manifest.sample_id]
        newest = await tx.samples.lock_sample(manifest.project, manifest.sample_id)
        raise AlreadyExistsError(
            f"the sample {manifest.sample_id!r} exists in project {manifest.project!r}, at revision {newest}; "
            f"send {EventType.SAMPLE_UPDATED} for a new revision",
            places=(("/data/sample_id", "exists already"),),
            facts={"revision": newest},
        )
    newest = await tx.samples.lock_sample(manifest.project, manifest.sample_id)
    if not newest:
        raise _no_sample(manifest.project, manifest.sample_id)
    ref = RevisionRef(project=manifest.project, sample_id=manifest.sample_id, revision=newest + 1)
    actor = actor_of(event)
    await _close_revision(tx, ref, actor=actor)
    risk = config.risk_of(manifest.context)
    await tx.samples.add_revision(ref, manifest, manifest_sha256=content_sha256(manifest), risk=risk, event=event)
    if manifest.annotations:
        author = Author(kind="importer", id=actor)
        await tx.samples.add_label_set(ref, manifest.annotations, origin="manifest", author=author)
    await record_stage(tx, ref, None, Stage.RECEIVED, actor=actor)
    await tell_start(tx, ref, config)
    return ref


async def withdraw_sample(tx: Transaction, data: SampleWithdrawn, event: IncomingEvent) -> RevisionRef:
    """Withdraw the newest revision of a sample.

    Raises:
        NotFoundError: There is no such sample.
        StageConflictError: The revision has ended: committed, rejected or withdrawn.
    """
    revision = await _locked_revision(tx, data.project, data.sample_id, None)
    await withdraw_revision(tx, revision, actor_of(event), data.reason)
    return revision.ref


async def withdraw_revision(tx: Transaction, revision: SampleRevision, actor: str, reason: str) -> None:
    """Move a locked revision to ``withdrawn``, cancel its open tasks and tell its workflow.

    Raises:
        StageConflictError: The revision has ended.
    """
    # Told first: once the stage is final, nobody is told anything.
    await tell_workflow(tx, revision, "withdrawal_recorded", f"withdrawal-{revision.ref.revision}", reason)
    for task in await tx.review.tasks_of(revision.ref):
        if is_live(task):
            await cancel_task(tx, task, reason)
    await tx.probes.cancel_of(revision.ref)
    await leave_incidents(tx, revision.ref, reason)
    await record_stage(tx, revision.ref, revision.stage, Stage.WITHDRAWN, actor=actor, reason=reason)


async def submit_labels(tx: Transaction, data: LabelsSubmitted, *, config: ProjectConfig) -> RevisionRef:
    """Complete the revision's annotate or rework task with labels that were made outside.

    A task on hold, and one of a paused queue, is answered too: it is given to nobody, and these labels are made.

    Raises:
        NotFoundError: There is no such sample or revision.
        InvalidInputError: A label names a stream that the sample has not, or an id twice.
        StageConflictError: Nobody asks for labels of this revision now.
        TaskHeldError: Somebody else is at it, or it waits for its author.
    """
    revision = await _locked_revision(tx, data.project, data.sample_id, data.revision)
    _check_labels(data.annotations, revision.manifest)
    task = await _task_for(tx, revision, data.author)
    claimed = await tx.review.claim(task.task_id, data.author.id, timedelta(seconds=config.lease_s))
    if claimed is None:
        raise TaskHeldError(
            f"the {task.kind} task of revision {revision.ref.revision} is held by {task.held_by}; send the labels "
            "again when it was released or its lease is over"
        )
    decision = await complete_labelling(
        tx,
        revision,
        claimed,
        data.annotations,
        author=data.author,
        origin="external",
    )
    if data.author.kind == "human":
        await note_answer(tx, decision, of_probe=False)
    return revision.ref


async def _close_revision(tx: Transaction, successor: RevisionRef, *, actor: str) -> None:
    before = await _locked_revision(tx, successor.project, successor.sample_id, successor.revision - 1)
    reason = f"replaced by revision {successor.revision}"
    await tx.probes.cancel_of(before.ref)
    if before.stage in _REOPENED_FROM:
        await record_stage(tx, before.ref, before.stage, Stage.REOPENED, actor=actor, reason=reason)
    elif before.stage is not Stage.WITHDRAWN:
        await withdraw_revision(tx, before, actor, reason)


async def _locked_revision(tx: Transaction, project: str, sample_id: str, revision: int | None) -> SampleRevision:
    newest = await tx.samples.lock_sample(project, sample_id)
    if not newest:
        raise _no_sample(project, sample_id)
    ref = RevisionRef(project=project, sample_id=sample_id, revision=revision or newest)
    stored = await tx.samples.get(ref, lock=True)
    if stored is None:
        raise NotFoundError(
            f"the sample {sample_id!r} has no revision {ref.revision}; its newest is {newest}",
            places=(("/data/revision", "is not a revision of the sample"),),
        )
    return stored


def _no_sample(project: str, sample_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no sample {sample_id!r} in project {project!r}; send {EventType.SAMPLE_CREATED} first",
        places=(("/data/sample_id", "is not a known sample"),),
    )


def _check_labels(annotations: Annotations, manifest: SampleManifest) -> None:
    try:
        check_annotations(annotations, frozenset(stream.id for stream in manifest.streams))
    except ValueError as error:
        place, _, sentence = str(error).partition(": ")
        raise InvalidInputError(
            f"The submission of labels is not valid: {error}", places=((f"/data/{place}", sentence),)
        ) from error


async def _task_for(tx: Transaction, revision: SampleRevision, author: Author) -> ReviewTask:
    wanted = [task for task in await tx.review.tasks_of(revision.ref) if task.kind in LABELLING_KINDS and is_live(task)]
    if not wanted:
        raise StageConflictError(
            f"revision {revision.ref.revision} of sample {revision.ref.sample_id!r} is at stage {revision.stage}; "
            "nobody asks for its labels now",
            facts={"stage": revision.stage.value, "revision": revision.ref.revision},
        )
    decisions = await tx.review.decisions(revision.ref)
    wanted = [task for task in wanted if not answered_before(author.id, task, decisions)]
    if not wanted:
        raise StageConflictError(
            f"{author.id!r} has labelled revision {revision.ref.revision} of sample {revision.ref.sample_id!r} "
            "already; the labels of somebody else are needed",
            facts={"stage": revision.stage.value, "revision": revision.ref.revision},
        )

    def order(task: ReviewTask) -> tuple[bool, bool]:
        return task.assignee != author.id, task.held_by not in (None, author.id)

    for candidate in sorted(wanted, key=order):
        if candidate.assignee in (None, author.id):
            task = await tx.review.task(candidate.task_id, lock=True)
            if task is not None and is_live(task):
                return task
    raise TaskHeldError(
        f"the labels of revision {revision.ref.revision} are asked of {wanted[0].assignee}, not of {author.id}"
    )
