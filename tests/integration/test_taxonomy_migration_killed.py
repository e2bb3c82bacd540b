"""The same as ``concord bench taxonomy-migration``, with few samples: real workflow, real worker, real SIGKILL."""

from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus

from infra.bench.taxonomy.fill import NEW, OWNER, PROJECT, open_project
from infra.bench.taxonomy.prove import prove_migration
from infra.db.engine import PostgresDatabase
from infra.stack.directory import StackUrls
from infra.temporal.client import connect_temporal
from infra.temporal.rebuild import rebuild
from services.contracts.taxonomies import MigrationRequest, migration_workflow_id
from services.taxonomy.migrations import MigrationDesk

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


async def test_killed_worker_leaves_a_migration_that_goes_on_and_does_nothing_twice(
    stack_urls: StackUrls, database_url: str
) -> None:
    proof = await prove_migration(database_url, stack_urls.temporal_address, 60, undecided_every=10, kill_after=0.0)
    assert proof.done == proof.preview
    assert (proof.migrated, proof.reopened) == (proof.preview.migrated, proof.preview.reopened)
    assert proof.reopened == 6
    assert (proof.twice, proof.faults) == (0, 0)
    assert proof.old_export_sha256[0] == proof.old_export_sha256[1]
    assert proof.holds


async def test_migration_whose_workflow_temporal_has_lost_is_started_again(
    stack_urls: StackUrls, database: PostgresDatabase
) -> None:
    await open_project(database)
    migration = await MigrationDesk(database).start(OWNER, PROJECT, MigrationRequest(target=NEW))
    async with database.transaction() as tx:
        ((_, change),) = await tx.taxonomy_migrations.untold()
        await tx.taxonomy_migrations.told(migration.migration_id, change)
        assert await tx.taxonomy_migrations.untold() == ()
    client = await connect_temporal(stack_urls.temporal_address)
    task_queue = f"test-{uuid4().hex}"
    handle = client.get_workflow_handle(migration_workflow_id(PROJECT, migration.migration_id))
    for _ in range(2):
        await rebuild(database, client, task_queue)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()
