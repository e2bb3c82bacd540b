"""Keep with tasks and decisions the escalation rule that caused them, and the one that a verdict set off."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1000"
down_revision = "20261129_1310"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_tasks", sa.Column("caused_by", sa.JSON(), nullable=True))
    op.add_column("decisions", sa.Column("caused_by", sa.JSON(), nullable=True))
    op.add_column("decisions", sa.Column("escalated_by", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("decisions", "escalated_by")
    op.drop_column("decisions", "caused_by")
    op.drop_column("review_tasks", "caused_by")
