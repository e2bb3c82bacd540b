"""Two versions of a small taxonomy, and committed samples with labels of the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.events import EventType, IncomingEvent
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.contracts.records import Project, ProjectConfig
from services.errors import AssetMissingError
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.ports.assets import AssetBytes
from services.ports.database import Database
from services.projects.registry import ProjectRegistry
from services.rules.rule_set import RuleSet
from services.taxonomy.changes import ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass

PROJECT = "road"
OLD, NEW = "road@1", "road@2"
OWNER = Principal(actor_id="bench", key_id="key-bench", role=Role.ADMIN, projects=None)
_AT_ONCE = 4
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


class Nothing:
    """Reads no assets, and finds no fault: what is measured is the migration."""

    async def check(self, uri: str, *, sha256: str | None) -> int:
        """Refuse; the samples have no assets."""
        raise AssetMissingError(f"there is no {uri}")

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        """Refuse; the samples have no assets."""
        raise AssetMissingError(f"there is no {uri}")

    async def run(self, manifest: SampleManifest, annotations: tuple[Annotation, ...], rules: RuleSet) -> CheckReport:
        """Find nothing."""
        return CheckReport(rule=rules.reference)


async def open_project(database: Database) -> None:
    """Publish both versions, and open a project that goes by the first."""
    registry = TaxonomyRegistry(database)
    await registry.publish(OWNER, BEFORE)
    config = ProjectConfig(taxonomy=OLD, annotate="never")
    await ProjectRegistry(database).create(OWNER, Project(id=PROJECT, name="Road", config=config))
    await registry.publish(OWNER, AFTER)


async def commit_samples(
    database: Database,
    count: int,
    *,
    undecided_every: int = _UNDECIDED_EVERY,
    tell: Callable[[str], None] = lambda what: None,
) -> None:
    """Commit samples with labels of the first version, by the services that every sample goes through.

    The workflows that would have done so are not started.
    """
    slots = asyncio.Semaphore(_AT_ONCE)
    done = 0

    async def one(number: int) -> None:
        nonlocal done
        async with slots:
            await _commit(database, manifest_of(number, undecided_every=undecided_every))
        done += 1
        if done % _TOLD_EVERY == 0:
            tell(f"{done} samples committed")

    for first in range(0, count, _TOLD_EVERY):
        async with asyncio.TaskGroup() as group:
            for number in range(first, min(first + _TOLD_EVERY, count)):
                group.create_task(one(number))
        await _forget_outbox(database)


async def _commit(database: Database, manifest: dict[str, Any]) -> None:
    nothing = Nothing()
    kind = EventType.SAMPLE_CREATED.value
    event = IncomingEvent(
        source="/bench",
        id=manifest["sample_id"],
        type=kind,
        data=manifest,
        content_sha256=content_sha256({"type": kind, "subject": None, "data": manifest}),
    )
    receipt = await Inbox(database, nothing).accept(event, via="http", projects=None)
    await prepare_sample(database, nothing, lambda _: (), receipt.ref)
    await check_alignment(database, nothing, receipt.ref)
    await commit_ground_truth(database, receipt.ref, workflow_run_id="bench")


async def _forget_outbox(database: Database) -> None:
    while True:
        async with database.transaction() as tx:
            waiting = await tx.outbox.pending(("event", "workflow_start", "workflow_signal"), limit=1_000)
            if not waiting:
                return
            await tx.outbox.mark_published(tuple(message.message_id for message in waiting))
