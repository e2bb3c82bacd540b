"""Prove every ground-truth record of a project: against the rows it rests on, its origins, and what it was made of.

Everything is read in pages, each in a transaction of its own; what looks wrong is looked at a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from services.audit.faults import UNREADABLE, FaultList, fault
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.lineage import Origin
from services.contracts.records import GroundTruth
from services.contracts.verification import Fault
from services.erasure.tombstones import erased_record_faults
from services.errors import NotFoundError
from services.ground_truth.commit import read_facts
from services.ground_truth.made_of import made_of_faults, older_ref
from services.ground_truth.origins import made_of, origin_faults
from services.ground_truth.record import RevisionFacts
from services.ground_truth.verify import RecordEvidence, record_faults, told_faults
from services.lifecycle.journal import subject_of
from services.ports.database import Database, Transaction
from services.projects.registry import rule_set
from services.rules.rule_set import RuleSet
from services.taxonomy.carriers import MigrationCarriers
from services.taxonomy.proof import TaxonomyProof

RECORDS_A_PAGE = 20
ORIGINS_A_PAGE = 100_000
"""More than the records of a page can have; without it a forger could make the verifier read without end."""


class GroundTruthProof:
    """One run over the records of one project.

    Args:
        database: The store of record.
        project: The project.
        faults: Takes what is found.
        advance: Called with how many records were looked at.

    Attributes:
        records: How many records were looked at.
    """

    def __init__(self, database: Database, project: str, faults: FaultList, advance: Callable[[int], None]) -> None:
        self._database = database
        self._project = project
        self._faults = faults
        self._advance = advance
        self._taxonomies = TaxonomyProof()
        self._carriers = MigrationCarriers(project)
        self.records = 0

    async def run(self) -> None:
        """Look at every record."""
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
                    self._faults.add(await self._record(record))
            except UNREADABLE as error:
                self._faults.add([fault("record-unreadable", f"after {after}", str(error))])
                return
            if not page:
                return
            self.records += len(page)
            self._advance(len(page))
            after = (page[-1].ref.sample_id, page[-1].ref.revision)

    async def _origins(self, page: tuple[GroundTruth, ...], origins: tuple[tuple[RevisionRef, Origin], ...]) -> None:
        """Hold a page of records against what the table of origins says about them, and about others between them."""
        kept: dict[RevisionRef, set[Origin]] = {record.ref: set() for record in page}
        for ref, origin in origins:
            kept.setdefault(ref, set()).add(origin)
        known = {record.ref for record in page}
        for record in page:
            older = made_of(record)
            before = kept[older] if older in kept else await self._origins_of(older)
            self._faults.add(origin_faults(record, kept[record.ref], before=before, erased=_is_empty(record)))
        for ref in kept.keys() - known:
            self._faults.add(await self._late_origins(ref))

    async def _origins_of(self, ref: RevisionRef | None) -> list[Origin]:
        """Return the kept origins of a record that stands before the page; none where there is none."""
        if ref is None:
            return []
        async with self._database.transaction() as tx:
            return await _stored_origins(tx, ref)

    async def _late_origins(self, ref: RevisionRef) -> list[Fault]:
        """Look at origins of a record that was not there a moment ago: it came since, or there is none."""
        async with self._database.transaction() as tx:
            record = await tx.ground_truth.get(ref)
            if record is None:
                return [fault("origin-stray", subject_of(ref), "it is found by what it rests on, and is not there")]
            stored = await _stored_origins(tx, ref)
            older = made_of(record)
            before = [] if older is None else await _stored_origins(tx, older)
        return list(origin_faults(record, stored, before=before, erased=_is_empty(record)))

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
                    return [
                        *erased_record_faults(tombstone, now),
                        *told_faults(now, entries),
                        *await self._made_of(tx, now, await read_facts(tx, record.ref)),
                    ]
                facts = await read_facts(tx, record.ref)
                evidence = RecordEvidence(
                    facts=facts,
                    rules=await _rules(tx, facts),
                    entries=await tx.audit.of_subjects(self._project, (subject_of(record.ref),)),
                )
                more = [
                    *await self._made_of(tx, record, facts),
                    *await self._taxonomies.faults(tx, _taxonomies_of(record)),
                ]
        except NotFoundError as error:
            return [fault("revision-missing", subject_of(record.ref), error.detail)]
        except UNREADABLE as error:
            return [fault("source-unreadable", subject_of(record.ref), str(error))]
        return [*record_faults(record, evidence), *more]

    async def _made_of(self, tx: Transaction, record: GroundTruth, facts: RevisionFacts) -> list[Fault]:
        carried = facts.carried
        if carried is None:
            return []
        older = await tx.ground_truth.get(older_ref(record.ref, carried))
        carrier = await self._carriers.of(tx, carried)
        return list(made_of_faults(record, carried, older, carrier, facts.revision.manifest))


async def _stored_origins(tx: Transaction, ref: RevisionRef) -> list[Origin]:
    stored = await tx.ground_truth.origins_between(
        ref.project, after=(ref.sample_id, ref.revision - 1), until=(ref.sample_id, ref.revision), limit=ORIGINS_A_PAGE
    )
    return [origin for _, origin in stored]


def _is_empty(record: GroundTruth) -> bool:
    """Whether a record's content is gone; that a tombstone tells of it is looked at with the record."""
    return not record.body and not record.lineage


async def _rules(tx: Transaction, facts: RevisionFacts) -> dict[RuleReference, RuleSet]:
    """Return the rule sets of a revision's check runs, as far as they are stored."""
    found: dict[RuleReference, RuleSet] = {}
    for reference in {run.rule for run in facts.check_runs}:
        try:
            found[reference] = await rule_set(tx, reference)
        except NotFoundError:
            continue
    return found


def _taxonomies_of(record: GroundTruth) -> Iterator[str]:
    """Yield the versions that a record's labels, and the runs of its checks, name."""
    told = record.lineage.get("taxonomy_versions")
    yield from (item for item in told if isinstance(item, str)) if isinstance(told, list) else ()
    runs = record.lineage.get("check_runs")
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, dict) and isinstance(run.get("taxonomy"), str):
            yield run["taxonomy"]
