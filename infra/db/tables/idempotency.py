"""Replies to unsafe calls."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from infra.db.tables.base import Table, integer_column, text_column, written_at_column


class IdempotencyReplyRow(Table, table=True):
    """The reply of a finished call, by caller and key."""

    __tablename__ = "idempotency_replies"

    actor_id: str = text_column(primary_key=True)
    key: str = text_column(primary_key=True)
    request_sha256: str = text_column()
    status: int = integer_column()
    body: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = written_at_column()
