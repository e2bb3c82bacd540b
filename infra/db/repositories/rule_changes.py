"""Owners of rule sets, and from when on projects go by them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.rule_changes import RuleActivation, RuleSetOwners
from services.errors import ActivationConflictError, NotFoundError

_OWNERS = "SELECT * FROM rule_set_owners WHERE rule_set_id = :rule_set_id"
_OWNERS_PLAIN = text(_OWNERS)
_OWNERS_LOCKED = text(f"{_OWNERS} FOR UPDATE")
_EVERY_OWNER = text("SELECT * FROM rule_set_owners ORDER BY rule_set_id")
_PUT_OWNERS = text("""
    INSERT INTO rule_set_owners (rule_set_id, owners, changed_by, changed_at)
    VALUES (:rule_set_id, CAST(:owners AS text[]), :changed_by, :changed_at)
    ON CONFLICT (rule_set_id) DO UPDATE
    SET owners = EXCLUDED.owners, changed_by = EXCLUDED.changed_by, changed_at = EXCLUDED.changed_at
""")
_ADD = text("""
    INSERT INTO rule_activations (activation_id, project, rule_set_id, rule_set_version, state, effective_at,
                                  activation)
    VALUES (:activation_id, :project, :rule_set_id, :rule_set_version, :state, :effective_at, :activation)
    ON CONFLICT (project, effective_at) WHERE state = 'scheduled' DO NOTHING
""")
_GET = "SELECT activation FROM rule_activations WHERE project = :project AND activation_id = :activation_id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(f"{_GET} FOR UPDATE")
_PUT = text("""
    UPDATE rule_activations SET state = :state, activation = :activation WHERE activation_id = :activation_id
""")
_LIST = text("""
    SELECT activation FROM rule_activations
    WHERE project = :project
      AND (CAST(:after_id AS uuid) IS NULL
           OR (effective_at, activation_id) < (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid)))
    ORDER BY effective_at DESC, activation_id DESC LIMIT :limit
""")
# In order: what failed keeps those after it waiting, or older rules would take over from newer ones.
_DUE = """
    SELECT activation FROM (
        SELECT DISTINCT ON (project) project, activation FROM rule_activations
        WHERE {project} state = 'scheduled' AND effective_at <= clock_timestamp() ORDER BY project, effective_at) AS due
    WHERE activation ->> 'try_again_at' IS NULL
       OR CAST(activation ->> 'try_again_at' AS timestamptz) <= clock_timestamp()
"""
_NEXT_DUE = text(_DUE.format(project="project = :project AND"))
_ALL_DUE = text(_DUE.format(project=""))


def _activation_of(row: Any) -> RuleActivation:
    return RuleActivation.model_validate_json(row.activation)


def _owners_of(row: Any) -> RuleSetOwners:
    return RuleSetOwners(
        rule_set_id=row.rule_set_id,
        owners=tuple(row.owners),
        changed_by=row.changed_by,
        changed_at=row.changed_at,
    )


class PostgresRuleChanges(Repository):
    """Implements :class:`services.ports.rule_changes.RuleChangeRepository`."""

    async def owners(self, rule_set_id: str, *, lock: bool = False) -> RuleSetOwners | None:
        """Return who owns a rule set; None where nobody was ever named. With ``lock`` nobody else changes them."""
        row = await self._first(_OWNERS_LOCKED if lock else _OWNERS_PLAIN, rule_set_id=rule_set_id)
        return None if row is None else _owners_of(row)

    async def every_owner(self) -> tuple[RuleSetOwners, ...]:
        """Return the owners of all rule sets for which somebody was named."""
        return tuple(_owners_of(row) for row in await self._run(_EVERY_OWNER))

    async def put_owners(self, owners: RuleSetOwners) -> None:
        """Keep the owners of a rule set in place of those before."""
        await self._count(
            _PUT_OWNERS,
            rule_set_id=owners.rule_set_id,
            owners=list(owners.owners),
            changed_by=owners.changed_by,
            changed_at=owners.changed_at,
        )

    async def add(self, activation: RuleActivation) -> None:
        """Keep a new activation.

        Raises:
            ActivationConflictError: Another is scheduled for that very moment.
        """
        added = await self._count(
            _ADD,
            activation_id=activation.activation_id,
            project=activation.project,
            rule_set_id=activation.rule_set.id,
            rule_set_version=activation.rule_set.version,
            state=activation.state.value,
            effective_at=activation.effective_at,
            activation=model_text(activation),
        )
        if not added:
            raise ActivationConflictError(
                f"Project {activation.project!r} has an activation scheduled for that very moment; "
                "cancel it, or choose another."
            )

    async def get(self, project: str, activation_id: UUID, *, lock: bool = False) -> RuleActivation | None:
        """Return an activation; with ``lock`` nobody else changes it until the transaction ends."""
        statement = _GET_LOCKED if lock else _GET_PLAIN
        row = await self._first(statement, project=project, activation_id=activation_id)
        return None if row is None else _activation_of(row)

    async def put(self, activation: RuleActivation) -> None:
        """Replace what may change of an activation: its state, and what came of it.

        Raises:
            NotFoundError: There is no such activation.
        """
        changed = await self._count(
            _PUT,
            activation_id=activation.activation_id,
            state=activation.state.value,
            activation=model_text(activation),
        )
        if not changed:
            raise NotFoundError(f"there is no activation {activation.activation_id}")

    async def list(
        self, project: str, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[RuleActivation, ...]:
        """Return activations after the cursor, those that take effect last first."""
        after_at, after_id = after or (None, None)
        rows = await self._run(_LIST, project=project, after_at=after_at, after_id=after_id, limit=limit)
        return tuple(_activation_of(row) for row in rows)

    async def next_due(self, project: str) -> RuleActivation | None:
        """Return the first scheduled activation whose moment has come; None while it waits after a failure."""
        row = await self._first(_NEXT_DUE, project=project)
        return None if row is None else _activation_of(row)

    async def projects_with_due(self) -> tuple[str, ...]:
        """Return the projects for which :meth:`next_due` has something."""
        return tuple(_activation_of(row).project for row in await self._run(_ALL_DUE))
