"""Taxonomies, their drafts, and migrations from one version to another."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    uuid_column,
    written_at_column,
)
from infra.db.tables.samples import of_revision
from services.contracts.taxonomies import MigrationState


class TaxonomyRow(Table, table=True):
    """A published version; never changed."""

    __tablename__ = "taxonomies"
    __table_args__ = (check("version", "version >= 1"),)

    id: str = text_column(primary_key=True)
    version: int = integer_column(primary_key=True)
    sha256: str = text_column()
    document: str = document_column()
    classes: int = integer_column()
    published_by: str = text_column()
    published_at: datetime = written_at_column()


class TaxonomyDraftRow(Table, table=True):
    """The version that people work on, one a taxonomy."""

    __tablename__ = "taxonomy_drafts"

    id: str = text_column(primary_key=True)
    document: str = document_column()
    sha256: str = text_column()
    edited_by: str = text_column()
    updated_at: datetime = moment_column()


class TaxonomyMigrationRow(Table, table=True):
    """A migration of a project's samples. ``told`` below ``change``: its workflow is still to be told."""

    __tablename__ = "taxonomy_migrations"
    __table_args__ = (
        one_of("state", MigrationState),
        check("told", "told <= change"),
        Index(
            "uq_taxonomy_migrations_live",
            "project",
            unique=True,
            postgresql_where=text("state IN ('running', 'paused')"),
        ),
        Index("ix_taxonomy_migrations_untold", "migration_id", postgresql_where=text("told < change")),
        Index("ix_taxonomy_migrations_newest", "project", text("started_at DESC"), text("migration_id DESC")),
    )

    migration_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    state: str = text_column()
    migration: str = document_column()
    started_at: datetime = moment_column()
    change: int = integer_column()
    told: int = integer_column()


class TaxonomyMigrationSampleRow(Table, table=True):
    """A sample revision that a migration opened; never changed, one a sample and migration."""

    __tablename__ = "taxonomy_migration_samples"
    __table_args__ = (
        of_revision(),
        one_of("outcome", ("migrated", "reopened")),
        Index("uq_taxonomy_migration_samples_revision", "project", "sample_id", "revision", unique=True),
    )

    migration_id: UUID = uuid_column(primary_key=True, foreign_key="taxonomy_migrations.migration_id")
    sample_id: str = text_column(primary_key=True)
    project: str = text_column()
    revision: int = integer_column()
    outcome: str = text_column()
    carried: str = document_column()
