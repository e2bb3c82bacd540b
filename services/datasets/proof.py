"""Prove every dataset of a project: definitions, versions, members and splits, against records and the audit trail.

A version that was replaced by another one that agrees with itself differs from what the audit trail tells of it. That
trail is proved by its own walk; here it is what versions are held against.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from services.audit.faults import UNREADABLE, FaultList, fault
from services.audit.links import entry_name
from services.contracts.audit import AuditFilter
from services.contracts.canonical import content_sha256
from services.contracts.datasets import Dataset, DatasetVersion, MemberRecord
from services.contracts.records import AuditEntry
from services.contracts.verification import Fault
from services.datasets.manifest import told_of_dataset, told_of_version, version_faults
from services.datasets.names import CREATED_ACTION, VERSIONED_ACTION, dataset_subject, parse_subject, version_subject
from services.datasets.splits import split_of
from services.ports.database import Database

DATASETS_A_PAGE = 50
RECORDS_A_PAGE = 50
KEYS_A_PAGE = 1_000


class DatasetProof:
    """One run over the datasets of one project, in pages: memory does not grow with datasets, versions or members.

    Args:
        database: The store of record.
        project: The project.
        faults: Takes what is found.
        advance: Called with how many members were looked at.

    Attributes:
        versions: How many versions were looked at.
    """

    def __init__(self, database: Database, project: str, faults: FaultList, advance: Callable[[int], None]) -> None:
        self._database = database
        self._project = project
        self._faults = faults
        self._advance = advance
        self.versions = 0

    async def run(self) -> None:
        """Look at everything."""
        after: str | None = None
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.datasets.list(self._project, after=after, limit=DATASETS_A_PAGE)
            except UNREADABLE as error:
                self._add("dataset-unreadable", "datasets", f"after {after or 'the beginning'}: {error}")
                break
            for dataset in page:
                await self._dataset(dataset)
            if not page:
                break
            after = page[-1].name
        await self._entries(CREATED_ACTION)
        await self._entries(VERSIONED_ACTION)
        await self._dangling()

    async def _dataset(self, dataset: Dataset) -> None:
        subject = dataset_subject(dataset.name)
        async with self._database.transaction() as tx:
            told = await tx.audit.of_subjects(self._project, (subject,))
        self._faults.add(definition_faults(dataset, told))
        await self._groups(dataset)
        after = 0
        while True:
            async with self._database.transaction() as tx:
                numbers = await tx.datasets.version_numbers(self._project, dataset.name, after=after, limit=KEYS_A_PAGE)
            for number in numbers:
                if number != after + 1:
                    self._add("version-gap", subject, f"versions {after + 1} to {number - 1} are not there")
                after = number
                await self._version(dataset, number)
            if not numbers:
                return

    async def _version(self, dataset: Dataset, number: int) -> None:
        subject = version_subject(dataset.name, number)
        try:
            async with self._database.transaction() as tx:
                version = await tx.datasets.version(self._project, dataset.name, number)
                # After what they tell of: they are written in the same transactions.
                entries = await tx.audit.of_subjects(self._project, (subject,))
        except UNREADABLE as error:
            self._add("version-unreadable", subject, str(error))
            return
        if version is None:
            self._add("version-gap", subject, "it was listed and is gone")
            return
        if version.content.split != dataset.split:
            self._add("version-contradiction", subject, "it is split otherwise than its dataset")
        self._faults.add(told_faults(version, entries))
        await self._members(version)
        self.versions += 1

    async def _members(self, version: DatasetVersion) -> None:
        subject = version_subject(version.content.dataset, version.content.version)
        try:
            async for sentence in version_faults(version, self._records(version)):
                self._add("version-contradiction", subject, sentence)
        except UNREADABLE as error:
            self._add("version-unreadable", subject, str(error))

    async def _records(self, version: DatasetVersion) -> AsyncIterator[MemberRecord]:
        content, after = version.content, None
        while True:
            async with self._database.transaction() as tx:
                page = await tx.datasets.records(
                    self._project, content.dataset, content.version, split=None, after=after, limit=RECORDS_A_PAGE
                )
            for item in page:
                yield item
            if not page:
                return
            after = page[-1].member.position
            self._advance(len(page))

    async def _groups(self, dataset: Dataset) -> None:
        """Hold the split that each group is kept in against the policy."""
        after: str | None = None
        while True:
            async with self._database.transaction() as tx:
                page = await tx.datasets.groups(self._project, dataset.name, after=after, limit=KEYS_A_PAGE)
            for group, split in page:
                due = split_of(dataset.split, group)
                if split != due:
                    detail = f"group {group!r} is kept in split {split!r}, and belongs to {due!r}"
                    self._add("group-split", dataset_subject(dataset.name), detail)
            if not page:
                return
            after = page[-1][0]

    async def _entries(self, action: str) -> None:
        """Find entries that tell of datasets or versions that are not there."""
        after = 0
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.audit.list(
                        self._project, after=after, limit=KEYS_A_PAGE, wanted=AuditFilter(action=action)
                    )
                    for entry in page:
                        name, number = parse_subject(entry.subject)
                        if number is None:
                            there = await tx.datasets.get(self._project, name) is not None
                        else:
                            there = await tx.datasets.version(self._project, name, number) is not None
                        if not there:
                            detail = f"{entry_name(entry.sequence)} tells of {action}, and it is not there"
                            self._add("entry-without-dataset", entry.subject, detail)
            except UNREADABLE as error:
                # What can not be read was named where it was looked at.
                self._add("dataset-unreadable", "datasets", str(error))
                return
            if not page:
                return
            after = page[-1].sequence

    async def _dangling(self) -> None:
        async with self._database.transaction() as tx:
            found = await tx.datasets.dangling(self._project, limit=KEYS_A_PAGE)
        for name, version, lacks in found:
            self._add("member-dangling", version_subject(name, version), f"members of it have no {lacks}")

    def _add(self, kind: str, subject: str, detail: str) -> None:
        self._faults.add([fault(kind, subject, detail)])


def definition_faults(dataset: Dataset, entries: Iterable[AuditEntry]) -> Iterator[Fault]:
    """Yield what the audit trail says otherwise about a dataset."""
    told = [entry for entry in entries if entry.action == CREATED_ACTION]
    yield from _told(dataset_subject(dataset.name), told, told_of_dataset(dataset), dataset.created_by)


def told_faults(version: DatasetVersion, entries: Iterable[AuditEntry]) -> Iterator[Fault]:
    """Yield what the audit trail says otherwise about a version."""
    subject = version_subject(version.content.dataset, version.content.version)
    told = [entry for entry in entries if entry.action == VERSIONED_ACTION]
    yield from _told(subject, told, told_of_version(version), version.created_by)


def _told(subject: str, told: list[AuditEntry], stated: dict[str, Any], actor: str) -> Iterator[Fault]:
    if len(told) != 1:
        yield fault("dataset-not-told-once", subject, f"{len(told)} audit entries tell of it")
    for entry in told:
        if entry.actor != actor:
            yield fault("dataset-contradicts-entry", subject, f"made by {actor}, the audit trail says {entry.actor}")
        for name in sorted(stated.keys() | entry.body.keys()):
            if _digest(stated.get(name)) != _digest(entry.body.get(name)):
                detail = (
                    f"its {name} is {_short(stated.get(name))}, the audit trail says {_short(entry.body.get(name))}"
                )
                yield fault("dataset-contradicts-entry", subject, detail)


def _digest(value: Any) -> str:
    try:
        return content_sha256(value)
    except ValueError:  # a number that no product code writes
        return f"unhashable: {value!r}"[:200]


def _short(value: Any) -> str:
    return str(value)[:200]
