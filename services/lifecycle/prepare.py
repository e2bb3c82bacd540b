"""Get a sample ready to be checked, or to be labelled by a person."""

from __future__ import annotations

from contextlib import nullcontext

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.lifecycle import FINAL_STAGES, NextStep, RevisionRef, Stage, StepResult
from services.contracts.pre_label import LabelFilePredictions
from services.contracts.records import SampleRevision
from services.formats.result import FileLosses
from services.incidents.applying import CARRIED_ORIGIN
from services.lifecycle.answers import ask_annotators, needs_annotator
from services.lifecycle.gathering import Failure, Gathered, PreLabelersFor, gather_sample
from services.lifecycle.journal import move, subject_of
from services.lifecycle.settle import settle, step_result
from services.lifecycle.shares import ProjectShares
from services.lifecycle.steps import lock_revision, read_project_rules
from services.ports.assets import AssetReader
from services.ports.database import Database, Transaction

_LOSSES_NOTED = 20
_PLACE_LENGTH = 200
_CARRIED_ORIGINS = (CARRIED_ORIGIN, "migration")
_BEFORE_LABELLING = frozenset({Stage.RECEIVED, Stage.PRE_LABELING})


async def prepare_sample(
    database: Database,
    assets: AssetReader,
    pre_labelers_for: PreLabelersFor,
    ref: RevisionRef,
    *,
    shares: ProjectShares | None = None,
) -> StepResult:
    """Read and hash a sample's assets, read its label files, ask the models, and decide who goes first.

    A model or an asset that fails does not stop the sample: the audit trail notes it, the checks report the asset,
    and people label what no model did.

    Where people were asked as the sample came (see :mod:`services.lifecycle.opening`), only its assets are left.

    Idempotent: reading and asking leave nothing behind; what they gave is kept in one transaction that moves the
    sample out of ``pre_labeling``. A call that comes later finds it gone from there and answers what the state says.

    Args:
        database: The store of record.
        assets: Reads what the manifest refers to.
        pre_labelers_for: Makes the project's models.
        ref: The revision.
        shares: How many samples of one project may be with models at once; any number if left out.

    Raises:
        NotFoundError: There is no such revision.
        UnavailableError: Try again; also when the project has as many samples with its models as it may.
    """
    async with database.transaction() as tx:
        revision = await lock_revision(tx, ref)
        unread = await _is_unread(tx, revision)
        if revision.stage not in _BEFORE_LABELLING and not unread:
            return await settle(tx, revision)
        if not unread:
            await move(tx, revision, Stage.PRE_LABELING, actor=SYSTEM_ACTOR)
        carried = await _carried(tx, ref)
        sources = () if carried or unread else (await read_project_rules(tx, ref.project)).config.pre_label
    asks = any(not isinstance(source, LabelFilePredictions) for source in sources)
    with shares.place(ref.project) if shares is not None and asks else nullcontext():
        gathered = await gather_sample(revision.manifest, assets, sources, pre_labelers_for)
    async with database.transaction() as tx:
        revision = await lock_revision(tx, ref)
        if unread and revision.stage not in FINAL_STAGES:
            await _keep_read(tx, revision, gathered)
        if revision.stage is not Stage.PRE_LABELING:
            return await settle(tx, revision)
        return await _keep(tx, revision, gathered, carried=carried)


async def _is_unread(tx: Transaction, revision: SampleRevision) -> bool:
    """Whether people were asked before the sample's assets were read, and these still are to be read."""
    if revision.stage is not Stage.ANNOTATING or all(stream.uri is None for stream in revision.manifest.streams):
        return False
    return not await tx.samples.assets(revision.ref)


async def _carried(tx: Transaction, ref: RevisionRef) -> bool:
    """Whether the revision began with the labels of the one before: an incident's fix, or a taxonomy migration."""
    newest = await tx.samples.label_set(ref)
    return newest is not None and newest.origin in _CARRIED_ORIGINS


async def _keep(tx: Transaction, revision: SampleRevision, gathered: Gathered, *, carried: bool) -> StepResult:
    project = await read_project_rules(tx, revision.ref.project)
    await _keep_read(tx, revision, gathered)
    for prediction in gathered.predictions:
        author = Author(kind="model", id=prediction.model, version=prediction.version)
        await tx.samples.add_label_set(revision.ref, prediction.annotations, origin="prediction", author=author)
    if not carried:
        await _keep_label_files(tx, revision, gathered.labels)
    newest = await tx.samples.label_set(revision.ref)
    if not carried and needs_annotator(project.config, () if newest is None else newest.annotations):
        await ask_annotators(tx, revision, project)
        stage = await move(tx, revision, Stage.ANNOTATING, actor=SYSTEM_ACTOR)
        return await step_result(tx, revision, stage, NextStep.ANNOTATE, project)
    if newest is None and gathered.predictions:
        await _promote_predictions(tx, revision, gathered)
    stage = await move(tx, revision, Stage.CHECKING, actor=SYSTEM_ACTOR)
    return await step_result(tx, revision, stage, NextStep.CHECK, project)


async def _keep_read(tx: Transaction, revision: SampleRevision, gathered: Gathered) -> None:
    for failure in gathered.failures:
        _note(tx, revision.ref, failure)
    for losses in gathered.losses:
        _note_losses(tx, revision.ref, losses)
    await tx.samples.put_assets(revision.ref, gathered.assets)


def _note(tx: Transaction, ref: RevisionRef, failure: Failure) -> None:
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action=failure.action,
        subject=subject_of(ref),
        body={"name": failure.name, "code": failure.code, "reason": failure.reason},
    )


def _note_losses(tx: Transaction, ref: RevisionRef, losses: FileLosses) -> None:
    """Note how much of a label file was not taken over, and the first things of it: a file may have thousands."""
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action="label_file.partly_read",
        subject=subject_of(ref),
        body={
            "name": losses.file,
            "count": len(losses.dropped),
            "first": [
                {"place": lost.place[:_PLACE_LENGTH], "what": lost.what, "why": lost.why[:_PLACE_LENGTH]}
                for lost in losses.dropped[:_LOSSES_NOTED]
            ],
        },
    )


async def _keep_label_files(tx: Transaction, revision: SampleRevision, labels: tuple[Annotation, ...]) -> None:
    """Keep the labels of label files together with the manifest's own, which come first where ids are the same."""
    if not labels:
        return
    own = revision.manifest.annotations
    known = {annotation.id for annotation in own}
    merged = (*own, *(annotation for annotation in labels if annotation.id not in known))
    author = Author(kind="importer", id="label-files")
    await tx.samples.add_label_set(revision.ref, merged, origin="label_files", author=author)


async def _promote_predictions(tx: Transaction, revision: SampleRevision, gathered: Gathered) -> None:
    """Make predictions the labels of a sample that nobody is to label; the first model goes first on equal ids."""
    chosen: dict[str, Annotation] = {}
    for prediction in gathered.predictions:
        for annotation in prediction.annotations:
            chosen.setdefault(annotation.id, annotation)
    first = gathered.predictions[0]
    author = (
        Author(kind="model", id=first.model, version=first.version)
        if len(gathered.predictions) == 1
        else Author(kind="consensus", id="pre-label-models")
    )
    await tx.samples.add_label_set(revision.ref, tuple(chosen.values()), origin="pre_label", author=author)
