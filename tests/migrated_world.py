"""Samples that people labelled, a model predicted and a reviewer decided about, and versions of their taxonomy."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.canonical import content_sha256
from services.contracts.findings import CheckReport, LabelPatch, Measured
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Calibration, SampleManifest
from services.contracts.records import AssetRecord, CheckRun, GroundTruth, Project, ProjectConfig
from services.contracts.review import DecisionInput, NewTask, TaskKind, Verdict
from services.contracts.taxonomies import MigrationInput, MigrationRequest, MigrationState
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.journal import move, record_stage
from services.projects.registry import ProjectRegistry
from services.review.desk import ReviewDesk
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.applying import migrate_samples
from services.taxonomy.changes import ClassChange, VersionCrosswalk
from services.taxonomy.migrations import MigrationDesk
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.review_world import a_finding, box, principal

PROJECT = "yard"
OWNER = principal("olga", Role.ADMIN)
REVIEWER = principal("rita", Role.REVIEWER)
MODEL = Author(kind="model", id="detector", version="1")
PEOPLE = tuple(Author(kind="human", id=name) for name in ("ana", "ben"))
CALIBRATION = Calibration(model="pinhole", intrinsics=((700.0, 0.0, 600.0), (0.0, 700.0, 180.0), (0.0, 0.0, 1.0)))
ASSET_SHA256 = "a" * 64
CLASSES = {1: ("car", "bus"), 2: ("auto", "coach"), 3: ("passenger_car", "omnibus")}
"""Each version renames both classes of the one before."""


def taxonomy(number: int) -> Taxonomy:
    """A version with the steps from the one before."""
    changes = tuple(
        ClassChange(kind="rename", sources=(old,), targets=(new,))
        for old, new in zip(CLASSES.get(number - 1, ()), CLASSES[number], strict=False)
    )
    step = VersionCrosswalk(source=f"yard@{number - 1}", target=f"yard@{number}", changes=changes) if changes else None
    classes = tuple(TaxonomyClass(id=name) for name in CLASSES[number])
    return Taxonomy(id="yard", version=number, classes=classes, steps=None if step is None else (step,))


async def open_yard(database: PostgresDatabase) -> None:
    """Publish the versions, open a project by the first, and commit ``s1``, corrected, and ``s2``, approved."""
    for number in CLASSES:
        await TaxonomyRegistry(database).publish(OWNER, taxonomy(number))
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
    config = ProjectConfig(rule_set=DEFAULT_RULE_SET.reference, taxonomy="yard@1", annotate="never")
    await ProjectRegistry(database).create(OWNER, Project(id=PROJECT, name="Yard", config=config))
    await decided_sample(database, "s1", corrected=True)
    await decided_sample(database, "s2", corrected=False)


async def decided_sample(database: PostgresDatabase, sample_id: str, *, corrected: bool) -> GroundTruth:
    """Commit a sample: two people and a model called its thing a car; a reviewer made it a bus, or let it be."""
    ref = RevisionRef(project=PROJECT, sample_id=sample_id, revision=1)
    stream = {"id": "cam", "modality": "image", "uri": "a.png", "calibration": CALIBRATION.model_dump(mode="json")}
    manifest = SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": sample_id, "project": PROJECT, "streams": [stream]}
    )
    said = tuple(box(f"a-{who.id}", author=who, taxonomy_version="yard@1") for who in PEOPLE)
    async with database.transaction() as tx:
        await tx.samples.lock_sample(PROJECT, sample_id)
        await tx.samples.add_revision(
            ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
        )
        await record_stage(tx, ref, None, Stage.RECEIVED, actor="concord")
        await tx.samples.put_assets(
            ref, (AssetRecord(stream="cam", uri="a.png", sha256=ASSET_SHA256, size_bytes=1, role="stream"),)
        )
        predicted = (box("p1", taxonomy_version="yard@1"),)
        await tx.samples.add_label_set(ref, predicted, origin="prediction", author=MODEL)
        source = Author(kind="human", id="feed")
        made = await tx.samples.add_label_set(ref, said, origin="manifest", author=source)
        finding = a_finding(ref, "f-1", said, await tx.now())
        about = {"measured": Measured(value=30.0, unit="px", threshold=20.0), "annotations": ("a-ana",)}
        stored = finding.model_copy(update={"finding": finding.finding.model_copy(update=about)})
        await tx.samples.add_check_run(
            CheckRun(
                run_id=uuid5(NAMESPACE_OID, sample_id),
                ref=ref,
                label_version=made.version,
                rule=DEFAULT_RULE_SET.reference,
                rule_sha256=content_sha256(DEFAULT_RULE_SET),
                report=CheckReport(rule=DEFAULT_RULE_SET.reference, findings=(stored.finding,)),
                seconds=0.0,
                created_at=await tx.now(),
                taxonomy="yard@1",
            )
        )
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.PRE_LABELING, Stage.CHECKING, Stage.IN_REVIEW, actor="concord")
        await tx.review.put_finding(stored)
        task = await tx.review.open_task(
            NewTask(ref=ref, kind=TaskKind.REVIEW, queue="spatial", finding_ids=("f-1",), excluded_actors=())
        )
    claimed = await ReviewDesk(database).claim(REVIEWER, task.task_id)
    decision = DecisionInput(verdict=Verdict.APPROVE, fence=claimed.fence)
    if corrected:
        bus = said[0].model_copy(update={"label": "bus"})
        patch = LabelPatch(upsert=(bus,), remove=(said[1].id,))
        decision = DecisionInput(verdict=Verdict.FIX, fence=claimed.fence, patch=patch)
    await ReviewDesk(database).decide(REVIEWER, task.task_id, decision)
    async with database.transaction() as tx:
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.CHECKING, Stage.ACCEPTED, actor="concord")
    return await commit_ground_truth(database, ref, workflow_run_id=f"run-{sample_id}")


async def migrate_to(database: PostgresDatabase, number: int) -> None:
    """Migrate all samples to a version."""
    target = MigrationRequest(target=f"yard@{number}")
    migration = await MigrationDesk(database).start(OWNER, PROJECT, target)
    given = MigrationInput(project=PROJECT, migration_id=migration.migration_id)
    state = MigrationState.RUNNING
    while state is MigrationState.RUNNING:
        state = (await migrate_samples(database, given, workflow_run_id=f"run-{number}")).state
