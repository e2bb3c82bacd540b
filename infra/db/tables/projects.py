"""Projects and rule sets."""

from __future__ import annotations

from datetime import datetime

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    integer_column,
    moment_column,
    text_column,
    written_at_column,
)


class ProjectRow(Table, table=True):
    """A use case."""

    __tablename__ = "projects"

    id: str = text_column(primary_key=True)
    name: str = text_column()
    purpose: str = text_column()
    decision: str = text_column()
    domain: str = text_column()
    config: str = document_column()
    created_at: datetime = written_at_column()


class RuleSetRow(Table, table=True):
    """A rule set version; never changed."""

    __tablename__ = "rule_sets"
    __table_args__ = (check("version", "version >= 1"),)

    id: str = text_column(primary_key=True)
    version: int = integer_column(primary_key=True)
    sha256: str = text_column()
    document: str = document_column()
    created_at: datetime = written_at_column()


class ProjectDefinitionRow(Table, table=True):
    """A definition of a project as it was applied; never changed."""

    __tablename__ = "project_definitions"
    __table_args__ = (
        check("version", "version >= 1"),
        check("origin", "origin IN ('applied', 'reverted', 'found')"),
    )

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    version: int = integer_column(primary_key=True)
    definition: str = document_column()
    origin: str = text_column()
    reverts_to: int | None = integer_column(default=None, nullable=True)
    actor: str = text_column()
    at: datetime = moment_column()
