"""While a taxonomy migration leaves labels to people, no change of rules keeps these from being asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.bench.taxonomy.fill import NEW, OWNER, PROJECT, RULES, commit_samples, open_project
from infra.db.engine import PostgresDatabase
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.rule_changes import ActivationRequest, ScheduleRequest
from services.contracts.taxonomies import MigrationInput, MigrationRequest, MigrationState, TaxonomyMigration
from services.definitions.applying import ProjectDefinitions
from services.errors import MigrationConflictError
from services.lifecycle.journal import move
from services.projects.registry import ProjectRegistry
from services.rule_changes.activation import activate
from services.rule_changes.schedule import cancel, schedule
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.applying import migrate_samples
from services.taxonomy.migrations import MigrationDesk

pytestmark = pytest.mark.servers

SILENT = RULES.model_copy(update={"version": 2, "taxonomy_conformance": TaxonomyConformanceRules(enabled=False)})
LENIENT = RULES.model_copy(
    update={"version": 3, "taxonomy_conformance": TaxonomyConformanceRules(severities={"crosswalk_ambiguous": "minor"})}
)
STRICT = RULES.model_copy(update={"version": 4, "description": "As before."})
AHEAD = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
async def road(database: PostgresDatabase) -> PostgresDatabase:
    """Twenty committed samples, of which a split leaves two to people."""
    await open_project(database)
    await commit_samples(database, 20, undecided_every=10)
    for rules in (SILENT, LENIENT, STRICT):
        await ProjectRegistry(database).add_rule_set(OWNER, rules)
    return database


async def started(database: PostgresDatabase) -> TaxonomyMigration:
    return await MigrationDesk(database).start(OWNER, PROJECT, MigrationRequest(target=NEW))


async def finished(database: PostgresDatabase, migration: TaxonomyMigration) -> None:
    given = MigrationInput(project=PROJECT, migration_id=migration.migration_id)
    while (await migrate_samples(database, given, workflow_run_id="run-1")).state is MigrationState.RUNNING:
        pass


async def withdraw(database: PostgresDatabase, sample_id: str) -> None:
    ref = RevisionRef(project=PROJECT, sample_id=sample_id, revision=2)
    async with database.transaction() as tx:
        await tx.samples.lock_sample(PROJECT, sample_id)
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.WITHDRAWN, actor="upstream")


async def test_rules_that_ask_nobody_are_refused_until_what_a_migration_opened_is_decided(
    road: PostgresDatabase,
) -> None:
    migration = await started(road)
    for rules in (SILENT, LENIENT):
        with pytest.raises(MigrationConflictError, match="let the migration to road@2 end, or cancel it") as refused:
            await activate(road, OWNER, PROJECT, ActivationRequest(rule_set=rules.reference))
        assert f"road@{rules.version} turns" in refused.value.detail
    await activate(road, OWNER, PROJECT, ActivationRequest(rule_set=STRICT.reference))
    with pytest.raises(MigrationConflictError):
        await schedule(road, OWNER, PROJECT, ScheduleRequest(rule_set=SILENT.reference, effective_at=AHEAD))

    await finished(road, migration)
    with pytest.raises(MigrationConflictError, match="First have 2 samples decided"):
        await activate(road, OWNER, PROJECT, ActivationRequest(rule_set=SILENT.reference))
    for sample_id in ("drive-000009", "drive-000019"):
        await withdraw(road, sample_id)
    done = await activate(road, OWNER, PROJECT, ActivationRequest(rule_set=SILENT.reference))
    assert done.rule_set == SILENT.reference


async def test_a_definition_whose_rules_ask_nobody_is_neither_planned_nor_applied_meanwhile(
    road: PostgresDatabase,
) -> None:
    definitions = ProjectDefinitions(road)
    await started(road)
    now, _ = await definitions.current(OWNER, PROJECT)
    silent = now.model_copy(update={"rules": SILENT})
    for change in (definitions.plan, definitions.apply):
        with pytest.raises(MigrationConflictError, match="nobody would be asked"):
            await change(OWNER, silent)
    assert (await ProjectRegistry(road).get(OWNER, PROJECT)).config.rule_set == RULES.reference
    assert (await definitions.apply(OWNER, now.model_copy(update={"purpose": "Brake."}))).version == 2


async def test_a_migration_does_not_start_where_rules_are_scheduled_that_ask_nobody(road: PostgresDatabase) -> None:
    planned = await schedule(road, OWNER, PROJECT, ScheduleRequest(rule_set=SILENT.reference, effective_at=AHEAD))
    with pytest.raises(MigrationConflictError, match=f"Cancel the activation {planned.activation_id} first"):
        await started(road)
    await cancel(road, OWNER, PROJECT, planned.activation_id)
    await schedule(road, OWNER, PROJECT, ScheduleRequest(rule_set=STRICT.reference, effective_at=AHEAD))
    assert (await started(road)).state is MigrationState.RUNNING
