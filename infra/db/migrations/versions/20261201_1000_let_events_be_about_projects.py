"""Let events in and out be about a project or a taxonomy, and not only about a sample revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201_1000"
down_revision = "20261201_0900"
branch_labels = None
depends_on = None

_OUTBOX_ABOUT = "(sample_id IS NULL) = (revision IS NULL) AND (sample_id IS NULL) <> (subject IS NULL)"
_INBOX_ABOUT = "num_nonnulls(project, sample_id, revision) = CASE WHEN taxonomy IS NULL THEN 3 ELSE 0 END"


def upgrade() -> None:
    for column in ("sample_id", "revision"):
        op.alter_column("outbox", column, nullable=True)
    op.add_column("outbox", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("event_type", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_outbox_about"), "outbox", _OUTBOX_ABOUT)
    op.create_check_constraint(op.f("ck_outbox_subject"), "outbox", "topic = 'event' OR subject IS NULL")
    op.create_index(
        "ix_outbox_waiting_subjects",
        "outbox",
        ["project", "subject", "message_id"],
        postgresql_where=sa.text("published_at IS NULL AND subject IS NOT NULL"),
    )
    for column in ("project", "sample_id", "revision"):
        op.alter_column("inbox", column, nullable=True)
    op.add_column("inbox", sa.Column("taxonomy", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_inbox_about"), "inbox", _INBOX_ABOUT)
    op.add_column("webhook_deliveries", sa.Column("subject", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_webhook_deliveries_about"), "webhook_deliveries", "sample_id IS NULL OR subject IS NULL"
    )
    op.create_index(
        "ix_webhook_deliveries_subjects",
        "webhook_deliveries",
        ["endpoint_id", "subject", "position"],
        postgresql_where=sa.text("state = 'waiting' AND subject IS NOT NULL"),
    )


def downgrade() -> None:
    # What is about no sample has no place in the tables as they were: what came in keeps its effect, what was to be
    # told is not told.
    op.drop_index("ix_webhook_deliveries_subjects", "webhook_deliveries")
    op.execute("DELETE FROM webhook_deliveries WHERE subject IS NOT NULL")
    op.drop_constraint(op.f("ck_webhook_deliveries_about"), "webhook_deliveries", type_="check")
    op.drop_column("webhook_deliveries", "subject")
    op.execute("ALTER TABLE inbox DISABLE TRIGGER append_only")
    op.execute("DELETE FROM inbox WHERE taxonomy IS NOT NULL")
    op.execute("ALTER TABLE inbox ENABLE TRIGGER append_only")
    op.drop_constraint(op.f("ck_inbox_about"), "inbox", type_="check")
    op.drop_column("inbox", "taxonomy")
    for column in ("project", "sample_id", "revision"):
        op.alter_column("inbox", column, nullable=False)
    op.drop_index("ix_outbox_waiting_subjects", "outbox")
    op.execute("DELETE FROM outbox WHERE subject IS NOT NULL")
    for constraint in ("ck_outbox_about", "ck_outbox_subject"):
        op.drop_constraint(op.f(constraint), "outbox", type_="check")
    for column in ("subject", "event_type"):
        op.drop_column("outbox", column)
    for column in ("sample_id", "revision"):
        op.alter_column("outbox", column, nullable=False)
