"""Owners of rule sets: who may publish versions of one, and let projects go by them."""

from __future__ import annotations

from services.access.keys import SYSTEM_PROJECT
from services.access.policy import ensure_unscoped
from services.contracts.access import Principal
from services.contracts.rule_changes import OwnersRequest, RuleSetOwners
from services.errors import ForbiddenError, InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction
from services.rules.rule_set import DEFAULT_RULE_SET


async def ensure_owner(tx: Transaction, principal: Principal, rule_set_id: str) -> None:
    """Raise ForbiddenError if somebody else owns the rule set; what nobody owns is open to all who may change rules."""
    known = await tx.rule_changes.owners(rule_set_id)
    if known is not None and known.owners and principal.actor_id not in known.owners:
        raise ForbiddenError(
            f"Rule set {rule_set_id!r} is owned by {', '.join(known.owners)}; ask one of them to do this."
        )


async def owners_of(database: Database, rule_set_id: str) -> RuleSetOwners:
    """Return who owns a rule set.

    Raises:
        NotFoundError: There is no such rule set.
    """
    async with database.transaction() as tx:
        await _ensure_known(tx, rule_set_id)
        known = await tx.rule_changes.owners(rule_set_id)
    return known or RuleSetOwners(rule_set_id=rule_set_id, owners=())


async def set_owners(database: Database, principal: Principal, rule_set_id: str, given: OwnersRequest) -> RuleSetOwners:
    """Name the owners of a rule set; once there are some, only they name others.

    Raises:
        ForbiddenError: Others own it, or the key is limited to some projects; rule sets are shared by all.
        NotFoundError: There is no such rule set.
        InvalidInputError: It is the built-in one, which never changes.
    """
    ensure_unscoped(principal, "Who owns a rule set")
    if rule_set_id == DEFAULT_RULE_SET.id:
        raise InvalidInputError(f"{rule_set_id!r} is built in and never changes; it has no owners.")
    async with database.transaction() as tx:
        await _ensure_known(tx, rule_set_id)
        before = await tx.rule_changes.owners(rule_set_id, lock=True)
        await ensure_owner(tx, principal, rule_set_id)
        owners = tuple(dict.fromkeys(given.owners))
        if owners == (before.owners if before is not None else ()):
            return before or RuleSetOwners(rule_set_id=rule_set_id, owners=())
        named = RuleSetOwners(
            rule_set_id=rule_set_id, owners=owners, changed_by=principal.actor_id, changed_at=await tx.now()
        )
        await tx.rule_changes.put_owners(named)
        tx.audit.append(
            SYSTEM_PROJECT,
            actor=principal.actor_id,
            action="rule_set.owners_changed",
            subject=f"rule-sets/{rule_set_id}",
            body={"before": [] if before is None else list(before.owners), "owners": list(owners)},
        )
    return named


async def _ensure_known(tx: Transaction, rule_set_id: str) -> None:
    if rule_set_id != DEFAULT_RULE_SET.id and not await tx.projects.newest_rule_set(rule_set_id):
        raise NotFoundError(f"There is no rule set {rule_set_id!r}.")
