"""Samples with ground truth, committed, opened again and withdrawn, for tests of datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import GroundTruth, Project
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.journal import move, record_stage
from services.ports.database import Database, Transaction
from services.rules.rule_set import DEFAULT_RULE_SET

PROJECT = "own"
AUTHOR = Author(kind="human", id="ann")
CAMERA = {
    "id": "cam",
    "modality": "image",
    "uri": "cam/1.png",
    "image_size_px": [640, 480],
}
_LABELS: TypeAdapter[Annotations] = TypeAdapter(Annotations)


def a_box(label_id: str = "a1", label: str = "car", x_min: float = 10.0, **more: Any) -> dict[str, Any]:
    """A box on the camera."""
    return {
        "id": label_id, "type": "box", "stream": "cam", "label": label, "frame": 0,
        "box": [x_min, 20.0, x_min + 50.0, 90.0], **more,
    }  # fmt: skip


async def add_project(database: Database, project: str = PROJECT) -> None:
    """Keep a project with the default rule set."""
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.projects.add(Project(id=project, name=project))


async def commit(
    database: Database,
    sample_id: str,
    labels: Sequence[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    streams: Sequence[Mapping[str, Any]] = (CAMERA,),
    project: str = PROJECT,
    via: Sequence[Stage] = (),
    **more: Any,
) -> GroundTruth:
    """Commit a sample, or the next revision of one that was committed."""
    ref = await open_revision(database, sample_id, labels, context, streams, project=project, **more)
    async with database.transaction() as tx:
        await tx.samples.lock_sample(project, sample_id)
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        stages = (Stage.PRE_LABELING, Stage.CHECKING, *via, Stage.ACCEPTED)
        await move(tx, revision, *stages, actor="concord")
    return await commit_ground_truth(database, ref, workflow_run_id=f"run-{sample_id}")


async def open_revision(
    database: Database,
    sample_id: str,
    labels: Sequence[Mapping[str, Any]],
    context: Mapping[str, Any] | None = None,
    streams: Sequence[Mapping[str, Any]] = (CAMERA,),
    *,
    project: str = PROJECT,
    **more: Any,
) -> RevisionRef:
    """Keep the first or next revision of a sample; what was committed is marked as opened again."""
    async with database.transaction() as tx:
        newest = await tx.samples.lock_sample(project, sample_id)
        if newest:
            await _reopen(tx, RevisionRef(project=project, sample_id=sample_id, revision=newest))
        ref = RevisionRef(project=project, sample_id=sample_id, revision=newest + 1)
        manifest = SampleManifest.model_validate(
            {
                "format": "concord.sample/1",
                "sample_id": sample_id,
                "project": project,
                "context": dict(context or {}),
                "streams": [dict(stream) for stream in streams],
                **more,
            }
        )
        await tx.samples.add_revision(
            ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
        )
        await record_stage(tx, ref, None, Stage.RECEIVED, actor="upstream")
        await tx.samples.add_label_set(
            ref, _LABELS.validate_python([dict(label) for label in labels]), origin="manifest", author=AUTHOR
        )
    return ref


async def withdraw(database: Database, ref: RevisionRef) -> None:
    """Withdraw a revision that is under way."""
    async with database.transaction() as tx:
        await tx.samples.lock_sample(ref.project, ref.sample_id)
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.WITHDRAWN, actor="upstream")


async def _reopen(tx: Transaction, ref: RevisionRef) -> None:
    revision = await tx.samples.get(ref, lock=True)
    assert revision is not None
    if revision.stage is Stage.COMMITTED:
        await record_stage(tx, ref, Stage.COMMITTED, Stage.REOPENED, actor="upstream")
