"""The store of who owns rule sets, and of from when on projects go by them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.rule_changes import RuleActivation, RuleSetOwners


class RuleChangeRepository(Protocol):
    """Owners of rule sets, and activations."""

    async def owners(self, rule_set_id: str, *, lock: bool = False) -> RuleSetOwners | None:
        """Return who owns a rule set; None where nobody was ever named. With ``lock`` nobody else changes them."""
        ...

    async def every_owner(self) -> tuple[RuleSetOwners, ...]:
        """Return the owners of all rule sets for which somebody was named."""
        ...

    async def put_owners(self, owners: RuleSetOwners) -> None:
        """Keep the owners of a rule set in place of those before."""
        ...

    async def add(self, activation: RuleActivation) -> None:
        """Keep a new activation; raises ActivationConflictError if another is scheduled for that very moment."""
        ...

    async def get(self, project: str, activation_id: UUID, *, lock: bool = False) -> RuleActivation | None:
        """Return an activation; with ``lock`` nobody else changes it until the transaction ends."""
        ...

    async def put(self, activation: RuleActivation) -> None:
        """Replace what may change of an activation: its state, and what came of it."""
        ...

    async def list(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[RuleActivation, ...]:
        """Return activations after the cursor, those that take effect last first."""
        ...

    async def next_due(self, project: str) -> RuleActivation | None:
        """Return the first scheduled activation whose moment has come, by the database's clock.

        None while that one waits after a failure: those after it wait too.
        """
        ...

    async def projects_with_due(self) -> tuple[str, ...]:
        """Return the projects for which :meth:`next_due` has something."""
        ...
