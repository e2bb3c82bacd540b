"""The audit chains and their heads."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index

from infra.db.tables.base import Table, bigint_column, check, document_column, moment_column, text_column


class AuditEntryRow(Table, table=True):
    """A link of a project's chain; never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        check("sequence", "sequence >= 1"),
        Index("ix_audit_entries_subject", "project", "subject", "sequence"),
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


class AuditHeadRow(Table, table=True):
    """The newest link of a project's chain; a trigger keeps it from going back."""

    __tablename__ = "audit_heads"
    __table_args__ = (check("sequence", "sequence >= 0"),)

    project: str = text_column(primary_key=True)
    sequence: int = bigint_column()
    sha256: str = text_column()
