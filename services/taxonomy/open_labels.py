"""Labels that a migration leaves to people, and the rules by which these are asked."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.contracts.findings import RuleReference
from services.contracts.rule_changes import ActivationState
from services.errors import MigrationConflictError
from services.ports.database import Transaction
from services.projects.registry import rule_set
from services.rules.rule_set import RuleSet
from services.taxonomy.carriers import asks_about_open_labels

_PAGE = 100


async def ensure_open_labels_asked(tx: Transaction, project: str, rules: RuleSet) -> None:
    """Refuse rules that would ask nobody about labels which a migration has left, or may yet leave, to people.

    Args:
        tx: The transaction that has locked the project: a migration starts under the same lock.
        project: The project.
        rules: Those that it is to go by.

    Raises:
        MigrationConflictError: A migration is not over, or samples that one has opened are not decided.
    """
    if asks_about_open_labels(rules):
        return
    # In this order: a migration that is over has opened all that it opens.
    live = await tx.taxonomy_migrations.live(project)
    waiting = await tx.taxonomy_migrations.count_reopened(project)
    if live is None and not waiting:
        return
    to_do = []
    if live is not None:
        to_do.append(f"let the migration to {live.target} end, or cancel it")
    if waiting:
        to_do.append(f"have {waiting} samples decided that a migration has opened")
    raise MigrationConflictError(
        f"{_named(rules.reference)} turns taxonomy_conformance off, or lets its findings pass: nobody would be asked "
        f"about labels that a taxonomy migration leaves to people. First {' and '.join(to_do)}; or use a rule set in "
        "which these findings block."
    )


async def ensure_scheduled_rules_ask(tx: Transaction, project: str) -> None:
    """Refuse to start a migration where rules are scheduled that would ask nobody about what it leaves to people.

    Raises:
        MigrationConflictError: There are such rules.
    """
    after: tuple[datetime, UUID] | None = None
    # Those that take effect last come first, so what is scheduled comes before most of what was done.
    while page := await tx.rule_changes.list(project, after=after, limit=_PAGE):
        for one in page:
            if one.state is ActivationState.SCHEDULED and not asks_about_open_labels(await rule_set(tx, one.rule_set)):
                raise MigrationConflictError(
                    f"{_named(one.rule_set)}, which is scheduled for {one.effective_at.isoformat()}, turns "
                    "taxonomy_conformance off, or lets its findings pass: nobody would be asked about labels that a "
                    f"change leaves open. Cancel the activation {one.activation_id} first."
                )
        after = (page[-1].effective_at, page[-1].activation_id)


def _named(reference: RuleReference) -> str:
    return f"{reference.id}@{reference.version}"
