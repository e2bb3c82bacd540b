"""Two versions of a small taxonomy, and committed samples with labels of the first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import uuid4

from services.contracts.access import SYSTEM_ACTOR, Principal, Role
from services.contracts.events import EventType, IncomingEvent
from services.contracts.findings import CheckReport
from services.contracts.lifecycle import Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import CheckRun, Project, ProjectConfig
from services.ground_truth.commit import keep_record, read_facts
from services.ground_truth.record import build_record
from services.ground_truth.verify import event_sha256
from services.lifecycle.journal import record_stage
from services.lifecycle.revisions import open_revision
from services.lifecycle.steps import ProjectRules, read_project_rules
from services.ports.database import Database, Transaction
from services.projects.registry import ProjectRegistry
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.context_gate import ContextGateRules
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import RuleSet
from services.taxonomy.changes import ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass

PROJECT = "road"
OLD, NEW = "road@1", "road@2"
OWNER = Principal(actor_id="bench", key_id="key-bench", role=Role.ADMIN, projects=None)
_A_TRANSACTION = 50
_TOLD_EVERY = 1_000

BEFORE = Taxonomy(
    id="road",
    version=1,
    classes=tuple(TaxonomyClass(id=name) for name in ("auto", "lorry", "truck", "person", "sign", "tree")),
)
AFTER = Taxonomy(
    id="road",
    version=2,
    classes=tuple(TaxonomyClass(id=name) for name in ("car", "truck", "pedestrian", "rider", "sign", "tree")),
    steps=(
        VersionCrosswalk(
            source=OLD,
            target=NEW,
            changes=(
                ClassChange(kind="rename", sources=("auto",), targets=("car",)),
                ClassChange(kind="merge", sources=("lorry", "truck"), targets=("truck",)),
                ClassChange(
                    kind="split",
                    sources=("person",),
                    targets=("pedestrian", "rider"),
                    cases=(
                        SplitCase(attribute="on_vehicle", values=(True,), target="rider"),
                        SplitCase(attribute="on_vehicle", values=(False,), target="pedestrian"),
                        SplitCase(modalities=("lidar",), target="pedestrian"),
                    ),
                ),
            ),
        ),
    ),
)

RULES = RuleSet(
    id="road",
    version=1,
    description="Classes only: the samples have no recordings.",
    lidar_camera=LidarCameraRules(enabled=False),
    audio_transcript=AudioTranscriptRules(enabled=False),
    context_gate=ContextGateRules(enabled=False),
)

_UNDECIDED_EVERY = 50
"""One sample in so many has a label that the split leaves open."""

_LABELS: tuple[tuple[tuple[str, str, dict[str, bool]], ...], ...] = (
    (("cam", "auto", {}), ("cam", "tree", {})),
    (("cam", "lorry", {}),),
    (("cam", "truck", {}), ("cam", "sign", {})),
    (("cam", "person", {"on_vehicle": True}),),
    (("cam", "person", {"on_vehicle": False}), ("cam", "auto", {})),
    (("lidar", "person", {}),),
    (("cam", "tree", {}), ("cam", "sign", {})),
    (("cam", "tree", {}),),
)


def manifest_of(number: int, *, undecided_every: int = _UNDECIDED_EVERY) -> dict[str, Any]:
    """Return the manifest of a sample: which classes it has follows from its number."""
    labels = _LABELS[number % len(_LABELS)]
    if number % undecided_every == undecided_every - 1:
        labels = (*labels, ("cam", "person", {}))
    return {
        "format": "concord.sample/1",
        "sample_id": f"drive-{number:06d}",
        "project": PROJECT,
        "streams": [{"id": "cam", "modality": "image"}, {"id": "lidar", "modality": "lidar"}],
        "annotations": [_label(place, *label) for place, label in enumerate(labels)],
    }


def _label(place: int, stream: str, name: str, attributes: dict[str, bool]) -> dict[str, Any]:
    common = {
        "id": f"a{place}",
        "stream": stream,
        "label": name,
        "taxonomy_version": OLD,
        "attributes": attributes,
        "author": {"kind": "human", "id": "anna"},
    }
    if stream == "lidar":
        return {**common, "type": "spatial_label", "center_m": [1.0, 2.0, 0.5]}
    return {**common, "type": "box", "frame": 0, "box": [10.0 * place, 10.0, 10.0 * place + 8.0, 20.0]}


async def open_project(database: Database) -> None:
    """Publish both versions, and open a project that goes by the first."""
    registry = TaxonomyRegistry(database)
    await registry.publish(OWNER, BEFORE)
    await ProjectRegistry(database).add_rule_set(OWNER, RULES)
    config = ProjectConfig(rule_set=RULES.reference, taxonomy=OLD, annotate="never")
    await ProjectRegistry(database).create(OWNER, Project(id=PROJECT, name="Road", config=config))
    await registry.publish(OWNER, AFTER)


async def commit_samples(
    database: Database,
    count: int,
    *,
    undecided_every: int = _UNDECIDED_EVERY,
    tell: Callable[[str], None] = lambda what: None,
) -> None:
    """Commit samples with labels of the first version.

    What the services would write is written by the functions that they write it with, many samples a transaction, so
    that everything verifies; the workflows that would have called the services are not started.
    """
    async with database.transaction() as tx:
        project = await read_project_rules(tx, PROJECT)
    for first in range(0, count, _A_TRANSACTION):
        async with database.transaction() as tx:
            for number in range(first, min(first + _A_TRANSACTION, count)):
                await _commit(tx, manifest_of(number, undecided_every=undecided_every), project)
        # What a transaction tells is written as its last step, so another one forgets it.
        async with database.transaction() as tx:
            await _forget_outbox(tx)
        done = min(first + _A_TRANSACTION, count)
        if done % _TOLD_EVERY == 0:
            tell(f"{done:,} samples committed")


async def _commit(tx: Transaction, document: dict[str, Any], project: ProjectRules) -> None:
    kind = EventType.SAMPLE_CREATED.value
    event = IncomingEvent(
        source="/bench",
        id=document["sample_id"],
        type=kind,
        data=document,
        content_sha256=event_sha256(kind, None, document),
    )
    ref = await open_revision(tx, SampleManifest.model_validate(document), event, config=project.config)
    await tx.inbox.add(event, ref, via="http")
    await tx.samples.add_check_run(
        CheckRun(
            run_id=uuid4(),
            ref=ref,
            label_version=1,
            rule=project.rules.reference,
            rule_sha256=project.rules.sha256,
            report=CheckReport(rule=project.rules.reference),
            seconds=0.0,
            created_at=await tx.now(),
            taxonomy=project.config.taxonomy,
        )
    )
    stages = (Stage.RECEIVED, Stage.PRE_LABELING, Stage.CHECKING, Stage.ACCEPTED)
    for before, after in pairwise(stages):
        await record_stage(tx, ref, before, after, actor=SYSTEM_ACTOR)
    facts = await read_facts(tx, ref)
    record = build_record(facts, workflow_run_id="bench", committed_at=await tx.now())
    await keep_record(tx, record, Stage.ACCEPTED)


async def _forget_outbox(tx: Transaction) -> None:
    while waiting := await tx.outbox.pending(("event", "workflow_start", "workflow_signal"), limit=1_000):
        await tx.outbox.mark_published(tuple(message.message_id for message in waiting))
