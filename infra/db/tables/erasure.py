"""Erasures, what they leave, and what stands in their way."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    uuid_column,
)
from infra.db.tables.samples import of_revision
from services.contracts.erasure import Outcome


class ErasureRow(Table, table=True):
    """An erasure that was ordered."""

    __tablename__ = "erasures"
    __table_args__ = (
        Index("ix_erasures_listed", "project", "requested_at", "erasure_id"),
        Index(
            "ix_erasures_of_policy",
            "project",
            postgresql_where=text("policy_days IS NOT NULL AND finished_at IS NULL"),
        ),
    )

    erasure_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    subject: str = document_column()
    reason: str = text_column()
    withdraw: bool = Field(sa_type=Boolean)
    requested_by: str = text_column()
    requested_at: datetime = moment_column()
    finished_at: datetime | None = moment_column(default=None, nullable=True)
    counts: str = document_column()
    policy_days: int | None = integer_column(default=None, nullable=True)


class ErasureItemRow(Table, table=True):
    """A revision that an erasure is about, and what became of it."""

    __tablename__ = "erasure_items"
    __table_args__ = (
        ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"]),
        one_of("outcome", Outcome),
        Index(
            "ix_erasure_items_waiting",
            "erasure_id",
            "sample_id",
            "revision",
            postgresql_where=text("outcome = 'waiting'"),
        ),
    )

    erasure_id: UUID = uuid_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    outcome: str = text_column()


class ErasureLetterRow(Table, table=True):
    """A refused event that goes with an erasure; gone with the event."""

    __tablename__ = "erasure_letters"
    __table_args__ = (
        ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"]),
        ForeignKeyConstraint(["dead_letter_id"], ["dead_letters.dead_letter_id"], ondelete="CASCADE"),
        Index("ix_erasure_letters_letter", "dead_letter_id"),
    )

    erasure_id: UUID = uuid_column(primary_key=True)
    dead_letter_id: UUID = uuid_column(primary_key=True)
    sample_id: str | None = text_column(default=None, nullable=True)


class TombstoneRow(Table, table=True):
    """What stands in the place of an erased revision's content; never changed."""

    __tablename__ = "tombstones"
    __table_args__ = (of_revision(), ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"]))

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    erasure_id: UUID = uuid_column()
    erased_by: str = text_column()
    erased_at: datetime = moment_column()
    hashes: str = document_column()


class LegalHoldRow(Table, table=True):
    """While it is not released nothing under it is erased."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        check("released", "(released_by IS NULL) = (released_at IS NULL)"),
        Index("ix_legal_holds_listed", "project", "placed_at", "hold_id"),
        Index("ix_legal_holds_live", "project", "sample_id", postgresql_where=text("released_at IS NULL")),
    )

    hold_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    sample_id: str | None = text_column(default=None, nullable=True)
    reason: str = text_column()
    placed_by: str = text_column()
    placed_at: datetime = moment_column()
    released_by: str | None = text_column(default=None, nullable=True)
    released_at: datetime | None = moment_column(default=None, nullable=True)
