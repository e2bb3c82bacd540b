"""Hold a tombstone against what is left of its revision and against the audit entry that tells of it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.audit.faults import fault
from services.contracts.erasure import Tombstone
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef
from services.contracts.records import AuditEntry, GroundTruth
from services.contracts.verification import Fault
from services.ground_truth.record import RevisionFacts
from services.lifecycle.journal import subject_of

ERASED_ACTION = "content.erased"


def tombstone_faults(ref: RevisionRef, tombstone: Tombstone | None, entries: Iterable[AuditEntry]) -> Iterator[Fault]:
    """Yield what contradicts between a tombstone, or its absence, and the audit entries about the revision."""
    subject = subject_of(ref)
    told = [entry for entry in entries if entry.action == ERASED_ACTION]
    if tombstone is None:
        if told:
            yield fault("tombstone-missing", subject, "the audit trail tells that it was erased")
        return
    if len(told) != 1:
        yield fault("erasure-not-told-once", subject, f"{len(told)} audit entries tell that it was erased")
    hashes = tombstone.hashes.model_dump(mode="json", exclude_none=True)
    stated = {"erasure_id": str(tombstone.erasure_id), "hashes": hashes}
    for entry in told:
        if entry.body != stated or entry.actor != tombstone.erased_by:
            yield fault("tombstone-contradicts-entry", subject, "its tombstone and the audit trail differ")


def erased_faults(tombstone: Tombstone, facts: RevisionFacts) -> Iterator[Fault]:
    """Yield what is left where content was erased, and hashes beside it that are not those of the tombstone."""
    subject, hashes = subject_of(tombstone.ref), tombstone.hashes
    if facts.revision.stage not in FINAL_STAGES:
        yield fault("tombstone-contradiction", subject, f"it was erased and is at {facts.revision.stage}")
    beside = (
        ("manifest", (hashes.manifest,), (facts.revision.manifest_sha256,)),
        ("labels", hashes.labels, tuple(labels.sha256 for labels in facts.label_sets)),
        ("decisions", hashes.decisions, tuple(decision.content_sha256 for decision in facts.decisions)),
    )
    for what, told, stored in beside:
        if sorted(told) != sorted(stored):
            yield fault("tombstone-contradiction", subject, f"hashes of its {what} are not those of the tombstone")
    # An event that is sent again, or comes late, may reach a revision after its erasure.
    if not set(hashes.events) <= {stored.event.content_sha256 for stored in facts.events}:
        yield fault("tombstone-contradiction", subject, "hashes of its events are not those of the tombstone")
    manifest = facts.revision.manifest
    content = (
        ("a manifest", bool(manifest.annotations or manifest.context.attributes or manifest.label_files)),
        ("labels", any(labels.annotations for labels in facts.label_sets)),
        ("a note of a decision", any(decision.note for decision in facts.decisions)),
        ("an event", any(stored.event.data for stored in facts.events)),
    )
    for what, there in content:
        if there:
            yield fault("erased-content", subject, f"{what} stands where it was erased")


def erased_record_faults(tombstone: Tombstone, record: GroundTruth) -> Iterator[Fault]:
    """Yield what an erased record says otherwise than its tombstone."""
    subject, hashes = subject_of(record.ref), tombstone.hashes
    if (record.content_sha256, record.lineage_sha256) != (hashes.content, hashes.lineage):
        yield fault("tombstone-contradiction", subject, "hashes of its record are not those of the tombstone")
    if record.body or record.lineage:
        yield fault("erased-content", subject, "a record stands where it was erased")
