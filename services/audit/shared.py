"""Prove what concerns no single project: that rule sets and taxonomies are those that the common chain tells of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.access.keys import SYSTEM_PROJECT
from services.audit.faults import FaultList, fault
from services.audit.links import entry_name
from services.contracts.audit import AuditFilter
from services.contracts.canonical import content_sha256
from services.contracts.findings import RuleReference
from services.ports.database import Database, Transaction
from services.projects.registry import RULES_ACTION, rules_subject
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.registry import PUBLISHED_ACTION, taxonomy_subject

_ENTRIES_A_PAGE = 500
_Stored = Callable[[Transaction, str, int], Awaitable[str | None]]


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
    await _kept(database, faults, "rule-set", [one for one in rules if one != built_in], rules_subject, _rules)
    await _told(database, faults, "rule-set", RULES_ACTION, _rules)
    await _kept(database, faults, "taxonomy", taxonomies, taxonomy_subject, _taxonomy)
    await _told(database, faults, "taxonomy", PUBLISHED_ACTION, _taxonomy)


async def _kept(
    database: Database,
    faults: FaultList,
    what: str,
    stored: list[tuple[str, int]],
    subject_of: Callable[[str, int], str],
    sha256_of: _Stored,
) -> None:
    action = RULES_ACTION if what == "rule-set" else PUBLISHED_ACTION
    for name, version in stored:
        subject = subject_of(name, version)
        async with database.transaction() as tx:
            try:
                sha256 = await sha256_of(tx, name, version)
            except ValueError as error:
                faults.add([fault(f"{what}-hash", subject, f"it can not be read: {error}")])
                continue
            entries = await tx.audit.of_subjects(SYSTEM_PROJECT, (subject,))
        told = [entry.body.get("sha256") for entry in entries if entry.action == action]
        if told != [sha256]:
            said = ", ".join(map(str, told)) or "nothing"
            faults.add([fault(f"{what}-hash", subject, f"it has the hash {sha256}, the audit trail tells {said}")])


async def _told(database: Database, faults: FaultList, what: str, action: str, sha256_of: _Stored) -> None:
    after = 0
    while True:
        async with database.transaction() as tx:
            page = await tx.audit.list(
                SYSTEM_PROJECT, after=after, limit=_ENTRIES_A_PAGE, wanted=AuditFilter(action=action)
            )
            for entry in page:
                _, name, version = (*entry.subject.split("/"), "", "")[:3]
                number = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
                try:
                    there = await sha256_of(tx, name, number) is not None
                except ValueError:
                    continue  # named where it was read first
                if not there:
                    detail = f"{entry_name(entry.sequence)} tells of it, and it is not there"
                    faults.add([fault(f"{what}-missing", entry.subject, detail)])
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
