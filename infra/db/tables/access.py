"""API keys."""

from __future__ import annotations

from datetime import datetime

from infra.db.tables.base import Table, moment_column, one_of, text_column, texts_column
from services.contracts.access import Role


class ApiKeyRow(Table, table=True):
    """A key, without its secret."""

    __tablename__ = "api_keys"
    __table_args__ = (one_of("role", Role),)

    key_id: str = text_column(primary_key=True)
    actor_id: str = text_column()
    role: str = text_column()
    projects: list[str] | None = texts_column(default=None, nullable=True)
    skills: list[str] = texts_column()
    secret_sha256: str = text_column(unique=True)
    created_at: datetime = moment_column()
    expires_at: datetime | None = moment_column(default=None, nullable=True)
    revoked_at: datetime | None = moment_column(default=None, nullable=True)
