"""What people do with datasets: define them, make versions, read them, compare them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from services.contracts.access import Principal
from services.contracts.dataset_diff import DiffSummary, MemberState, SampleChange
from services.contracts.datasets import (
    Dataset,
    DatasetVersion,
    DatasetVersionView,
    DependentVersion,
    InclusionProof,
    Member,
    MemberRecord,
    MemberView,
    NewDataset,
    NewVersion,
    Standing,
)
from services.contracts.lifecycle import RevisionRef
from services.datasets.diff import DiffTally, label_changes, other_changes
from services.datasets.manifest import leaf_bytes, leaf_of, told_of_dataset
from services.datasets.merkle import MerkleTree
from services.datasets.names import CREATED_ACTION, dataset_subject
from services.datasets.versions import make_version
from services.errors import IntegrityError, NotFoundError
from services.ports.database import Database, Transaction
from services.progress import Tell, tell_nobody
from services.samples.reader import ensure_project, seen_ref

_KEYS_A_READ = 1_000
MAX_SCANNED = 50_000
"""Most members of each version that one page of a diff looks at; a page may hold less than asked for, or nothing."""

DiffPlace = tuple[int, int]
"""Where a diff goes on: after these positions in the earlier and the later version."""
_START: DiffPlace = (-1, -1)


_Versions = list[DatasetVersionView]
_Changes = list[SampleChange]


class DatasetShelf:
    """Datasets and their versions, inside the projects that a key sees.

    Every method raises NotFoundError for what is not there, and for what the principal may not see.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, project: str, new: NewDataset) -> Dataset:
        """Keep a dataset.

        Raises:
            AlreadyExistsError: There is one of the name.
        """
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            dataset = Dataset(**dict(new), project=project, created_by=principal.actor_id, created_at=await tx.now())
            await tx.datasets.add(dataset)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action=CREATED_ACTION,
                subject=dataset_subject(new.name),
                body=told_of_dataset(dataset),
            )
        return dataset

    async def list(self, principal: Principal, project: str, *, after: str | None, limit: int) -> Sequence[Dataset]:
        """Return the datasets of a project, by name."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            return await tx.datasets.list(project, after=after, limit=limit)

    async def get(self, principal: Principal, project: str, name: str) -> Dataset:
        """Return a dataset."""
        async with self._database.transaction() as tx:
            return await _seen(tx, principal, project, name)

    async def make_version(
        self, principal: Principal, project: str, name: str, new: NewVersion, *, tell: Tell = tell_nobody
    ) -> DatasetVersionView:
        """Keep what is committed now, as far as the selection asks for it, as the next version.

        ``tell`` is told how far it is in ``records`` and ``card``.

        Raises:
            InvalidInputError: A record lacks what the dataset is split by.
        """
        async with self._database.transaction() as tx:
            dataset = await _seen(tx, principal, project, name, lock=True)
            return await _view(tx, await make_version(tx, principal, dataset, new, tell))

    async def versions(
        self, principal: Principal, project: str, name: str, *, before: int | None, limit: int
    ) -> _Versions:
        """Return the versions of a dataset, newest first."""
        async with self._database.transaction() as tx:
            await _seen(tx, principal, project, name)
            found = await tx.datasets.versions(project, name, before=before, limit=limit)
            return [await _view(tx, version) for version in found]

    async def version(self, principal: Principal, project: str, name: str, version: int) -> DatasetVersionView:
        """Return a version with what became of its members since."""
        async with self._database.transaction() as tx:
            return await _view(tx, await _seen_version(tx, principal, project, name, version))

    async def members(
        self,
        principal: Principal,
        project: str,
        name: str,
        version: int,
        *,
        split: str | None,
        standing: Standing | None,
        after: int | None,
        limit: int,
    ) -> Sequence[MemberView]:
        """Return members by sample id."""
        async with self._database.transaction() as tx:
            await _seen_version(tx, principal, project, name, version)
            return await tx.datasets.members(
                project, name, version, split=split, standing=standing, after=after, limit=limit
            )

    async def records(
        self,
        principal: Principal,
        project: str,
        name: str,
        version: int,
        *,
        split: str | None,
        after: int | None,
        limit: int,
    ) -> Sequence[MemberRecord]:
        """Return members with their records, by sample id."""
        async with self._database.transaction() as tx:
            await _seen_version(tx, principal, project, name, version)
            return await tx.datasets.records(project, name, version, split=split, after=after, limit=limit)

    async def position(self, principal: Principal, project: str, name: str, version: int, sample_id: str) -> int:
        """Return where a sample stands in a version."""
        async with self._database.transaction() as tx:
            await _seen_version(tx, principal, project, name, version)
            return (await _member(tx, project, name, version, sample_id)).position

    async def proof(
        self, principal: Principal, project: str, name: str, version: int, sample_id: str
    ) -> InclusionProof:
        """Return the proof that a sample's record is in a version."""
        async with self._database.transaction() as tx:
            content = (await _seen_version(tx, principal, project, name, version)).content
            member = await _member(tx, project, name, version, sample_id)
            tree = MerkleTree(prove=member.position)
            async for one in _all_members(tx, project, name, version):
                tree.add(leaf_bytes(one))
        if tree.root() != content.merkle_root:
            raise IntegrityError(f"the members of version {version} of {name} do not have the root that it states")
        return InclusionProof(
            member=member, leaf=leaf_of(member), size=tree.size, path=tree.path(), merkle_root=content.merkle_root
        )

    async def dependents(self, principal: Principal, project: str, sample_id: str) -> Sequence[DependentVersion]:
        """Return every version that holds a record of a sample, by dataset and version."""
        async with self._database.transaction() as tx:
            await seen_ref(tx, principal, project, sample_id, None)
            return await tx.datasets.dependents(project, sample_id)

    async def diff(
        self,
        principal: Principal,
        project: str,
        name: str,
        versions: tuple[int, int],
        *,
        after: DiffPlace | None,
        limit: int,
    ) -> tuple[_Changes, DiffPlace | None]:
        """Return samples that differ between two versions, by sample id, and where to go on; None at the end."""
        async with self._database.transaction() as tx:
            for version in versions:
                await _seen_version(tx, principal, project, name, version)
            pairs, place = await _differing(tx, project, name, versions, after=after or _START, limit=limit)
            bodies = [(await _body(tx, project, before), await _body(tx, project, later)) for before, later in pairs]
        return await asyncio.to_thread(_changes, pairs, bodies), place

    async def summary(
        self, principal: Principal, project: str, name: str, versions: tuple[int, int], *, page: int = 50
    ) -> DiffSummary:
        """Return a diff, counted by class."""
        tally = DiffTally(*versions)
        place: DiffPlace | None = _START
        while place is not None:
            changes, place = await self.diff(principal, project, name, versions, after=place, limit=page)
            for change in changes:
                tally.add(change)
        return tally.summary()


_Pair = tuple[Member | None, Member | None]


async def _differing(
    tx: Transaction, project: str, name: str, versions: tuple[int, int], *, after: DiffPlace, limit: int
) -> tuple[list[_Pair], DiffPlace | None]:
    """Return members of which the versions say something else, by merging both lists from ``after`` on."""
    sides = [_Reader(tx, project, name, version, position) for version, position in zip(versions, after, strict=True)]
    pairs: list[_Pair] = []
    for _ in range(MAX_SCANNED):
        before, later = [await side.peek() for side in sides]
        if before is None and later is None:
            return pairs, None
        if len(pairs) == limit:
            break
        first = min(member.sample_id for member in (before, later) if member is not None)
        pair = (
            sides[0].take() if before is not None and before.sample_id == first else None,
            sides[1].take() if later is not None and later.sample_id == first else None,
        )
        if pair[0] is None or pair[1] is None or leaf_of(pair[0]) != leaf_of(pair[1]):
            pairs.append(pair)
    return pairs, (sides[0].position, sides[1].position)


class _Reader:
    """Reads the members of a version, some at a time, and shows the next one."""

    def __init__(self, tx: Transaction, project: str, name: str, version: int, position: int) -> None:
        self._read: Callable[[int], Any] = lambda after: tx.datasets.members(
            project, name, version, after=after, limit=_KEYS_A_READ
        )
        self._waiting: list[Member] = []
        self._ended = False
        self.position = position

    async def peek(self) -> Member | None:
        """Return the next member, and leave it there; None at the end."""
        if not self._waiting and not self._ended:
            self._waiting = list(reversed(await self._read(self.position)))
            self._ended = len(self._waiting) < _KEYS_A_READ
        return self._waiting[-1] if self._waiting else None

    def take(self) -> Member:
        """Return the member that was shown, and go on."""
        member = self._waiting.pop()
        self.position = member.position
        return member


async def _body(tx: Transaction, project: str, member: Member | None) -> Mapping[str, Any] | None:
    if member is None:
        return None
    ref = RevisionRef(project=project, sample_id=member.sample_id, revision=member.revision)
    record = await tx.ground_truth.get(ref)
    if record is None:
        raise IntegrityError(f"the record of revision {ref.revision} of {ref.sample_id} is gone")
    return record.body


def _changes(
    pairs: Sequence[_Pair], bodies: Sequence[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]
) -> list[SampleChange]:
    changes = []
    for (before, later), (old, new) in zip(pairs, bodies, strict=True):
        told = later or before
        assert told is not None  # noqa: S101 - narrows for the type checker: one of both is there
        changes.append(
            SampleChange(
                change="added" if before is None else "removed" if later is None else "changed",
                sample_id=told.sample_id,
                before=_state(before),
                after=_state(later),
                labels=label_changes((old or {}).get("annotations", ()), (new or {}).get("annotations", ())),
                other_fields=other_changes(old, new) if old is not None and new is not None else (),
            )
        )
    return changes


def _state(member: Member | None) -> MemberState | None:
    if member is None:
        return None
    return MemberState(revision=member.revision, content_sha256=member.content_sha256, split=member.split)


async def _member(tx: Transaction, project: str, name: str, version: int, sample_id: str) -> Member:
    member = await tx.datasets.member(project, name, version, sample_id)
    if member is None:
        raise NotFoundError(f"Version {version} of {name!r} has no sample {sample_id!r}.")
    return member


async def _all_members(tx: Transaction, project: str, name: str, version: int) -> AsyncIterator[Member]:
    after: int | None = None
    while page := await tx.datasets.members(project, name, version, after=after, limit=_KEYS_A_READ):
        for member in page:
            yield member
        after = page[-1].position


async def _view(tx: Transaction, version: DatasetVersion) -> DatasetVersionView:
    content = version.content
    standing = await tx.datasets.standing(content.project, content.dataset, content.version)
    return DatasetVersionView(**dict(version), standing=standing)


async def _seen(tx: Transaction, principal: Principal, project: str, name: str, *, lock: bool = False) -> Dataset:
    await ensure_project(tx, principal, project)
    dataset = await tx.datasets.get(project, name, lock=lock)
    if dataset is None:
        raise NotFoundError(f"There is no dataset {name!r} in project {project!r}.")
    return dataset


async def _seen_version(tx: Transaction, principal: Principal, project: str, name: str, version: int) -> DatasetVersion:
    await _seen(tx, principal, project, name)
    found = await tx.datasets.version(project, name, version)
    if found is None:
        raise NotFoundError(f"Dataset {name!r} has no version {version}.")
    return found
