"""Outgoing webhooks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKeyConstraint, Identity, Index, UniqueConstraint, text
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
    texts_column,
    uuid_column,
    written_at_column,
)
from services.contracts.webhooks import DeliveryState, EndpointState

_WAITING = "state = 'waiting'"


class WebhookEndpointRow(Table, table=True):
    """Where a project's events are posted, with the secrets that sign them."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        one_of("state", EndpointState),
        check("old_secret", "(old_secret IS NULL) = (old_secret_until IS NULL)"),
        check("failing", "(failures = 0) = (failing_since IS NULL)"),
        Index("ix_webhook_endpoints_project", "project", "created_at", "endpoint_id"),
    )

    endpoint_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    url: str = text_column()
    event_types: list[str] = texts_column()
    description: str = text_column()
    state: str = text_column()
    reason: str | None = text_column(default=None, nullable=True)
    version: int = integer_column()
    secret: str = text_column()
    old_secret: str | None = text_column(default=None, nullable=True)
    old_secret_until: datetime | None = moment_column(default=None, nullable=True)
    failures: int = integer_column()
    failing_since: datetime | None = moment_column(default=None, nullable=True)
    created_at: datetime = written_at_column()
    updated_at: datetime = written_at_column()


class WebhookDeliveryRow(Table, table=True):
    """One event for one endpoint; written in the transaction that made the event true."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", DeliveryState),
        check("content", "(message_id IS NULL) <> (body IS NULL)"),
        check("attempts", "attempts >= 0"),
        check("about", "sample_id IS NULL OR subject IS NULL"),
        check("finished", "(state = 'waiting') = (finished_at IS NULL)"),
        ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.endpoint_id"]),
        ForeignKeyConstraint(["message_id"], ["outbox.message_id"]),
        UniqueConstraint("message_id", "endpoint_id"),
        Index(
            "ix_webhook_deliveries_due", "endpoint_id", "next_attempt_at", "position", postgresql_where=text(_WAITING)
        ),
        Index("ix_webhook_deliveries_order", "endpoint_id", "sample_id", "position", postgresql_where=text(_WAITING)),
        Index(
            "ix_webhook_deliveries_subjects",
            "endpoint_id",
            "subject",
            "position",
            postgresql_where=text(f"{_WAITING} AND subject IS NOT NULL"),
        ),
        Index(
            "ix_webhook_deliveries_leased",
            "endpoint_id",
            "leased_until",
            postgresql_where=text("state = 'waiting' AND leased_until IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_newest", "endpoint_id", text("position DESC")),
        Index("ix_webhook_deliveries_state", "endpoint_id", "state", text("position DESC")),
        Index("ix_webhook_deliveries_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    delivery_id: UUID = uuid_column(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    position: int | None = Field(
        default=None, sa_type=BigInteger, nullable=False, sa_column_args=(Identity(always=True),)
    )
    endpoint_id: UUID = uuid_column()
    message_id: int | None = bigint_column(default=None, nullable=True)
    body: str | None = document_column(default=None, nullable=True)
    event_type: str = text_column()
    event_id: str = text_column()
    sample_id: str | None = text_column(default=None, nullable=True)
    subject: str | None = text_column(default=None, nullable=True)
    state: str = text_column()
    attempts: int = integer_column()
    first_attempt_at: datetime | None = moment_column(default=None, nullable=True)
    next_attempt_at: datetime = moment_column(default=None, nullable=False, sa_column_kwargs={"server_default": CLOCK})
    fence: int = integer_column()
    leased_until: datetime | None = moment_column(default=None, nullable=True)
    last_status: int | None = integer_column(default=None, nullable=True)
    last_error: str | None = text_column(default=None, nullable=True)
    created_at: datetime = written_at_column()
    finished_at: datetime | None = moment_column(default=None, nullable=True)


class WebhookAttemptRow(Table, table=True):
    """One request to an endpoint, and what came of it."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        check("number", "number >= 1"),
        ForeignKeyConstraint(["delivery_id"], ["webhook_deliveries.delivery_id"], ondelete="CASCADE"),
    )

    delivery_id: UUID = uuid_column(primary_key=True)
    number: int = integer_column(primary_key=True)
    started_at: datetime = moment_column()
    latency_ms: float = Field(sa_type=Double)
    status: int | None = integer_column(default=None, nullable=True)
    error: str | None = text_column(default=None, nullable=True)
    excerpt: str | None = text_column(default=None, nullable=True)
