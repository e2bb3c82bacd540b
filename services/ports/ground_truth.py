"""The stores of what proves a label, as the product sees them: ground truth and the audit chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from services.contracts.audit import EVERY_ENTRY, AuditFilter
from services.contracts.lifecycle import RevisionRef
from services.contracts.lineage import Dependent, DependentsSummary, Origin, VersionOfDependents
from services.contracts.records import (
    AuditEntry,
    GroundTruth,
)


class GroundTruthRepository(Protocol):
    """Committed records. They are never changed."""

    async def add(self, record: GroundTruth) -> None:
        """Keep a record; raises AlreadyExistsError for a second one of the same revision."""
        ...

    async def get(self, ref: RevisionRef) -> GroundTruth | None:
        """Return a record."""
        ...

    async def list(self, project: str, *, after: tuple[str, int] | None, limit: int) -> tuple[GroundTruth, ...]:
        """Return records by (sample id, revision) after the cursor."""
        ...

    async def add_origins(self, ref: RevisionRef, origins: frozenset[Origin]) -> None:
        """Keep what a record rests on, so that it is found from there."""
        ...

    async def inherit_origins(self, ref: RevisionRef, older: RevisionRef) -> None:
        """Keep what the record that this one was made of rests on as what this one rests on; all but its taxonomy."""
        ...

    async def origins_between(
        self, project: str, *, after: tuple[str, int] | None, until: tuple[str, int] | None, limit: int
    ) -> tuple[tuple[RevisionRef, Origin], ...]:
        """Return the kept origins of records in (after, until], in their order."""
        ...

    async def dependents(
        self, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[Dependent, ...]:
        """Return the records that rest on something, by (sample id, revision) after the cursor."""
        ...

    async def dependent_versions(
        self, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[VersionOfDependents, ...]:
        """Return the dataset versions with records that rest on something, by (dataset, version) after the cursor."""
        ...

    async def count_dependents(self, project: str, origin: Origin) -> DependentsSummary:
        """Count all records that rest on something."""
        ...


class AuditRepository(Protocol):
    """The audit chain of each project."""

    def append(
        self,
        project: str,
        *,
        actor: str,
        action: str,
        subject: str,
        body: dict[str, Any],
        personal: Mapping[str, str | None] | None = None,
    ) -> None:
        """Add an entry; it is chained and written as the last step of the transaction.

        What people wrote, and what tells of people, goes into ``personal`` and not into ``body``: the chain commits to
        it and holds when it is erased.

        What concerns no single project goes to the chain of the reserved id ``concord``, which is no stored project.
        Chaining last keeps the project's chain locked for a moment only.
        """
        ...

    async def list(
        self, project: str, *, after: int, limit: int, wanted: AuditFilter = EVERY_ENTRY
    ) -> tuple[AuditEntry, ...]:
        """Return the entries that are wanted, by sequence after ``after``."""
        ...

    async def of_subjects(self, project: str, subjects: tuple[str, ...]) -> tuple[AuditEntry, ...]:
        """Return all entries about these subjects, by sequence."""
        ...

    async def head(self, project: str) -> tuple[int, str]:
        """Return the sequence and hash of the newest entry as the chain's head states it; (0, zeros) if none."""
        ...

    async def note_anchor(self, project: str, sequence: int, *, every_s: float) -> bool:
        """Note that a link is told of; False if the chain has not grown, or was told of less than ``every_s`` ago."""
        ...
