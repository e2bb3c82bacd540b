"""What is to be told to the outside."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, text
from sqlmodel import Field

from infra.db.tables.base import (
    CLOCK,
    Table,
    bigint_column,
    check,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    written_at_column,
)
from infra.db.tables.samples import of_revision

TOPICS = ("event", "workflow_start", "workflow_signal")
_UNPUBLISHED = "published_at IS NULL"


class OutboxRow(Table, table=True):
    """A message, written in the transaction that made it true.

    It is about a sample revision, or about what ``subject`` names in its project.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        of_revision(),
        one_of("topic", TOPICS),
        check("sequence", "topic = 'event' OR sequence IS NULL"),
        check("subject", "topic = 'event' OR subject IS NULL"),
        check("about", "(sample_id IS NULL) = (revision IS NULL) AND (sample_id IS NULL) <> (subject IS NULL)"),
        check("attempts", "attempts >= 0"),
        Index(
            "uq_outbox_sequence",
            "project",
            "sample_id",
            "sequence",
            unique=True,
            postgresql_where=text("sequence IS NOT NULL"),
        ),
        Index("ix_outbox_unpublished", "message_id", "topic", postgresql_where=text(_UNPUBLISHED)),
        Index("ix_outbox_waiting", "project", "sample_id", "message_id", postgresql_where=text(_UNPUBLISHED)),
        Index(
            "ix_outbox_waiting_subjects",
            "project",
            "subject",
            "message_id",
            postgresql_where=text(f"{_UNPUBLISHED} AND subject IS NOT NULL"),
        ),
    )

    message_id: int | None = Field(
        default=None, sa_type=BigInteger, primary_key=True, sa_column_args=(Identity(always=True),)
    )
    topic: str = text_column()
    project: str = text_column()
    sample_id: str | None = text_column(default=None, nullable=True)
    revision: int | None = integer_column(default=None, nullable=True)
    subject: str | None = text_column(default=None, nullable=True)
    event_type: str | None = text_column(default=None, nullable=True)
    sequence: int | None = bigint_column(default=None, nullable=True)
    body: str = document_column()
    created_at: datetime = written_at_column()
    published_at: datetime | None = moment_column(default=None, nullable=True)
    attempts: int = integer_column()
    next_attempt_at: datetime = moment_column(default=None, nullable=False, sa_column_kwargs={"server_default": CLOCK})
    last_error: str | None = text_column(default=None, nullable=True)
