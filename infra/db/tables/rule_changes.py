"""Owners of rule sets, and from when on projects go by them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text

from infra.db.tables.base import (
    Table,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    texts_column,
    uuid_column,
)
from services.contracts.rule_changes import ActivationState


class RuleSetOwnersRow(Table, table=True):
    """Who owns a rule set, in all its versions."""

    __tablename__ = "rule_set_owners"

    rule_set_id: str = text_column(primary_key=True)
    owners: list[str] = texts_column()
    changed_by: str = text_column()
    changed_at: datetime = moment_column()


class RuleActivationRow(Table, table=True):
    """From when on a project goes by a rule set version; what is scheduled is found by its moment."""

    __tablename__ = "rule_activations"
    __table_args__ = (
        one_of("state", ActivationState),
        ForeignKeyConstraint(
            ["rule_set_id", "rule_set_version"],
            ["rule_sets.id", "rule_sets.version"],
            name="fk_rule_activations_rule_sets",
        ),
        # Two for one moment would have no order.
        Index(
            "uq_rule_activations_scheduled",
            "project",
            "effective_at",
            unique=True,
            postgresql_where=text("state = 'scheduled'"),
        ),
        Index("ix_rule_activations_due", "effective_at", postgresql_where=text("state = 'scheduled'")),
        Index(
            "ix_rule_activations_newest",
            "project",
            text("effective_at DESC"),
            text("activation_id DESC"),
        ),
    )

    activation_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    rule_set_id: str = text_column()
    rule_set_version: int = integer_column()
    state: str = text_column()
    effective_at: datetime = moment_column()
    activation: str = document_column()
