"""Hold the taxonomy versions that records name against what the audit trail tells of their publication."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.access.keys import SYSTEM_PROJECT
from services.audit.faults import fault, hash_faults
from services.contracts.canonical import content_sha256
from services.contracts.taxonomies import split_reference
from services.contracts.verification import Fault
from services.ports.database import Transaction
from services.taxonomy.registry import PUBLISHED_ACTION, taxonomy_subject

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}@[1-9][0-9]{0,8}")
_KEPT = 256


class TaxonomyProof:
    """Looks at each version once; a few hundred are remembered."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Fault, ...]] = {}

    async def faults(self, tx: Transaction, references: Iterable[str]) -> list[Fault]:
        """Return what contradicts about the versions that labels name.

        A version that was never published here is somebody else's, and is not looked at.
        """
        found: list[Fault] = []
        for reference in sorted(set(references)):
            if reference not in self._known:
                while len(self._known) >= _KEPT:
                    del self._known[next(iter(self._known))]
                self._known[reference] = tuple(await _look_at(tx, reference))
            found += self._known[reference]
        return found


async def _look_at(tx: Transaction, reference: str) -> list[Fault]:
    if _REFERENCE.fullmatch(reference) is None:
        return []
    subject = taxonomy_subject(*split_reference(reference))
    entries = await tx.audit.of_subjects(SYSTEM_PROJECT, (subject,))
    try:
        taxonomy = await tx.taxonomies.get(reference)
    except ValueError as error:
        return [fault("taxonomy-hash", subject, f"it can not be read: {error}")]
    if taxonomy is None:
        told = any(entry.action == PUBLISHED_ACTION for entry in entries)
        return [fault("taxonomy-missing", subject, "it was published, and is not stored")] if told else []
    return hash_faults("taxonomy-hash", subject, content_sha256(taxonomy), entries, PUBLISHED_ACTION)
