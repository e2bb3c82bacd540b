"""Migrations of a project's samples to another taxonomy version: preview, start, watch, pause, resume, cancel."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.records import Project
from services.contracts.taxonomies import (
    MigrationPreview,
    MigrationRequest,
    MigrationState,
    TaxonomyMigration,
    split_reference,
)
from services.errors import InvalidInputError, MigrationConflictError, NotFoundError
from services.ports.database import Database, Transaction
from services.projects.registry import rule_set
from services.taxonomy.carriers import asks_about_open_labels, read_carrier
from services.taxonomy.in_use import ensure_target_has_classes
from services.taxonomy.migrating import Carrier, Tally
from services.taxonomy.open_labels import ensure_scheduled_rules_ask
from services.taxonomy.rechecking import would_recheck

PAGE = 500
_FROM = {
    MigrationState.PAUSED: MigrationState.RUNNING,
    MigrationState.RUNNING: MigrationState.PAUSED,
}
_DONE = {
    MigrationState.PAUSED: "paused",
    MigrationState.RUNNING: "resumed",
    MigrationState.CANCELLED: "cancelled",
}


class MigrationDesk:
    """What operations do with migrations.

    Each method raises NotFoundError for a project that does not exist and for one the key does not see, alike.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, principal: Principal, project: str, target: str) -> MigrationPreview:
        """Count what a migration would do now; nothing is changed and nothing is locked.

        Raises:
            NotFoundError: There is no such version.
            InvalidInputError: It is older than the project's, or the project has it already.
        """
        async with self._database.transaction() as tx:
            known = await _project(tx, principal, project)
            carrier = await _carrier(tx, known, target)
            rules = await rule_set(tx, known.config.rule_set)
        tally = Tally()
        after: str | None = None
        while True:
            async with self._database.transaction() as tx:
                page = await tx.taxonomy_migrations.page(project, after=after, limit=PAGE, lock=False)
                for sample in page:
                    plan = carrier.plan(sample.uses)
                    again = await would_recheck(tx, sample, plan, target, rules)
                    tally.add(sample.stage, plan, rechecked=again)
            if len(page) < PAGE:
                break
            after = page[-1].ref.sample_id
        return MigrationPreview(project=project, source=known.config.taxonomy, target=target, counts=tally.counts())

    async def start(self, principal: Principal, project: str, given: MigrationRequest) -> TaxonomyMigration:
        """Start a migration: the project names the target from now on, and its samples follow one by one.

        Raises:
            NotFoundError: There is no such version.
            InvalidInputError: It is older than the project's.
            LabelInUseError: It has no class for labels in use, and no step says what becomes of them.
            MigrationConflictError: The project has a migration that is not over, or its rules, or those that are
                scheduled, would not ask people about labels that are left open.
        """
        async with self._database.transaction() as tx:
            ensure_sees(principal, project)
            known = await tx.projects.get(project, lock=True)
            if known is None:
                raise project_not_found(project)
            carrier = await _carrier(tx, known, given.target)
            if not asks_about_open_labels(await rule_set(tx, known.config.rule_set)):
                raise MigrationConflictError(
                    "The project's rule set turns taxonomy_conformance off, or lets its findings pass: nobody would be "
                    "asked about labels that a change leaves open. Use a rule set in which they block."
                )
            await ensure_scheduled_rules_ask(tx, project)
            await ensure_target_has_classes(tx, known, given.target, "/target")
            migration = TaxonomyMigration(
                migration_id=uuid4(),
                project=project,
                source=known.config.taxonomy,
                target=given.target,
                crosswalk_sha256=carrier.sha256,
                state=MigrationState.RUNNING,
                total=sum((await tx.samples.count_by_stage(project)).values()),
                started_by=principal.actor_id,
                started_at=await tx.now(),
            )
            await tx.taxonomy_migrations.add(migration)
            config = known.config.model_copy(update={"taxonomy": given.target})
            await tx.projects.update_config(known.model_copy(update={"config": config}))
            _note(tx, migration, principal, "started")
            await _tell(tx, migration)
        return migration

    async def list(
        self, principal: Principal, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[TaxonomyMigration, ...]:
        """Return migrations, newest first, after the cursor."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            return await tx.taxonomy_migrations.list(project, after=after, limit=limit)

    async def get(self, principal: Principal, project: str, migration_id: UUID) -> TaxonomyMigration:
        """Return a migration with how far it is."""
        async with self._database.transaction() as tx:
            return await _migration(tx, principal, project, migration_id)

    async def pause(self, principal: Principal, project: str, migration_id: UUID) -> TaxonomyMigration:
        """Stop after the samples in hand, until somebody resumes; a paused one stays paused.

        Raises:
            MigrationConflictError: The migration is over.
        """
        return await self._move(principal, project, migration_id, MigrationState.PAUSED)

    async def resume(self, principal: Principal, project: str, migration_id: UUID) -> TaxonomyMigration:
        """Go on where a paused migration stopped; a running one runs on.

        Raises:
            MigrationConflictError: The migration is over.
        """
        return await self._move(principal, project, migration_id, MigrationState.RUNNING)

    async def cancel(self, principal: Principal, project: str, migration_id: UUID) -> TaxonomyMigration:
        """End a migration where it is. What was migrated stays; the rest can be migrated by another one.

        Raises:
            MigrationConflictError: The migration is completed.
        """
        return await self._move(principal, project, migration_id, MigrationState.CANCELLED)

    async def _move(
        self, principal: Principal, project: str, migration_id: UUID, state: MigrationState
    ) -> TaxonomyMigration:
        async with self._database.transaction() as tx:
            known = await _migration(tx, principal, project, migration_id, lock=True)
            if known.state is state:
                return known
            if known.state is not _FROM.get(state, known.state) or known.ended_at is not None:
                raise MigrationConflictError(f"The migration is {known.state}; it can not be {_DONE[state]}.")
            ended_at = await tx.now() if state is MigrationState.CANCELLED else None
            moved = known.model_copy(update={"state": state, "ended_at": ended_at})
            await tx.taxonomy_migrations.put(moved)
            _note(tx, moved, principal, _DONE[state])
            await _tell(tx, moved)
        return moved


async def _tell(tx: Transaction, migration: TaxonomyMigration) -> None:
    await tx.taxonomy_migrations.tell(migration.migration_id)
    tx.outbox.wake()


def _note(tx: Transaction, migration: TaxonomyMigration, principal: Principal, what: str) -> None:
    tx.audit.append(
        migration.project,
        actor=principal.actor_id,
        action=f"taxonomy_migration.{what}",
        subject=subject_of_migration(migration),
        body={
            "source": migration.source,
            "target": migration.target,
            "crosswalk_sha256": migration.crosswalk_sha256,
            "seen": migration.done.samples,
        },
    )


def subject_of_migration(migration: TaxonomyMigration) -> str:
    """Return how the audit trail names a migration."""
    return f"taxonomy-migrations/{migration.migration_id}"


async def _project(tx: Transaction, principal: Principal, project: str) -> Project:
    ensure_sees(principal, project)
    known = await tx.projects.get(project)
    if known is None:
        raise project_not_found(project)
    return known


async def _migration(
    tx: Transaction, principal: Principal, project: str, migration_id: UUID, *, lock: bool = False
) -> TaxonomyMigration:
    await _project(tx, principal, project)
    known = await tx.taxonomy_migrations.get(project, migration_id, lock=lock)
    if known is None:
        raise NotFoundError(f"There is no taxonomy migration {migration_id} in project {project!r}.")
    return known


async def _carrier(tx: Transaction, project: Project, target: str) -> Carrier:
    source = project.config.taxonomy
    if source is not None and split_reference(source)[0] == split_reference(target)[0]:
        newest, wanted = split_reference(source)[1], split_reference(target)[1]
        if wanted < newest:
            sentence = f"is older than {source}, which the project has; labels are only carried forward"
            raise InvalidInputError(f"The migration is not valid: /target {sentence}", places=(("/target", sentence),))
    return await read_carrier(tx, target, unversioned=source)
