"""Prove what concerns no single project: that rule sets and taxonomies are those that the common chain tells of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.access.keys import SYSTEM_PROJECT
from services.audit.faults import FaultList, fault, hash_faults
from services.audit.links import entry_name
from services.contracts.audit import AuditFilter
from services.contracts.canonical import content_sha256
from services.contracts.findings import RuleReference
from services.contracts.verification import Fault
from services.ports.database import Database, Transaction
from services.projects.registry import RULES_ACTION, rules_subject
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.registry import PUBLISHED_ACTION, taxonomy_subject

_ENTRIES_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Shared:
    """One sort of documents that all projects share.

    Attributes:
        what: As faults name it.
        action: Of the audit entry that tells of a version.
        subject_of: How the audit trail names a version.
        sha256_of: Its hash as it is stored; None if it is not there.
    """

    what: str
    action: str
    subject_of: Callable[[str, int], str]
    sha256_of: Callable[[Transaction, str, int], Awaitable[str | None]]


async def prove_shared(database: Database, faults: FaultList) -> None:
    """Hold every stored rule set and taxonomy against its audit entry, and every entry against what is stored.

    Args:
        database: The store of record.
        faults: Takes what is found.
    """
    async with database.transaction() as tx:
        rules = [(one.id, one.version) for one in await tx.projects.list_rule_sets()]
        taxonomies = [(one.id, one.version) for one in await tx.taxonomies.list()]
    built_in = (DEFAULT_RULE_SET.id, DEFAULT_RULE_SET.version)
    for shared, stored in (
        (_Shared("rule-set", RULES_ACTION, rules_subject, _rules), [one for one in rules if one != built_in]),
        (_Shared("taxonomy", PUBLISHED_ACTION, taxonomy_subject, _taxonomy), taxonomies),
    ):
        for name, version in stored:
            faults.add(await _kept(database, shared, name, version))
        await _told(database, faults, shared)


async def _kept(database: Database, shared: _Shared, name: str, version: int) -> list[Fault]:
    kind, subject = f"{shared.what}-hash", shared.subject_of(name, version)
    async with database.transaction() as tx:
        try:
            sha256 = await shared.sha256_of(tx, name, version)
        except ValueError as error:
            return [fault(kind, subject, f"it can not be read: {error}")]
        entries = await tx.audit.of_subjects(SYSTEM_PROJECT, (subject,))
    return hash_faults(kind, subject, str(sha256), entries, shared.action)


async def _told(database: Database, faults: FaultList, shared: _Shared) -> None:
    after = 0
    while True:
        async with database.transaction() as tx:
            page = await tx.audit.list(
                SYSTEM_PROJECT, after=after, limit=_ENTRIES_A_PAGE, wanted=AuditFilter(action=shared.action)
            )
            for entry in page:
                _, name, version = (*entry.subject.split("/"), "", "")[:3]
                number = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
                try:
                    there = await shared.sha256_of(tx, name, number) is not None
                except ValueError:
                    continue  # named where it was read first
                if not there:
                    detail = f"{entry_name(entry.sequence)} tells of it, and it is not there"
                    faults.add([fault(f"{shared.what}-missing", entry.subject, detail)])
        if not page:
            return
        after = page[-1].sequence


async def _rules(tx: Transaction, name: str, version: int) -> str | None:
    if not name or version < 1:
        return None
    rules = await tx.projects.rule_set(RuleReference(id=name, version=version))
    return None if rules is None else rules.sha256


async def _taxonomy(tx: Transaction, name: str, version: int) -> str | None:
    if not name or version < 1:
        return None
    taxonomy = await tx.taxonomies.get(f"{name}@{version}")
    return None if taxonomy is None else content_sha256(taxonomy)
