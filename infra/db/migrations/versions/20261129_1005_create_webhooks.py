"""Create what outgoing webhooks need: endpoints, deliveries, attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1005"
down_revision = "20261129_1200"
branch_labels = None
depends_on = None

_CLOCK = sa.text("clock_timestamp()")
_WAITING = sa.text("state = 'waiting'")


def _moment(name: str, *, nullable: bool = True, clock: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=_CLOCK if clock else None, nullable=nullable and not clock
    )


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        _moment("old_secret_until"),
        sa.Column("failures", sa.Integer(), nullable=False),
        _moment("failing_since"),
        _moment("created_at", clock=True),
        _moment("updated_at", clock=True),
        sa.CheckConstraint("state IN ('active', 'paused', 'disabled')", name=op.f("ck_webhook_endpoints_state")),
        sa.CheckConstraint(
            "(old_secret IS NULL) = (old_secret_until IS NULL)", name=op.f("ck_webhook_endpoints_old_secret")
        ),
        sa.CheckConstraint("(failures = 0) = (failing_since IS NULL)", name=op.f("ck_webhook_endpoints_failing")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_webhook_endpoints_projects")),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index("ix_webhook_endpoints_project", "webhook_endpoints", ["project", "created_at", "endpoint_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _moment("first_attempt_at"),
        _moment("next_attempt_at", clock=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        _moment("leased_until"),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        _moment("created_at", clock=True),
        _moment("finished_at"),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'failed', 'cancelled')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.CheckConstraint("(message_id IS NULL) <> (body IS NULL)", name=op.f("ck_webhook_deliveries_content")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_webhook_deliveries_attempts")),
        sa.CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name=op.f("ck_webhook_deliveries_finished")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.endpoint_id"], name=op.f("fk_webhook_deliveries_webhook_endpoints")
        ),
        sa.ForeignKeyConstraint(["message_id"], ["outbox.message_id"], name=op.f("fk_webhook_deliveries_outbox")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("message_id", "endpoint_id", name=op.f("uq_webhook_deliveries_message_id_endpoint_id")),
    )
    indexes: tuple[tuple[str, list[str | sa.ColumnElement[object]], sa.TextClause | None], ...] = (
        ("due", ["endpoint_id", "next_attempt_at", "position"], _WAITING),
        ("order", ["endpoint_id", "sample_id", "position"], _WAITING),
        ("leased", ["endpoint_id", "leased_until"], sa.text("state = 'waiting' AND leased_until IS NOT NULL")),
        ("newest", ["endpoint_id", sa.literal_column("position DESC")], None),
        ("state", ["endpoint_id", "state", sa.literal_column("position DESC")], None),
        ("finished", ["finished_at"], sa.text("finished_at IS NOT NULL")),
    )
    for name, columns, where in indexes:
        op.create_index(f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns, postgresql_where=where)
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _moment("started_at", nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.CheckConstraint("number >= 1", name=op.f("ck_webhook_attempts_number")),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_deliveries.delivery_id"],
            name=op.f("fk_webhook_attempts_webhook_deliveries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempts")),
    )


def downgrade() -> None:
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
