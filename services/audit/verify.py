"""Prove a project's audit chain and ground truth, or name what contradicts them.

Everything is read in pages, each in a transaction of its own, so that a project of any size is verified in bounded
memory and beside its daily work. What looks wrong because it changed between two reads is read again under a lock
before it is called a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.audit.faults import FaultList, fault
from services.audit.links import ChainWalk, entry_name
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
from services.contracts.lineage import Origin
from services.contracts.records import AuditEntry, GroundTruth, SampleSummary
from services.contracts.verification import Anchor, Fault, VerificationReport
from services.erasure.tombstones import erased_faults, erased_record_faults, tombstone_faults
from services.errors import IntegrityError, NotFoundError
from services.ground_truth.commit import read_facts
from services.ground_truth.origins import origin_faults
from services.ground_truth.record import RevisionFacts
from services.ground_truth.verify import RecordEvidence, record_faults, told_faults
from services.lifecycle.journal import subject_of
from services.ports.database import Database, Transaction
from services.projects.registry import rule_set
from services.rules.rule_set import RuleSet

ENTRIES_A_PAGE = 500
SAMPLES_A_PAGE = 50
RECORDS_A_PAGE = 20
ORIGINS_A_PAGE = 100_000
"""More than the records of a page can have; without it a forger could make the verifier read without end."""
_UNREADABLE = (ValueError, IntegrityError)
"""What reading a row raises that was changed into something the contract does not allow."""


async def verify_project(database: Database, project: str, *, anchors: Iterable[Anchor] = ()) -> VerificationReport:
    """Verify a project.

    Args:
        database: The store of record.
        project: The project; one without any entry verifies, with nothing in it.
        anchors: Links of the chain that were noted earlier outside of the store. Without one, a chain that was
            rewritten together with every row it tells of can not be told from a true one.
    """
    return await _Verification(database, project, anchors).run()


class _Verification:
    """One run over one project."""

    def __init__(self, database: Database, project: str, anchors: Iterable[Anchor]) -> None:
        self._database = database
        self._project = project
        self._walk = ChainWalk(anchors)
        self._audit = FaultList()
        self._lineage = FaultList()
        self._records = 0
        self._erased = 0
        self._telling_entries = 0
        self._matched_entries = 0

    async def run(self) -> VerificationReport:
        await self._chain()
        await self._revisions()
        if self._matched_entries < self._telling_entries:
            await self._stray_entries()
        await self._ground_truth()
        kept = self._audit.kept + self._lineage.kept
        return VerificationReport(
            project=self._project,
            audit_verified=not self._audit.count,
            lineage_verified=not self._lineage.count,
            entries=self._walk.entries,
            records=self._records,
            erased=self._erased,
            redacted=self._walk.redacted,
            head=self._walk.last,
            faults=kept,
            faults_left_out=self._audit.count + self._lineage.count - len(kept),
        )

    async def _chain(self) -> None:
        limit = ENTRIES_A_PAGE
        while True:
            try:
                async with self._database.transaction() as tx:
                    # The head first: what is written between the two reads makes the list longer, never shorter.
                    head = await tx.audit.head(self._project)
                    page = await tx.audit.list(self._project, after=self._walk.sequence, limit=limit)
            except _UNREADABLE:
                if limit == 1:
                    self._audit.add(self._walk.skip())
                limit = 1
                continue
            if not page:
                self._audit.add(self._walk.end(head))
                return
            self._audit.add(self._walk.follow(page))
            self._telling_entries += sum(1 for entry in page if _tells(entry))
            limit = ENTRIES_A_PAGE

    async def _revisions(self) -> None:
        after: tuple[datetime, str, int] | None = None
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.samples.list(self._project, stage=None, after=after, limit=SAMPLES_A_PAGE)
            except _UNREADABLE as error:
                self._audit.add([fault("sample-unreadable", f"after {after}", str(error))])
                return
            for summary in page:
                self._audit.add(await self._revision(summary))
            if not page:
                return
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
        except _UNREADABLE as error:
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
            except _UNREADABLE as error:
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

    async def _ground_truth(self) -> None:
        after: tuple[str, int] | None = None
        while True:
            try:
                async with self._database.transaction() as tx:
                    page = await tx.ground_truth.list(self._project, after=after, limit=RECORDS_A_PAGE)
                    until = (page[-1].ref.sample_id, page[-1].ref.revision) if page else None
                    # After the records: they are written in the same transactions, so none is missing by chance.
                    origins = await tx.ground_truth.origins_between(
                        self._project, after=after, until=until, limit=ORIGINS_A_PAGE
                    )
                await self._origins(page, origins)
                for record in page:
                    self._lineage.add(await self._record(record))
            except _UNREADABLE as error:
                self._lineage.add([fault("record-unreadable", f"after {after}", str(error))])
                return
            if not page:
                return
            self._records += len(page)
            after = (page[-1].ref.sample_id, page[-1].ref.revision)

    async def _origins(self, page: tuple[GroundTruth, ...], origins: tuple[tuple[RevisionRef, Origin], ...]) -> None:
        """Hold a page of records against what the table of origins says about them, and about others between them."""
        kept: dict[RevisionRef, set[Origin]] = {record.ref: set() for record in page}
        for ref, origin in origins:
            kept.setdefault(ref, set()).add(origin)
        for record in page:
            self._lineage.add(origin_faults(record, kept.pop(record.ref), erased=_is_empty(record)))
        for ref in kept:
            self._lineage.add(await self._late_origins(ref))

    async def _late_origins(self, ref: RevisionRef) -> list[Fault]:
        """Look at origins of a record that was not there a moment ago: it came since, or there is none."""
        before = (ref.sample_id, ref.revision - 1)
        async with self._database.transaction() as tx:
            record = await tx.ground_truth.get(ref)
            if record is None:
                return [fault("origin-stray", subject_of(ref), "it is found by what it rests on, and is not there")]
            stored = await tx.ground_truth.origins_between(
                self._project, after=before, until=(ref.sample_id, ref.revision), limit=ORIGINS_A_PAGE
            )
        return list(origin_faults(record, (origin for _, origin in stored), erased=_is_empty(record)))

    async def _record(self, record: GroundTruth) -> list[Fault]:
        # What looks wrong may have been erased while it was looked at: then the second look finds a tombstone.
        return await self._look_at(record) and await self._look_at(record)

    async def _look_at(self, record: GroundTruth) -> list[Fault]:
        try:
            async with self._database.transaction() as tx:
                tombstone = await tx.erasures.tombstone(record.ref)
                if tombstone is not None:
                    # Read again: it may have been erased since the page was read.
                    entries = await tx.audit.of_subjects(self._project, (subject_of(record.ref),))
                    now = await tx.ground_truth.get(record.ref) or record
                    return [*erased_record_faults(tombstone, now), *told_faults(now, entries)]
                facts = await read_facts(tx, record.ref)
                evidence = RecordEvidence(
                    facts=facts,
                    rules=await _rules(tx, facts),
                    entries=await tx.audit.of_subjects(self._project, (subject_of(record.ref),)),
                )
        except NotFoundError as error:
            return [fault("revision-missing", subject_of(record.ref), error.detail)]
        except _UNREADABLE as error:
            return [fault("source-unreadable", subject_of(record.ref), str(error))]
        return list(record_faults(record, evidence))


def _is_empty(record: GroundTruth) -> bool:
    """Whether a record's content is gone; that a tombstone tells of it is looked at with the record."""
    return not record.body and not record.lineage


def _tells(entry: AuditEntry) -> bool:
    return is_stage_entry(entry) or is_decision_entry(entry)


async def _rules(tx: Transaction, facts: RevisionFacts) -> RuleSet | None:
    if not facts.check_runs:
        return None
    try:
        return await rule_set(tx, facts.check_runs[-1].rule)
    except NotFoundError:
        return None
