"""The store of datasets, as the product sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.contracts.datasets import (
    Dataset,
    DatasetVersion,
    DependentVersion,
    Member,
    MemberRecord,
    MemberView,
    Selection,
    Standing,
    StandingCounts,
)
from services.datasets.selection import Candidate


class DatasetRepository(Protocol):
    """Datasets, their versions and members. None of them is ever changed."""

    async def add(self, dataset: Dataset) -> None:
        """Keep a dataset; raises AlreadyExistsError for a second one of the name."""
        ...

    async def get(self, project: str, name: str, *, lock: bool = False) -> Dataset | None:
        """Return a dataset; with ``lock`` nobody else makes a version of it until this transaction ends."""
        ...

    async def list(self, project: str, *, after: str | None, limit: int) -> Sequence[Dataset]:
        """Return the datasets of a project by name after the cursor."""
        ...

    def candidates(self, project: str, selection: Selection, *, page: int) -> AsyncIterator[Sequence[Candidate]]:
        """Yield the newest committed record of each sample, by sample id, some at a time.

        All come from one read, so from one moment, whatever is committed meanwhile. The store leaves out some of what
        the selection does not ask for; what it yields is still to be held against it.
        """
        ...

    async def count_candidates(self, project: str, selection: Selection) -> int:
        """Return how many records :meth:`candidates` would yield now."""
        ...

    async def newest(self, project: str, name: str) -> int:
        """Return the number of the newest version; 0 if there is none."""
        ...

    async def add_members(self, project: str, name: str, version: int, members: Sequence[Member]) -> None:
        """Keep members of a version that is being made, and the split of each group.

        Raises:
            IntegrityError: A group would be in two splits, or the version is made already.
        """
        ...

    async def group_counts(self, project: str, name: str, version: int) -> dict[str, int]:
        """Return how many groups each split of a version has."""
        ...

    async def leaking_groups(self, project: str, name: str, version: int) -> Sequence[str]:
        """Return groups that are in several splits of a version; never any."""
        ...

    async def add_version(self, version: DatasetVersion) -> None:
        """Keep a version; no member is added to it afterwards."""
        ...

    async def version(self, project: str, name: str, version: int) -> DatasetVersion | None:
        """Return a version."""
        ...

    async def versions(self, project: str, name: str, *, before: int | None, limit: int) -> Sequence[DatasetVersion]:
        """Return the versions of a dataset, newest first, below the cursor."""
        ...

    async def standing(self, project: str, name: str, version: int) -> StandingCounts:
        """Return how many members' samples went on since."""
        ...

    async def members(
        self,
        project: str,
        name: str,
        version: int,
        *,
        split: str | None = None,
        standing: Standing | None = None,
        after: int | None,
        limit: int,
    ) -> Sequence[MemberView]:
        """Return members by position after the cursor."""
        ...

    async def member(self, project: str, name: str, version: int, sample_id: str) -> Member | None:
        """Return the member of a sample."""
        ...

    async def records(
        self, project: str, name: str, version: int, *, split: str | None, after: int | None, limit: int
    ) -> Sequence[MemberRecord]:
        """Return members with their records, by position after the cursor."""
        ...

    async def dependents(self, project: str, sample_id: str) -> Sequence[DependentVersion]:
        """Return every version that holds a record of a sample, by dataset and version."""
        ...

    async def groups(self, project: str, name: str, *, after: str | None, limit: int) -> Sequence[tuple[str, str]]:
        """Return the groups of a dataset with the split each is kept in, by group after the cursor."""
        ...

    async def count_members(self, project: str) -> int:
        """Return how many members all versions of a project have together."""
        ...

    async def dangling(self, project: str, *, limit: int) -> Sequence[tuple[str, int, str]]:
        """Return (dataset, version, what) where members lack their version, group or record; never any."""
        ...

    async def version_numbers(self, project: str, name: str, *, after: int, limit: int) -> Sequence[int]:
        """Return the numbers of a dataset's versions, ascending, above the cursor."""
        ...
