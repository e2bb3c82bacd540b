"""Commit ground truth: once for each sample revision, in one transaction with everything that tells of it."""

from __future__ import annotations

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.canonical import time_text
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import GroundTruth, SampleRevision
from services.contracts.review import FindingState, StoredFinding
from services.errors import BlockingFindingError, IntegrityError, NotFoundError, StageConflictError
from services.ground_truth.made_of import may_be_carried
from services.ground_truth.origins import made_of, origins_of
from services.ground_truth.record import RevisionFacts, build_record
from services.lifecycle.earlier import read_earlier_decisions
from services.lifecycle.journal import record_stage, subject_of
from services.ports.database import Database, Transaction

COMMIT_ACTION = "ground_truth.committed"
_NAMED_FINDINGS = 5


async def commit_ground_truth(database: Database, ref: RevisionRef, *, workflow_run_id: str) -> GroundTruth:
    """Commit the newest labels of an accepted revision; a second call answers the record of the first.

    Args:
        database: The store of record.
        ref: The revision.
        workflow_run_id: The Temporal run that asks for it; kept in the lineage.

    Raises:
        NotFoundError: There is no such revision.
        StageConflictError: The revision is not at stage ``accepted``, or was accepted under another taxonomy.
        BlockingFindingError: A finding that blocks is open.
        IntegrityError: The revision is committed but its record is missing.
    """
    async with database.transaction() as tx:
        # Locked in the order that everybody keeps: first the sample, then its revision.
        await tx.samples.lock_sample(ref.project, ref.sample_id)
        revision = await tx.samples.get(ref, lock=True)
        if revision is None:
            raise NotFoundError(f"there is no revision {ref.revision} of sample {ref.sample_id} in {ref.project}")
        existing = await tx.ground_truth.get(ref)
        if existing is not None:
            return existing
        if revision.stage is Stage.COMMITTED:
            raise IntegrityError(f"{subject_of(ref)} of {ref.project} is committed but has no ground-truth record")
        if revision.stage is not Stage.ACCEPTED:
            raise StageConflictError(f"only an accepted sample is committed; {ref.sample_id} is {revision.stage}")
        facts = await facts_of(tx, revision)
        _refuse_open(facts.findings)
        await _ensure_taxonomy_holds(tx, facts)
        record = build_record(facts, workflow_run_id=workflow_run_id, committed_at=await tx.now())
        await keep_record(tx, record, Stage.ACCEPTED)
        return record


async def keep_record(tx: Transaction, record: GroundTruth, before: Stage) -> None:
    """Keep a record and move its locked revision from ``before`` to ``committed``, with everything that tells of it."""
    ref = record.ref
    await tx.ground_truth.add(record)
    await tx.ground_truth.add_origins(ref, origins_of(record))
    older = made_of(record)
    if older is not None:
        await tx.ground_truth.inherit_origins(ref, older)
    await record_stage(tx, ref, before, Stage.COMMITTED, actor=SYSTEM_ACTOR, content_sha256=record.content_sha256)
    # Beside the stage change, because only here the lineage's hash and the moment enter the chain.
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action=COMMIT_ACTION,
        subject=subject_of(ref),
        body=told_of_record(record),
    )


def told_of_record(record: GroundTruth) -> dict[str, str]:
    """Return what the audit trail says about a commit, so that a verifier can compare all of it."""
    return {
        "content_sha256": record.content_sha256,
        "lineage_sha256": record.lineage_sha256,
        "committed_at": time_text(record.committed_at),
    }


async def read_facts(tx: Transaction, ref: RevisionRef) -> RevisionFacts:
    """Read a revision and everything its ground truth rests on.

    Raises:
        NotFoundError: There is no such revision.
    """
    revision = await tx.samples.get(ref)
    if revision is None:
        raise NotFoundError(f"there is no revision {ref.revision} of sample {ref.sample_id} in {ref.project}")
    return await facts_of(tx, revision)


async def facts_of(tx: Transaction, revision: SampleRevision) -> RevisionFacts:
    """Read everything the ground truth of a revision that was read rests on."""
    ref = revision.ref
    label_sets = await tx.samples.label_sets(ref)
    findings = await tx.review.findings(ref)
    return RevisionFacts(
        revision=revision,
        events=await tx.inbox.events_of(ref),
        label_sets=label_sets,
        assets=await tx.samples.assets(ref),
        check_runs=await tx.samples.check_runs(ref),
        findings=findings,
        decisions=await tx.review.decisions(ref),
        earlier=await read_earlier_decisions(tx, ref, findings),
        carried=await tx.taxonomy_migrations.carried(ref) if may_be_carried(label_sets) else None,
    )


async def _ensure_taxonomy_holds(tx: Transaction, facts: RevisionFacts) -> None:
    # Read under the lock of the sample, which a migration takes too: one of both sees what the other has done.
    project = await tx.projects.get(facts.revision.ref.project)
    if not facts.check_runs or project is None:
        return
    accepted, now = facts.check_runs[-1].taxonomy, project.config.taxonomy
    if accepted != now:
        raise StageConflictError(
            f"{subject_of(facts.revision.ref)} was accepted under {accepted or 'no taxonomy'}, and its project goes by "
            f"{now or 'none'} now; it is checked again"
        )


def _refuse_open(findings: tuple[StoredFinding, ...]) -> None:
    open_ids = [item.finding.finding_id for item in findings if item.blocking and item.state is FindingState.OPEN]
    if open_ids:
        named = ", ".join(open_ids[:_NAMED_FINDINGS])
        more = f" and {len(open_ids) - _NAMED_FINDINGS} more" if len(open_ids) > _NAMED_FINDINGS else ""
        raise BlockingFindingError(f"findings that block the commit are open: {named}{more}; decide them first")
