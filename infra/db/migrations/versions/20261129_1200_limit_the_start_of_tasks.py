"""Tasks that should be started by a moment, and events out that are no stage changes and carry no sequence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1200"
down_revision = "20261123_0905"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_tasks", sa.Column("start_by_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_outbox_sequence"), "outbox", type_="check")
    op.create_check_constraint(op.f("ck_outbox_sequence"), "outbox", "topic = 'event' OR sequence IS NULL")


def downgrade() -> None:
    op.execute("DELETE FROM outbox WHERE topic = 'event' AND sequence IS NULL")
    op.drop_constraint(op.f("ck_outbox_sequence"), "outbox", type_="check")
    op.create_check_constraint(op.f("ck_outbox_sequence"), "outbox", "(topic = 'event') = (sequence IS NOT NULL)")
    op.drop_column("review_tasks", "start_by_at")
