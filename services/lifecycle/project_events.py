"""Tell the outside what happened to a project, in the transaction in which it did."""

from __future__ import annotations

from services.contracts.project_events import ProjectEvent, RulesActivated
from services.contracts.records import Project
from services.ports.database import Transaction


async def tell_project(tx: Transaction, told: ProjectEvent) -> None:
    """Keep an event about a project, for NATS and for the project's webhooks.

    The caller holds a lock that serialises events of the subject, which is what keeps them in order.
    """
    await tx.outbox.add_about(
        told.project,
        told.subject,
        told.model_dump(mode="json", exclude_none=True),
        event_type=told.TYPE,
        event_id=told.event_id,
    )


async def tell_rules(tx: Transaction, before: Project, after: Project, actor: str) -> None:
    """Tell that a locked project goes by other rules, if it does."""
    if before.config.rule_set != after.config.rule_set:
        told = RulesActivated(
            project=after.id,
            at=await tx.now(),
            before=before.config.rule_set,
            rule_set=after.config.rule_set,
            actor=actor,
        )
        await tell_project(tx, told)
