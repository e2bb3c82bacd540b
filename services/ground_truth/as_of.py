"""Ground truth as it stood under a version of the taxonomy."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.contracts.records import GroundTruth
from services.contracts.taxonomies import split_reference


def stands_under(record: GroundTruth, reference: str) -> bool:
    """Whether a record says nothing that a later version than ``reference`` brought."""
    taxonomy_id, version = split_reference(reference)
    named = list(record.lineage.get("taxonomy_versions", ()))
    if "migration" in record.lineage:
        named.append(record.lineage["migration"]["target"])
    return all(_version_of(str(item), taxonomy_id) <= version for item in named)


def _version_of(named: str, taxonomy_id: str) -> int:
    """Return which version of the taxonomy is named; 0 for another taxonomy, or none."""
    own, _, number = named.rpartition("@")
    return int(number) if own == taxonomy_id and number.isdecimal() else 0


async def as_of(records: AsyncIterator[GroundTruth], reference: str) -> AsyncIterator[GroundTruth]:
    """Yield of each sample the newest record that stands under ``reference``.

    Args:
        records: By sample and revision.
        reference: ``id@version``.
    """
    newest: GroundTruth | None = None
    async for record in records:
        if newest is not None and newest.ref.sample_id != record.ref.sample_id:
            yield newest
            newest = None
        if stands_under(record, reference):
            newest = record
    if newest is not None:
        yield newest
