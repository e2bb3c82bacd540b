"""Carry samples over to another version of the taxonomy."""

from __future__ import annotations

from temporalio import activity

from activities.guard import guarded
from activities.names import MIGRATE_SAMPLES
from services.contracts.taxonomies import MigrationInput, MigrationStep
from services.ports.database import Database
from services.taxonomy.applying import migrate_samples


class TaxonomyMigrationActivities:
    """Activities of taxonomy migrations.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name=MIGRATE_SAMPLES)
    async def migrate_samples(self, given: MigrationInput) -> MigrationStep:
        """See :func:`services.taxonomy.applying.migrate_samples`."""
        run_id = activity.info().workflow_run_id or ""
        async with guarded():
            return await migrate_samples(self._database, given, workflow_run_id=run_id)
