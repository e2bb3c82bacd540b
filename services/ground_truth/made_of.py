"""Hold a record that a taxonomy migration made against the older record that it was made of (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.audit.faults import fault
from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.records import GroundTruth, LabelSet
from services.contracts.taxonomies import CarriedOver
from services.contracts.verification import Fault
from services.lifecycle.journal import subject_of
from services.taxonomy.migrating import Carrier, uses_of

_LABELS: TypeAdapter[Annotations] = TypeAdapter(Annotations)
_OF_ITS_OWN = frozenset({"revision", "annotations"})


def may_be_carried(label_sets: Iterable[LabelSet]) -> bool:
    """Whether a migration may have opened a revision with these labels: a hint that spares asking for every one."""
    return any(labels.origin == "migration" for labels in label_sets)


def older_ref(ref: RevisionRef, carried: CarriedOver) -> RevisionRef:
    """Return the revision that a migrated one was made of."""
    return ref.model_copy(update={"revision": carried.revision_before})


def made_of_faults(
    record: GroundTruth,
    carried: CarriedOver,
    older: GroundTruth | None,
    carrier: Carrier | None,
    manifest: SampleManifest,
) -> Iterator[Fault]:
    """Yield what contradicts between a migrated record, the older one, and the steps between their taxonomies.

    Where nobody was asked, the labels are carried over a second time and compared. Where people decided about some of
    them, the hashes of the older record are all that is fixed. An erased record is held against its hashes alone.

    Args:
        record: The migrated record.
        carried: What is stored about how it was made.
        older: The record it was made of; None where it is not there.
        carrier: The migration's steps as they are stored now; None where one of them is gone.
        manifest: That of the record's revision.
    """
    subject = subject_of(record.ref)
    if older is None:
        yield fault(
            "made-of-missing", subject, f"it was made of revision {carried.revision_before}, which is no record"
        )
        return
    for what, told, stored in (
        ("content", carried.content_sha256, older.content_sha256),
        ("lineage", carried.lineage_sha256, older.lineage_sha256),
    ):
        if told != stored:
            detail = (
                f"the {what} of revision {carried.revision_before} has the hash {stored}, and it was made of {told}"
            )
            yield fault("made-of-mismatch", subject, detail)
    if carrier is None or carrier.sha256 != carried.crosswalk_sha256:
        yield fault(
            "crosswalk-mismatch", subject, f"the steps to {carried.target} are not those it was carried over by"
        )
        return
    if carried.outcome == "migrated" and record.body and older.body:
        yield from _carried_faults(subject, record, older, carrier, manifest)


def _carried_faults(
    subject: str, record: GroundTruth, older: GroundTruth, carrier: Carrier, manifest: SampleManifest
) -> Iterator[Fault]:
    for name in sorted((record.body.keys() | older.body.keys()) - _OF_ITS_OWN):
        if not _equal(record.body.get(name), older.body.get(name)):
            yield fault("made-of-contradiction", subject, f"{name} is not that of the record it was made of")
    try:
        before = _LABELS.validate_python(older.body.get("annotations"))
    except ValidationError:
        yield fault("made-of-contradiction", subject, "the labels it was made of can not be read")
        return
    carried = carrier.carried(before, carrier.plan(uses_of(manifest, before)))
    expected = [item.model_dump(mode="json", exclude_none=True) for item in carried]
    if not _equal(record.body.get("annotations"), expected):
        yield fault("made-of-contradiction", subject, "its labels are not those it was made of, carried over")


def _equal(left: Any, right: Any) -> bool:
    try:
        return content_sha256(left) == content_sha256(right)
    except ValueError:  # a number that no product code writes
        return False
