"""Read what people did in earlier revisions of a sample."""

from __future__ import annotations

from collections.abc import Iterable

from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, StoredFinding
from services.errors import IntegrityError
from services.ports.database import Transaction
from services.review.authorship import NO_EARLIER_WORK, EarlierWork
from services.review.earlier import CLOSED, Closing, Content


async def read_closings(tx: Transaction, ref: RevisionRef) -> tuple[Closing, ...]:
    """Return the findings that are closed in the newest revision before this one that knows them."""
    if ref.revision == 1:
        return ()
    closed = [item for item in await tx.review.findings_before(ref) if item.state in CLOSED]
    contents = {earlier: await _content(tx, earlier) for earlier in {item.ref for item in closed}}
    decided_on = {ref.model_copy(update={"revision": _decided_in(item)}) for item in closed}
    decisions = {
        decision.decision_id: decision for earlier in decided_on for decision in await tx.review.decisions(earlier)
    }
    return tuple(
        Closing(item, decisions[item.decision_id], contents[item.ref])
        for item in closed
        if item.decision_id is not None
    )


async def read_earlier_work(tx: Transaction, ref: RevisionRef) -> EarlierWork:
    """Return the labels and decisions of all revisions before this one."""
    if ref.revision == 1:
        return NO_EARLIER_WORK
    return EarlierWork(await tx.samples.label_sets_before(ref), await tx.review.decisions_before(ref))


async def read_earlier_decisions(
    tx: Transaction, ref: RevisionRef, findings: Iterable[StoredFinding]
) -> tuple[Decision, ...]:
    """Return the decisions on earlier revisions that findings of this one stay closed by."""
    named = {(item.decision_revision, item.decision_id) for item in findings if item.decision_revision is not None}
    found: list[Decision] = []
    for revision in sorted({revision for revision, _ in named}):
        made = await tx.review.decisions(ref.model_copy(update={"revision": revision}))
        found += [decision for decision in made if (revision, decision.decision_id) in named]
    return tuple(found)


def _decided_in(item: StoredFinding) -> int:
    return item.decision_revision or item.ref.revision


async def _content(tx: Transaction, ref: RevisionRef) -> Content:
    revision = await tx.samples.get(ref)
    if revision is None:
        raise IntegrityError(f"findings of {ref.sample_id} belong to revision {ref.revision}, which is not stored")
    labels = await tx.samples.label_set(ref)
    run = await tx.samples.last_check_run(ref)
    return Content(
        manifest=revision.manifest,
        assets=await tx.samples.assets(ref),
        annotations=() if labels is None else labels.annotations,
        taxonomy=None if run is None else run.taxonomy,
    )
