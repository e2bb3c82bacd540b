"""The store of taxonomies, as the product sees it: versions, drafts, migrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.taxonomies import CarriedOver, TaxonomyMigration, TaxonomySummary
from services.taxonomy.governance import ClassUse
from services.taxonomy.migrating import LabelUse
from services.taxonomy.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """The newest revision of a sample, with what decides the fate of its newest labels.

    Attributes:
        ref: The revision.
        stage: Its stage.
        uses: Its labels.
    """

    ref: RevisionRef
    stage: Stage
    uses: tuple[LabelUse, ...]


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft as it is stored."""

    document: Taxonomy
    sha256: str
    edited_by: str
    updated_at: datetime


class TaxonomyRepository(Protocol):
    """Published versions, which are never changed, and drafts."""

    async def lock(self, taxonomy_id: str) -> None:
        """Serialise with others that publish this taxonomy, until the transaction ends."""
        ...

    async def add(self, taxonomy: Taxonomy, *, sha256: str, published_by: str) -> None:
        """Keep a version; raises AlreadyExistsError for a known one."""
        ...

    async def get(self, reference: str) -> Taxonomy | None:
        """Return a version."""
        ...

    async def versions(self, taxonomy_id: str, *, up_to: int | None = None) -> tuple[Taxonomy, ...]:
        """Return all versions of a taxonomy, the oldest first, as far as ``up_to``."""
        ...

    async def list(self) -> tuple[TaxonomySummary, ...]:
        """Return all versions by id and version."""
        ...

    async def draft(self, taxonomy_id: str, *, lock: bool = False) -> StoredDraft | None:
        """Return the draft of a taxonomy; with ``lock`` nobody else changes it until the transaction ends."""
        ...

    async def put_draft(self, draft: StoredDraft) -> None:
        """Keep a draft in place of the one before."""
        ...

    async def drop_draft(self, taxonomy_id: str) -> bool:
        """Remove a draft; False if there is none."""
        ...

    async def uses(self, taxonomy_id: str, labels: tuple[str, ...]) -> tuple[ClassUse, ...]:
        """Count the newest labels with these classes in every project that names a version of the taxonomy."""
        ...

    async def uses_in(self, project: str, labels: tuple[str, ...]) -> tuple[ClassUse, ...]:
        """Count the newest labels of a project with these classes, whatever version they name."""
        ...


class TaxonomyMigrationRepository(Protocol):
    """Migrations of samples from one version to another."""

    async def add(self, migration: TaxonomyMigration) -> None:
        """Keep a new migration; raises MigrationConflictError while the project has a live one."""
        ...

    async def get(self, project: str, migration_id: UUID, *, lock: bool = False) -> TaxonomyMigration | None:
        """Return a migration; with ``lock`` nobody else changes it until the transaction ends."""
        ...

    async def put(self, migration: TaxonomyMigration) -> None:
        """Replace what may change of a migration: its state and how far it is."""
        ...

    async def list(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[TaxonomyMigration, ...]:
        """Return migrations, newest first, after the cursor."""
        ...

    async def tell(self, migration_id: UUID) -> None:
        """Have the migration's workflow told that something changed, when the transaction commits."""
        ...

    async def untold(self) -> tuple[tuple[TaxonomyMigration, int], ...]:
        """Return migrations whose workflow is still to be told, each with the number of the newest change."""
        ...

    async def told(self, migration_id: UUID, change: int) -> None:
        """Note that the workflow was told of every change up to this one."""
        ...

    async def running(self) -> tuple[TaxonomyMigration, ...]:
        """Return the running migrations of all projects."""
        ...

    async def live(self, project: str) -> TaxonomyMigration | None:
        """Return the project's migration that is not over; there is one at most."""
        ...

    async def count_reopened(self, project: str) -> int:
        """Count samples that migrations have opened for people, and that are neither committed nor closed."""
        ...

    async def page(self, project: str, *, after: str | None, limit: int, lock: bool) -> tuple[LabelledSample, ...]:
        """Return the newest revisions of samples by sample id after the cursor.

        With ``lock`` nobody else changes these samples until the transaction ends.
        """
        ...

    async def add_carried(self, ref: RevisionRef, carried: CarriedOver) -> None:
        """Note that a migration opened a revision; raises AlreadyExistsError if it has opened one of the sample."""
        ...

    async def carried(self, ref: RevisionRef) -> CarriedOver | None:
        """Return what a revision was made of, where a migration opened it."""
        ...

    async def way(self, ref: RevisionRef) -> tuple[tuple[RevisionRef, CarriedOver], ...]:
        """Return the migrations that led to a revision, the oldest first, each with the revision that it opened."""
        ...
