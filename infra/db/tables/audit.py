"""The audit chains and their heads."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index

from infra.db.tables.base import (
    Table,
    bigint_column,
    check,
    document_column,
    moment_column,
    text_column,
    uuid_column,
)


class AuditEntryRow(Table, table=True):
    """A link of a project's chain; never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        check("sequence", "sequence >= 1"),
        Index("ix_audit_entries_subject", "project", "subject", "sequence"),
        Index("ix_audit_entries_actor", "project", "actor", "sequence"),
        Index("ix_audit_entries_action", "project", "action", "sequence"),
        Index("ix_audit_entries_at", "project", "at", "sequence"),
    )

    project: str = text_column(primary_key=True)
    sequence: int = bigint_column(primary_key=True)
    at: datetime = moment_column()
    actor: str = text_column()
    action: str = text_column()
    subject: str = text_column()
    body: str = document_column()
    previous_sha256: str = text_column()
    sha256: str = text_column()


class AuditPersonalRow(Table, table=True):
    """Personal text that an entry commits to; it goes with an erasure, and is never changed otherwise."""

    __tablename__ = "audit_personal"
    __table_args__ = (
        ForeignKeyConstraint(["project", "sequence"], ["audit_entries.project", "audit_entries.sequence"]),
        check("erased", "(salt IS NULL) = (value IS NULL) AND (value IS NULL) = (erasure_id IS NOT NULL)"),
    )

    project: str = text_column(primary_key=True)
    sequence: int = bigint_column(primary_key=True)
    name: str = text_column(primary_key=True)
    salt: str | None = text_column(default=None, nullable=True)
    value: str | None = text_column(default=None, nullable=True)
    erasure_id: UUID | None = uuid_column(default=None, nullable=True)


class AuditHeadRow(Table, table=True):
    """The newest link of a project's chain; a trigger keeps it from going back."""

    __tablename__ = "audit_heads"
    __table_args__ = (check("sequence", "sequence >= 0"),)

    project: str = text_column(primary_key=True)
    sequence: int = bigint_column()
    sha256: str = text_column()


class ToldAnchorRow(Table, table=True):
    """The newest link of a chain that the outside was told of."""

    __tablename__ = "told_anchors"
    __table_args__ = (check("sequence", "sequence >= 1"),)

    project: str = text_column(primary_key=True)
    sequence: int = bigint_column()
    told_at: datetime = moment_column()
