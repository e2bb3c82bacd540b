"""What a record rests on, as keys that are looked up from the other end (pure).

Everything is read from the record itself, and from the table's rows of the record that it was made of, so that a
verifier can say what must stand in the table of origins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from services.audit.faults import fault
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import RevisionRef
from services.contracts.lineage import MAX_KEY_LENGTH, Origin, OriginKind
from services.contracts.records import GroundTruth
from services.contracts.verification import Fault
from services.lifecycle.journal import subject_of


def origins_of(record: GroundTruth) -> frozenset[Origin]:
    """Return everything a record rests on; what a damaged record does not tell is left out."""
    pairs = {*_of_lineage(record.lineage), *_of_body(record.body)}
    return frozenset(Origin(kind=kind, key=key) for kind, key in pairs if 0 < len(key) <= MAX_KEY_LENGTH)


def made_of(record: GroundTruth) -> RevisionRef | None:
    """Return the revision whose record a taxonomy migration made this one of; None where none did."""
    migration = record.lineage.get("migration")
    before = migration.get("made_of") if isinstance(migration, dict) else None
    revision = before.get("revision") if isinstance(before, dict) else None
    # Only an earlier one, so that a damaged record leads round in no circle.
    if not isinstance(revision, int) or not 0 < revision < record.ref.revision:
        return None
    return record.ref.model_copy(update={"revision": revision})


def inherited(origins: Iterable[Origin]) -> frozenset[Origin]:
    """Return what a migrated record rests on because the one it was made of does.

    All but the taxonomy: the labels name another version now.
    """
    return frozenset(origin for origin in origins if origin.kind is not OriginKind.TAXONOMY)


def origin_faults(
    record: GroundTruth, stored: Iterable[Origin], *, before: Iterable[Origin] = (), erased: bool = False
) -> Iterator[Fault]:
    """Yield every difference between what a record says and what the table of origins says about it.

    Args:
        record: The record.
        stored: Its rows of the table.
        before: The rows of the record that it was made of; they are held against that one in its turn.
        erased: The record's content was erased, so that it says nothing any more; the table stays.
    """
    if erased:
        return
    told, kept = origins_of(record) | inherited(before), frozenset(stored)
    subject = subject_of(record.ref)
    for origin in sorted(told - kept, key=_order):
        yield fault("origin-missing", subject, f"that it rests on {origin.kind} {origin.key} can not be looked up")
    for origin in sorted(kept - told, key=_order):
        yield fault("origin-stray", subject, f"it is found under {origin.kind} {origin.key}, and does not say so")


def _order(origin: Origin) -> tuple[str, str]:
    return origin.kind, origin.key


def _of_lineage(lineage: dict[str, Any]) -> Iterator[tuple[OriginKind, str]]:
    for name, kind, member in (
        ("events", OriginKind.EVENT, "content_sha256"),
        ("assets", OriginKind.ASSET, "sha256"),
        ("label_sets", OriginKind.LABEL_SET, "sha256"),
        ("label_sets", OriginKind.INCIDENT, "incident_id"),
        ("predictions", OriginKind.LABEL_SET, "sha256"),
        ("decisions", OriginKind.DECISION, "id"),
        ("earlier_decisions", OriginKind.DECISION, "id"),
        ("people", OriginKind.PERSON, "id"),
    ):
        for item in _objects(lineage.get(name)):
            yield kind, _text(item.get(member))
    for item in _objects(lineage.get("predictions")):
        yield OriginKind.MODEL, _versioned(item.get("model"), item.get("model_version"))
    for item in _objects(lineage.get("label_sets")):
        yield from _model(item.get("author"))
    rules = [lineage.get("rule_set"), *(run.get("rule") for run in _objects(lineage.get("check_runs")))]
    for item in _objects(rules):
        yield OriginKind.RULE_SET, _versioned(item.get("id"), item.get("version"))
    taxonomies = lineage.get("taxonomy_versions")
    for version in taxonomies if isinstance(taxonomies, list) else ():
        yield OriginKind.TAXONOMY, _text(version)
    for item in _objects([lineage.get("workflow")]):
        yield OriginKind.WORKFLOW, _text(item.get("run_id"))


def _of_body(body: dict[str, Any]) -> Iterator[tuple[OriginKind, str]]:
    for stream in _objects(body.get("streams")):
        calibration = stream.get("calibration")
        if isinstance(calibration, dict):
            digest = content_sha256(calibration)
            yield OriginKind.CALIBRATION, digest
            if stream.get("sensor"):
                yield OriginKind.CALIBRATION, f"{stream['sensor']}@{digest}"
    for annotation in _objects(body.get("annotations")):
        yield from _model(annotation.get("author"))


def _model(author: Any) -> Iterator[tuple[OriginKind, str]]:
    if isinstance(author, dict) and author.get("kind") == "model":
        yield OriginKind.MODEL, _versioned(author.get("id"), author.get("version"))


def _versioned(name: Any, version: Any) -> str:
    return f"{name}@{version}" if name and version is not None else _text(name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _objects(items: Any) -> Iterator[dict[str, Any]]:
    return (item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))
