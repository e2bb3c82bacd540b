"""Apply a migration, a batch of samples at a time: each batch is one transaction, and so is where it stopped.

A sample that a change concerns gets a new revision with the labels carried over. Where every label has one class, the
revision is committed in the same transaction: its manifest, its assets and what people decided are those of the
revision before, whose ground truth it names by both hashes. Where a label is left to people, the revision goes the
way of every other one, and its checks ask about these labels only. A sample in review is checked again where nobody has
begun its tasks.
"""

from __future__ import annotations

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.lifecycle import Stage, workflow_id_of
from services.contracts.records import LabelSet, Project, SampleRevision
from services.contracts.taxonomies import (
    CarriedOver,
    MigrationInput,
    MigrationState,
    MigrationStep,
    TaxonomyMigration,
)
from services.errors import IntegrityError, NotFoundError
from services.ground_truth.commit import keep_record
from services.ground_truth.record import RevisionFacts, build_record
from services.lifecycle.journal import record_stage
from services.lifecycle.steps import lifecycle_input
from services.ports.database import Database, Transaction
from services.ports.taxonomies import LabelledSample
from services.projects.registry import rule_set
from services.taxonomy.carriers import read_carrier
from services.taxonomy.migrating import Carrier, SamplePlan, Tally
from services.taxonomy.migrations import subject_of_migration
from services.taxonomy.rechecking import recheck

SAMPLES_A_BATCH = 50
BATCHES_A_CALL = 10
MIGRATION_ORIGIN = "migration"
"""Origin of labels that a migration, or a check under a newer version, has carried over."""


async def migrate_samples(
    database: Database,
    given: MigrationInput,
    *,
    workflow_run_id: str,
    samples_a_batch: int = SAMPLES_A_BATCH,
    batches: int = BATCHES_A_CALL,
) -> MigrationStep:
    """Migrate the next samples, until there are none, somebody has paused or cancelled, or ``batches`` are done.

    Idempotent: a batch and the place where it ended are kept in one transaction under the migration's lock, so that
    whoever is killed, or called twice at once, goes on exactly there.

    Args:
        database: The store of record.
        given: Which migration.
        workflow_run_id: The Temporal run that asks; kept in the lineage.
        samples_a_batch: Samples that are locked together.
        batches: At most so many.

    Raises:
        NotFoundError: There is no such migration.
    """
    async with database.transaction() as tx:
        migration = await _locked(tx, given)
        carrier = await read_carrier(tx, migration.target, unversioned=migration.source)
    if carrier.sha256 != migration.crosswalk_sha256:
        raise IntegrityError(f"the steps to {migration.target} are not those that the migration was started with")
    for _ in range(batches):
        async with database.transaction() as tx:
            migration = await _locked(tx, given)
            if migration.state is not MigrationState.RUNNING:
                break
            migration = await _batch(tx, migration, carrier, workflow_run_id, samples_a_batch)
            await tx.taxonomy_migrations.put(migration)
        if migration.state is not MigrationState.RUNNING:
            break
    return MigrationStep(state=migration.state, seen=migration.done.samples, total=migration.total)


async def _locked(tx: Transaction, given: MigrationInput) -> TaxonomyMigration:
    migration = await tx.taxonomy_migrations.get(given.project, given.migration_id, lock=True)
    if migration is None:
        raise NotFoundError(f"there is no taxonomy migration {given.migration_id} in project {given.project}")
    return migration


async def _batch(
    tx: Transaction, migration: TaxonomyMigration, carrier: Carrier, workflow_run_id: str, limit: int
) -> TaxonomyMigration:
    page = await tx.taxonomy_migrations.page(migration.project, after=migration.cursor, limit=limit, lock=True)
    if not page:
        tx.audit.append(
            migration.project,
            actor=SYSTEM_ACTOR,
            action="taxonomy_migration.completed",
            subject=subject_of_migration(migration),
            body=migration.done.model_dump(mode="json", exclude={"classes"}),
        )
        return migration.model_copy(update={"state": MigrationState.COMPLETED, "ended_at": await tx.now()})
    project = await tx.projects.get(migration.project)
    if project is None:
        raise NotFoundError(f"there is no project {migration.project}")
    rules = await rule_set(tx, project.config.rule_set)
    tally = Tally.of(migration.done)
    for sample in page:
        plan = carrier.plan(sample.uses)
        if sample.stage is Stage.COMMITTED and plan.changes:
            await _carry(tx, sample, plan, migration, carrier, project, workflow_run_id)
        again = await recheck(tx, sample, plan, migration.target, rules)
        tally.add(sample.stage, plan, rechecked=again)
    return migration.model_copy(update={"done": tally.counts(), "cursor": page[-1].ref.sample_id})


async def _carry(
    tx: Transaction,
    sample: LabelledSample,
    plan: SamplePlan,
    migration: TaxonomyMigration,
    carrier: Carrier,
    project: Project,
    workflow_run_id: str,
) -> None:
    """Open the next revision of a committed sample with its labels carried over; the sample is locked."""
    ref = sample.ref
    before = await tx.samples.get(ref, lock=True)
    labels = await tx.samples.label_set(ref)
    record = await tx.ground_truth.get(ref)
    if before is None or labels is None or record is None:
        raise IntegrityError(f"{ref.sample_id} of {ref.project} is committed without labels or ground truth")
    following = ref.model_copy(update={"revision": ref.revision + 1})
    carried = CarriedOver(
        migration_id=migration.migration_id,
        outcome="reopened" if plan.left_open else "migrated",
        target=migration.target,
        crosswalk_sha256=migration.crosswalk_sha256,
        revision_before=ref.revision,
        content_sha256=record.content_sha256,
        lineage_sha256=record.lineage_sha256,
    )
    reason = f"carried over to taxonomy {migration.target} as revision {following.revision}"
    await record_stage(tx, ref, Stage.COMMITTED, Stage.REOPENED, actor=SYSTEM_ACTOR, reason=reason)
    await tx.samples.add_revision(
        following,
        before.manifest,
        manifest_sha256=before.manifest_sha256,
        risk=project.config.risk_of(before.manifest.context),
        event=None,
    )
    await tx.taxonomy_migrations.add_carried(following, carried)
    await record_stage(tx, following, None, Stage.RECEIVED, actor=SYSTEM_ACTOR)
    # Labels keep their author: who has made them still may not review them.
    made = await tx.samples.add_label_set(
        following, carrier.carried(labels.annotations, plan), origin=MIGRATION_ORIGIN, author=labels.author
    )
    if plan.left_open:
        start = lifecycle_input(following, project.config).model_dump(mode="json", exclude_none=True)
        await tx.outbox.add("workflow_start", following, {"workflow_id": workflow_id_of(following), "input": start})
        return
    await _commit(tx, before, made, carried, workflow_run_id)


async def _commit(
    tx: Transaction, before: SampleRevision, labels: LabelSet, carried: CarriedOver, workflow_run_id: str
) -> None:
    ref = labels.ref
    assets = await tx.samples.assets(before.ref)
    await tx.samples.put_assets(ref, assets)
    revision = before.model_copy(
        update={
            "ref": ref,
            "stage": Stage.RECEIVED,
            "label_version": labels.version,
            "event_source": None,
            "event_id": None,
        }
    )
    facts = RevisionFacts(
        revision=revision,
        events=(),
        label_sets=(labels,),
        assets=assets,
        check_runs=(),
        findings=(),
        decisions=(),
        carried=carried,
    )
    record = build_record(facts, workflow_run_id=workflow_run_id, committed_at=await tx.now())
    await keep_record(tx, record, Stage.RECEIVED)
