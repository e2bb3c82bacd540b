"""New samples, one or many in one transaction: the first revision, and the first task where nothing comes before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.canonical import content_sha256
from services.contracts.events import IncomingEvent
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage, workflow_id_of
from services.contracts.manifest import SampleManifest
from services.contracts.queues import ReviewQueue
from services.contracts.records import ProjectConfig, StageChange
from services.lifecycle.answers import needs_annotator, task_to_label
from services.lifecycle.journal import tell_stage
from services.lifecycle.steps import ProjectRules, lifecycle_input, read_project_rules, tell_opened
from services.lifecycle.windows import limits_of_task
from services.ports.database import Transaction
from services.ports.openings import Opening

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._:@+-]+")


def actor_of(event: IncomingEvent) -> str:
    """Return how timelines and the audit trail name the sender of an event."""
    return f"source:{_NOT_IN_AN_ID.sub('-', event.source).strip('-')}"[:200]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A manifest that opens a sample, and the event that brought it."""

    manifest: SampleManifest
    event: IncomingEvent


async def open_samples(
    tx: Transaction, project_id: str, config: ProjectConfig, arrived: Sequence[Arrived]
) -> dict[str, RevisionRef]:
    """Keep manifests as the first revisions of new samples of a project and have their workflows started.

    Where people label first and no model is asked before them, their task is opened here: they need not wait for the
    workflow, which reads the assets when it comes to it.

    Args:
        tx: The transaction.
        project_id: The project; it exists.
        config: Its configuration.
        arrived: Manifests of this project, each of another sample.

    Returns:
        The revisions that were opened, by sample id; a sample that exists already is not among them.
    """
    new = await tx.openings.reserve(project_id, [item.manifest.sample_id for item in arrived])
    if not new:
        return {}
    now = await tx.now()
    opened = [_received(item, config, now) for item in arrived if item.manifest.sample_id in new]
    if any(asks_at_once(item.manifest, config) for item in opened):
        project = await read_project_rules(tx, project_id)
        queues = await tx.queues.list(project_id)
        opened = [_asked(item, project, queues) for item in opened]
    await tx.openings.add(opened)
    for item in opened:
        await _tell(tx, item, config)
    return {item.ref.sample_id: item.ref for item in opened}


def asks_at_once(manifest: SampleManifest, config: ProjectConfig) -> bool:
    """Whether a new sample's labels can be asked for before anything about it is read."""
    prepared = config.pre_label or manifest.label_files or config.overlap is not None
    return not prepared and needs_annotator(config, manifest.annotations)


async def tell_start(tx: Transaction, ref: RevisionRef, config: ProjectConfig) -> None:
    """Have a revision's workflow started."""
    start = lifecycle_input(ref, config).model_dump(mode="json", exclude_none=True)
    await tx.outbox.add("workflow_start", ref, {"workflow_id": workflow_id_of(ref), "input": start})


def _received(item: Arrived, config: ProjectConfig, now: datetime) -> Opening:
    ref = RevisionRef(project=item.manifest.project, sample_id=item.manifest.sample_id, revision=1)
    actor = actor_of(item.event)
    return Opening(
        ref=ref,
        manifest=item.manifest,
        manifest_sha256=content_sha256(item.manifest),
        risk=config.risk_of(item.manifest.context),
        event=item.event,
        labels=item.manifest.annotations,
        author=Author(kind="importer", id=actor),
        changes=(StageChange(ref=ref, sequence=1, stage=Stage.RECEIVED, actor=actor, at=now),),
    )


def _asked(opening: Opening, project: ProjectRules, queues: Sequence[ReviewQueue]) -> Opening:
    """Return the opening with the task that asks for its labels, and the stages on the way there."""
    manifest, ref = opening.manifest, opening.ref
    if not asks_at_once(manifest, project.config):
        return opening
    received = opening.changes[-1]
    changes = list(opening.changes)
    for stage in (Stage.PRE_LABELING, Stage.ANNOTATING):
        changes.append(
            StageChange(
                ref=ref,
                sequence=len(changes) + 1,
                stage=stage,
                previous_stage=changes[-1].stage,
                actor=SYSTEM_ACTOR,
                at=received.at,
            )
        )
    task = task_to_label(ref, manifest.context, opening.risk, project, queues)
    task = limits_of_task(task, project.config).open(task, received.at)
    return replace(opening, changes=tuple(changes), tasks=((uuid4(), task),))


async def _tell(tx: Transaction, opening: Opening, config: ProjectConfig) -> None:
    for change in opening.changes:
        if change.stage is Stage.ANNOTATING:
            for task_id, task in opening.tasks:
                tell_opened(tx, task_id, task)
        await tell_stage(tx, change)
    await tell_start(tx, opening.ref, config)
