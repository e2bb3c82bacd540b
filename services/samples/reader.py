"""Read what is stored about samples, inside the projects that a key sees."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.audit import EVERY_ENTRY, AuditFilter
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.lineage import Dependent, DependentsSummary, Origin, VersionOfDependents
from services.contracts.records import AuditEntry, GroundTruth, LabelSet, SampleRevision, SampleSummary, StageChange
from services.contracts.review import StoredFinding
from services.contracts.verification import Anchor, AuditHead
from services.errors import NotFoundError
from services.ground_truth.commit import read_facts
from services.ground_truth.record import build_lineage
from services.ports.database import Database, Transaction
from services.review.sight import ensure_sees_samples


class SampleReader:
    """Everything that is read about samples.

    Each method raises NotFoundError for a project that does not exist and for one the key does not see, alike; and
    ForbiddenError for people at work where the project lets them see their own tasks only.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        principal: Principal,
        project: str,
        *,
        stage: Stage | None,
        after: tuple[datetime, str, int] | None,
        limit: int,
    ) -> tuple[SampleSummary, ...]:
        """Return revisions, newest first, after the cursor."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            await ensure_sees_samples(tx, principal, project)
            return await tx.samples.list(project, stage=stage, after=after, limit=limit)

    async def get(self, principal: Principal, project: str, sample_id: str, revision: int | None) -> SampleRevision:
        """Return a revision, the newest by default."""
        async with self._database.transaction() as tx:
            await ensure_sees_samples(tx, principal, project)
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            found = await tx.samples.get(ref)
        if found is None:
            raise _not_found(ref)
        return found

    async def timeline(self, principal: Principal, project: str, sample_id: str) -> tuple[StageChange, ...]:
        """Return every stage change of all revisions, in order."""
        async with self._database.transaction() as tx:
            await seen_ref(tx, principal, project, sample_id, None)
            return await tx.samples.timeline(project, sample_id)

    async def labels(
        self, principal: Principal, project: str, sample_id: str, *, revision: int | None, version: int | None
    ) -> LabelSet:
        """Return a version of the labels, the newest by default; predictions are left out."""
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            labels = await tx.samples.label_set(ref, version)
        if labels is None:
            what = "labels yet" if version is None else f"labels of version {version}"
            raise NotFoundError(f"There are no {what} for revision {ref.revision} of sample {sample_id!r}.")
        return labels

    async def findings(
        self, principal: Principal, project: str, sample_id: str, revision: int | None
    ) -> tuple[StoredFinding, ...]:
        """Return all findings of a revision with what became of them, by id."""
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            return await tx.review.findings(ref)

    async def lineage(self, principal: Principal, project: str, sample_id: str, revision: int | None) -> dict[str, Any]:
        """Return why a committed record is believed; before the commit, what is known so far."""
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            record = await tx.ground_truth.get(ref)
            if record is not None:
                return record.lineage
            return build_lineage(await read_facts(tx, ref), workflow_run_id="")

    async def ground_truth(
        self, principal: Principal, project: str, sample_id: str, revision: int | None
    ) -> GroundTruth:
        """Return the committed record of a revision."""
        async with self._database.transaction() as tx:
            await ensure_sees_samples(tx, principal, project)
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            record = await tx.ground_truth.get(ref)
        if record is None:
            raise NotFoundError(f"Revision {ref.revision} of sample {sample_id!r} is not committed.")
        return record

    async def ground_truths(
        self, principal: Principal, project: str, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[GroundTruth, ...]:
        """Return committed records by sample id and revision, after the cursor."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            await ensure_sees_samples(tx, principal, project)
            return await tx.ground_truth.list(project, after=after, limit=limit)

    async def dependents(
        self, principal: Principal, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[Dependent, ...]:
        """Return committed records that rest on something, by sample id and revision, after the cursor."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            return await tx.ground_truth.dependents(project, origin, after=after, limit=limit)

    async def dependent_versions(
        self, principal: Principal, project: str, origin: Origin, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[VersionOfDependents, ...]:
        """Return dataset versions with records that rest on something, by dataset and version, after the cursor."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            return await tx.ground_truth.dependent_versions(project, origin, after=after, limit=limit)

    async def count_dependents(self, principal: Principal, project: str, origin: Origin) -> DependentsSummary:
        """Count the committed records that rest on something."""
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            return await tx.ground_truth.count_dependents(project, origin)

    async def audit(
        self, principal: Principal, project: str, *, after: int, limit: int, wanted: AuditFilter = EVERY_ENTRY
    ) -> tuple[AuditEntry, ...]:
        """Return the project's audit entries that are wanted, after a sequence number."""
        async with self._database.transaction() as tx:
            await _ensure_chain(tx, principal, project)
            return await tx.audit.list(project, after=after, limit=limit, wanted=wanted)

    async def audit_head(self, principal: Principal, project: str) -> AuditHead:
        """Return the newest link of the project's audit chain."""
        async with self._database.transaction() as tx:
            await _ensure_chain(tx, principal, project)
            sequence, sha256 = await tx.audit.head(project)
            anchor = Anchor(sequence=sequence, sha256=sha256) if sequence else None
            return AuditHead(project=project, anchor=anchor, at=await tx.now())

    async def ensure_chain(self, principal: Principal, project: str) -> None:
        """Raise NotFoundError unless there is an audit chain of this name that the key sees."""
        async with self._database.transaction() as tx:
            await _ensure_chain(tx, principal, project)


async def ensure_project(tx: Transaction, principal: Principal, project: str) -> None:
    """Raise NotFoundError unless there is such a project and the key sees it."""
    ensure_sees(principal, project)
    if await tx.projects.get(project) is None:
        raise project_not_found(project)


async def _ensure_chain(tx: Transaction, principal: Principal, project: str) -> None:
    # The chain of what concerns every project has no project behind it.
    if principal.projects is None and (await tx.audit.head(project))[0] > 0:
        return
    await ensure_project(tx, principal, project)


async def seen_ref(
    tx: Transaction, principal: Principal, project: str, sample_id: str, revision: int | None
) -> RevisionRef:
    """Return a revision of a sample, the newest by default.

    Raises:
        NotFoundError: There is none that the key sees.
    """
    ensure_sees(principal, project)
    newest = await tx.samples.newest(project, sample_id)
    if newest is None:
        if await tx.projects.get(project) is None:
            raise project_not_found(project)
        raise NotFoundError(f"There is no sample {sample_id!r} in project {project!r}.")
    if revision is None:
        return newest
    if revision > newest.revision:
        raise _not_found(newest.model_copy(update={"revision": revision}))
    return newest.model_copy(update={"revision": revision})


def _not_found(ref: RevisionRef) -> NotFoundError:
    return NotFoundError(f"There is no revision {ref.revision} of sample {ref.sample_id!r}.")
