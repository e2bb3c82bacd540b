"""Events in, and those that could not be handled."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
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
    written_at_column,
)


class InboxRow(Table, table=True):
    """An accepted event; never changed. It led to a sample revision, or to a taxonomy version.

    ``event_key`` is the SHA-256 of the canonical form of [source, id]: the pair itself can be too long for an index.
    """

    __tablename__ = "inbox"
    __table_args__ = (
        one_of("via", ("http", "nats")),
        check("about", "num_nonnulls(project, sample_id, revision) = CASE WHEN taxonomy IS NULL THEN 3 ELSE 0 END"),
        ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            deferrable=True,
            initially="DEFERRED",
        ),
        Index(None, "project", "sample_id", "revision"),
    )

    event_key: str = text_column(primary_key=True)
    source: str = text_column()
    event_id: str = text_column()
    content_sha256: str = text_column()
    event: str = document_column()
    via: str = text_column()
    project: str | None = text_column(default=None, nullable=True)
    sample_id: str | None = text_column(default=None, nullable=True)
    revision: int | None = integer_column(default=None, nullable=True)
    taxonomy: str | None = text_column(default=None, nullable=True)
    received_at: datetime = written_at_column()


class DeadLetterRow(Table, table=True):
    """What could not be handled, once per bytes and reason."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        one_of("via", ("http", "nats")),
        UniqueConstraint("raw_sha256", "reason_code"),
        Index("ix_dead_letters_newest", text("received_at DESC"), text("dead_letter_id DESC")),
    )

    dead_letter_id: UUID = uuid_column(primary_key=True)
    source: str | None = text_column(default=None, nullable=True)
    event_id: str | None = text_column(default=None, nullable=True)
    event_type: str | None = text_column(default=None, nullable=True)
    project: str | None = text_column(default=None, nullable=True)
    via: str = text_column()
    reason_code: str = text_column()
    reason: str = text_column()
    places: str = document_column()
    raw: bytes = Field(sa_type=LargeBinary)
    raw_sha256: str = text_column()
    received_at: datetime = moment_column()
    replayed_at: datetime | None = moment_column(default=None, nullable=True)
    replay_outcome: str | None = text_column(default=None, nullable=True)
