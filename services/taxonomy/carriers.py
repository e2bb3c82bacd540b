"""The stored taxonomy of a project, prepared to carry labels over and to hold them to it."""

from __future__ import annotations

from uuid import UUID

from services.contracts.findings import SEVERITY_ORDER
from services.contracts.taxonomies import CarriedOver, split_reference
from services.errors import IntegrityError, NotFoundError
from services.ports.database import Transaction
from services.rules.rule_set import RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceKind, TaxonomyConformanceRules
from services.taxonomy.equivalences import with_equivalences
from services.taxonomy.governance import steps_of
from services.taxonomy.migrating import Carrier
from services.taxonomy.taxonomy import Taxonomy

_KEPT = 8
_OPEN_KINDS: tuple[TaxonomyConformanceKind, ...] = ("crosswalk_ambiguous", "deprecated_class", "crosswalk_available")
"""What the check finds in labels that a migration has left to people."""


async def stored_taxonomy(tx: Transaction, reference: str) -> Taxonomy:
    """Return a published version.

    Raises:
        NotFoundError: There is no such version.
    """
    taxonomy = await tx.taxonomies.get(reference)
    if taxonomy is None:
        raise NotFoundError(f"There is no taxonomy {reference!r}; publish it first.")
    return taxonomy


async def read_carrier(tx: Transaction, reference: str, *, unversioned: str | None = None) -> Carrier:
    """Return what carries labels over to a published version, by every step up to it.

    Args:
        tx: The transaction.
        reference: The version.
        unversioned: The version by which labels that name none are read; None for this one.

    Raises:
        NotFoundError: There is no such version.
    """
    taxonomy_id, version = split_reference(reference)
    versions = await tx.taxonomies.versions(taxonomy_id, up_to=version)
    if not versions or versions[-1].version != version:
        raise NotFoundError(f"There is no taxonomy {reference!r}; publish it first.")
    return Carrier(versions[-1], steps_of(versions), unversioned=unversioned)


class Carriers:
    """Keeps what was prepared: a published version never changes, and neither do the steps up to it."""

    def __init__(self) -> None:
        self._kept: dict[str, Carrier] = {}

    async def of(self, tx: Transaction, reference: str | None) -> Carrier | None:
        """Return what carries labels over to a project's version; None where the project names none.

        Raises:
            IntegrityError: The project names a version that is not kept.
        """
        if reference is None:
            return None
        if reference not in self._kept:
            try:
                carrier = await read_carrier(tx, reference)
            except NotFoundError as error:
                raise IntegrityError(f"a project names taxonomy {reference}, which is not kept") from error
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[reference] = carrier
        return self._kept[reference]


class MigrationCarriers:
    """Keeps the steps of a project's migrations, as they are stored now.

    Args:
        project: The project.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._kept: dict[UUID, Carrier | None] = {}

    async def of(self, tx: Transaction, carried: CarriedOver) -> Carrier | None:
        """Return the steps by which a migration carried labels over; None where its target is gone."""
        kept = self._kept
        if carried.migration_id not in kept:
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            migration = await tx.taxonomy_migrations.get(self._project, carried.migration_id)
            source = None if migration is None else migration.source
            try:
                kept[carried.migration_id] = await read_carrier(tx, carried.target, unversioned=source)
            except NotFoundError:
                kept[carried.migration_id] = None
        return kept[carried.migration_id]


def asks_about_open_labels(rules: RuleSet) -> bool:
    """Whether people are asked about labels that a split, or a class without a successor, leaves open."""
    section = rules.taxonomy_conformance or TaxonomyConformanceRules()
    least = SEVERITY_ORDER[rules.blocking_severity]
    asked = (SEVERITY_ORDER[section.severities.get(kind, "major")] >= least for kind in _OPEN_KINDS)
    return section.enabled and all(asked)


def with_taxonomy(rules: RuleSet, carrier: Carrier | None) -> RuleSet:
    """Return the rules by which the checks run: the project's stored taxonomy in place of the rule set's own.

    A project that names a taxonomy asks for ``taxonomy_conformance``, unless its rule set turns the check off. Checks
    of one modality against another know its equivalences.
    """
    if carrier is None:
        return rules
    section = rules.taxonomy_conformance or TaxonomyConformanceRules()
    # Where its steps come from does not matter to the check; the rule set's own count too.
    crosswalks = (*carrier.steps, *section.crosswalks)[:100]
    changed = section.model_copy(update={"taxonomy": carrier.target, "crosswalks": crosswalks})
    return with_equivalences(rules.model_copy(update={"taxonomy_conformance": changed}), carrier.target)
