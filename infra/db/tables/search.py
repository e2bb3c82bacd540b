"""What is found by words; triggers keep it beside what it tells of."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, Identity, Index, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field

from infra.db.tables.base import Table, integer_column, moment_column, one_of, text_column
from services.contracts.findings import Severity
from services.contracts.search import HitKind


class SearchEntryRow(Table, table=True):
    """A sample revision, finding, note, task or person, as words."""

    __tablename__ = "search_entries"
    __table_args__ = (
        one_of("kind", HitKind),
        one_of("severity", get_args(Severity)),
        Index(
            "uq_search_entries_subject",
            "kind",
            "subject",
            "project",
            "sample_id",
            "revision",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_search_entries_words", "words", postgresql_using="gin"),
        Index("ix_search_entries_newest", text("at DESC"), text("entry_id DESC")),
        Index("ix_search_entries_project", "project", text("at DESC"), text("entry_id DESC")),
        Index("ix_search_entries_kind", "kind", text("at DESC"), text("entry_id DESC")),
        Index("ix_search_entries_sample", "project", "sample_id", text("at DESC"), text("entry_id DESC")),
        Index("ix_search_entries_actor", "actor", text("at DESC"), text("entry_id DESC")),
    )

    entry_id: int | None = Field(
        default=None, sa_type=BigInteger, primary_key=True, sa_column_args=(Identity(always=True),)
    )
    kind: str = text_column()
    subject: str = text_column()
    project: str | None = text_column(default=None, nullable=True)
    sample_id: str | None = text_column(default=None, nullable=True)
    revision: int | None = integer_column(default=None, nullable=True)
    title: str = text_column()
    excerpt: str = text_column()
    actor: str | None = text_column(default=None, nullable=True)
    severity: str | None = text_column(default=None, nullable=True)
    words: Any = Field(sa_type=TSVECTOR, nullable=False)
    at: datetime = moment_column()
