"""Make a version: one consistent read of what is committed, member by member, in one transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from services.contracts.access import Principal
from services.contracts.agreement import AgreementReport
from services.contracts.dataset_report import DatasetReport
from services.contracts.datasets import (
    Dataset,
    DatasetVersion,
    Member,
    NewVersion,
    Selection,
    SplitCount,
    VersionContent,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.project_events import DatasetVersioned
from services.datasets.card import CardBuilder
from services.datasets.manifest import leaf_bytes, manifest_sha256, told_of_version
from services.datasets.merkle import MerkleTree
from services.datasets.names import VERSIONED_ACTION, version_subject
from services.datasets.selection import Candidate, fits
from services.datasets.splits import group_of, split_of
from services.errors import IntegrityError
from services.ground_truth.history import HistoryReader
from services.lifecycle.project_events import tell_project
from services.ports.database import Transaction
from services.progress import Meter, Tell, tell_nobody
from services.projects.registry import rules_of
from services.report.agreement_build import AgreementBuilder
from services.report.agreement_reader import answers_of
from services.report.build import ReportBuilder
from services.report.reader import stored_sample

PAGE = 50
_CARD_WINDOW_DAYS = 30


class _Assembly:
    """What is known of a version while its members are added."""

    def __init__(self, dataset: Dataset, selection: Selection) -> None:
        self._dataset = dataset
        self._selection = selection
        self.tree = MerkleTree()
        self.card = CardBuilder()
        self.labels = 0
        self._samples: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()

    def add(self, candidates: Iterable[Candidate]) -> list[Member]:
        """Return the members among candidates."""
        return [self._member(one) for one in candidates if fits(self._selection, one)]

    def _member(self, candidate: Candidate) -> Member:
        group = group_of(self._dataset.split, candidate.body)
        split = split_of(self._dataset.split, group)
        member = Member(
            position=self.tree.size,
            sample_id=candidate.sample_id,
            revision=candidate.revision,
            content_sha256=candidate.content_sha256,
            split=split,
            group=group,
            labels=len(candidate.annotations),
        )
        self.tree.add(leaf_bytes(member))
        self.card.add(candidate)
        self.labels += member.labels
        self._samples[split] += 1
        self._labels[split] += member.labels
        return member

    def splits(self, groups: dict[str, int]) -> tuple[SplitCount, ...]:
        """Return what every split holds."""
        return tuple(
            SplitCount(
                name=share.name,
                samples=self._samples[share.name],
                labels=self._labels[share.name],
                groups=groups.get(share.name, 0),
            )
            for share in self._dataset.split.shares
        )


async def make_version(
    tx: Transaction, principal: Principal, dataset: Dataset, new: NewVersion, tell: Tell = tell_nobody
) -> DatasetVersion:
    """Keep the next version of a dataset.

    Args:
        tx: The transaction.
        principal: Who asks.
        dataset: The dataset, locked.
        new: What is asked for.
        tell: Is told how far it is in ``records`` and ``card``.

    Raises:
        InvalidInputError: A record lacks what the dataset is split by.
        IntegrityError: A group would be in two splits.
    """
    project, name = dataset.project, dataset.name
    number = await tx.datasets.newest(project, name) + 1
    selection = new.selection or dataset.selection
    assembly = _Assembly(dataset, selection)
    meter = Meter(tell)
    meter.begin("records", await tx.datasets.count_candidates(project, selection))
    first: list[Member] = []
    async for page in tx.datasets.candidates(project, selection, page=PAGE):
        # Parsing and counting is work for the processor; other requests go on meanwhile.
        members = await asyncio.to_thread(assembly.add, page)
        if members:
            await tx.datasets.add_members(project, name, number, members)
        first += members[: new.card_samples - len(first)]
        meter.advance(len(page))
    meter.begin("card", len(first))
    leaks = await tx.datasets.leaking_groups(project, name, number)
    if leaks:
        raise IntegrityError(f"groups of {name} are in several splits: {', '.join(leaks[:5])}")
    agreement, report = await _measure(tx, project, first, meter)
    content = VersionContent(
        project=project,
        dataset=name,
        version=number,
        selection=selection,
        split=dataset.split,
        samples=assembly.tree.size,
        labels=assembly.labels,
        merkle_root=assembly.tree.root(),
        splits=assembly.splits(await tx.datasets.group_counts(project, name, number)),
        classes=assembly.card.classes(),
        card=assembly.card.card(samples_read=len(first), agreement=agreement, report=report),
        note=new.note,
    )
    version = DatasetVersion(
        content=content,
        manifest_sha256=manifest_sha256(content),
        created_by=principal.actor_id,
        created_at=await tx.now(),
    )
    await tx.datasets.add_version(version)
    tx.audit.append(
        project,
        actor=principal.actor_id,
        action=VERSIONED_ACTION,
        subject=version_subject(name, number),
        body=told_of_version(version),
    )
    await tell_project(tx, _told(version))
    return version


def _told(version: DatasetVersion) -> DatasetVersioned:
    content = version.content
    return DatasetVersioned(
        project=content.project,
        at=version.created_at,
        dataset=content.dataset,
        version=content.version,
        merkle_root=content.merkle_root,
        manifest_sha256=version.manifest_sha256,
        samples=content.samples,
        labels=content.labels,
        splits={split.name: split.samples for split in content.splits},
        created_by=version.created_by,
    )


async def _measure(
    tx: Transaction, project: str, members: Sequence[Member], meter: Meter
) -> tuple[AgreementReport | None, DatasetReport | None]:
    """Return how far people agree on members, and how these do on the nine failures."""
    if not members:
        return None, None
    rules = await rules_of(tx, project)
    agreement = AgreementBuilder(rules.consensus, max_listed=0, window_days=_CARD_WINDOW_DAYS)
    report = ReportBuilder(rules, max_listed=0)
    histories = HistoryReader(project)
    left_out = 0
    for member in members:
        ref = RevisionRef(project=project, sample_id=member.sample_id, revision=member.revision)
        history = await histories.read(tx, ref)
        agreement.add(project, ref.sample_id, answers_of(history))
        item = await stored_sample(tx, history)
        if item is None:
            left_out += 1
        else:
            await asyncio.to_thread(report.add, item)
        meter.advance()
    told = await asyncio.to_thread(agreement.finish)
    # A card goes wherever the dataset goes: it tells of classes, and of nobody by name.
    unnamed = told.model_copy(
        update={"people": (), "measures": tuple(one for one in told.measures if one.view in ("all", "class"))}
    )
    return unnamed, await asyncio.to_thread(report.finish, left_out=left_out)
