"""Prove a project's audit chain, ground truth and datasets, or name what contradicts them.

Everything is read in pages, each in a transaction of its own, so that a project of any size is verified in bounded
memory and beside its daily work. What looks wrong because it changed between two reads is read again under a lock
before it is called a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.access.keys import SYSTEM_PROJECT
from services.audit.faults import UNREADABLE, FaultList, fault
from services.audit.links import ChainWalk, entry_name
from services.audit.shared import prove_shared
from services.audit.stages import (
    decision_faults,
    is_decision_entry,
    is_stage_entry,
    ref_of_subject,
    stage_faults,
    subjects_of,
    timeline_faults,
)
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import AuditEntry, SampleSummary
from services.contracts.verification import Anchor, Fault, VerificationReport
from services.datasets.proof import DatasetProof
from services.erasure.tombstones import erased_faults, tombstone_faults
from services.ground_truth.commit import read_facts
from services.ground_truth.proof import GroundTruthProof
from services.lifecycle.journal import subject_of
from services.ports.database import Database, Transaction
from services.progress import Meter, Tell, tell_nobody

ENTRIES_A_PAGE = 500
SAMPLES_A_PAGE = 50


async def verify_project(
    database: Database,
    project: str,
    *,
    anchors: Iterable[Anchor] = (),
    tell: Tell = tell_nobody,
) -> VerificationReport:
    """Verify a project: the chain, then timelines and decisions, then records, then datasets.

    Args:
        database: The store of record.
        project: The project; one without any entry verifies, with nothing in it.
        anchors: Links of the chain that were noted earlier outside of the store. Without one, a chain that was
            rewritten together with every row it tells of can not be told from a true one.
        tell: Is told after each page how far it is in ``audit``, ``samples``, ``records`` and ``datasets``.
    """
    return await _Verification(database, project, anchors, tell).run()


class _Verification:
    """One run over one project."""

    def __init__(
        self,
        database: Database,
        project: str,
        anchors: Iterable[Anchor],
        tell: Tell,
    ) -> None:
        self._database = database
        self._project = project
        self._walk = ChainWalk(anchors)
        self._audit = FaultList()
        self._lineage = FaultList()
        self._datasets = FaultList()
        self._meter = Meter(tell)
        self._erased = 0
        self._telling_entries = 0
        self._matched_entries = 0

    async def run(self) -> VerificationReport:
        async with self._database.transaction() as tx:
            entries, _ = await tx.audit.head(self._project)
            stages = await tx.samples.count_by_stage(self._project)
            members = await tx.datasets.count_members(self._project)
        self._meter.begin("audit", entries)
        await self._chain()
        self._meter.begin("samples", sum(stages.values()))
        await self._revisions()
        if self._matched_entries < self._telling_entries:
            await self._stray_entries()
        if self._project == SYSTEM_PROJECT:
            await prove_shared(self._database, self._audit)
        self._meter.begin("records", stages.get(Stage.COMMITTED, 0) + stages.get(Stage.REOPENED, 0))
        records = GroundTruthProof(self._database, self._project, self._lineage, self._meter.advance)
        await records.run()
        self._meter.begin("datasets", members)
        datasets = DatasetProof(self._database, self._project, self._datasets, self._meter.advance)
        await datasets.run()
        self._meter.end()
        kept = self._audit.kept + self._lineage.kept + self._datasets.kept
        found = self._audit.count + self._lineage.count + self._datasets.count
        return VerificationReport(
            project=self._project,
            audit_verified=not self._audit.count,
            lineage_verified=not self._lineage.count,
            datasets_verified=not self._datasets.count,
            entries=self._walk.entries,
            records=records.records,
            dataset_versions=datasets.versions,
            erased=self._erased,
            redacted=self._walk.redacted,
            head=self._walk.last,
            faults=kept,
            faults_left_out=found - len(kept),
        )

    async def _chain(self) -> None:
        limit = ENTRIES_A_PAGE
        while True:
            try:
                async with self._database.transaction() as tx:
                    # The head first: what is written between the two reads makes the list longer, never shorter.
                    head = await tx.audit.head(self._project)
                    page = await tx.audit.list(self._project, after=self._walk.sequence, limit=limit)
            except UNREADABLE:
                if limit == 1:
                    self._audit.add(self._walk.skip())
                limit = 1
                continue
            if not page:
                self._audit.add(self._walk.end(head))
                return
            self._audit.add(self._walk.follow(page))
            self._telling_entries += sum(1 for entry in page if _tells(entry))
            self._meter.advance(len(page))
            limit = ENTRIES_A_PAGE

    async def _revisions(self) -> None:
        after: tuple[datetime, str, int] | None = None
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.samples.list(self._project, stage=None, after=after, limit=SAMPLES_A_PAGE)
            except UNREADABLE as error:
                self._audit.add([fault("sample-unreadable", f"after {after}", str(error))])
                return
            for summary in page:
                self._audit.add(await self._revision(summary))
            if not page:
                return
            self._meter.advance(len(page))
            last = page[-1]
            after = (last.created_at, last.ref.sample_id, last.ref.revision)

    async def _revision(self, summary: SampleSummary) -> list[Fault]:
        ref = summary.ref
        try:
            async with self._database.transaction() as tx:
                if not await self._look(tx, ref, summary.stage):
                    return []
            async with self._database.transaction() as tx:
                # Nobody can change it now: what is wrong at this second look is wrong.
                revision = await tx.samples.get(ref, lock=True)
                if revision is None:
                    return [fault("revision-missing", subject_of(ref), "it was listed and is gone")]
                return await self._look(tx, ref, revision.stage)
        except UNREADABLE as error:
            return [fault("sample-unreadable", subject_of(ref), str(error))]

    async def _look(self, tx: Transaction, ref: RevisionRef, stage: Stage) -> list[Fault]:
        """Return what is wrong with one revision, and count the audit entries that tell of it."""
        timeline = await tx.samples.timeline(self._project, ref.sample_id)
        changes = tuple(change for change in timeline if change.ref == ref)
        decisions = await tx.review.decisions(ref)
        bodies = await tx.review.decision_bodies(ref) if decisions else {}
        # Read after what they tell of: they are written in the same transactions, so none is missing by chance.
        entries = await tx.audit.of_subjects(self._project, tuple(subjects_of(ref, decisions)))
        tombstone = await tx.erasures.tombstone(ref)
        erased = tombstone is not None
        found = [
            *timeline_faults(self._project, ref.sample_id, timeline),
            *stage_faults(ref, stage, changes, entries, erased=erased),
            *decision_faults(ref, decisions, bodies, entries, erased=erased),
            *tombstone_faults(ref, tombstone, entries),
        ]
        if tombstone is not None:
            found += erased_faults(tombstone, await read_facts(tx, ref))
        if any(change.stage is Stage.COMMITTED for change in changes) and await tx.ground_truth.get(ref) is None:
            found.append(fault("record-missing", subject_of(ref), "it is committed without a ground-truth record"))
        if not found:
            self._erased += erased
            # What was written since the chain was walked must not make up for an entry that tells of nothing.
            self._matched_entries += sum(
                1 for entry in entries if _tells(entry) and entry.sequence <= self._walk.sequence
            )
        return found

    async def _stray_entries(self) -> None:
        """Find entries that tell of revisions or decisions that are not there. Needed only when numbers differ."""
        after = 0
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.audit.list(self._project, after=after, limit=ENTRIES_A_PAGE)
                    for entry in page:
                        self._audit.add(await self._stray(tx, entry))
            except UNREADABLE as error:
                self._audit.add([fault("audit-unreadable", f"after {entry_name(after)}", str(error))])
                return
            if not page:
                return
            after = page[-1].sequence

    async def _stray(self, tx: Transaction, entry: AuditEntry) -> list[Fault]:
        if not _tells(entry):
            return []
        ref = ref_of_subject(self._project, entry.subject)
        if ref is None or await tx.samples.get(ref) is None:
            detail = f"{entry_name(entry.sequence)} tells of {entry.action} of a revision that is not there"
            return [fault("entry-without-revision", entry.subject, detail)]
        if is_decision_entry(entry):
            known = {str(decision.decision_id) for decision in await tx.review.decisions(ref)}
            if entry.body.get("decision_id") not in known:
                detail = f"{entry_name(entry.sequence)} tells of {entry.action}"
                return [fault("entry-without-decision", entry.subject, detail)]
        return []


def _tells(entry: AuditEntry) -> bool:
    return is_stage_entry(entry) or is_decision_entry(entry)
