"""Notes of people on samples."""

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
    text_column,
    texts_column,
    uuid_column,
)
from infra.db.tables.samples import of_revision


class NoteRow(Table, table=True):
    """A note as it is now."""

    __tablename__ = "notes"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["thread_id"], ["notes.note_id"], deferrable=True, initially="DEFERRED"),
        check("version", "version >= 1"),
        Index("ix_notes_sample", "project", "sample_id", "created_at", "note_id"),
        Index("ix_notes_thread", "thread_id"),
    )

    note_id: UUID = uuid_column(primary_key=True)
    thread_id: UUID = uuid_column()
    project: str = text_column()
    sample_id: str = text_column()
    revision: int = integer_column()
    author: str = text_column()
    body: str = text_column()
    pin: str = document_column()
    mentions: list[str] = texts_column()
    version: int = integer_column()
    created_at: datetime = moment_column()
    edited_at: datetime | None = moment_column(default=None, nullable=True)
    deleted_at: datetime | None = moment_column(default=None, nullable=True)


class NoteVersionRow(Table, table=True):
    """What a note said from one moment on; never changed."""

    __tablename__ = "note_versions"
    __table_args__ = (
        ForeignKeyConstraint(["note_id"], ["notes.note_id"]),
        check("version", "version >= 1"),
    )

    note_id: UUID = uuid_column(primary_key=True)
    version: int = integer_column(primary_key=True)
    body: str = text_column()
    mentions: list[str] = texts_column()
    actor: str = text_column()
    deleted: bool = Field(sa_type=Boolean)
    at: datetime = moment_column()


class NoteMentionRow(Table, table=True):
    """That a note mentions a person."""

    __tablename__ = "note_mentions"
    __table_args__ = (
        ForeignKeyConstraint(["note_id"], ["notes.note_id"]),
        Index("ix_note_mentions_newest", "actor_id", text("at DESC"), text("note_id DESC")),
    )

    note_id: UUID = uuid_column(primary_key=True)
    actor_id: str = text_column(primary_key=True)
    project: str = text_column()
    at: datetime = moment_column()
